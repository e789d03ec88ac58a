package remote

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// Before attempt n, a call waits up to firstPause·2ⁿ⁻², and no longer than
// longestPause unless Retry-After says so. Who says more than longestPause is
// not asked again within the call.
const (
	firstPause   = 25 * time.Millisecond
	longestPause = time.Second
)

var (
	errClosed = errors.New("the introspector is closed")
	errOpen   = &failure{reason: "the endpoint has failed several times and is left alone for a while", outcome: rejected}
)

// Introspector asks one introspection endpoint. It is safe for concurrent use.
// Its owner closes it.
type Introspector struct {
	options Options
	host    string
	client  *http.Client
	breaker *breaker
	slots   chan struct{} // one for each request under way

	life context.Context
	end  context.CancelFunc
	once sync.Once

	requests, failures, rejected atomic.Uint64
	last                         atomic.Pointer[lastFailure]
}

// New makes an introspector. It opens no connection. It fails on options that
// make no sense.
func New(options Options) (*Introspector, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	endpoint, err := url.Parse(o.Endpoint)
	if err != nil { // withDefaults has parsed it
		return nil, errors.New("remote introspection: the endpoint is not a URL")
	}
	life, end := context.WithCancel(context.Background())
	return &Introspector{
		options: o,
		host:    endpoint.Host,
		client:  newClient(life, o),
		breaker: &breaker{failures: o.Failures, now: o.Now},
		slots:   make(chan struct{}, o.MaxParallel),
		life:    life,
		end:     end,
	}, nil
}

// Introspect is part of [introspect.Introspector]. Every error wraps
// [introspect.ErrUnavailable]; that the endpoint refuses our credentials is one
// too, since it says nothing about the token.
//
// RFC 7662 has no member that says what kind of token an answer is about. Not
// active here is what has the form of a Gatehouse refresh token, which is not
// even asked about; what token_type calls a refresh token; and what token_use
// or typ, where a server says more than it must, calls anything but an access
// token. With a server that gives no such hint and knows refresh tokens too,
// the policy's scopes and audience are all that tells them apart.
func (i *Introspector) Introspect(ctx context.Context, token string) (*introspect.Facts, error) {
	if _, _, err := handle.Parse(handle.RefreshToken, token); err == nil {
		return &introspect.Facts{}, nil
	}
	facts, f := i.guarded(ctx, token)
	if f == nil {
		return facts, nil
	}
	if f.outcome == rejected {
		i.rejected.Add(1)
	} else {
		i.failures.Add(1)
		i.last.Store(&lastFailure{f.reason, i.options.Now()})
	}
	return nil, fmt.Errorf("%w: %s: %w", introspect.ErrUnavailable, i.host, f)
}

// guarded makes a call if the breaker lets it, until it or the introspector
// ends.
func (i *Introspector) guarded(ctx context.Context, token string) (facts *introspect.Facts, f *failure) {
	probe, ok := i.breaker.enter()
	if !ok {
		return nil, errOpen
	}
	o := unknown
	defer func() { i.breaker.leave(probe, o) }() // after a panic too: a probe that never came back would keep it open
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(i.life, func() { cancel(errClosed) })()
	facts, f = i.call(ctx, token, probe)
	if f == nil {
		o = answered
	} else {
		o = f.outcome
	}
	return facts, f
}

// call asks until there is an answer, or no attempt left. A probe has one.
// Introspection changes nothing, so that asking again does no harm although it
// is a POST.
func (i *Introspector) call(ctx context.Context, token string, probe bool) (*introspect.Facts, *failure) {
	var before *failure
	for attempt := 1; ; attempt++ {
		facts, f := i.attempt(ctx, token, probe)
		if f == nil {
			return facts, nil
		}
		if before != nil && (f.outcome == unknown || f.outcome == rejected) {
			return nil, before // it says more than that there was no other attempt
		}
		if f.outcome != failed || probe || attempt >= i.options.Attempts || !i.pause(ctx, attempt, f.after) {
			return nil, f
		}
		before = f
	}
}

// pause waits before the next attempt, for a random part of a time that
// doubles, so that those who failed together do not come back together. It
// returns false if that would be too long.
func (i *Introspector) pause(ctx context.Context, attempt int, after time.Duration) bool {
	if after > longestPause || ctx.Err() != nil {
		return false
	}
	most := min(firstPause<<min(attempt-1, 10), longestPause)
	select {
	case <-i.options.After(max(after, i.part(most))):
		return true
	case <-ctx.Done():
		return false
	}
}

// part is a random part of a time; all of it should randomness fail.
func (i *Introspector) part(of time.Duration) time.Duration {
	var b [8]byte
	if _, err := io.ReadFull(i.options.Random, b[:]); err != nil {
		return of
	}
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(of+1))
}

// Client is the client that asks, for what else is at the same place: a stream
// of revocations. It follows no redirects, no time limit covers its bodies, and
// its connections end with Close.
func (i *Introspector) Client() *http.Client { return i.client }

// Close ends the requests under way, waits for them and closes all connections.
// Introspect returns an error from then on. Closing again does nothing.
func (i *Introspector) Close() {
	i.once.Do(func() {
		i.end()
		for range cap(i.slots) {
			i.slots <- struct{}{} // once all are taken, no request is under way, nor will be
		}
		i.client.CloseIdleConnections()
	})
}
