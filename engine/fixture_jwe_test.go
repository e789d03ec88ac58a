package engine_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"strings"
	"sync"

	"github.com/lestrrat-go/jwx/v2/x25519"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// apiName is the Web API's name of an algorithm.
func apiName(wire string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", "+", "_").Replace(wire))
}

// secretKey is the key that longSecret is for a symmetric encryption (OpenID
// Connect Core §10.2): the left end of its hash, or with PBES2 itself.
func secretKey(alg model.EncAlg, enc model.ContentEnc) []byte {
	if strings.HasPrefix(string(alg), "PBES2") {
		return []byte(longSecret)
	}
	size := map[string]int{
		"A128KW": 16, "A192KW": 24, "A256KW": 32, "A128GCMKW": 16, "A192GCMKW": 24, "A256GCMKW": 32,
		"dirA128GCM": 16, "dirA192GCM": 24, "dirA256GCM": 32, "dirA128CBC-HS256": 32, "dirA192CBC-HS384": 48, "dirA256CBC-HS512": 64,
	}
	n := size[string(alg)]
	if alg == "dir" {
		n = size["dir"+string(enc)]
	}
	short, middle, long := sha256.Sum256([]byte(longSecret)), sha512.Sum384([]byte(longSecret)), sha512.Sum512([]byte(longSecret))
	for _, sum := range [][]byte{short[:], middle[:], long[:]} {
		if n <= len(sum) {
			return sum[:n]
		}
	}
	return nil
}

// x25519Key is a key on the one curve that Go's ecdsa does not know.
var x25519Key = sync.OnceValue(func() x25519.PrivateKey {
	_, private, err := x25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return private
})
