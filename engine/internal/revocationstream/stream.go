package revocationstream

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const (
	// heartbeat is how long a stream is silent at most.
	heartbeat = 5 * time.Second
	// life is how long a stream lasts: then its follower authenticates again.
	life = time.Hour
	// pageLimit is how many rows of the feed are looked at at once, and so what a
	// follower that reads slowly holds of this server's memory.
	pageLimit = 500
)

// Stream is what one follower is sent. It reads the store, which has the changes
// of every process in their order, and keeps none of them: the feed's calls only
// wake it. It is for one goroutine.
type Stream struct {
	hub    *Hub
	caller *model.Client // nil: a resource server of the service itself
	wake   chan struct{}
	until  time.Time

	place model.Place
	lines bytes.Buffer // to be given before anything else
	over  bool
}

// greeting is the first line: where the stream begins, and whether something
// may be missing before that.
type greeting struct {
	Position string   `json:"position"`
	Gap      bool     `json:"gap"`
	Service  model.ID `json:"service,string"`
}

// event is any other line: what was revoked, or nothing but the position.
type event struct {
	Position string   `json:"position"`
	Kind     string   `json:"kind,omitempty"`
	ID       model.ID `json:"id,omitempty,string"`
	Subject  string   `json:"subject,omitempty"` // see realm.RevocationSubject
	At       int64    `json:"at,omitempty"`      // Unix milliseconds
}

// kinds says whose facts a change ends: those of a changed client or account may
// be others now. What this version does not know may mean any of the service's.
var kinds = map[model.ChangeKind]string{
	model.ChangeTokenRevoked: "token", model.ChangeGrantRevoked: "grant",
	model.ChangeClientRevoked: "client", model.ChangeClient: "client",
	model.ChangeSubjectRevoked: "subject", model.ChangeAccount: "subject",
}

// start looks at the feed for the first time.
func (s *Stream) start(ctx context.Context, after model.Place) error {
	r := s.hub.realm
	page, err := r.Store.Changes(ctx, r.Service.ID, after, pageLimit)
	if err != nil {
		return err
	}
	if page.Gap {
		after = page.Next
	}
	s.place = page.Next
	if err := s.add(greeting{s.hub.position(after), page.Gap, r.Service.ID}); err != nil {
		return err
	}
	return s.addEvents(page.Changes)
}

// Next waits for lines to send, which are the caller's until the next call. The
// error is io.EOF when the stream has ended, the context's, or the store's.
func (s *Stream) Next(ctx context.Context) ([]byte, error) {
	if lines := s.lines.Next(s.lines.Len()); len(lines) > 0 {
		return lines, nil
	}
	s.lines.Reset()
	beat, due := s.hub.after(heartbeat), false
	for {
		moved, err := s.read(ctx)
		switch {
		case err != nil:
			return nil, err
		case s.lines.Len() > 0:
			return s.lines.Next(s.lines.Len()), nil
		case moved:
			continue // past other services' changes, and there may be more
		case due:
			err := s.add(event{Position: s.hub.position(s.place)})
			return s.lines.Next(s.lines.Len()), err
		}
		select {
		case <-s.wake:
		case <-beat:
			due = true
		case <-s.hub.closing:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// read goes on in the feed, and reports whether there was anything.
func (s *Stream) read(ctx context.Context) (moved bool, err error) {
	r := s.hub.realm
	if s.over || s.hub.closed() || !r.Now().Before(s.until) {
		return false, io.EOF
	}
	page, err := r.Store.Changes(ctx, r.Service.ID, s.place, pageLimit)
	if err != nil {
		return false, err
	}
	if page.Gap {
		return false, io.EOF // its follower has not read for an hour, and learns of the gap when it comes again
	}
	moved, s.place = page.Next != s.place, page.Next
	return moved, s.addEvents(page.Changes)
}

func (s *Stream) addEvents(changes []model.Change) error {
	r := s.hub.realm
	for _, c := range changes {
		if c.Kind == model.ChangeClient {
			// The feed may call later than it is read here. Who is told of the change
			// may ask about the client's tokens at once, and must not be answered from
			// before it.
			r.ForgetClient(c.Ref)
			s.over = s.over || s.caller != nil && s.caller.ID == c.Ref // it authenticates again
		}
		e := event{Position: s.hub.position(model.Place{Feed: s.place.Feed, Seq: c.Seq, At: c.At}), Kind: kinds[c.Kind], At: c.At}
		switch e.Kind {
		case "subject":
			e.Subject = r.RevocationSubject(c.Subject)
		case "":
			e.Kind = "service"
		default:
			e.ID = c.Ref
		}
		if err := s.add(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stream) add(line any) error { return json.NewEncoder(&s.lines).Encode(line) }

// Close gives the stream's place to another follower.
func (s *Stream) Close() { s.hub.leave(s) }
