package model

import (
	"encoding/json"
	"strings"
	"testing"
)

// RFC 9449 §6.1, RFC 8705 §3.1: the claim cnf has what there is, and nothing for
// nothing.
func TestConfirmationJSON(t *testing.T) {
	key, certificate := Thumbprint{1}, Thumbprint{2}
	for want, c := range map[string]Confirmation{
		`{}`:                             {},
		`{"jkt":"` + key.String() + `"}`: {JKT: key},
		`{"x5t#S256":"` + certificate.String() + `"}`:                              {X5T: certificate},
		`{"jkt":"` + key.String() + `","x5t#S256":"` + certificate.String() + `"}`: {JKT: key, X5T: certificate},
	} {
		got, err := json.Marshal(c)
		var back Confirmation
		if err != nil || string(got) != want || json.Unmarshal(got, &back) != nil || back != c {
			t.Errorf("%s, back %v, want %s: %v", got, back, want, err)
		}
	}
	if got, _ := json.Marshal(struct {
		C Confirmation `json:"cnf,omitzero"`
	}{}); string(got) != `{}` {
		t.Errorf("what is bound to nothing has %s", got)
	}
}

// A thumbprint has one text (RFC 4648 §3.5, §5), and zero has none.
func TestThumbprintText(t *testing.T) {
	good := Thumbprint{0: 0xfb, 31: 1}.String()
	for text, ok := range map[string]bool{
		good: true, "": false, good + "=": false, good[1:]: false, good + "A": false, good[:20] + "\n" + good[20:]: false,
		good[:42] + "F":                    false, // a stray bit
		strings.ReplaceAll(good, "-", "+"): false, strings.ReplaceAll(good, "-", "/"): false,
		strings.Repeat("A", 43): false, strings.Repeat("A", 86): false,
	} {
		var got Thumbprint
		if err := got.UnmarshalText([]byte(text)); (err == nil) != ok || ok && got.String() != text || !ok && !got.IsZero() {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
	if (Thumbprint{}).String() != "" {
		t.Error("zero has a text")
	}
}

// A sender must hold everything that a token is bound to, and may hold more.
func TestConfirmationCovers(t *testing.T) {
	a, b := Thumbprint{1}, Thumbprint{2}
	for _, c := range []struct {
		sender, token Confirmation
		want          bool
	}{
		{Confirmation{}, Confirmation{}, true},
		{Confirmation{JKT: a}, Confirmation{}, true},
		{Confirmation{JKT: a}, Confirmation{JKT: a}, true},
		{Confirmation{JKT: a, X5T: b}, Confirmation{JKT: a}, true},
		{Confirmation{}, Confirmation{JKT: a}, false},
		{Confirmation{JKT: b}, Confirmation{JKT: a}, false},
		{Confirmation{X5T: a}, Confirmation{JKT: a}, false},
		{Confirmation{JKT: a}, Confirmation{X5T: a}, false},
		{Confirmation{JKT: a}, Confirmation{JKT: a, X5T: b}, false},
		{Confirmation{JKT: a, X5T: a}, Confirmation{JKT: a, X5T: b}, false},
	} {
		if got := c.sender.Covers(c.token); got != c.want {
			t.Errorf("%v covers %v: %v", c.sender, c.token, got)
		}
	}
}
