package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// gateways is a house whose revocations are followed; heartbeats are due when a
// test says so.
type gateways struct {
	*house
	beat chan time.Time
}

func openGateways(t testing.TB, settings model.Settings, clients map[string]model.Settings) *gateways {
	t.Helper()
	return gatewaysOn(t, newStore(t), declareWith(t, issuer, settings, clients))
}

func gatewaysOn(t testing.TB, st store.Store, services ...engine.Declaration) *gateways {
	t.Helper()
	g := &gateways{house: openOn(t, st, services...), beat: make(chan time.Time)}
	g.options.After = func(d time.Duration) <-chan time.Time {
		if d == 5*time.Second {
			return g.beat
		}
		return nil
	}
	e, err := engine.New(t.Context(), g.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	g.engine = e
	return g
}

// revocationLine is a line of the stream.
type revocationLine struct {
	Position string
	Gap      *bool
	Service  string
	Kind     string
	ID       string
	Subject  string
	At       int64
}

// follower reads a stream as the client service.
type follower struct {
	*gateways
	stream *engine.RevocationStream
	unread []revocationLine
	last   string // the position of the line that was read last
}

// follow begins a stream, whose first line must say whether there is a gap.
func (g *gateways) follow(after string, gap bool) *follower {
	g.Helper()
	parameters, credentials := g.as("service", "after", after)
	resp, err := g.engine.RevocationStream(g.Context(), g.service.ID, engine.RevocationStreamRequest{Parameters: parameters, Basic: credentials})
	if err != nil || resp.Action != model.ActionOK {
		g.Fatalf("the stream: %v %v", resp, err)
	}
	g.Cleanup(resp.Stream.Close)
	f := &follower{gateways: g, stream: resp.Stream}
	first := f.line()
	if first.Gap == nil || *first.Gap != gap || first.Service != fmt.Sprint(g.service.ID) || first.Kind != "" {
		g.Fatalf("the first line is %+v, want gap=%v", first, gap)
	}
	return f
}

// line is the next line, which must come soon.
func (f *follower) line() revocationLine {
	f.Helper()
	if len(f.unread) == 0 {
		ctx, cancel := context.WithTimeout(f.Context(), 10*time.Second)
		defer cancel()
		text, err := f.stream.Next(ctx)
		if err != nil {
			f.Fatalf("Next: %v", err)
		}
		f.unread = lines(f, text)
	}
	l := f.unread[0]
	f.unread, f.last = f.unread[1:], l.Position
	return l
}

func lines(t testing.TB, text []byte) (list []revocationLine) {
	t.Helper()
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		var l revocationLine
		if err := json.Unmarshal(s.Bytes(), &l); err != nil || l.Position == "" {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		list = append(list, l)
	}
	return list
}

// events are the next n lines, without positions and times, as kind and id or
// subject.
func (f *follower) events(n int) (list []string) {
	f.Helper()
	for range n {
		l := f.line()
		if now := time.Now().UnixMilli(); l.At > now || l.At < now-60_000 {
			f.Errorf("%+v was written at another time than now, %d", l, now)
		}
		list = append(list, l.Kind+" "+l.ID+l.Subject)
	}
	return list
}

// quiet makes sure that there is nothing to tell: the next line is a heartbeat.
func (f *follower) quiet() {
	f.Helper()
	go func() {
		select {
		case f.beat <- time.Time{}:
		case <-f.Context().Done():
		}
	}()
	if l := f.line(); l != (revocationLine{Position: l.Position}) {
		f.Errorf("there is %+v", l)
	}
}

// ended makes sure that the stream has ended.
func (f *follower) ended(why string) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 10*time.Second)
	defer cancel()
	if _, err := f.stream.Next(ctx); !errors.Is(err, io.EOF) {
		f.Errorf("%s: Next returns %v", why, err)
	}
}
