package introspect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

var errTwice = errors.New("a name is there twice")

// parseObject reads a JSON object.
func parseObject(body []byte) (object map[string]any, err error) {
	var r jsonReader
	object = map[string]any{}
	err = readObject(body, &r, func(name []byte) error {
		if _, twice := object[string(name)]; twice {
			return errTwice
		}
		v, err := r.value(maxFactsDepth - 1)
		object[string(name)] = v
		return err
	})
	return object, err
}

// readObject sets a reader on a JSON object and has member called for each
// name, to read its value. It is what a new token costs beside its signature,
// hence not encoding/json's decoder, which takes three times as long: that
// package says whether the text is JSON at all, and then little can be wrong.
func readObject(body []byte, r *jsonReader, member func(name []byte) error) error {
	if len(body) > MaxFactsBytes {
		return fmt.Errorf("more than %d bytes", MaxFactsBytes)
	}
	if !json.Valid(body) {
		return errors.New("not JSON")
	}
	r.body, r.at = body, 0
	if r.next() != '{' {
		return errors.New("not a JSON object")
	}
	return r.members(member)
}

// jsonReader reads text that is known to be one JSON value.
type jsonReader struct {
	body []byte
	at   int
}

// next skips what means nothing where a value or a name follows, and returns the
// byte that comes then.
func (r *jsonReader) next() byte {
	for {
		switch c := r.body[r.at]; c {
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
	r.at += max(bytes.IndexAny(r.body[start:], " \t\r\n,]}"), 0)
	switch word := string(r.body[start:r.at]); word {
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
	object := make(map[string]any)
	err := r.members(func(name []byte) error {
		if _, twice := object[string(name)]; twice {
			return errTwice
		}
		v, err := r.value(depth - 1)
		object[string(name)] = v
		return err
	})
	return object, err
}

// members reads an object, whose values its caller reads.
func (r *jsonReader) members(member func(name []byte) error) error {
	r.at++
	for r.next() != '}' {
		raw, plain := r.raw()
		name := raw[1 : len(raw)-1]
		if !plain {
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return err
			}
			name = []byte(text)
		}
		if err := member(name); err != nil {
			return err
		}
	}
	r.at++
	return nil
}

// null reports whether the value that follows is null, and if so reads it.
func (r *jsonReader) null() bool {
	if r.next() != 'n' {
		return false
	}
	r.at += len("null")
	return true
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

// raw reads a string with its quotes, and says whether what is between them is
// the string itself: without an escape, and UTF-8.
func (r *jsonReader) raw() (raw []byte, plain bool) {
	start, escaped := r.at, false
	for r.at++; r.body[r.at] != '"'; r.at++ {
		if r.body[r.at] == '\\' {
			escaped = true
			r.at++
		}
	}
	r.at++
	raw = r.body[start:r.at]
	return raw, !escaped && utf8.Valid(raw)
}

// string reads a string. Only one that is not plain needs encoding/json.
func (r *jsonReader) string() (text string, err error) {
	raw, plain := r.raw()
	if plain {
		return string(raw[1 : len(raw)-1]), nil
	}
	err = json.Unmarshal(raw, &text)
	return text, err
}
