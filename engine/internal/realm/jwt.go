package realm

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Sealing says how a JWT for a client is signed and encrypted.
type Sealing struct {
	Alg   model.SignAlg // empty: not signed, and only encrypted
	KeyID string        // of the service, when it has several for the algorithm
	Enc   model.EncAlg  // empty: not encrypted
	Body  model.ContentEnc
}

// JWT makes a JWT for a client of claims (already JSON): signed, and then
// encrypted if the client asks for it (RFC 7519 §11.2).
func (r *Realm) JWT(ctx context.Context, c *model.Client, s Sealing, typ string, claims []byte) (string, error) {
	token, contentType := string(claims), ""
	if s.Alg != "" {
		var err error
		if token, err = r.sign(ctx, c, s, typ, claims); err != nil {
			return "", err
		}
		contentType = jose.Nested
	}
	if s.Enc == "" {
		return token, nil
	}
	return r.encrypt(ctx, c, s, contentType, token)
}

func (r *Realm) sign(ctx context.Context, c *model.Client, s Sealing, typ string, claims []byte) (string, error) {
	switch {
	case s.Alg == model.AlgNone:
		return jose.Unsigned(typ, claims)
	case s.Alg.Symmetric():
		return jose.SignSymmetric(s.Alg, c.ClientSecret, typ, claims)
	}
	key, err := r.Keys.Signer(s.Alg, s.KeyID, r.Now())
	if err != nil {
		return "", err
	}
	return jose.Sign(ctx, r.RSA, key, typ, claims)
}

func (r *Realm) encrypt(ctx context.Context, c *model.Client, s Sealing, contentType, content string) (string, error) {
	if s.Enc.Symmetric() {
		key, err := jose.SecretKey(s.Enc, s.Body, c.ClientSecret)
		if err != nil {
			return "", err
		}
		return jose.Encrypt(s.Enc, s.Body, key, "", contentType, content)
	}
	set, err := r.ClientKeys(ctx, c, func(k *keys.Public) bool { return k.Takes(s.Enc) }, "")
	if err != nil {
		return "", err
	}
	if len(set) == 0 {
		return "", fmt.Errorf("client %s has no key for %s", c.Alias, s.Enc)
	}
	return jose.Encrypt(s.Enc, s.Body, set[0].Key, set[0].KID, contentType, content)
}
