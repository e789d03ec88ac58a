package jose

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const (
	maxHeader = 4 << 10
	maxDepth  = 16
	maxKid    = 512
	maxNumber = 24 // characters
	maxTime   = 2 * model.MaxDuration
)

// Parsed is a JWS in compact serialization whose signature has not been looked at.
type Parsed struct {
	Alg     model.SignAlg
	Kid     string
	Typ     string
	Payload []byte

	header    map[string]json.RawMessage
	input     string
	signature []byte
}

// Parse takes a compact JWS of at most that many bytes apart (RFC 7515 §5.2).
// Each segment must be the one base64url form of its bytes: decoders skip line
// breaks and stray bits, and an altered token must not pass for the same. A
// header with crit or b64 is refused: nothing here understands an extension.
func Parse(token string, most int) (*Parsed, error) {
	if len(token) > most {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, most)
	}
	segments, err := split(token, 3)
	if err != nil {
		return nil, err
	}
	p := &Parsed{Payload: segments[1], signature: segments[2], input: token[:strings.LastIndexByte(token, '.')]}
	if p.header, err = readHeader(segments[0]); err != nil {
		return nil, err
	}
	p.Alg, p.Kid, p.Typ = model.SignAlg(Text(p.header["alg"])), Text(p.header["kid"]), Text(p.header["typ"])
	if len(p.Kid) > maxKid {
		return nil, fmt.Errorf("%w: kid is too long", ErrInvalid)
	}
	return p, nil
}

// split decodes the segments of a compact serialization, of which there must
// be exactly that many.
func split(token string, count int) ([][]byte, error) {
	if strings.Count(token, ".") != count-1 || strings.ContainsAny(token, "\r\n") {
		return nil, fmt.Errorf("%w: not %d segments", ErrInvalid, count)
	}
	strict := base64.RawURLEncoding.Strict()
	segments := make([][]byte, 0, count)
	for segment := range strings.SplitSeq(token, ".") {
		decoded, err := strict.DecodeString(segment)
		if err != nil {
			return nil, fmt.Errorf("%w: not base64url", ErrInvalid)
		}
		segments = append(segments, decoded)
	}
	return segments, nil
}

func readHeader(raw []byte) (map[string]json.RawMessage, error) {
	if len(raw) > maxHeader {
		return nil, fmt.Errorf("%w: the header is too long", ErrInvalid)
	}
	h, err := Object(raw)
	if err != nil {
		return nil, err
	}
	for _, extension := range []string{"crit", "b64"} {
		if _, ok := h[extension]; ok {
			return nil, fmt.Errorf("%w: the header has the extension %s", ErrInvalid, extension)
		}
	}
	return h, nil
}

// Verify checks the signature with a public key, or with a client secret for
// the symmetric algorithms. The caller has made sure that the key is one for
// the algorithm in the header. Nothing verifies as none.
func (p *Parsed) Verify(key any) error {
	if p.Alg == model.AlgNone || p.Alg == "" {
		return fmt.Errorf("%w: not signed", ErrInvalid)
	}
	if _, secret := key.([]byte); secret != p.Alg.Symmetric() {
		return fmt.Errorf("%w: the key is not for that algorithm", ErrInvalid)
	}
	verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(p.Alg))
	if err != nil {
		return fmt.Errorf("%w: algorithm", ErrInvalid)
	}
	if verifier.Verify([]byte(p.input), p.signature, key) != nil {
		return fmt.Errorf("%w: signature", ErrInvalid)
	}
	return nil
}

// Unsecured reports whether the JWT says that it is unsecured, and is: it has
// no signature (RFC 7519 §6).
func (p *Parsed) Unsecured() bool { return p.Alg == model.AlgNone && len(p.signature) == 0 }

// Encrypted reports whether a token looks like a JWE: five segments.
func Encrypted(token string) bool { return strings.Count(token, ".") == 4 }

// Object reads a JSON object of bounded depth. Members are matched to the
// letter, where decoding into a struct would take ISS for iss.
func Object(raw []byte) (map[string]json.RawMessage, error) {
	var object map[string]json.RawMessage
	if tooDeep(raw) || json.Unmarshal(raw, &object) != nil || object == nil {
		return nil, fmt.Errorf("%w: not a JSON object", ErrInvalid)
	}
	return object, nil
}

// tooDeep looks at brackets alone: those inside texts count too, but no
// sensible text has so many.
func tooDeep(raw []byte) bool {
	depth, inText := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// Text returns a JSON text, empty when it is none.
func Text(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// Texts returns a JSON text, or a list of them; nil when it is neither.
func Texts(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []string{text}
	}
	return nil
}

// Time returns a NumericDate (RFC 7519 §2) in Unix seconds; false when it is
// absent, not a number, or later than any duration that can be set.
func Time(raw json.RawMessage) (int64, bool) {
	if len(raw) == 0 || len(raw) > maxNumber || raw[0] < '0' || raw[0] > '9' {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || v > maxTime {
		return 0, false
	}
	return int64(v), true
}
