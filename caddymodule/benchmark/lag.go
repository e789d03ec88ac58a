package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// revocationRate is how many tokens a second are revoked.
	revocationRate = 20
	// lagPause is between two looks at the gateway: what the lag is told to.
	lagPause = time.Millisecond
	// lagPatience is how long a revoked token may be let through.
	lagPatience = 10 * time.Second
	// fillPatience is how long it may take to fill a gateway's cache.
	fillPatience = 8 * time.Minute
)

// measureLag revokes tokens at the engine, and looks how long a gateway that
// follows its stream lets them through. The gateway's cache is full of others.
func measureLag(ctx context.Context, b *bench, _ row) result {
	engine, err := b.caddy(ctx)
	if err != nil {
		return result{err: err}
	}
	e, err := startEndpoint(b.entries, 0, nil, sendTo(engine.Services[opaque]))
	if err != nil {
		return result{err: err}
	}
	defer e.close()
	g, err := b.startGateway(ctx, gatewayLayout{
		Endpoint: e.url, Revocations: engine.Services[opaque].URL() + "/revocations", CacheSize: b.entries + b.entries/10 + 10_000,
	})
	if err != nil {
		return result{err: err}
	}
	defer g.stop()
	l := &lagging{engine: engine.Services[opaque], gateway: g, client: newHTTPClient()}
	defer l.client.CloseIdleConnections()
	if err := l.fill(ctx, b, e); err != nil {
		return result{err: err}
	}
	there, err := l.there(ctx, b, e)
	if err != nil {
		return result{err: err}
	}
	if err := l.issue(ctx, max(1, int(revocationRate*b.inAll().Seconds())), e); err != nil {
		return result{err: err}
	}
	a, err := openLoop(ctx, revocationRate, len(l.tokens), l.revoke)
	if err == nil {
		err = a.failure
	}
	if err != nil {
		return result{err: err}
	}
	return lagResult(a.times, there, b.entries)
}

func lagResult(lags []time.Duration, there float64, entries int) result {
	p99 := quantile(lags, 0.99)
	return result{
		figure: fmt.Sprintf("p50 %s, p99 %s, at most %s (%d revocations; %.2f %% of %d entries there)",
			milliseconds(quantile(lags, 0.5)), milliseconds(p99), milliseconds(quantile(lags, 1)), len(lags), 100*there, entries),
		good: p99 < time.Second && there >= 0.99,
	}
}

// lagging is an engine whose tokens are revoked, and the gateway that is to hear
// of it.
type lagging struct {
	engine  port
	gateway *gateway
	client  *http.Client
	tokens  []string
}

// fill sends the gateway each made-up token once.
func (l *lagging) fill(ctx context.Context, b *bench, e *endpoint) error {
	var next atomic.Int64
	host := l.gateway.Site.host()
	filling := &load{
		address: l.gateway.Site.address(), begin: []byte("known"), connections: b.connections, most: int64(b.entries),
		next: func() []byte {
			return get(host, "/known", "Authorization: Bearer "+madeUpToken(int(next.Add(1)-1))+"\r\n")
		},
	}
	if _, err := filling.run(ctx, fillPatience); err != nil {
		return fmt.Errorf("filling the gateway's cache: %w", err)
	}
	if known, _ := e.counts(); known < b.entries {
		return fmt.Errorf("the gateway's cache got %d entries within %s", known, fillPatience)
	}
	return nil
}

// issue gets tokens of the engine and shows them to the gateway until it answers
// from memory.
func (l *lagging) issue(ctx context.Context, n int, e *endpoint) error {
	for range n {
		token, err := issue(l.engine.address())
		if err != nil {
			return err
		}
		l.tokens = append(l.tokens, token)
	}
	for round := range 2 {
		for _, token := range l.tokens {
			r, err := l.gateway.request(ctx, token)
			if err != nil {
				return err
			}
			if err := expect(l.client, r, http.StatusOK); err != nil {
				return err
			}
		}
		if asked := e.sentOn.Load(); asked != int64(n) {
			return fmt.Errorf("the gateway asked %d times about %d tokens after round %d", asked, n, round+1)
		}
	}
	return nil
}

// revoke is a call of an open loop: from the 200 of the revocation endpoint (RFC
// 7009 §2.2) to the gateway's first 401.
func (l *lagging) revoke(ctx context.Context, i int, _ time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lagPatience, errors.New("a revoked token was let through for too long"))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.engine.URL()+"/revoke", strings.NewReader("token="+l.tokens[i]))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, clientSecret)
	if err := expect(l.client, r, http.StatusOK); err != nil {
		return 0, err
	}
	revoked := time.Now()
	for {
		r, err := l.gateway.request(ctx, l.tokens[i])
		if err != nil {
			return 0, err
		}
		code, err := status(l.client, r)
		switch {
		case err != nil:
			return 0, err
		case code == http.StatusUnauthorized:
			return time.Since(revoked), nil
		case code != http.StatusOK:
			return 0, fmt.Errorf("the gateway answered %d", code)
		}
		if err := wait(ctx, lagPause); err != nil {
			return 0, err
		}
	}
}

// thereSample is how many entries are looked for to tell how many are there.
const thereSample = 10_000

// there is the share of the made-up tokens that the gateway still knows.
func (l *lagging) there(ctx context.Context, b *bench, e *endpoint) (float64, error) {
	looked := min(thereSample, b.entries)
	_, before := e.counts()
	for i := range looked {
		r, err := l.gateway.request(ctx, madeUpToken(i*(b.entries/looked)))
		if err != nil {
			return 0, err
		}
		if err := expect(l.client, r, http.StatusOK); err != nil {
			return 0, err
		}
	}
	_, after := e.counts()
	return 1 - float64(after-before)/float64(looked), nil
}
