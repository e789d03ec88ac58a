package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// The client of every server here.
const (
	clientID     = "benchmark"
	clientSecret = "benchmark-secret-0123456789abcdef"
	scope        = "orders:read"
	tokenForm    = "grant_type=client_credentials&scope=orders%3Aread"
)

// get writes a GET request. Headers end in CRLF each.
func get(host, path, headers string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: benchmark\r\nAccept: */*\r\n" + headers + "\r\n")
}

// post writes the POST request of a form, with client_secret_basic (RFC 6749 §2.3.1).
func post(host, path, form string) []byte {
	basic := base64.StdEncoding.EncodeToString([]byte(clientID + ":" + clientSecret))
	return []byte("POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: benchmark\r\nAccept: */*\r\n" +
		"Authorization: Basic " + basic + "\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
		"Content-Length: " + strconv.Itoa(len(form)) + "\r\n\r\n" + form)
}

// once sends one request on a connection of its own and returns the body.
func once(address string, request []byte) ([]byte, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	return readResponse(conn, make([]byte, 64<<10))
}

var (
	statusOK      = []byte("HTTP/1.1 200 ")
	headEnd       = []byte("\r\n\r\n")
	contentLength = []byte("content-length:")
)

// readResponse reads one answer and returns its body, which is good until the
// buffer is used again. Everything must fit into the buffer. Answers that are
// not 200, or have no Content-Length, are errors.
func readResponse(r io.Reader, buffer []byte) ([]byte, error) {
	filled, end := 0, -1
	for end < 0 {
		n, err := r.Read(buffer[filled:])
		from := max(0, filled-len(headEnd)+1)
		filled += n
		if end = bytes.Index(buffer[from:filled], headEnd); end >= 0 {
			end += from + len(headEnd)
			break
		}
		if err != nil {
			return nil, unexpected(err)
		}
		if filled == len(buffer) {
			return nil, errors.New("the answer's header is too long")
		}
	}
	length, err := bodyLength(buffer[:end])
	if err != nil {
		return nil, fmt.Errorf("%w: %.200q", err, buffer[:filled])
	}
	total := end + length
	if total > len(buffer) || filled > total {
		return nil, fmt.Errorf("an answer of %d bytes, of which %d came", total, filled)
	}
	if filled < total {
		if _, err := io.ReadFull(r, buffer[filled:total]); err != nil {
			return nil, unexpected(err)
		}
	}
	return buffer[end:total], nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// bodyLength reads the head of an answer, its blank line included.
func bodyLength(head []byte) (int, error) {
	if !bytes.HasPrefix(head, statusOK) {
		return 0, errors.New("the answer is not 200")
	}
	for {
		i := bytes.IndexByte(head, '\n')
		head = head[i+1:]
		if i < 0 || len(head) < len(contentLength) {
			return 0, errors.New("the answer has no Content-Length")
		}
		if !sameLetters(head[:len(contentLength)], contentLength) {
			continue
		}
		value, _, _ := bytes.Cut(head[len(contentLength):], []byte("\r"))
		length := 0
		for _, c := range bytes.TrimSpace(value) {
			if c < '0' || c > '9' || length > 1<<20 {
				return 0, errors.New("the answer's Content-Length is no number")
			}
			length = length*10 + int(c-'0')
		}
		return length, nil
	}
}

// sameLetters compares a header's name with one in lower case.
func sameLetters(name, lower []byte) bool {
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
