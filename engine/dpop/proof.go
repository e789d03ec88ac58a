package dpop

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jws"
)

// Bounds of a proof, in bytes. One with a key of 4096 bits needs 2.5 KiB.
const (
	maxProof  = 4 << 10
	maxHeader = 2 << 10
	maxNumber = 24
)

// proof is one whose form is good; the signature has not been looked at.
type proof struct {
	algorithm algorithm
	key       publicKey

	jti, htm, htu string
	nonce, ath    string // "" when absent
	iat           int64

	input     string // what is signed (RFC 7515 §5.1)
	signature []byte
}

// read does the checks that are about the proof alone (RFC 9449 §4.3, 1 to 5
// and 7).
func (c *Checker) read(header []string) (*proof, error) {
	switch {
	case len(header) == 0:
		return nil, invalid("the request has no DPoP header", nil)
	case len(header) > 1:
		return nil, invalid("the request has more than one DPoP header", nil)
	case len(header[0]) > maxProof:
		return nil, invalid("the DPoP proof is too long", nil)
	}
	p, err := parse(header[0], c.algorithms)
	if err != nil {
		return nil, invalid("the DPoP proof is not acceptable: "+err.Error(), nil) // these errors quote nothing
	}
	return p, nil
}

func parse(compact string, accepted []string) (*proof, error) {
	segments, err := split(compact)
	if err != nil {
		return nil, err
	}
	p := &proof{input: compact[:strings.LastIndexByte(compact, '.')], signature: segments[2]}
	if err := p.readHeader(segments[0], accepted); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if err := p.readClaims(segments[1]); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return p, nil
}

// split decodes a compact JWS (RFC 7515 §5.2). Each segment must be the one
// base64url form of its bytes: decoders skip line breaks and stray bits.
func split(compact string) (segments [3][]byte, err error) {
	if strings.Count(compact, ".") != 2 || strings.ContainsAny(compact, "\r\n") {
		return segments, errors.New("not three segments")
	}
	strict := base64.RawURLEncoding.Strict()
	for i, segment := range strings.Split(compact, ".") {
		if segments[i], err = strict.DecodeString(segment); err != nil {
			return segments, errors.New("not base64url")
		}
	}
	return segments, nil
}

// foreign are header parameters that would change what is signed, or name
// another key than jwk.
var foreign = [...]string{"crit", "b64", "jku", "x5u", "x5c"}

func (p *proof) readHeader(raw []byte, accepted []string) error {
	if len(raw) > maxHeader {
		return errors.New("too long")
	}
	header, err := parseObject(raw)
	if err != nil {
		return err
	}
	for _, name := range foreign {
		if header[name] != nil {
			return errors.New("has " + name)
		}
	}
	// Media types know no case (RFC 7515 §4.1.9).
	if !strings.EqualFold(text(header["typ"]), "dpop+jwt") {
		return errors.New("typ is not dpop+jwt")
	}
	name := text(header["alg"])
	if !slices.Contains(accepted, name) {
		return errors.New("alg is not one that is accepted")
	}
	p.algorithm = algorithms[name]
	if p.key, err = readKey(header["jwk"], p.algorithm); err != nil {
		return fmt.Errorf("jwk: %w", err)
	}
	return nil
}

func (p *proof) readClaims(raw []byte) error {
	claims, err := parseObject(raw)
	if err != nil {
		return err
	}
	p.jti, p.htm, p.htu = text(claims["jti"]), text(claims["htm"]), text(claims["htu"])
	p.nonce, p.ath = text(claims["nonce"]), text(claims["ath"])
	var dated bool
	p.iat, dated = seconds(claims["iat"])
	switch {
	case p.jti == "", p.htm == "", p.htu == "", !dated:
		return errors.New("jti, htm, htu or iat is missing")
	case len(p.jti) > maxJTI:
		return errors.New("jti is too long")
	}
	return nil
}

// verify checks the signature.
func (p *proof) verify() error {
	key, err := p.key.public()
	if err != nil {
		return err
	}
	verifier, err := jws.NewVerifier(p.algorithm.jws)
	if err != nil {
		return err
	}
	return verifier.Verify([]byte(p.input), p.signature, key)
}

// parseObject reads a JSON object, its names to the letter: decoding into a
// struct would take ALG for alg. Of a name that is there twice the last one
// counts (RFC 7515 §4, RFC 7519 §4).
func parseObject(raw []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || members == nil {
		return nil, errors.New("not a JSON object")
	}
	return members, nil
}

// text returns a JSON text, empty when it is none.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// seconds returns a NumericDate (RFC 7519 §2), fractions of a second cut off.
func seconds(raw json.RawMessage) (int64, bool) {
	if len(raw) > maxNumber {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.Abs(v) > math.MaxInt32<<8 {
		return 0, false
	}
	return int64(v), true
}
