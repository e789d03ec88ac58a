package introspect

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParseFacts (RFC 7662 §2.2, RFC 9068 §2.2).
func TestParseFacts(t *testing.T) {
	for _, test := range []struct {
		name, body string
		want       *Facts
	}{
		{"not active", `{"active":false}`, &Facts{}},
		{"nothing", `{}`, &Facts{}},
		{"everything", `{"active":true,"iss":"i","sub":"s","client_id":"c","token_type":"Bearer","scope":" a  b ","aud":"x","exp":10,"iat":9,"auth_time":8,"tier":"gold"}`,
			&Facts{Active: true, Issuer: "i", Subject: "s", ClientID: "c", TokenType: "Bearer", Scopes: []string{"a", "b"}, Audience: []string{"x"},
				ExpiresAt: 10, IssuedAt: 9, AuthTime: 8, Claims: map[string]any{"tier": "gold"}}},
		{"arrays", `{"active":true,"scope":["a","b"],"aud":["x","y z"]}`, &Facts{Active: true, Scopes: []string{"a", "b"}, Audience: []string{"x", "y z"}}},
		{"scp", `{"scp":"a b"}`, &Facts{Scopes: []string{"a", "b"}}},
		{"scope before scp", `{"scp":["z"],"scope":"a"}`, &Facts{Scopes: []string{"a"}}},
		{"null is absent", `{"sub":null,"exp":null,"scope":null}`, &Facts{}},
		{"exp of 0 has passed", `{"active":true,"exp":0}`, &Facts{Active: true, ExpiresAt: 1}},
		{"exp below 0 has passed", `{"active":true,"exp":-5}`, &Facts{Active: true, ExpiresAt: 1}},
		{"exp with a fraction", `{"active":true,"exp":10.9}`, &Facts{Active: true, ExpiresAt: 10}},
		{"exp with an exponent", `{"active":true,"exp":1e1}`, &Facts{Active: true, ExpiresAt: 10}},
		{"numbers keep their digits", `{"n":12345678901234567890}`, &Facts{Claims: map[string]any{"n": json.Number("12345678901234567890")}}},
		{"the engine's names", `{"active":true,"gatehouse":{"service":"1","token":"9007199254740993","grant":"3","client":"4","subject":"x"}}`,
			&Facts{Active: true, Ref: Ref{Service: 1, Token: 9007199254740993, Grant: 3, Client: 4, Subject: "x"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseFacts([]byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestParseFactsRefuses: an answer of another form is no answer, and what is
// wrong with it is told without quoting it.
func TestParseFactsRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON":           `secret`,
		"cut off":           `{"active":true,"sub":"secret`,
		"cut off later":     `{"active":true`,
		"no object":         `["secret"]`,
		"two objects":       `{"active":true}{"active":false}`,
		"active as text":    `{"active":"true"}`,
		"active as number":  `{"active":1}`,
		"sub as number":     `{"sub":1}`,
		"exp as text":       `{"exp":"secret"}`,
		"exp too large":     `{"exp":1e30}`,
		"exp beyond number": `{"exp":1e999}`,
		"exp as boolean":    `{"exp":true}`,
		"scope as object":   `{"scope":{"secret":1}}`,
		"aud with a number": `{"aud":["a",1]}`,
		"twice":             `{"active":false,"active":true}`,
		"twice, spelled":    `{"active":false,"\u0061ctive":true}`,
		"twice, inside":     `{"cnf":{"jkt":"a","jkt":"b"}}`,
		"too deep":          strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20),
		"too large":         `{"a":"` + strings.Repeat("secret", MaxFactsBytes/6) + `"}`,
		"id that is none":   `{"gatehouse":{"token":"secret"}}`,
		"names as text":     `{"gatehouse":"secret"}`,
	} {
		f, err := ParseFacts([]byte(body))
		if err == nil {
			t.Errorf("%s: %+v", name, f)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseFacts: whatever comes, it is refused or read, and what was read has
// an end if it names one.
func FuzzParseFacts(f *testing.F) {
	f.Add([]byte(`{"active":true,"exp":1.5,"aud":["a"],"cnf":{"jkt":"x"}}`))
	f.Add([]byte(`{"exp":-1e18,"gatehouse":{"token":"1"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		facts, err := ParseFacts(body)
		if err != nil {
			return
		}
		var members map[string]any
		if json.Unmarshal(body, &members) != nil {
			t.Fatalf("%q was read", body)
		}
		if members["exp"] != nil && facts.ExpiresAt <= 0 {
			t.Fatalf("%q never ends", body)
		}
		if facts.Active && members["active"] != true {
			t.Fatalf("%q is active", body)
		}
	})
}
