package mint

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Hint is what an ID token that comes back as a hint says.
type Hint struct {
	Client  *model.Client // whom it was issued to
	Subject string        // as that client knows it
	Session string        // sid; may be empty
	// Proven: the signature is this issuer's. An ID token that was not signed
	// when it was issued proves nothing when it comes back.
	Proven bool
}

// ReadHint reads an ID token of this issuer, which may have expired (OpenID
// Connect Core §3.1.2.1). It returns nil for anything else; the error is the
// store's.
func ReadHint(ctx context.Context, r *realm.Realm, token string) (*Hint, error) {
	parsed, err := jose.Parse(token, jose.MaxToken)
	if err != nil {
		return nil, nil
	}
	claims, err := jose.Object(parsed.Payload)
	if err != nil || jose.Text(claims["iss"]) != r.Service.Issuer || jose.Text(claims["sub"]) == "" || notIDToken(parsed, claims) {
		return nil, nil
	}
	audience := jose.Texts(claims["aud"])
	if len(audience) != 1 {
		return nil, nil
	}
	client, err := r.ClientByAlias(ctx, audience[0])
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	hint := &Hint{Client: client, Subject: jose.Text(claims["sub"]), Session: jose.Text(claims["sid"])}
	switch {
	case parsed.Alg != client.IDTokenSignAlg:
		return nil, nil
	case parsed.Alg == model.AlgNone:
		if !parsed.Unsecured() {
			return nil, nil
		}
		return hint, nil
	case parsed.Alg.Symmetric():
		if parsed.Verify([]byte(client.ClientSecret)) != nil {
			return nil, nil
		}
	default:
		if _, err := jose.Verify(r.Keys, token, jose.TypeIDToken, r.Now()); err != nil {
			return nil, nil
		}
	}
	hint.Proven = true
	return hint, nil
}

// notIDToken tells the engine's other JWTs with the same signatures from ID
// tokens (RFC 8725 §3.12).
func notIDToken(parsed *jose.Parsed, claims map[string]json.RawMessage) bool {
	_, event := claims["events"]
	_, access := claims["client_id"]
	_, ends := jose.Time(claims["exp"]) // which a userinfo answer does not
	return parsed.Typ != jose.TypeIDToken || event || access || !ends
}
