package main

import (
	"bytes"
	"errors"
	"net"
	"sync"
)

// upstream is the API behind the proxies: it answers every request that has no
// body with the same few bytes, as cheaply as can be, so that what is measured
// is the proxy.
type upstream struct {
	listener net.Listener
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	workers  sync.WaitGroup
}

const upstreamBody = `{"orders":["tea","hats"]}`

var upstreamAnswer = []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n" + upstreamBody)

func startUpstream() (*upstream, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{listener: listener, conns: map[net.Conn]struct{}{}}
	u.workers.Go(u.accept)
	return u, nil
}

func (u *upstream) port() port { return port(u.listener.Addr().(*net.TCPAddr).Port) }

// close ends every connection and waits.
func (u *upstream) close() {
	u.listener.Close()
	u.mu.Lock()
	for conn := range u.conns {
		conn.Close()
	}
	u.mu.Unlock()
	u.workers.Wait()
}

func (u *upstream) accept() {
	for {
		conn, err := u.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		u.mu.Lock()
		u.conns[conn] = struct{}{}
		u.mu.Unlock()
		u.workers.Go(func() { u.serve(conn) })
	}
}

func (u *upstream) serve(conn net.Conn) {
	defer func() {
		u.mu.Lock()
		delete(u.conns, conn)
		u.mu.Unlock()
		conn.Close()
	}()
	buffer, filled := make([]byte, 16<<10), 0
	for filled < len(buffer) {
		n, err := conn.Read(buffer[filled:])
		if err != nil {
			return
		}
		filled += n
		if !bytes.HasSuffix(buffer[:filled], headEnd) {
			continue
		}
		if _, err := conn.Write(upstreamAnswer); err != nil {
			return
		}
		filled = 0
	}
}
