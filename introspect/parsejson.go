package introspect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// parseObject reads a JSON object. It is what a new token costs beside its
// signature, hence not encoding/json's decoder, which takes three times as long:
// that package says whether the text is JSON at all, and then little can be
// wrong.
func parseObject(body []byte) (map[string]any, error) {
	if len(body) > MaxFactsBytes {
		return nil, fmt.Errorf("more than %d bytes", MaxFactsBytes)
	}
	if !json.Valid(body) {
		return nil, errors.New("not JSON")
	}
	r := jsonReader{text: body}
	if r.next() != '{' {
		return nil, errors.New("not a JSON object")
	}
	return r.object(maxFactsDepth)
}

// jsonReader reads text that is known to be one JSON value.
type jsonReader struct {
	text []byte
	at   int
}

// next skips what means nothing where a value or a name follows, and returns the
// byte that comes then.
func (r *jsonReader) next() byte {
	for {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
			r.at++
		default:
			return c
		}
	}
}

func (r *jsonReader) value(depth int) (any, error) {
	switch c := r.next(); {
	case (c == '{' || c == '[') && depth == 0:
		return nil, errors.New("nested too deeply")
	case c == '{':
		return r.object(depth)
	case c == '[':
		return r.array(depth)
	case c == '"':
		return r.string()
	}
	start := r.at
	r.at += max(bytes.IndexAny(r.text[start:], " \t\r\n,]}"), 0)
	switch word := string(r.text[start:r.at]); word {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	default:
		return json.Number(word), nil
	}
}

func (r *jsonReader) object(depth int) (map[string]any, error) {
	r.at++
	members := make(map[string]any)
	for r.next() != '}' {
		name, err := r.string()
		if err != nil {
			return nil, err
		}
		if _, twice := members[name]; twice {
			return nil, errors.New("a name is there twice")
		}
		if members[name], err = r.value(depth - 1); err != nil {
			return nil, err
		}
	}
	r.at++
	return members, nil
}

func (r *jsonReader) array(depth int) ([]any, error) {
	r.at++
	values := []any{}
	for r.next() != ']' {
		v, err := r.value(depth - 1)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	r.at++
	return values, nil
}

// string reads a string. Only one with an escape, or that is not UTF-8, needs
// encoding/json.
func (r *jsonReader) string() (text string, err error) {
	start, escaped := r.at, false
	for r.at++; r.text[r.at] != '"'; r.at++ {
		if r.text[r.at] == '\\' {
			escaped = true
			r.at++
		}
	}
	r.at++
	raw := r.text[start:r.at]
	if escaped || !utf8.Valid(raw) {
		err = json.Unmarshal(raw, &text)
		return text, err
	}
	return string(raw[1 : len(raw)-1]), nil
}
