package introspectors

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"os"

	"github.com/caddyserver/caddy/v2"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// files reads the files that settings name. One that cannot be read stops the
// start (CVE-2026-27586): there is no fallback. It keeps what went wrong, and a
// digest of what was read, so that a file which has changed makes another
// introspector.
type files struct {
	failures []error
	digest   hash.Hash
}

func (f *files) err() error { return errors.Join(f.failures...) }

func (f *files) fail(setting string, err error) {
	f.failures = append(f.failures, fmt.Errorf("%s: %w", setting, err))
}

// read returns what is in a file; nil without a name.
func (f *files) read(setting, name string) []byte {
	if name == "" {
		return nil
	}
	content, err := os.ReadFile(name)
	if err != nil {
		f.fail(setting, err)
		return nil
	}
	if f.digest == nil {
		f.digest = sha256.New()
	}
	fmt.Fprintf(f.digest, "%s %d ", setting, len(content))
	f.digest.Write(content)
	return content
}

// roots reads the certificates that are trusted; nil stands for the system's.
func (f *files) roots(names []string) *x509.CertPool {
	if len(names) == 0 {
		return nil
	}
	pool := x509.NewCertPool()
	for _, name := range names {
		if content := f.read("trust", name); content != nil && !pool.AppendCertsFromPEM(content) {
			f.fail("trust", fmt.Errorf("%s holds no certificate", name))
		}
	}
	return pool
}

// key reads a private key: a JWK, or PEM.
func (f *files) key(setting, name string) jwk.Key {
	content := f.read(setting, name)
	if content == nil {
		return nil
	}
	key, err := jwk.ParseKey(content, jwk.WithPEM(!json.Valid(content)))
	if err != nil {
		f.fail(setting, fmt.Errorf("%s holds neither a JWK nor a key in PEM", name)) // jwx quotes the key
		return nil
	}
	return key
}

// certificate reads a client certificate and its key.
func (f *files) certificate(name, keyName string) []tls.Certificate {
	certificate, key := f.read("certificate", name), f.read("certificate", keyName)
	if certificate == nil || key == nil {
		return nil
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		f.fail("certificate", err)
		return nil
	}
	return []tls.Certificate{pair}
}

// resolve replaces the placeholders of a secret, all of which must have a value.
func resolve(setting, text string) (string, error) {
	value, err := caddy.NewReplacer().ReplaceOrErr(text, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w", setting, err)
	}
	return value, nil
}

// identity digests everything that an introspector depends on.
func identity(module string, settings any, f *files, secrets ...string) string {
	text, _ := json.Marshal(settings) // settings came as JSON
	sum := sha256.New()
	sum.Write(text)
	for _, secret := range secrets {
		fmt.Fprintf(sum, "%d %s", len(secret), secret)
	}
	if f.digest != nil {
		sum.Write(f.digest.Sum(nil))
	}
	return module + " " + hex.EncodeToString(sum.Sum(nil))
}
