package main_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// startTicker is an API with a stream of events that does not end by itself.
func startTicker(t *testing.T) *upstream {
	return startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/events" {
			fmt.Fprint(w, r.Header.Get("X-Client"))
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			fmt.Fprint(w, "data: tick\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-ticker.C:
			case <-r.Context().Done():
				return
			}
		}
	})
}

// load is clients that are at work.
type load struct {
	*server
	ctx                    context.Context
	cancel                 context.CancelFunc
	http1, http2           *http.Client
	workers                sync.WaitGroup
	served, events, tokens atomic.Int64
	again, failed          atomic.Int64
}

// startLoad starts eight clients with a cached token, one with new tokens, and
// streams, two for as long as the load lasts.
func (s *server) startLoad(token string) *load {
	s.t.Helper()
	l := &load{server: s, http1: clientOf(s.t, protocols(true, false)), http2: clientOf(s.t, protocols(false, true))}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	s.t.Cleanup(l.end)
	for i := range 8 {
		client, method, body := l.http1, http.MethodGet, ""
		if i%4 == 3 {
			client, method, body = l.http2, http.MethodPost, "a=b"
		}
		l.workers.Go(l.repeat(func() error { return l.request(client, method, body, token) }))
	}
	l.workers.Go(l.repeat(l.newToken))
	l.workers.Go(l.repeat(func() error { return l.stream(l.http2, token, 3) }))
	l.workers.Go(l.repeat(func() error { return l.stream(l.http1, token, -1) }))
	l.workers.Go(l.repeat(func() error { return l.stream(l.http2, token, -1) }))
	wait(s.t, "the streams to flow", func() error {
		if n := l.events.Load(); n < 20 {
			return fmt.Errorf("%d events", n)
		}
		return nil
	})
	return l
}

// end waits until everybody has finished.
func (l *load) end() {
	l.cancel()
	l.workers.Wait()
	l.http1.CloseIdleConnections()
	l.http2.CloseIdleConnections()
}

// repeat works until the load ends, and tells of the first failures.
func (l *load) repeat(work func() error) func() {
	return func() {
		for l.ctx.Err() == nil {
			if err := work(); err != nil && l.failed.Add(1) <= 5 {
				l.t.Error(err)
			}
		}
	}
}

func (l *load) request(client *http.Client, method, body, token string) error {
	l.served.Add(1)
	send := func() (*reply, error) {
		return try(client, method, l.api+"/orders", body, "Authorization", "Bearer "+token)
	}
	r, err := send()
	if err != nil && client == l.http1 && method == http.MethodGet {
		l.again.Add(1)
		r, err = send()
	}
	if err != nil || r.status != http.StatusOK || r.body != demo {
		return fmt.Errorf("%s during a reload: %v %+v", method, err, r)
	}
	return nil
}

// newToken gets a token and uses it once, not too often, since the cache keeps it.
func (l *load) newToken() error {
	time.Sleep(20 * time.Millisecond)
	r, err := try(l.http2, http.MethodPost, l.as+"/token", "grant_type=client_credentials&scope=orders:read+orders:write", "Authorization", basic(demo, demoSecret))
	if err != nil || r.status != http.StatusOK {
		return fmt.Errorf("a new token during a reload: %v %+v", err, r)
	}
	l.tokens.Add(1)
	return l.request(l.http1, http.MethodGet, "", r.text(l.t, "access_token"))
}

// stream reads events, as many as there are before the load ends if -1.
func (l *load) stream(client *http.Client, token string, events int) error {
	r, err := http.NewRequestWithContext(l.ctx, http.MethodGet, l.api+"/events", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(r)
	if err != nil {
		return l.unlessEnded(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("a stream during a reload: %s", resp.Status)
	}
	for lines := bufio.NewScanner(resp.Body); events != 0; {
		if !lines.Scan() {
			return l.unlessEnded(fmt.Errorf("a stream has ended: %v", lines.Err()))
		}
		if lines.Text() != "" {
			l.events.Add(1)
			events--
		}
	}
	return nil
}

func (l *load) unlessEnded(err error) error {
	if l.ctx.Err() != nil {
		return nil
	}
	return err
}
