package front

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Overload is what a server does at once, and how long it waits for whom.
//
// People, who see pages, and machines have lanes of their own, so that no amount
// of one keeps the other out. Machines that redeem a code, while a person waits,
// have a quarter as many places as people beside them. A place in a lane is for
// work: the body arrives before it is taken and the answer leaves after it is
// given back, so that clients that are slow keep nobody out either.
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

// options are those of the entrance.
func (o *Overload) options() admission.Options {
	return admission.Options{People: o.People, Machines: o.Machines, Patience: time.Duration(o.QueueTimeout)}
}

// lane is the way into an endpoint for a request whose body has arrived.
func (h *Handler) lane(e endpoint, body []byte) *admission.Lane {
	switch {
	case e.browser:
		return h.entrance.People
	case e.grants && redeemsCode(body):
		return h.entrance.Finishing
	default:
		return h.entrance.Machines
	}
}

// redeemsCode reports whether a token request is one behind which a person waits
// (RFC 6749 §4.1.3). Nothing but the body says so. One that spells it otherwise
// than everybody waits among the other machines, and the engine reads it as it is.
func redeemsCode(form []byte) bool {
	for parameter := range bytes.SplitSeq(form, []byte{'&'}) {
		if string(parameter) == "grant_type=authorization_code" {
			return true
		}
	}
	return false
}

// admit serves an endpoint once the request's body is there and there is a place
// for it. It has a deadline, which goes with its context as far as the store.
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
	p := &place{ResponseWriter: w, bounded: r.ProtoMajor > 1}
	p.body.limit = e.largest(run.service)
	defer p.leave()
	if err := p.body.receive(w, r, h.entrance.Arrivals, h.bodyTimeout()); err != nil {
		return h.notAdmitted(run, e, admission.Arriving, p, r, err)
	}
	lane := h.lane(e, p.body.text)
	if lane != h.entrance.Machines {
		ctx = store.Prefer(ctx)
	}
	if err := lane.Enter(ctx); err != nil {
		return h.notAdmitted(run, e, lane.Name, p, r, err)
	}
	p.lane = lane
	r = r.WithContext(ctx)
	if p.body.text != nil {
		r.Body = &p.body
	}
	return h.finish(run, e, p, r, e.serve(h, run, p, r))
}

func (h *Handler) requestTimeout() time.Duration {
	return cmp.Or(time.Duration(h.RequestTimeout), defaultRequestTimeout)
}

func (h *Handler) bodyTimeout() time.Duration {
	return cmp.Or(time.Duration(h.BodyTimeout), defaultBodyTimeout)
}

// notAdmitted answers a request that has found no place (RFC 9110 §15.6.4), or
// that has failed before. The log is not to grow with the load: the metrics
// count those that are turned away.
func (h *Handler) notAdmitted(run *running, e endpoint, where string, w http.ResponseWriter, r *http.Request, err error) error {
	if !errors.Is(err, admission.ErrFull) {
		return h.finish(run, e, w, r, err)
	}
	h.app.TurnedAway(h.service.Issuer, where)
	h.logger.Debug("turned away", zap.String("endpoint", e.name), zap.String("lane", where))
	return h.busy(run, e, w, r)
}

// place is a request's place in a lane, and its body. Both are given back when
// the answer begins.
type place struct {
	http.ResponseWriter
	body arriving
	lane *admission.Lane // nil: it has not come so far
	left bool
	// bounded: the answer has a deadline, which ends with it. Over HTTP/1 it would
	// outlive the request, and the kernel takes answers as small as these.
	bounded bool
}

func (p *place) leave() {
	if p.left {
		return
	}
	p.left = true
	p.body.discard()
	if p.lane != nil {
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
