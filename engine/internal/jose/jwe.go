package jose

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// maxRounds bounds the rounds of PBES2 that somebody else may make this
// server do (RFC 7518 §8.1; CVE-2024-28180's kin).
const maxRounds = 10_000

// Nested is the content type of a JWT that is encrypted (RFC 7519 §5.2).
const Nested = "JWT"

// Encrypt writes content of a type, if that is to be said, to a key: a public
// key, or what SecretKey gives.
func Encrypt(alg model.EncAlg, enc model.ContentEnc, key any, kid, contentType, content string) (string, error) {
	headers := jwe.NewHeaders()
	for name, value := range map[string]string{jwe.KeyIDKey: kid, jwe.ContentTypeKey: contentType} {
		if value == "" {
			continue
		}
		if err := headers.Set(name, value); err != nil {
			return "", err
		}
	}
	token, err := jwe.Encrypt([]byte(content), jwe.WithKey(jwa.KeyEncryptionAlgorithm(alg), key),
		jwe.WithContentEncryption(jwa.ContentEncryptionAlgorithm(enc)), jwe.WithProtectedHeaders(headers))
	return string(token), err
}

// Sealed is a JWE in compact serialization that has not been opened.
type Sealed struct {
	Alg model.EncAlg
	Enc model.ContentEnc
	Kid string

	token string
}

// ParseSealed reads the header of a JWE of at most that many bytes. Compressed
// content is refused, for what it could grow to (RFC 8725 §3.6), and so are
// headers that this engine does not understand or has no use for.
func ParseSealed(token string, most int) (*Sealed, error) {
	if len(token) > most {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, most)
	}
	segments, err := split(token, 5)
	if err != nil {
		return nil, err
	}
	h, err := readHeader(segments[0])
	if err != nil {
		return nil, err
	}
	s := &Sealed{
		Alg: model.EncAlg(Text(h["alg"])), Enc: model.ContentEnc(Text(h["enc"])), Kid: Text(h["kid"]), token: token,
	}
	rounds, counted := Time(h["p2c"])
	_, given := h["p2c"]
	_, compressed := h["zip"]
	switch {
	case !slices.Contains(model.EncAlgs, s.Alg) || !slices.Contains(model.ContentEncs, s.Enc):
		return nil, fmt.Errorf("%w: encryption algorithm", ErrInvalid)
	case compressed:
		return nil, fmt.Errorf("%w: compressed", ErrInvalid)
	case given && !counted || rounds > maxRounds || len(s.Kid) > maxKid:
		return nil, fmt.Errorf("%w: header", ErrInvalid)
	}
	return s, nil
}

// Open decrypts with the first of the keys that fits. It says nothing of why
// none did.
func (s *Sealed) Open(ctx context.Context, pool *Pool, keys []any) (content string, err error) {
	open := func() error {
		for _, key := range keys {
			plain, err := jwe.Decrypt([]byte(s.token), jwe.WithKey(jwa.KeyEncryptionAlgorithm(s.Alg), key))
			if err == nil {
				content = string(plain)
				return nil
			}
		}
		return fmt.Errorf("%w: cannot be decrypted", ErrInvalid)
	}
	if s.Alg.RSA() {
		return content, pool.Do(ctx, open)
	}
	err = open()
	return content, err
}

// keyBytes are the lengths of symmetric keys (RFC 7518 §4.1, §5.1).
var keyBytes = map[string]int{
	"A128KW": 16, "A192KW": 24, "A256KW": 32, "A128GCMKW": 16, "A192GCMKW": 24, "A256GCMKW": 32,
	"A128GCM": 16, "A192GCM": 24, "A256GCM": 32, "A128CBC-HS256": 32, "A192CBC-HS384": 48, "A256CBC-HS512": 64,
}

// SecretKey turns a client secret into the key of a symmetric algorithm
// (OpenID Connect Core §10.2): the left end of its hash, or with PBES2 the
// secret itself.
func SecretKey(alg model.EncAlg, enc model.ContentEnc, secret string) ([]byte, error) {
	name := string(alg)
	switch {
	case alg == "dir":
		name = string(enc)
	case len(name) > 5 && name[:5] == "PBES2":
		return []byte(secret), nil
	}
	n, ok := keyBytes[name]
	if !ok {
		return nil, fmt.Errorf("%w: encryption algorithm", ErrInvalid)
	}
	switch {
	case n <= sha256.Size:
		sum := sha256.Sum256([]byte(secret))
		return sum[:n], nil
	case n <= sha512.Size384:
		sum := sha512.Sum384([]byte(secret))
		return sum[:n], nil
	default:
		sum := sha512.Sum512([]byte(secret))
		return sum[:n], nil
	}
}

// Hash is the left half of a value's hash, as at_hash, c_hash and s_hash have
// it (OpenID Connect Core §3.1.3.6): the hash is that of the ID token's own
// algorithm, SHA-512 for EdDSA and SHA-256 for none.
func Hash(alg model.SignAlg, value string) []byte {
	switch {
	case alg == model.EdDSA || len(alg) == 5 && alg[2:] == "512":
		sum := sha512.Sum512([]byte(value))
		return sum[:32]
	case len(alg) == 5 && alg[2:] == "384":
		sum := sha512.Sum384([]byte(value))
		return sum[:24]
	default:
		sum := sha256.Sum256([]byte(value))
		return sum[:16]
	}
}

// Raw is a JSON text of a value that can always be written.
func Raw(v any) json.RawMessage {
	raw, _ := json.Marshal(v)
	return raw
}
