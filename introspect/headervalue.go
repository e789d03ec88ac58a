package introspect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// HeaderValue writes a claim as a header's value; "" means that there is
// nothing to send.
//
//   - Strings are sent as they are if they are printable ASCII. Whatever else
//     is in them is percent-encoded as UTF-8 (RFC 3986 §2.1), and so are '%'
//     itself and spaces at either end, so that two different strings are never
//     one value: nobody becomes é by calling himself %C3%A9.
//   - Arrays of strings are joined by commas, those within percent-encoded.
//   - Numbers and booleans are written as in JSON.
//   - Objects and other arrays are JSON in ASCII (\u00e9).
//
// The scope claim is a string, separated by spaces already.
func HeaderValue(claim any) string {
	switch v := claim.(type) {
	case nil:
		return ""
	case string:
		return percentEncode(v, "%")
	case []string:
		return joinStrings(v)
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return string(v)
	case json.RawMessage:
		return rawValue(v)
	case []any:
		if words, ok := allStrings(v); ok {
			return joinStrings(words)
		}
	}
	text, err := json.Marshal(claim)
	if err != nil {
		return "" // a value that is no claim: there is no way to say it
	}
	return asciiJSON(string(text))
}

// headerValue is the HeaderValue of a claim, empty when it is absent. The usual
// ones take no detour through an interface, which would allocate.
func (f *Facts) headerValue(claim string) string {
	switch claim {
	case "sub":
		return percentEncode(f.Subject, "%")
	case "client_id":
		return percentEncode(f.ClientID, "%")
	}
	value, _ := f.Claim(claim)
	return HeaderValue(value)
}

func rawValue(raw json.RawMessage) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return ""
	}
	return HeaderValue(v)
}

func allStrings(values []any) ([]string, bool) {
	words := make([]string, len(values))
	for i, v := range values {
		word, ok := v.(string)
		if !ok {
			return nil, false
		}
		words[i] = word
	}
	return words, true
}

func joinStrings(words []string) string {
	encoded := make([]string, len(words))
	for i, word := range words {
		encoded[i] = percentEncode(word, "%,")
	}
	return strings.Join(encoded, ",")
}

// percentEncode encodes what is not printable ASCII, spaces at either end, and
// the bytes in also.
func percentEncode(s, also string) string {
	unsafe := func(i int) bool {
		c := s[i]
		return c < ' ' || c > '~' || strings.IndexByte(also, c) >= 0 || c == ' ' && (i == 0 || i == len(s)-1)
	}
	clean := 0
	for clean < len(s) && !unsafe(clean) {
		clean++
	}
	if clean == len(s) {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:clean])
	for i := clean; i < len(s); i++ {
		if unsafe(i) {
			fmt.Fprintf(&b, "%%%02X", s[i])
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// asciiJSON escapes what json.Marshal leaves beyond printable ASCII; it stands
// inside strings only (RFC 8259 §7).
func asciiJSON(text string) string {
	var b strings.Builder
	for _, c := range text {
		switch {
		case c <= '~':
			b.WriteRune(c)
		case c > 0xFFFF:
			high, low := utf16.EncodeRune(c)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}
