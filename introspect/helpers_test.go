package introspect

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const sampleToken = "at_AAAB3kQ9tY0x_4fXl2m8c0aVd6oTqkq3v9Zr7wL1yHnPbEuSgJiKfMxR"

// clock is time that tests own.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Now().Truncate(time.Second).UnixNano())
	return c
}

func (c *clock) now() time.Time        { return time.Unix(0, c.nanos.Load()) }
func (c *clock) unix() int64           { return c.now().Unix() }
func (c *clock) pass(by time.Duration) { c.nanos.Add(int64(by)) }

// engine counts introspections and answers what it is told to.
type engine struct {
	mu     sync.Mutex
	answer func(ctx context.Context, token string) (*Facts, error)
	calls  atomic.Int64
}

func (e *engine) Introspect(ctx context.Context, token string) (*Facts, error) {
	e.calls.Add(1)
	e.mu.Lock()
	answer := e.answer
	e.mu.Unlock()
	return answer(ctx, token)
}

func (e *engine) says(answer func(ctx context.Context, token string) (*Facts, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *engine) saysFacts(f *Facts) {
	e.says(func(context.Context, string) (*Facts, error) { return f, nil })
}

func engineWith(f *Facts) *engine {
	e := &engine{}
	e.saysFacts(f)
	return e
}

func newTestCache(t testing.TB, o Options) *Cache {
	t.Helper()
	if o.Identity == "" {
		o.Identity = "https://engine.example/introspect"
	}
	c, err := NewCache(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// ask introspects and fails the test on an error.
func ask(t testing.TB, c *Cache, token string, from Introspector) *Facts {
	t.Helper()
	f, err := c.Over(from).Introspect(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// settled returns when every flight has left its entry with ristretto.
func settled(c *Cache) {
	c.flights.running.Wait()
}

func wantCalls(t testing.TB, e *engine, want int64, when string) {
	t.Helper()
	if got := e.calls.Load(); got != want {
		t.Errorf("%s: the engine was asked %d times, want %d", when, got, want)
	}
}

// until yields until a condition that other goroutines bring about holds.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func bearerRequest(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://api.example/orders", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func activeFacts() *Facts {
	return &Facts{
		Active: true, Issuer: "https://as.example", Subject: "alice", ClientID: "shop", TokenType: "Bearer",
		Scopes: []string{"orders:read", "profile"}, Audience: []string{"https://api.example"},
		Ref: Ref{Service: 1, Token: 2, Grant: 3, Client: 4, Subject: "alice"}, Claims: map[string]any{"email": "alice@example.com"},
	}
}
