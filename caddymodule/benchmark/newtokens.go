package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const (
	// newTokenRate is how many tokens a second arrive that the gateway has not
	// seen before.
	newTokenRate = 1000
	// engineDelay is how far away the engine is.
	engineDelay = 50 * time.Millisecond

	newTokensWanted = "1000/s, p99 < 100 ms, all 200, none asked about twice"
)

// measureNewTokens sends a gateway tokens that it has to ask about, each once, at
// a steady rate. They are asked about over HTTP/2, or HTTP/1.1.
func measureNewTokens(http2 bool) func(context.Context, *bench, row) result {
	return func(ctx context.Context, b *bench, _ row) result {
		calls := max(1, int(newTokenRate*b.inAll().Seconds()))
		warmingUp := int(newTokenRate * warmUp.Seconds())
		e, g, err := b.elsewhere(ctx, warmingUp+calls, http2)
		if err != nil {
			return result{err: err}
		}
		defer e.close()
		defer g.stop()
		client := newHTTPClient()
		defer client.CloseIdleConnections()
		if _, err := openLoop(ctx, newTokenRate, warmingUp, g.present(client, 0)); err != nil {
			return result{err: err}
		}
		e.most.Store(0)
		a, err := openLoop(ctx, newTokenRate, calls, g.present(client, warmingUp))
		if err != nil {
			return result{err: err}
		}
		_, again := e.counts()
		return newTokensResult(a, e.most.Load(), again)
	}
}

// newTokensResult is good when all were answered in time and none was asked
// about twice. In time is twice what the engine takes by itself: whatever else
// there is may take as long again, and no more.
func newTokensResult(a arrivals, inFlight int64, again int) result {
	if len(a.times) == 0 {
		return result{err: fmt.Errorf("no token was answered: %w", a.failure)}
	}
	p99 := quantile(a.times, 0.99)
	return result{
		figure: fmt.Sprintf("%.0f/s, %.2f %% answered 200, p50 %s, p99 %s, at most %d under way, %d asked about twice",
			a.rate(), 100*a.share(), milliseconds(quantile(a.times, 0.5)), milliseconds(p99), inFlight, again),
		good: a.failed == 0 && again == 0 && a.rate() >= 0.99*newTokenRate && p99 < 2*engineDelay,
	}
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

// inAll is how long a figure is measured that has no other side.
func (b *bench) inAll() time.Duration { return time.Duration(b.rounds) * b.duration }

// elsewhere starts an endpoint that is far away, and a gateway that asks it.
func (b *bench) elsewhere(ctx context.Context, tokens int, http2 bool) (*endpoint, *gateway, error) {
	l := gatewayLayout{CacheSize: tokens}
	certificate, text, err := newCertificate()
	if err != nil {
		return nil, nil, err
	}
	if !http2 {
		certificate = nil
	} else {
		l.Trust = filepath.Join(b.folder, "endpoint.pem")
		if err := os.WriteFile(l.Trust, text, 0o600); err != nil {
			return nil, nil, err
		}
	}
	e, err := startEndpoint(tokens, engineDelay, certificate, nil)
	if err != nil {
		return nil, nil, err
	}
	l.Endpoint = e.url
	g, err := b.startGateway(ctx, l)
	if err != nil {
		e.close()
		return nil, nil, err
	}
	return e, g, nil
}

// present makes calls that each send a made-up token of their own, from that
// number on.
func (g *gateway) present(client *http.Client, from int) func(context.Context, int, time.Time) (time.Duration, error) {
	return func(ctx context.Context, i int, due time.Time) (time.Duration, error) {
		r, err := g.request(ctx, madeUpToken(from+i))
		if err != nil {
			return 0, err
		}
		err = expect(client, r, http.StatusOK)
		return time.Since(due), err
	}
}
