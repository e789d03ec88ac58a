package authorize

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const (
	maxClaimName  = 200
	maxClaimsJSON = 8 << 10
	maxValues     = 50
)

// scopeClaims are the claims that a scope stands for (OpenID Connect Core §5.4).
var scopeClaims = map[string][]string{
	"profile": {"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username",
		"profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
}

// ScopeClaims are the claims that scopes ask for at the userinfo endpoint, and
// the service supplies (OpenID Connect Core §5.4): none without openid.
func ScopeClaims(r *realm.Realm, scopes []string) []string {
	if !slices.Contains(scopes, "openid") {
		return nil
	}
	asked := wishes{}
	for _, scope := range scopes {
		for _, name := range scopeClaims[scope] {
			asked[name] = wish{}
		}
	}
	asked.keepSupplied(r)
	return asked.names()
}

// wish is how a claim is asked for (OpenID Connect Core §5.5.1).
type wish struct {
	Essential bool              `json:"e,omitempty"`
	Values    []json.RawMessage `json:"v,omitempty"`
	// Scope is the scope that alone asks for the claim; empty when the claims
	// parameter does.
	Scope string `json:"s,omitempty"`
}

// wishes are the claims asked for, by name.
type wishes map[string]wish

func (w wish) texts() []string {
	var list []string
	for _, value := range w.Values {
		if text := jose.Text(value); text != "" {
			list = append(list, text)
		}
	}
	return list
}

var errClaims = oautherr.New(oautherr.InvalidRequest, "claims is not a JSON object as OpenID Connect Core 5.5 has it, or is too large")

// readClaims is the claims parameter (OpenID Connect Core §5.5) together with
// what the scopes ask for. The scopes' claims are delivered at the userinfo
// endpoint, unless no access token is issued (§5.4). Claims that the service
// does not supply are left out, as §5.5 has it.
func (p *pending) readClaims(r *realm.Realm, v params.Values, resp *Response) *oautherr.Error {
	if !p.openID() {
		return nil
	}
	p.IDTokenClaims, p.UserInfoClaims = wishes{}, wishes{}
	if text := v.Get("claims"); text != "" {
		if err := p.parseClaims(r, text); err != nil {
			return err
		}
	}
	scopes := p.UserInfoClaims
	if p.Type == model.ResponseIDToken {
		scopes = p.IDTokenClaims
	}
	for _, scope := range p.Scopes {
		for _, name := range scopeClaims[scope] {
			if _, asked := scopes[name]; !asked {
				scopes[name] = wish{Scope: scope}
			}
		}
	}
	if _, asked := p.IDTokenClaims["auth_time"]; asked {
		p.AuthTimeWanted = true
	}
	p.IDTokenClaims.keepSupplied(r)
	p.UserInfoClaims.keepSupplied(r)
	resp.Claims, resp.ClaimsAtUserInfo = p.IDTokenClaims.names(), p.UserInfoClaims.names()
	return nil
}

func (p *pending) parseClaims(r *realm.Realm, text string) *oautherr.Error {
	if len(text) > maxClaimsJSON {
		return errClaims
	}
	members, err := jose.Object([]byte(text))
	if err != nil {
		return errClaims
	}
	for member, into := range map[string]wishes{"id_token": p.IDTokenClaims, "userinfo": p.UserInfoClaims} {
		if members[member] == nil || isNull(members[member]) {
			continue
		}
		asked, err := jose.Object(members[member])
		if err != nil || int64(len(asked)) > r.Service.MaxClaims {
			return errClaims
		}
		for name, how := range asked {
			w, ok := parseWish(how)
			if !ok {
				return errClaims
			}
			into[name] = w
		}
	}
	return nil
}

func parseWish(raw json.RawMessage) (w wish, ok bool) {
	if isNull(raw) {
		return w, true
	}
	members, err := jose.Object(raw)
	if err != nil {
		return w, false
	}
	if e := members["essential"]; e != nil && json.Unmarshal(e, &w.Essential) != nil {
		return w, false
	}
	if values := members["values"]; values != nil && json.Unmarshal(values, &w.Values) != nil {
		return w, false
	}
	if value := members["value"]; value != nil {
		w.Values = append(w.Values, value)
	}
	return w, len(w.Values) <= maxValues
}

func isNull(raw json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(raw), []byte("null")) }

// reserved are claims whose values are the engine's: they are asked for, but
// never supplied.
var reserved = []string{"sub", "acr"}

// keepSupplied drops what the service does not supply. A claim may be asked
// for in one language (§5.2).
func (w wishes) keepSupplied(r *realm.Realm) {
	maps.DeleteFunc(w, func(name string, _ wish) bool {
		base, tag, tagged := mint.CutTag(name)
		if tagged && !supportsLocale(r, tag) || len(name) > maxClaimName {
			return true
		}
		return !slices.Contains(r.Service.SupportedClaims, base) && !slices.Contains(reserved, base)
	})
}

// supportsLocale compares language tags in any case (BCP 47 §2.1.1).
func supportsLocale(r *realm.Realm, tag string) bool {
	return slices.ContainsFunc(r.Service.SupportedClaimLocales, func(s string) bool { return strings.EqualFold(s, tag) })
}

// keepGranted drops the claims that a scope asked for which was not granted.
func (w wishes) keepGranted(scopes []string) {
	maps.DeleteFunc(w, func(_ string, w wish) bool { return w.Scope != "" && !slices.Contains(scopes, w.Scope) })
}

// ClaimsWithin returns those claims of a grant that a token may deliver which
// covers fewer of the grant's scopes (RFC 6749 §6).
func ClaimsWithin(claims, granted, covered []string) []string {
	return slices.DeleteFunc(slices.Clone(claims), func(name string) bool {
		base, _, _ := mint.CutTag(name)
		return slices.ContainsFunc(granted, func(scope string) bool {
			return slices.Contains(scopeClaims[scope], base) && !slices.Contains(covered, scope)
		})
	})
}

// names are the claims to be supplied, sorted.
func (w wishes) names() []string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(w)), func(name string) bool {
		return slices.Contains(reserved, name) || name == "auth_time"
	})
	slices.Sort(names)
	return names
}

// conditions are the values that claims must have to be delivered.
func (w wishes) conditions() map[string][]json.RawMessage {
	var conditions map[string][]json.RawMessage
	for name, wish := range w {
		if len(wish.Values) > 0 && !slices.Contains(reserved, name) {
			if conditions == nil {
				conditions = map[string][]json.RawMessage{}
			}
			conditions[name] = wish.Values
		}
	}
	return conditions
}
