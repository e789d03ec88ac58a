package registration_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/gatehouse-auth/gatehouse/engine/internal/registration"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// publisher signs software statements.
type publisher struct {
	t       testing.TB
	private *ecdsa.PrivateKey
	jwks    string // with the public key, of kid k1
}

func newPublisher(t testing.TB) *publisher {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jwk.FromRaw(private.Public())
	if err != nil || public.Set(jwk.KeyIDKey, "k1") != nil {
		t.Fatal(err)
	}
	set := jwk.NewSet()
	_ = set.AddKey(public)
	document, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return &publisher{t, private, string(document)}
}

// sign makes a JWT; header members that are nil are left out.
func (p *publisher) sign(alg jwa.SignatureAlgorithm, key any, header, claims object) string {
	p.t.Helper()
	headers := jws.NewHeaders()
	for name, value := range merge(object{"kid": "k1"}, header) {
		if value == nil {
			continue
		}
		if err := headers.Set(name, value); err != nil {
			p.t.Fatal(err)
		}
	}
	token, err := jws.Sign([]byte(text(claims)), jws.WithKey(alg, key, jws.WithProtectedHeaders(headers)))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(token)
}

func (p *publisher) statement(claims object) string {
	return p.sign(jwa.ES256, p.private, nil, claims)
}

func claimsAt(now time.Time, more object) object {
	return merge(object{"iss": "https://publisher.example", "iat": now.Unix() - 5}, more)
}

// RFC 7591 §2.3, §3.1.1: what a statement says comes before what stands beside
// it; the statement itself is given back as it came (§3.2.1).
func TestSoftwareStatement(t *testing.T) {
	p := newPublisher(t)
	o := open(t, settings{"softwareStatementJwks": p.jwks})
	statement := p.statement(claimsAt(o.clock(), object{
		"redirect_uris": list{"https://attested.example.com/cb"}, "client_name": "Attested", "software_id": "s1", "grant_types": nil,
		"client_id": "stolen", "developer": "mallory", "aud": issuer, "exp": o.clock().Unix() + 60,
	}))
	body := web(object{"software_statement": statement, "client_name": "Plain", "client_name#en": "Your Bank", "client_uri": "https://app.example.com"})
	got := o.register(body)
	wanted := object{
		"redirect_uris": list{"https://attested.example.com/cb"}, "client_name": "Attested", "client_name#en": nil, "software_id": "s1",
		"client_uri": "https://app.example.com", "software_statement": statement, "iss": nil, "developer": nil, "grant_types": list{"authorization_code"},
	}
	for member, want := range wanted {
		if diff := cmp.Diff(want, got[member]); diff != "" {
			t.Errorf("%s: %s", member, diff)
		}
	}
	if read := o.accepted(o.call(registration.Get, own(got)), model.ActionOK); cmp.Diff(got, read) != "" {
		t.Error(cmp.Diff(got, read))
	}
	// RFC 7592 §2.2: an update without it deletes it, with what it said.
	changed := o.accepted(o.call(registration.Update, update(got, web(nil))), model.ActionUpdated)
	if changed["software_statement"] != nil || changed["software_id"] != nil || changed["client_name"] != nil {
		t.Errorf("after the update: %v", changed)
	}
	o.accepted(o.call(registration.Update, update(got, body)), model.ActionUpdated)
	o.pass(2 * time.Minute)
	o.refused(o.call(registration.Update, update(got, body)), model.ActionBadRequest, "invalid_software_statement", "")
}

