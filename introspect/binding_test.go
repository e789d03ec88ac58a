package introspect

import (
	"errors"
	"net/http"
	"slices"
	"testing"
)

// confirmer notes that it was asked, and answers.
type confirmer struct {
	name  string
	asked *[]string
	err   error
}

func (c confirmer) Confirm(*http.Request, Credentials, *Facts) error {
	*c.asked = append(*c.asked, c.name)
	return c.err
}

// A token needs every proof that its cnf names, and what it names beyond those
// is not ignored (RFC 7800 §3.1; RFC 8705 §3; RFC 9449 §6, §7; threats.md 17).
func TestBinding(t *testing.T) {
	type cnf = map[string]any
	for _, test := range []struct {
		name      string
		scheme    string
		tokenType string
		cnf       any
		required  bool
		asked     []string
		refused   bool
	}{
		{"plain", SchemeBearer, "Bearer", nil, false, nil, false},
		{"plain of no type", SchemeBearer, "", nil, false, nil, false},
		{"plain where binding is required", SchemeBearer, "Bearer", nil, true, nil, true},
		{"key", SchemeDPoP, "DPoP", cnf{"jkt": "k"}, true, []string{"DPoP"}, false},
		{"key under Bearer", SchemeBearer, "DPoP", cnf{"jkt": "k"}, false, []string{"DPoP"}, false}, // dpop refuses it
		{"key, empty", SchemeDPoP, "DPoP", cnf{"jkt": ""}, false, []string{"DPoP"}, false},
		{"certificate", SchemeBearer, "Bearer", cnf{"x5t#S256": "c"}, true, []string{"MTLS"}, false},
		{"certificate under DPoP", SchemeDPoP, "Bearer", cnf{"x5t#S256": "c"}, false, []string{"MTLS", "DPoP"}, false},
		{"both", SchemeDPoP, "DPoP", cnf{"jkt": "k", "x5t#S256": "c"}, false, []string{"MTLS", "DPoP"}, false},
		{"plain under DPoP", SchemeDPoP, "Bearer", nil, false, []string{"DPoP"}, false},
		{"of type DPoP without cnf", SchemeBearer, "dpop", nil, false, []string{"DPoP"}, false},
		{"of another type", SchemeBearer, "PoP", nil, false, nil, true},
		{"jwk", SchemeBearer, "Bearer", cnf{"jwk": cnf{}}, false, nil, true},
		{"kid besides a key", SchemeDPoP, "DPoP", cnf{"jkt": "k", "kid": "1"}, false, nil, true},
		{"x5t of old", SchemeBearer, "Bearer", cnf{"x5t": "c"}, false, nil, true},
		{"nothing in it", SchemeBearer, "Bearer", cnf{}, false, nil, true},
		{"no object", SchemeBearer, "Bearer", "jkt", false, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked []string
			b := Binding{
				DPoP: confirmer{"DPoP", &asked, nil}, MTLS: confirmer{"MTLS", &asked, nil}, Required: test.required,
			}
			f := &Facts{Active: true, TokenType: test.tokenType, Claims: map[string]any{"cnf": test.cnf}}
			err := b.Confirm(nil, Credentials{Scheme: test.scheme, Token: sampleToken}, f)
			if (err != nil) != test.refused || !slices.Equal(asked, test.asked) {
				t.Errorf("asked %v, %v", asked, err)
			}
			if refusal, _ := errors.AsType[*Refusal](err); err != nil && (refusal.Status != 401 || refusal.Code != CodeInvalidToken || refusal.Reason != ReasonProof || refusal.Scheme != test.scheme) {
				t.Errorf("%+v", refusal)
			}
		})
	}
}

// One proof that fails is enough, and a way that the resource does not know
// confirms nothing.
func TestBindingFailsClosed(t *testing.T) {
	both := &Facts{Active: true, Claims: map[string]any{"cnf": map[string]any{"jkt": "k", "x5t#S256": "c"}}}
	no := errors.New("no")
	var asked []string
	good, bad := confirmer{"good", &asked, nil}, confirmer{"bad", &asked, no}
	for name, b := range map[string]*Binding{
		"no ways at all": {}, "no DPoP": {MTLS: good}, "no mTLS": {DPoP: good},
		"bad key": {DPoP: bad, MTLS: good}, "bad certificate": {DPoP: good, MTLS: bad},
	} {
		asked = nil
		err := b.Confirm(nil, Credentials{Scheme: SchemeDPoP}, both)
		if err == nil || slices.Contains(asked, "bad") != errors.Is(err, no) {
			t.Errorf("%s: %v, asked %v", name, err, asked)
		}
		if name == "bad certificate" && slices.Contains(asked, "good") {
			t.Error("a proof was used up for nothing")
		}
	}
}

// A guard with a binding sends its refusals in the challenge of the scheme that
// was used (RFC 9449 §7.1).
func TestGuardWithBinding(t *testing.T) {
	g := &Guard{
		Introspector: engineWith(activeFacts()), Challenge: Challenge{DPoPAlgs: []string{"ES256"}},
		Confirm: (&Binding{Required: true}).Confirm,
	}
	res := answer(g, bearerRequest(sampleToken))
	challenges := res.Header.Values("WWW-Authenticate")
	want := []string{
		`Bearer error="invalid_token", error_description="This resource wants access tokens that are bound to their sender."`,
		`DPoP algs="ES256"`,
	}
	if res.StatusCode != 401 || !slices.Equal(challenges, want) {
		t.Errorf("%d %q", res.StatusCode, challenges)
	}
}
