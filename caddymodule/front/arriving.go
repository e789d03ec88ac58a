package front

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
)

const (
	// requestBytes is what is kept of a request beside its body: its goroutine, its
	// headers, its buffers. Measured with thousands of them: 25 to 30 KiB.
	requestBytes = 32 << 10
	// firstBytes is more than most requests have.
	firstBytes = 1 << 10
	// growth is by how much the memory of a body grows when it is full.
	growth = 4
)

var firsts = sync.Pool{New: func() any { return new([firstBytes]byte) }}

// arriving is the body of a request, as it is read before there is a place.
type arriving struct {
	bytes.Reader // once it is received
	arrival      admission.Arrival
	limit        int64
	text         []byte            // nil: there is none
	first        *[firstBytes]byte // what text is in, unless that has grown
}

// Close is part of io.ReadCloser.
func (*arriving) Close() error { return nil }

// receive reads the body of a request, if it has one, within a time. It reads one
// byte too many at most: endpoints refuse what is too large in their own words.
// The error is ErrFull when the body had to make way.
func (a *arriving) receive(w http.ResponseWriter, r *http.Request, room *admission.Room, within time.Duration) error {
	if r.ContentLength == 0 || r.Body == nil {
		return nil
	}
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(within))
	// A deadline that is over ends a read that waits, and keeps the server from
	// waiting for the rest before it answers.
	err := a.fill(r.Body, room, func() { _ = connection.SetReadDeadline(time.Unix(1, 0)) })
	switch {
	case err == nil:
		if a.Size() <= a.limit { // otherwise the rest has the same deadline
			_ = connection.SetReadDeadline(time.Time{})
		}
		return nil
	case errors.Is(err, admission.ErrFull):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &httpError{http.StatusRequestTimeout, "invalid_request", "the request body did not arrive in time"} // RFC 9110 §15.5.9
	default:
		return &httpError{http.StatusBadRequest, "invalid_request", "the request body could not be read"}
	}
}

// fill reads until there is no more, or more than the limit.
func (a *arriving) fill(from io.Reader, room *admission.Room, giveUp func()) (err error) {
	room.Begin(&a.arrival, giveUp)
	defer func() {
		if room.End(&a.arrival) {
			err = admission.ErrFull
		}
		if err != nil {
			a.discard()
		}
		a.Reset(a.text)
	}()
	for err == nil && int64(len(a.text)) <= a.limit {
		if len(a.text) == cap(a.text) {
			if err := a.grow(room); err != nil {
				return err
			}
		}
		var n int
		n, err = from.Read(a.text[len(a.text):cap(a.text)])
		a.text = a.text[:len(a.text)+n]
	}
	if err == io.EOF {
		err = nil
	}
	return err
}

// grow makes space, for what has come and not for what was announced.
func (a *arriving) grow(room *admission.Room) error {
	if a.text == nil {
		if err := room.Take(&a.arrival, requestBytes+firstBytes); err != nil {
			return err
		}
		a.first = firsts.Get().(*[firstBytes]byte)
		a.text = a.first[:0]
		return nil
	}
	size := min(growth*int64(cap(a.text)), a.limit+1)
	if err := room.Take(&a.arrival, size-int64(cap(a.text))); err != nil {
		return err
	}
	text := append(make([]byte, 0, size), a.text...)
	a.discard()
	a.text = text
	return nil
}

// discard gives the memory back. Nobody reads the body any more.
func (a *arriving) discard() {
	if a.first != nil {
		firsts.Put(a.first)
	}
	a.first, a.text = nil, nil
	a.Reset(nil)
}
