package main_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// answers sends bytes as they are to an address and reads what is answered
// until the server closes the connection. Every request has the same method.
func answers(t *testing.T, address, method, text string) (list []*reply) {
	t.Helper()
	conn := dial(t, address)
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, text) }() // a server that refuses does not read all
	reader := bufio.NewReader(conn)
	for {
		r, err := readAnswer(reader, method)
		if err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				t.Fatalf("%.300q: the server keeps the connection open after %v", text, statuses(list))
			}
			return list
		}
		list = append(list, r)
	}
}

// dial connects to the port of an address, for as long as patience lasts.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+u.Port())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// readAnswer reads the answer to a request of that method.
func readAnswer(reader *bufio.Reader, method string) (*reply, error) {
	resp, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	if resp.Close {
		resp.Header.Set("Connection", "close") // which net/http takes out
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return &reply{resp.StatusCode, resp.Header, string(body), new(url.URL)}, err
}

func statuses(list []*reply) (codes []int) {
	for _, r := range list {
		codes = append(codes, r.status)
	}
	return codes
}
