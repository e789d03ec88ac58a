package feed

import (
	"encoding/json"
	"errors"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// line is a line of the stream: the first has gap and service, one with a kind
// is a revocation, and any other says nothing but the position.
type line struct {
	Position string `json:"position"`
	Gap      *bool  `json:"gap"`
	Service  string `json:"service"`
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Subject  string `json:"subject"`
	At       int64  `json:"at"` // Unix milliseconds
}

func parse(text []byte) (l line, err error) {
	if json.Unmarshal(text, &l) != nil {
		return l, errors.New("a line is not the JSON that was expected")
	}
	if l.Position == "" {
		return l, errors.New("a line has no position")
	}
	return l, nil
}

// revocation is what a line revokes; not known: a kind of a later engine.
func (l *line) revocation(service int64) (v introspect.Revocation, known bool, err error) {
	v.Service = service
	if l.Kind != "" && l.At <= 0 {
		return v, false, errors.New("a revocation has no time")
	}
	switch l.Kind {
	case "token":
		v.Kind = introspect.RevokeToken
	case "grant":
		v.Kind = introspect.RevokeGrant
	case "client":
		v.Kind = introspect.RevokeClient
	case "subject":
		v.Kind, v.Subject = introspect.RevokeSubject, l.Subject
		if v.Subject == "" {
			err = errors.New("a subject is missing")
		}
		return v, true, err
	case "service":
		v.Kind = introspect.RevokeService
		return v, true, nil
	default:
		return v, false, nil
	}
	v.ID, err = id(l.ID)
	return v, true, err
}

// id reads an id, which is positive.
func id(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, errors.New("an id is missing or is none")
	}
	return n, nil
}
