package main

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long an answer may take.
const patience = 15 * time.Second

// load keeps connections busy with one request: each sends it again as soon as
// it has the answer. It shares the machine with the server, so it does next to
// nothing besides: the request is ready-made, and nothing is allocated.
type load struct {
	address     string
	request     []byte
	next        func() []byte // instead of request, for one that differs each time; called concurrently
	begin       []byte        // how the body of a good answer begins
	connections int
	most        int64 // requests, about; 0: no limit
}

// processors is how many processors the load and the upstream may keep busy at
// once: half of them. With more, Go would spend some looking for work.
func processors() int { return max(1, runtime.NumCPU()/2) }

// run sends requests for that long. Any answer but a good one is an error.
func (l *load) run(ctx context.Context, d time.Duration) (sample, error) {
	conns, err := l.dial(ctx, d)
	if err != nil {
		return sample{}, err
	}
	var (
		stop, done atomic.Int64
		failure    error
		once       sync.Once
		workers    sync.WaitGroup
	)
	start := time.Now()
	timer := time.AfterFunc(d, func() { stop.Store(1) })
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { stop.Store(1) })()
	for i, conn := range conns {
		most := int64(0)
		if l.most > 0 {
			most = share(l.most, len(conns), i)
		}
		workers.Go(func() {
			defer conn.Close()
			n, err := l.ask(conn, &stop, most)
			done.Add(n)
			if err != nil {
				once.Do(func() { failure = err })
				stop.Store(1)
			}
		})
	}
	workers.Wait()
	s := sample{operations: done.Load(), elapsed: time.Since(start)}
	if failure == nil {
		failure = context.Cause(ctx)
	}
	return s, failure
}

// share divides a number of requests among the connections.
func share(total int64, connections, i int) int64 {
	n := total / int64(connections)
	if int64(i) < total%int64(connections) {
		n++
	}
	return n
}

func (l *load) dial(ctx context.Context, d time.Duration) ([]net.Conn, error) {
	var conns []net.Conn
	for range l.connections {
		conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", l.address)
		if err == nil {
			err = conn.SetDeadline(time.Now().Add(d + patience))
		}
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

// ask sends the request again and again on one connection until it is stopped.
func (l *load) ask(conn net.Conn, stop *atomic.Int64, most int64) (n int64, err error) {
	buffer := make([]byte, 16<<10)
	for stop.Load() == 0 {
		if most > 0 && n == most {
			return n, nil
		}
		request := l.request
		if l.next != nil {
			request = l.next()
		}
		if _, err := conn.Write(request); err != nil {
			return n, err
		}
		body, err := readResponse(conn, buffer)
		if err != nil {
			return n, err
		}
		if len(body) < len(l.begin) || string(body[:len(l.begin)]) != string(l.begin) {
			return n, fmt.Errorf("unexpected answer from %s: %.200q", l.address, body)
		}
		n++
	}
	return n, nil
}
