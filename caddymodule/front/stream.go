package front

import (
	"context"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// stuck is how long lines may take to leave: a follower that does not read must
// not keep the server from ending.
const stuck = 10 * time.Second

// revocationStream sends what is revoked as it is revoked, until one side has
// enough: application/x-ndjson, one object a line.
func (h *Handler) revocationStream(run *running, w http.ResponseWriter, r *http.Request) error {
	parameters, basic, err := clientRequest(r, run.service.MaxRequestBytes)
	if err != nil {
		return err
	}
	opening, opened := context.WithTimeout(r.Context(), h.requestTimeout())
	defer opened()
	resp, err := run.engine.RevocationStream(opening, run.service.ID, engine.RevocationStreamRequest{Parameters: parameters, Basic: basic})
	if err != nil {
		return err
	}
	if resp.Action != model.ActionOK {
		answer(w, run, resp.Action, resp.ResponseContent)
		return nil
	}
	defer resp.Stream.Close()
	ctx, cancel := h.untilShutdown(r)
	defer cancel()
	header := w.Header()
	header.Set("Content-Type", "application/x-ndjson")
	header.Set("X-Accel-Buffering", "no") // a proxy between is to pass lines on at once
	header["Cache-Control"], header["X-Content-Type-Options"] = valueNoStore, valueNoSniff
	if r.ProtoMajor == 1 {
		header.Set("Connection", "close") // the write deadlines would outlive the stream
	}
	out := http.NewResponseController(w)
	for {
		lines, err := resp.Stream.Next(ctx)
		if err != nil || caddy.Exiting() {
			return nil // the follower comes again, and goes on where it was
		}
		_ = out.SetWriteDeadline(time.Now().Add(stuck)) // not every writer has one
		if _, err := w.Write(lines); err != nil {
			return nil
		}
		if err := out.Flush(); err != nil {
			return nil
		}
	}
}

// untilShutdown is the context of a request that ends too when its server begins
// to shut down. When the process exits, Caddy waits for requests before it closes
// the engine. A server without such a hook (HTTP/3) ends streams a little later,
// with their next line.
func (h *Handler) untilShutdown(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	server, ok := ctx.Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return ctx, cancel
	}
	shutdown, begin := context.WithCancel(context.Background())
	if known, found := h.shutdowns.LoadOrStore(server, shutdown); found {
		begin()
		shutdown = known.(context.Context)
	} else {
		server.RegisterOnShutdown(begin)
	}
	stop := context.AfterFunc(shutdown, cancel)
	return ctx, func() { stop(); cancel() }
}
