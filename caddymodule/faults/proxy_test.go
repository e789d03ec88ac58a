package faults

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between nodes and their database, and breaks what goes through.
type proxy struct {
	listener net.Listener
	target   string
	group    sync.WaitGroup

	delay  atomic.Int64 // of each piece, in nanoseconds; it ends when this is less
	left   atomic.Int64 // bytes until everything is cut; 0: as many as come
	hide   atomic.Bool  // cut everything instead of the next answer to a COMMIT
	cuts   atomic.Int64
	mu     sync.Mutex
	closed bool
	conns  map[*net.TCPConn]bool
}

// newProxy listens before a server's port.
func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: map[*net.TCPConn]bool{}}
	p.group.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.listener.Close()
	p.cut() // what waits is lost
	p.delay.Store(0)
	p.group.Wait()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		if !p.keep(client.(*net.TCPConn), server.(*net.TCPConn)) {
			continue
		}
		p.group.Go(func() { p.pass(client.(*net.TCPConn), server.(*net.TCPConn), false) })
		p.group.Go(func() { p.pass(server.(*net.TCPConn), client.(*net.TCPConn), true) })
	}
}

// keep remembers connections until they are closed.
func (p *proxy) keep(conns ...*net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.closed {
			c.Close()
			continue
		}
		p.conns[c] = true
	}
	return !p.closed
}

// cut resets every connection: what was not read yet is lost on both sides.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.SetLinger(0)
		c.Close()
	}
	clear(p.conns)
	p.cuts.Add(1)
}

// pass forwards in one direction until either end is gone.
func (p *proxy) pass(from, to *net.TCPConn, answers bool) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		for came := time.Now(); time.Since(came) < time.Duration(p.delay.Load()); {
			time.Sleep(time.Millisecond)
		}
		piece := buffer[:n]
		if answers && bytes.Contains(piece, []byte("COMMIT\x00")) && p.hide.CompareAndSwap(true, false) {
			p.cut()
			return
		}
		last := p.spend(&piece)
		if _, err := to.Write(piece); err != nil {
			return
		}
		if last {
			p.cut()
			return
		}
	}
}

// spend shortens the piece with which the allowance ends, and reports whether
// it is that one.
func (p *proxy) spend(piece *[]byte) bool {
	left := p.left.Load()
	if left <= 0 {
		return false
	}
	n := int64(len(*piece))
	if left > n {
		p.left.CompareAndSwap(left, left-n) // of two pieces at once, one may go free
		return false
	}
	if !p.left.CompareAndSwap(left, 0) {
		return false
	}
	*piece = (*piece)[:left]
	return true
}
