package postgres

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// through gives the address of a server behind a proxy that sends on the answers
// of each connection as it is told to, and then closes it.
func through(t *testing.T, dsn string, answers func(to io.Writer, from io.Reader)) string {
	t.Helper()
	u, err := url.Parse(dsn)
	must(t, err)
	host := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", host)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			}()
			go func() {
				answers(client, server)
				_, _ = client.Close(), server.Close()
			}()
		}
	}()
	u.Host = l.Addr().String()
	return u.String()
}

// forward sends on what is read until that ends, or is not to be sent.
func forward(to io.Writer, from io.Reader, may func(answer []byte) bool) {
	b := make([]byte, 1<<16)
	for {
		n, err := from.Read(b)
		if err != nil || !may(b[:n]) {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// Connections to a machine without power, or to an address that has moved, say
// nothing for ever. Who comes then is served all the same, by new ones.
func TestSilentConnections(t *testing.T) {
	var moves atomic.Int64
	dsn := through(t, place(pgtest.Start(t)), func(to io.Writer, from io.Reader) {
		made := moves.Load()
		forward(to, from, func([]byte) bool { return moves.Load() == made })
		_, _ = io.Copy(io.Discard, from)
	})
	h := newHouse(t, Options{DSN: dsn, NoNotify: true, FollowInterval: time.Hour})
	kept := h.token(t, time.Now(), time.Hour)
	for made := int64(-1); made != h.quick.Stat().NewConnsCount(); { // all are idle
		made = h.quick.Stat().NewConnsCount()
		time.Sleep(1500 * time.Millisecond)
	}
	moves.Add(1)
	must(t, h.Write(t.Context(), store.RevokeGrants{Service: h.service, Client: 7}))
	if !h.has(t, kept) {
		t.Error("a token is gone")
	}
}

// An answer that is lost at the commit leaves the outcome open, and this node's
// subscribers know of what was committed before its caller is told so.
func TestLostAnswer(t *testing.T) {
	var lose atomic.Bool
	dsn := through(t, place(pgtest.Start(t)), func(to io.Writer, from io.Reader) {
		forward(to, from, func(answer []byte) bool {
			return !bytes.Contains(answer, []byte("COMMIT\x00")) || !lose.CompareAndSwap(true, false)
		})
	})
	h := newHouse(t, Options{DSN: dsn, NoNotify: true, FollowInterval: time.Hour})
	var seen refs
	defer h.Subscribe(seen.add)()
	for range 5 { // it waits for some seconds only, which a busy machine may take by itself
		revoked := h.token(t, time.Now(), time.Hour)
		lose.Store(true)
		err := h.Write(t.Context(), store.RevokeAccessToken{Service: h.service, ID: revoked})
		told := seen.has(revoked)
		if !errors.Is(err, store.ErrUnknown) || !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("the write = %v", err)
		}
		if h.has(t, revoked) {
			t.Fatal("it was not committed")
		}
		if told {
			return
		}
	}
	t.Error("its subscribers were not told before its caller was")
}

// A connection to a server that can only be read any more is not kept: the next one
// may find the primary.
func TestReadOnlyConnections(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	for _, c := range h.pool.AcquireAllIdle(t.Context()) {
		_, err := c.Exec(t.Context(), `SET default_transaction_read_only = on`)
		must(t, err)
		c.Release()
	}
	var err error
	for range otherConnections + 1 {
		var held bool
		if held, err = h.Lease(t.Context(), "job", "me", time.Minute); held {
			break
		}
	}
	if err != nil {
		t.Errorf("a lease, when none of those connections should be left: %v", err)
	}
}

// Who gives up while waiting for a connection says nothing of the database: others
// are not refused.
func TestGivenUpIsNoOutage(t *testing.T) {
	h := newHouse(t, Options{DSN: place(pgtest.Start(t))})
	for range otherConnections {
		conn, err := h.link.acquire(t.Context())
		must(t, err)
		defer conn.Release()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := h.link.acquire(ctx)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("a connection: %v", err)
	}
	if err := h.link.refusal(); err != nil {
		t.Errorf("others are refused: %v", err)
	}
}