// threats.md 12, 13, 16: a statement is good under the configured keys, each by
// its own algorithm, and for this server; its header names no other key, and
// nothing is fetched for it.
func TestThreat12And13SoftwareStatements(t *testing.T) {
	p, other := newPublisher(t), newPublisher(t)
	o := open(t, settings{"softwareStatementJwks": p.jwks})
	good := claimsAt(o.clock(), object{"client_name": "Attested"})
	now := o.clock().Unix()
	public, _ := jwk.FromRaw(other.private.Public())
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(text(good))) + "."
	signed := p.statement(good)
	for name, statement := range map[string]any{
		"another key":                     other.statement(good),
		"another key, embedded":           other.sign(jwa.ES256, other.private, object{"jwk": public}, good),
		"another key, at an address":      other.sign(jwa.ES256, other.private, object{"jku": "https://evil.example/jwks"}, good),
		"another key, kid as an address":  other.sign(jwa.ES256, other.private, object{"kid": "https://evil.example/k1"}, good),
		"a kid that is none of the keys'": p.sign(jwa.ES256, p.private, object{"kid": "../k1"}, good),
		"unsigned":                        unsigned,
		"signature taken off":             signed[:strings.LastIndexByte(signed, '.')+1],
		"HMAC with the public key":        p.sign(jwa.HS256, []byte(p.jwks), nil, good),
		"another typ":                     p.sign(jwa.ES256, p.private, object{"typ": "at+jwt"}, good),
		"a critical extension":            p.sign(jwa.ES256, p.private, object{"crit": []string{"x"}, "x": 1}, good),
		"altered":                         signed[:len(signed)-4] + "AAAA",
		"not a JWT":                       "statement",
		"empty":                           "",
		"a number":                        7,
		"an object":                       good,
		"without iss (RFC 7591 §2.3)":     p.statement(merge(good, object{"iss": nil})),
		"without iat":                     p.statement(merge(good, object{"iat": nil})),
		"from the future":                 p.statement(merge(good, object{"iat": now + 3600})),
		"expired":                         p.statement(merge(good, object{"exp": now - 3600})),
		"exp as text":                     p.statement(merge(good, object{"exp": "never"})),
		"not yet":                         p.statement(merge(good, object{"nbf": now + 3600})),
		"for another server":              p.statement(merge(good, object{"aud": "https://other.example"})),
		"for nobody":                      p.statement(merge(good, object{"aud": list{}})),
	} {
		t.Run(name, func(t *testing.T) {
			o.TB = t
			o.refused(o.post(web(object{"software_statement": statement})), model.ActionBadRequest, "invalid_software_statement", "")
		})
	}
	for _, restriction := range []string{`"use":"enc"`, `"alg":"ES384"`} {
		narrow := open(t, settings{"softwareStatementJwks": strings.Replace(p.jwks, `"kid"`, restriction+`,"kid"`, 1)})
		narrow.refused(narrow.post(web(object{"software_statement": signed})), model.ActionBadRequest, "invalid_software_statement", "")
	}
	o.TB = t
	for _, header := range []object{nil, {"kid": nil}, {"typ": "JWT"}} {
		o.register(web(object{"software_statement": p.sign(jwa.ES256, p.private, header, good)}))
	}
	if len(o.fetched) > 0 {
		t.Errorf("fetched %v", o.fetched)
	}
}

// threats.md 20: what is attested is held against the policy and the rules as
// anything else, and a required statement stays required.
func TestThreat20StatementIsNoBypass(t *testing.T) {
	p := newPublisher(t)
	o := open(t, settings{
		"softwareStatementJwks": p.jwks, "softwareStatementRequired": true, "registrationScopes": list{"openid"},
		"registrationGrantTypes": list{"AUTHORIZATION_CODE"}, "registrationRedirectHosts": list{"app.example.com"},
	})
	attested := func(claims object) object {
		return web(object{"software_statement": p.statement(claimsAt(o.clock(), claims))})
	}
	got := o.register(attested(nil))
	const metadata = "invalid_client_metadata"
	for name, c := range map[string]struct {
		body object
		code string
	}{
		"no statement":        {web(nil), "invalid_software_statement"},
		"a statement of null": {web(object{"software_statement": nil}), "invalid_software_statement"},
		"a scope":             {attested(object{"scope": "openid orders:write"}), metadata},
		"a grant type":        {attested(object{"grant_types": list{"client_credentials"}}), metadata},
		"a host":              {attested(object{"redirect_uris": list{"https://evil.example/"}}), "invalid_redirect_uri"},
		"javascript":          {attested(object{"logo_uri": "javascript:alert(1)"}), metadata},
		"another type":        {attested(object{"client_name": 7}), metadata},
	} {
		t.Run(name, func(t *testing.T) {
			o.TB = t
			o.refused(o.post(c.body), model.ActionBadRequest, c.code, "")
			o.refused(o.call(registration.Update, update(got, c.body)), model.ActionBadRequest, c.code, "")
		})
	}
}
