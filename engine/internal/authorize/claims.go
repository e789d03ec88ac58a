package authorize

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
)

const (
	maxClaims     = 64
	maxClaimName  = 200
	maxClaimsJSON = 8 << 10
)

// scopeClaims are the claims that a scope stands for (OpenID Connect Core §5.4).
var scopeClaims = map[string][]string{
	"profile": {"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username",
		"profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
}

// readClaims is the claims parameter (OpenID Connect Core §5.5) together with
// what the scopes ask for. In the code flow the scopes' claims are delivered
// at the userinfo endpoint (§5.4). Claims that the service does not supply
// are left out, as §5.5 has it.
func (p *pending) readClaims(r *realm.Realm, v params.Values, resp *Response) *oautherr.Error {
	if !p.openID() {
		return nil
	}
	var asked struct {
		UserInfo map[string]json.RawMessage `json:"userinfo"`
		IDToken  map[string]json.RawMessage `json:"id_token"`
	}
	if text := v.Get("claims"); text != "" {
		decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
		if len(text) > maxClaimsJSON || decoder.Decode(&asked) != nil || !ended(decoder) ||
			len(asked.UserInfo) > maxClaims || len(asked.IDToken) > maxClaims {
			return oautherr.New(oautherr.InvalidRequest, "claims is not a JSON object as OpenID Connect Core 5.5 has it, or is too large")
		}
	}
	p.IDTokenClaims = supplied(r, slices.Collect(maps.Keys(asked.IDToken)))
	names := slices.Collect(maps.Keys(asked.UserInfo))
	for _, scope := range p.Scopes {
		names = append(names, scopeClaims[scope]...)
	}
	p.UserInfoClaims = supplied(r, names)
	resp.Claims, resp.ClaimsAtUserInfo = p.IDTokenClaims, p.UserInfoClaims
	return nil
}

// supplied keeps the names that the service supplies, sorted, each once.
func supplied(r *realm.Realm, names []string) []string {
	names = slices.DeleteFunc(names, func(name string) bool {
		return len(name) > maxClaimName || !slices.Contains(r.Service.SupportedClaims, name)
	})
	slices.Sort(names)
	return slices.Compact(names)
}

func ended(d *json.Decoder) bool {
	_, err := d.Token()
	return err == io.EOF
}
