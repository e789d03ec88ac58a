package introspect

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// gatedEngine answers when it is let go, with what fate decides then.
type gatedEngine struct {
	engine
	arrived chan struct{}
	release chan *Facts
}

func newGatedEngine() *gatedEngine {
	g := &gatedEngine{arrived: make(chan struct{}), release: make(chan *Facts)}
	g.says(func(ctx context.Context, _ string) (*Facts, error) {
		g.arrived <- struct{}{}
		select {
		case f := <-g.release:
			return f, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	return g
}

func TestPromise04OneIntrospectionPerToken(t *testing.T) {
	const waiters = 100
	c := newTestCache(t, Options{})
	g := newGatedEngine()
	var users sync.WaitGroup
	for range waiters {
		users.Go(func() {
			if f := ask(t, c, sampleToken, g); f.Subject != "alice" {
				t.Error("got", f)
			}
		})
	}
	<-g.arrived
	until(t, "everybody waits", func() bool { return c.Stats().Joins == waiters-1 })
	g.release <- activeFacts()
	users.Wait()
	// Whoever comes now joins the flight that has landed, or finds its entry.
	ask(t, c, sampleToken, g)
	settled(c)
	ask(t, c, sampleToken, g)
	wantCalls(t, &g.engine, 1, "for 102 requests")
}

func TestPromise04WhoGivesUpCancelsNobodyElse(t *testing.T) {
	c := newTestCache(t, Options{})
	g := newGatedEngine()
	var users sync.WaitGroup
	results := make([]error, 3)
	contexts := make([]context.CancelFunc, 3)
	start := func(i int) {
		ctx, cancel := context.WithCancel(t.Context())
		contexts[i] = cancel
		users.Go(func() { _, results[i] = c.Over(g).Introspect(ctx, sampleToken) })
	}
	start(0) // the one whose request started it
	<-g.arrived
	start(1)
	start(2)
	until(t, "two join", func() bool { return c.Stats().Joins == 2 })
	contexts[0]()
	contexts[1]()
	g.release <- activeFacts()
	users.Wait()
	contexts[2]()
	for i, err := range results[:2] {
		// Select may have seen the answer first.
		if err != nil && (!errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable)) {
			t.Errorf("waiter %d: %v", i, err)
		}
	}
	if results[2] != nil {
		t.Errorf("the one that stayed: %v", results[2])
	}
	wantCalls(t, &g.engine, 1, "for three")
}

func TestPromise04WaiterReturnsWhenItsContextEnds(t *testing.T) {
	c := newTestCache(t, Options{})
	g := newGatedEngine()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := c.Over(g).Introspect(ctx, sampleToken)
		done <- err
	}()
	<-g.arrived
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) { // the engine has not answered
		t.Error(err)
	}
	g.release <- activeFacts()
	settled(c)
	ask(t, c, sampleToken, g) // the answer was not in vain
	wantCalls(t, &g.engine, 1, "in all")
}

func TestFetchRunsDetachedWithItsOwnTimeout(t *testing.T) {
	type key struct{}
	c := newTestCache(t, Options{FetchTimeout: time.Millisecond})
	e := &engine{}
	e.says(func(ctx context.Context, _ string) (*Facts, error) {
		if ctx.Value(key{}) != "trace" {
			t.Error("the caller's values are lost")
		}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	_, err := c.Over(e).Introspect(context.WithValue(t.Context(), key{}, "trace"), sampleToken)
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestFetchThatNeverReturnsNormally(t *testing.T) {
	for name, fate := range map[string]func(){
		"panic":     func() { panic("at " + sampleToken) },
		"nil panic": func() { var f *Facts; _ = f.Issuer },
		"Goexit":    runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCache(t, Options{})
			g := newGatedEngine()
			inner := g.answer
			g.says(func(ctx context.Context, token string) (*Facts, error) {
				f, err := inner(ctx, token)
				fate()
				return f, err
			})
			var users sync.WaitGroup
			for range 5 {
				users.Go(func() {
					_, err := c.Over(g).Introspect(context.Background(), sampleToken)
					if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), sampleToken) {
						t.Error(err)
					}
				})
			}
			<-g.arrived
			until(t, "everybody waits", func() bool { return c.Stats().Joins == 4 })
			g.release <- activeFacts()
			users.Wait()
			e := engineWith(activeFacts())
			ask(t, c, sampleToken, e)
			wantCalls(t, e, 1, "after the failure")
		})
	}
}

func TestPromise13TokensAreNotInErrors(t *testing.T) {
	const token = "a+b/c~d=="
	c := newTestCache(t, Options{})
	e := &engine{}
	for _, text := range []string{
		"POST body token=" + token, `Get "https://engine/?token=a%2Bb%2Fc~d%3D%3D": EOF`, "/introspect/a+b%2Fc~d==",
	} {
		e.says(func(context.Context, string) (*Facts, error) {
			return nil, fmt.Errorf("outer: %w", errors.New(text))
		})
		_, err := c.Over(e).Introspect(t.Context(), token)
		if !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		var all strings.Builder
		collect(&all, err)
		if strings.Contains(all.String(), token) || strings.Contains(all.String(), "a%2Bb") || strings.Contains(all.String(), "b%2Fc") {
			t.Errorf("%s holds the token", &all)
		}
		if !strings.Contains(err.Error(), Digest8(token)) {
			t.Errorf("%v does not tell which token", err)
		}
	}
	if got, want := Digest8("abc"), "ba7816bf"; got != want {
		t.Errorf("Digest8: %s, want %s", got, want)
	}
}

// collect writes the text of an error and of all that it wraps.
func collect(b *strings.Builder, err error) {
	fmt.Fprintln(b, err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			collect(b, inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			collect(b, inner)
		}
	}
}
