package jose

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// threats.md 14 (RFC 7518 §8.1, RFC 8725 §3.6): what would cost more than its
// size is refused by its header, before anything is decrypted.
func TestThreat14SealedHeaders(t *testing.T) {
	for header, ok := range map[string]bool{
		`{"alg":"RSA-OAEP","enc":"A128GCM"}`:                                                         true,
		`{"alg":"RSA-OAEP","enc":"A128GCM","kid":"k","cty":"JWT"}`:                                   true,
		`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2s":"AAAA","p2c":10000}`:                      true,
		`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2s":"AAAA","p2c":10001}`:                      false,
		`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2s":"AAAA","p2c":1e15}`:                       false,
		`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2s":"AAAA","p2c":99999999999999999999999999}`: false,
		`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2s":"AAAA","p2c":-1}`:                         false,
		`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2s":"AAAA","p2c":"7"}`:                        false,
		`{"alg":"RSA-OAEP","enc":"A128GCM","zip":"DEF"}`:                                             false,
		`{"alg":"RSA-OAEP","enc":"A128GCM","zip":null}`:                                              false,
		`{"alg":"RSA-OAEP","enc":"A128GCM","crit":[]}`:                                               false,
		`{"alg":"RSA-OAEP","enc":"none"}`:                                                            false,
		`{"alg":"none","enc":"A128GCM"}`:                                                             false,
		`{"enc":"A128GCM"}`:                                                                          false,
		`{"alg":"RSA-OAEP","enc":"A128GCM","kid":"` + strings.Repeat("k", maxKid+1) + `"}`:           false,
		`{"alg":"RSA-OAEP","enc":"A128GCM","x":"` + strings.Repeat("x", maxHeader) + `"}`:            false,
		`[]`: false,
	} {
		token := base64.RawURLEncoding.EncodeToString([]byte(header)) + ".AAAA.AAAA.AAAA.AAAA"
		if _, err := ParseSealed(token, 1<<20); (err == nil) != ok {
			t.Errorf("%.100s: %v", header, err)
		}
		if _, err := ParseSealed(token, len(token)-1); err == nil {
			t.Error("the bound is not kept")
		}
	}
}

// OpenID Connect Core §3.1.3.6: the hash is the ID token's own, and half of it counts.
func TestHash(t *testing.T) {
	sizes := map[model.SignAlg]int{model.AlgNone: 16, model.EdDSA: 32, model.ES256K: 16}
	for _, family := range []string{"HS", "RS", "ES", "PS"} {
		sizes[model.SignAlg(family+"256")], sizes[model.SignAlg(family+"384")], sizes[model.SignAlg(family+"512")] = 16, 24, 32
	}
	for alg, size := range sizes {
		if got := len(Hash(alg, "x")); got != size {
			t.Errorf("%s: %d bytes", alg, got)
		}
	}
}

// RFC 7519 §2: what is a NumericDate, up to the longest that a service may set.
func TestTime(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1790000000": 1790000000, "1790000000.9": 1790000000, "1.79e9": 1790000000, "1000001790000000": 1000001790000000,
		"-1": -1, `"1790000000"`: -1, "null": -1, "true": -1, "1e16": -1, "1e400": -1, "": -1, strings.Repeat("1", 25): -1, "[]": -1,
	} {
		got, ok := Time(json.RawMessage(text))
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%.30s: %d %v", text, got, ok)
		}
	}
}

// threats.md 14: JSON of any depth is read in bounds.
func TestObjectDepth(t *testing.T) {
	for depth, ok := range map[int]bool{1: true, maxDepth - 1: true, maxDepth: false, 100_000: false} {
		text := `{"x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
		if _, err := Object([]byte(text)); (err == nil) != ok {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
	if _, err := Object([]byte(`{"x":"` + strings.Repeat("[{", 1000) + `\"[["}`)); err != nil {
		t.Errorf("brackets in a text: %v", err)
	}
}
