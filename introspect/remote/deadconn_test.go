package remote

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// wire passes bytes between an introspector and its endpoint. Cut, it passes no
// more over the connections that there are, and closes none of them either, as
// a firewall does that has forgotten them.
type wire struct {
	listener net.Listener
	cut      chan struct{} // closed when cut
	copies   sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, cut: make(chan struct{})}
	t.Cleanup(func() {
		_ = listener.Close()
		w.copies.Wait()
	})
	w.copies.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				t.Error(err)
				return
			}
			mute := w.cut
			select {
			case <-w.cut:
				mute = nil // it comes after
			default:
			}
			w.copies.Go(func() { pass(far, near, mute) })
			w.copies.Go(func() { pass(near, far, mute) })
		}
	})
	return w
}

func pass(to, from net.Conn, mute <-chan struct{}) {
	defer to.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		select {
		case <-mute:
			continue
		default:
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// All requests share one connection over HTTP/2. When it dies without a word,
// it must not take the endpoint with it.
func TestDeadConnectionIsGivenUp(t *testing.T) {
	e := serve(t, answering("application/json", active))
	o := e.options()
	at, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, at.Host)
	o.Endpoint, o.Timeout, o.Failures = "https://"+w.listener.Addr().String(), 200*time.Millisecond, 1000
	i := open(t, o)
	answers := func() bool {
		_, err := i.Introspect(context.Background(), sampleToken)
		return err == nil
	}
	until(t, "it is answered", answers)
	close(w.cut)
	until(t, "it is answered again", answers)
}
