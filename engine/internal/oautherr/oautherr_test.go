package oautherr

import (
	"encoding/json"
	"errors"
	"testing"
)

// RFC 6749 §5.2: what error_description may hold.
func FuzzText(f *testing.F) {
	f.Add(`plain "quoted" back\slash` + "\n\x00é")
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range []byte(Text(s)) {
			if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
				t.Fatalf("%q has %q", s, c)
			}
		}
	})
}

// threats.md 34: the cause is for the log, never for the client.
func TestThreat34CauseStaysInside(t *testing.T) {
	cause := errors.New("secret")
	err := New(InvalidGrant, "the code").Because(cause)
	var body map[string]string
	if json.Unmarshal([]byte(err.JSON()), &body) != nil || len(body) != 2 || body["error"] != InvalidGrant || body["error_description"] != "the code" {
		t.Errorf("body %s", err.JSON())
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
}
