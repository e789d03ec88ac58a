package front

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Overload is what a server does at once, and how long it waits for whom.
//
// People, who see pages, and machines have lanes of their own, so that no amount
// of one keeps the other out. A place in a lane is for work: the body arrives
// before it is taken and the answer leaves after it is given back, so that
// clients that are slow keep nobody out either.
type Overload struct {
	// People are requests that are answered with a page.
	People admission.Limits `json:"people,omitzero"`
	// Machines are requests of clients and of resource servers.
	Machines admission.Limits `json:"machines,omitzero"`
	// QueueTimeout is how long a request waits for a place. Default: 1 second.
	QueueTimeout caddy.Duration `json:"queue_timeout,omitempty"`
	// BodyTimeout is how long a request's body may take to arrive. Default: 5 seconds.
	BodyTimeout caddy.Duration `json:"body_timeout,omitempty"`
	// RequestTimeout is how long a request may take from its arrival to its answer.
	// Signing in by a social network asks elsewhere twice, each time for up to 10
	// seconds. Default: 30 seconds.
	RequestTimeout caddy.Duration `json:"request_timeout,omitempty"`
}

const (
	defaultBodyTimeout    = 5 * time.Second
	defaultRequestTimeout = 30 * time.Second
)

func (o *Overload) check() error {
	if o.QueueTimeout < 0 || o.BodyTimeout < 0 || o.RequestTimeout < 0 {
		return errors.New("queue_timeout, body_timeout and request_timeout cannot be negative")
	}
	if err := o.People.Check(); err != nil {
		return fmt.Errorf("people: %w", err)
	}
	if err := o.Machines.Check(); err != nil {
		return fmt.Errorf("machines: %w", err)
	}
	return nil
}

// lane is the way into an endpoint.
func (h *Handler) lane(e endpoint) *admission.Lane {
	if e.browser {
		return h.people
	}
	return h.machines
}

// admit serves an endpoint once there is a place for the request. From then on
// it has a deadline, which goes with its context as far as the store.
func (h *Handler) admit(run *running, e endpoint, w http.ResponseWriter, r *http.Request) error {
	if e.document {
		return h.finish(run, e, w, r, e.serve(h, run, w, r))
	}
	ctx := r.Context()
	if !e.lasts {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.requestTimeout())
		defer cancel()
	}
	if e.browser {
		ctx = store.Prefer(ctx)
	}
	r = r.WithContext(ctx)
	body := &arriving{limit: max(run.service.MaxRequestBytes, run.service.MaxRegistrationBytes, login.MaxForm)}
	defer body.discard()
	lane := h.lane(e)
	err := lane.Enter(ctx, func() error { return body.receive(w, r, h.bodyTimeout()) })
	if errors.Is(err, admission.ErrFull) {
		return h.turnAway(run, e, w, r, !body.received)
	}
	if err != nil {
		return h.finish(run, e, w, r, err)
	}
	p := &place{ResponseWriter: w, lane: lane, bounded: r.ProtoMajor > 1}
	defer p.leave()
	return h.finish(run, e, p, r, e.serve(h, run, p, r))
}

func (h *Handler) requestTimeout() time.Duration {
	return cmp.Or(time.Duration(h.RequestTimeout), defaultRequestTimeout)
}

func (h *Handler) bodyTimeout() time.Duration {
	return cmp.Or(time.Duration(h.BodyTimeout), defaultBodyTimeout)
}

// turnAway answers a request that has found no place (RFC 9110 §15.6.4). The log
// is not to grow with the load: the metrics count these.
func (h *Handler) turnAway(run *running, e endpoint, w http.ResponseWriter, r *http.Request, unread bool) error {
	if unread && r.ContentLength != 0 {
		// The server would wait for the body before it answers, to go on with the
		// connection. Now it does so only when the body is there already.
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}
	h.logger.Debug("turned away", zap.String("endpoint", e.name))
	return h.busy(run, e, w, r)
}

// arriving is the body of a request, as it is read before there is a place.
type arriving struct {
	bytes.Reader // once it is received
	limit        int64
	buf          *bytes.Buffer
	received     bool
}

// Close is part of io.ReadCloser.
func (*arriving) Close() error { return nil }

// receive reads the body, which is the request's from then on. It reads one byte
// too many at most: endpoints have limits of their own, and say so.
func (a *arriving) receive(w http.ResponseWriter, r *http.Request, within time.Duration) error {
	a.received = true
	if r.ContentLength == 0 || r.Body == nil {
		return nil
	}
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(within))
	a.buf = bodies.Get().(*bytes.Buffer)
	a.buf.Reset()
	_, err := a.buf.ReadFrom(io.LimitReader(r.Body, a.limit+1))
	a.Reset(a.buf.Bytes())
	r.Body = a
	switch {
	case err == nil && a.Size() <= a.limit: // otherwise the rest has the same deadline
		_ = connection.SetReadDeadline(time.Time{})
		return nil
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &httpError{http.StatusRequestTimeout, "invalid_request", "the request body did not arrive in time"} // RFC 9110 §15.5.9
	default:
		return &httpError{http.StatusBadRequest, "invalid_request", "the request body could not be read"}
	}
}

// discard gives the memory back. Nobody reads the body any more.
func (a *arriving) discard() {
	if a.buf != nil {
		bodies.Put(a.buf)
	}
}

// place is a request's place in a lane. It is given back when the answer begins.
type place struct {
	http.ResponseWriter
	lane *admission.Lane
	left bool
	// bounded: the answer has a deadline, which ends with it. Over HTTP/1 it would
	// outlive the request, and the kernel takes answers as small as these.
	bounded bool
}

func (p *place) leave() {
	if !p.left {
		p.left = true
		p.lane.Leave()
	}
}

func (p *place) begin() {
	if p.left {
		return
	}
	p.leave()
	if p.bounded {
		_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(stuck))
	}
}

// WriteHeader is part of http.ResponseWriter.
func (p *place) WriteHeader(status int) {
	p.begin()
	p.ResponseWriter.WriteHeader(status)
}

// Write is part of http.ResponseWriter.
func (p *place) Write(b []byte) (int, error) {
	p.begin()
	return p.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (p *place) Unwrap() http.ResponseWriter { return p.ResponseWriter }
