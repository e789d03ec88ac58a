package upstream

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// maxSignature is the length of the longest signature that is usual, RSA-2048,
// in bytes.
const maxSignature = 256

// Signer signs the gateway's own JWTs and publishes the keys to verify them
// with. It is safe for concurrent use.
type Signer struct{ keys atomic.Pointer[signingKeys] }

// signingKeys are immutable.
type signingKeys struct {
	signer  jws.Signer
	private any
	header  []byte // the JOSE header up to the value of typ
	public  []byte // the JWK Set
}

// NewSigner returns a signer whose keys are those of [Signer.Replace].
func NewSigner(keys jwk.Set) (*Signer, error) {
	s := &Signer{}
	return s, s.Replace(keys)
}

// Replace takes other keys into use, from the next signature on; after an error
// the old ones stay. The first key signs and must be private. The others, which
// need not be, are published only: the one to come, so that whoever keeps the
// set knows it before its first signature, and those that have signed what is
// still good. Keys without a kid get their thumbprint (RFC 7638).
func (s *Signer) Replace(keys jwk.Set) error {
	next, err := newSigningKeys(keys)
	if err != nil {
		return err
	}
	s.keys.Store(next)
	return nil
}

func newSigningKeys(keys jwk.Set) (*signingKeys, error) {
	if keys == nil || keys.Len() == 0 || keys.Len() > maxKeys {
		return nil, fmt.Errorf("signing keys: there must be 1 to %d", maxKeys)
	}
	published := jwk.NewSet()
	for i := range keys.Len() {
		key, _ := keys.Key(i)
		public, err := publish(key)
		if err != nil {
			return nil, err
		}
		if _, twice := published.LookupKeyID(public.KeyID()); twice {
			return nil, errors.New("signing keys: two have the same kid")
		}
		if err := published.AddKey(public); err != nil {
			return nil, fmt.Errorf("signing keys: %w", err)
		}
	}
	private, _ := keys.Key(0)
	public, _ := published.Key(0)
	k := &signingKeys{}
	if err := k.use(private, public); err != nil {
		return nil, err
	}
	var err error
	if k.public, err = json.Marshal(published); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	return k, nil
}

// use prepares all that is the same in every signature. It makes one, since a
// key whose parts do not belong together should stop the start and not every
// request.
func (k *signingKeys) use(private, public jwk.Key) error {
	if err := private.Raw(&k.private); err != nil {
		return errors.New("signing keys: the first is not a key")
	}
	if key, ok := k.private.(*rsa.PrivateKey); ok {
		key.Precompute() // otherwise each signature does it again
	}
	alg := jwa.SignatureAlgorithm(public.Algorithm().String())
	header, err := json.Marshal(struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
	}{alg.String(), public.KeyID()})
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	k.header = append(header[:len(header)-1], `,"typ":`...)
	if k.signer, err = jws.NewSigner(alg); err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	probe, err := k.sign("JWT", []byte("{}"))
	if err != nil {
		return errors.New("signing keys: the first is not a private key that can sign")
	}
	if _, err := jws.Verify([]byte(probe), jws.WithKey(alg, public)); err != nil {
		return errors.New("signing keys: the parts of the first do not belong together")
	}
	return nil
}

// Sign returns a JWT with a typ (RFC 8725 §3.11) and claims, a JSON object, in
// the compact serialization (RFC 7515 §3.1).
func (s *Signer) Sign(typ string, claims []byte) (string, error) {
	return s.keys.Load().sign(typ, claims)
}

// sign joins the parts itself, since jwx's own joining costs half as much as an
// ECDSA signature; the signature is jwx's.
func (k *signingKeys) sign(typ string, claims []byte) (string, error) {
	quoted, err := json.Marshal(typ)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	header := make([]byte, 0, len(k.header)+len(quoted)+1)
	header = append(append(append(header, k.header...), quoted...), '}')

	encoding := base64.RawURLEncoding
	text := make([]byte, 0, encoding.EncodedLen(len(header))+encoding.EncodedLen(len(claims)+maxSignature)+2)
	text = append(encoding.AppendEncode(text, header), '.')
	text = encoding.AppendEncode(text, claims)
	signature, err := k.signer.Sign(text, k.private)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return string(encoding.AppendEncode(append(text, '.'), signature)), nil
}

// JWKS returns the public keys, a JWK Set (RFC 7517 §5). Callers do not change it.
func (s *Signer) JWKS() []byte { return s.keys.Load().public }

// ServeHTTP answers with the public keys.
func (s *Signer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body := s.JWKS()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Content-Type", "application/jwk-set+json") // RFC 7517 §8.5.2
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(body) // the client may be gone
}
