//lint:file-ignore SA1019 crypto/ecdsa holds a key of a curve that is not its own in no other way

package keys

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"io"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k256 "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// jwx reads secp256k1 only when it is built with a tag, which xcaddy has no
// way to give. The curve is the same module's that jwx would use.

type k256JWK struct {
	KTY string `json:"kty"`
	CRV string `json:"crv"`
	KID string `json:"kid,omitempty"`
	X   b64    `json:"x"`
	Y   b64    `json:"y"`
	D   b64    `json:"d,omitempty"`
}

func parseK256(raw json.RawMessage) (any, error) {
	var k k256JWK
	if json.Unmarshal(raw, &k) != nil || len(k.X) != 32 || len(k.Y) != 32 || len(k.D) != 0 && len(k.D) != 32 {
		return nil, errKey
	}
	public := &ecdsa.PublicKey{Curve: secp256k1.S256(), X: new(big.Int).SetBytes(k.X), Y: new(big.Int).SetBytes(k.Y)}
	if !public.Curve.IsOnCurve(public.X, public.Y) {
		return nil, errKey
	}
	if len(k.D) == 0 {
		return public, nil
	}
	private := &k256Key{secp256k1.PrivKeyFromBytes(k.D)}
	if !private.PubKey().ToECDSA().Equal(public) {
		return nil, errKey
	}
	return private, nil
}

// k256Key is a private key for ES256K. It signs deterministically (RFC 6979).
type k256Key struct{ *secp256k1.PrivateKey }

// Public is part of crypto.Signer.
func (k *k256Key) Public() crypto.PublicKey { return k.PubKey().ToECDSA() }

// Sign is part of crypto.Signer.
func (k *k256Key) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return k256.Sign(k.PrivateKey, digest).Serialize(), nil
}

// marshal writes the key as a JWK without a key id.
func (k *k256Key) marshal() ([]byte, error) {
	public := k.PubKey().ToECDSA()
	return json.Marshal(k256JWK{
		KTY: "EC", CRV: curveK256, D: k.Serialize(),
		X: public.X.FillBytes(make([]byte, 32)), Y: public.Y.FillBytes(make([]byte, 32)),
	})
}

// curveK256 is the name of the curve of ES256K (RFC 8812 §3.1).
const curveK256 = "secp256k1"

// curveName is the curve of a public key, as a JWK has it.
func curveName(key *ecdsa.PublicKey) string {
	if key.Curve == secp256k1.S256() {
		return curveK256
	}
	return key.Curve.Params().Name
}
