package jwt

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// maxHeader bounds a JOSE header, in bytes of JSON.
const maxHeader = 2 << 10

// ErrInvalid says that a JWS is not good: malformed, of an algorithm that is
// not allowed, or not signed with a key of the issuer's. The texts around it
// have nothing of the token in them.
var ErrInvalid = errors.New("invalid JWT")

// token is a JWS in compact serialization whose signature has not been looked
// at (RFC 7515 §7.1).
type token struct {
	header
	payload   []byte
	input     []byte // what is signed: the first two segments
	signature []byte
}

// header is what is read of a JOSE header.
type header struct {
	keyID
	typ string // as mediaType returns it
}

// headers remembers the header that came last: an issuer's tokens have the same
// one, to the byte, for as long as it signs with one key. Reading it anew would
// be a third of what a token costs beside its signature.
type headers struct {
	last atomic.Pointer[readHeader]
}

type readHeader struct {
	segment string
	header
}

// of returns the header that a token's first segment holds.
func (h *headers) of(segment string) (header, error) {
	if last := h.last.Load(); last != nil && last.segment == segment {
		return last.header, nil
	}
	text, err := decode(segment)
	if err != nil {
		return header{}, err
	}
	read := &readHeader{segment: strings.Clone(segment)}
	if err := read.header.read(text); err != nil {
		return header{}, err
	}
	h.last.Store(read)
	return read.header, nil
}

// parse takes a token of at most that many bytes apart. Of its header, alg, kid
// and typ are read and nothing else: a key or the address of one that comes with
// the token (jwk, jku, x5c, x5u) says nothing about who signed it (RFC 8725
// §3.5). Extensions (crit, b64) are refused, since none is understood here.
func parse(text string, most int, seen *headers) (*token, error) {
	if len(text) > most {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, most)
	}
	first, last := strings.IndexByte(text, '.'), strings.LastIndexByte(text, '.')
	if first < 0 || strings.Count(text, ".") != 2 {
		return nil, fmt.Errorf("%w: not three segments", ErrInvalid)
	}
	if base64.RawURLEncoding.DecodedLen(first) > maxHeader {
		return nil, fmt.Errorf("%w: the header is longer than %d bytes", ErrInvalid, maxHeader)
	}
	header, err := seen.of(text[:first])
	if err != nil {
		return nil, err
	}
	t := &token{header: header, input: []byte(text[:last])}
	if t.payload, err = decode(text[first+1 : last]); err != nil {
		return nil, err
	}
	t.signature, err = decode(text[last+1:])
	return t, err
}

// decode takes the one base64url form of some bytes: Go's decoder skips line
// breaks, and stray bits at the end unless told not to, and an altered token
// must not pass for the same.
func decode(segment string) ([]byte, error) {
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil || strings.ContainsAny(segment, "\r\n") {
		return nil, fmt.Errorf("%w: not base64url", ErrInvalid)
	}
	return decoded, nil
}

// read matches names to the letter, where decoding into a struct would take ALG
// for alg.
func (h *header) read(text []byte) error {
	var members map[string]any
	if json.Unmarshal(text, &members) != nil {
		return fmt.Errorf("%w: the header is not a JSON object", ErrInvalid)
	}
	for name, value := range members {
		target := (*string)(nil)
		switch name {
		case "alg":
			target = &h.alg
		case "kid":
			target = &h.kid
		case "typ":
			target = &h.typ
		case "crit", "b64":
			return fmt.Errorf("%w: the header has the extension %s", ErrInvalid, name)
		default:
			continue
		}
		text, ok := value.(string)
		if !ok {
			return fmt.Errorf("%w: %s is not a string", ErrInvalid, name)
		}
		*target = text
	}
	h.typ = mediaType(h.typ)
	return nil
}

// mediaType makes two spellings of a typ equal if they mean the same: letters
// have no case, and "application/" may be left out (RFC 7515 §4.1.9).
func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}
