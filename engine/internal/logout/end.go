package logout

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// maxFrames bounds what a browser loads at once.
	maxFrames = 50
	// maxTries is how often an end is tried while clients join the session, or
	// ids are taken.
	maxTries = 16
	// noticeDuration is how long a notice may wait for a process that delivers
	// it, in seconds.
	noticeDuration = 24 * 60 * 60
)

// ending is a session about to end, and whom to tell.
type ending struct {
	session model.Session
	found   bool
	joined  []model.ID // the clients that know of the session
	clients []*model.Client
	notices []notice
}

// End ends a session, with those of its grants that do not outlive it, in the
// write that notes whom to tell. The error is the store's, or that of a step in
// Also.
func End(ctx context.Context, r *realm.Realm, sender *Sender, req EndRequest) (*EndResponse, error) {
	for try := 1; ; try++ {
		e, err := open(ctx, r, req.Session)
		if err != nil {
			return nil, err
		}
		steps, err := e.steps(r, req)
		if err != nil {
			return nil, err
		}
		err = r.Store.Write(ctx, steps...)
		switch {
		case errors.Is(err, store.ErrConflict) && try < maxTries:
			continue // a client has joined, the session has ended, or an id is taken
		case err != nil:
			return nil, err
		}
		for _, n := range e.notices {
			sender.send(n)
		}
		return e.response(r), nil
	}
}

// open reads a session that is about to end.
func open(ctx context.Context, r *realm.Realm, id model.ID) (*ending, error) {
	e := &ending{session: model.Session{ID: id}}
	session, err := r.Store.Session(ctx, r.Service.ID, id)
	if errors.Is(err, store.ErrNotFound) {
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	e.session, e.found = session, true
	if e.joined, err = r.Store.SessionClients(ctx, r.Service.ID, id); err != nil {
		return nil, err
	}
	for _, joined := range e.joined {
		client, err := r.Client(ctx, joined)
		if errors.Is(err, store.ErrNotFound) {
			continue // it is not registered any more
		}
		if err != nil {
			return nil, err
		}
		e.clients = append(e.clients, client)
	}
	return e, nil
}

// steps end the session on the condition that nobody else must be told.
func (e *ending) steps(r *realm.Realm, req EndRequest) (steps []store.Step, err error) {
	if req.Also != nil {
		if steps, err = req.Also(); err != nil {
			return nil, err
		}
	}
	service := r.Service.ID
	if e.found {
		steps = append(steps, store.ExpectClients{Service: service, Session: req.Session, Clients: e.joined})
	}
	steps = append(steps, store.EndSession{Service: service, ID: req.Session})
	for _, c := range e.clients {
		if c.BackchannelLogoutURI == "" {
			continue
		}
		n := notice{realm: r, id: r.IDs.Next(), Client: c.ID, Subject: e.session.Subject, Session: e.session.ID}
		payload, err := json.Marshal(n)
		if err != nil {
			return nil, err
		}
		steps = append(steps, store.InsertHandle{Handle: model.Handle{
			Service: service, ID: n.id, Kind: model.HandleLogout, ExpiresAt: r.Now().Unix() + noticeDuration, Payload: payload,
		}})
		e.notices = append(e.notices, n)
	}
	return steps, nil
}

// response says whom the browser must tell.
func (e *ending) response(r *realm.Realm) *EndResponse {
	resp := &EndResponse{Ended: e.found}
	if e.found {
		r.Report(model.Event{Kind: model.EventLoggedOut, Operation: operation, Subject: e.session.Subject})
	}
	for _, c := range e.clients {
		switch {
		case c.FrontchannelLogoutURI == "":
		case len(resp.Frames) == maxFrames:
			r.Report(model.Event{
				Kind: model.EventLogoutFailed, Operation: "frontchannel_logout", Client: c.Alias, Subject: e.session.Subject,
				Code: codeTooMany, Description: "the browser has more clients to tell than are told at once",
			})
		default:
			resp.Frames = append(resp.Frames, frame(r, c, e.session.ID))
		}
	}
	return resp
}

// frame is the address that tells a client (Front-Channel Logout §2): with the
// issuer and the session when the client wants them, which keeps others from
// signing its users out.
func frame(r *realm.Realm, c *model.Client, session model.ID) string {
	if !c.FrontchannelLogoutSessionRequired {
		return c.FrontchannelLogoutURI
	}
	return withQuery(c.FrontchannelLogoutURI, url.Values{"iss": {r.Service.Issuer}, "sid": {mint.SessionID(session)}}.Encode())
}
