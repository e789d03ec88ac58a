package front

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// witness is a store that notes what it is asked with.
type witness struct {
	store.Store
	mu    sync.Mutex
	asked []asked
}

type asked struct {
	what                string
	deadline, preferred bool
}

func (w *witness) note(ctx context.Context, what string) {
	_, deadline := ctx.Deadline()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, asked{what, deadline, store.Preferred(ctx)})
}

// take returns what has come since.
func (w *witness) take() (list []asked) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list, w.asked = w.asked, nil
	return list
}

func (w *witness) Write(ctx context.Context, steps ...store.Step) error {
	w.note(ctx, "Write")
	return w.Store.Write(ctx, steps...)
}

func (w *witness) AccessToken(ctx context.Context, service, id model.ID) (model.AccessToken, model.Grant, error) {
	w.note(ctx, "AccessToken")
	return w.Store.AccessToken(ctx, service, id)
}

func (w *witness) RefreshToken(ctx context.Context, service, id model.ID) (model.RefreshToken, model.Grant, error) {
	w.note(ctx, "RefreshToken")
	return w.Store.RefreshToken(ctx, service, id)
}

func (w *witness) Grant(ctx context.Context, service, id model.ID) (model.Grant, error) {
	w.note(ctx, "Grant")
	return w.Store.Grant(ctx, service, id)
}

func (w *witness) Handle(ctx context.Context, service model.ID, kind model.HandleKind, id model.ID) (model.Handle, error) {
	w.note(ctx, "Handle")
	return w.Store.Handle(ctx, service, kind, id)
}

func (w *witness) StoredClient(ctx context.Context, service, id model.ID) (model.StoredClient, error) {
	w.note(ctx, "StoredClient")
	return w.Store.StoredClient(ctx, service, id)
}

func (w *witness) StoredClientByAlias(ctx context.Context, service model.ID, alias string) (model.StoredClient, error) {
	w.note(ctx, "StoredClientByAlias")
	return w.Store.StoredClientByAlias(ctx, service, alias)
}

func (w *witness) AccountByKey(ctx context.Context, service model.ID, key string) (model.Account, error) {
	w.note(ctx, "AccountByKey")
	return w.Store.AccountByKey(ctx, service, key)
}

func (w *witness) AccountBySubject(ctx context.Context, service model.ID, subject string) (model.Account, error) {
	w.note(ctx, "AccountBySubject")
	return w.Store.AccountBySubject(ctx, service, subject)
}

func (w *witness) Changes(ctx context.Context, service model.ID, after model.Place, limit int) (store.FeedPage, error) {
	w.note(ctx, "Changes")
	return w.Store.Changes(ctx, service, after, limit)
}

// unknown is a handle that nobody was given.
func unknown(prefix handle.Prefix) string {
	return string(prefix) + "B" + strings.Repeat("A", handle.Len-len(prefix)-1)
}

// A request's deadline comes with it as far as the store, whatever it asks for,
// and what people wait for is preferred there. A stream has a deadline only
// until it is open.
func TestDeadlineReachesTheStore(t *testing.T) {
	var w *witness
	f := newFrontOn(t, model.Settings{
		"supportedGrantTypes": raw([]string{"PASSWORD", "REFRESH_TOKEN"}),
		"supportedScopes":     raw([]model.Scope{{Name: "openid"}, {Name: "email"}}),
	}, Overload{}, func(s store.Store) store.Store {
		w = &witness{Store: s}
		return w
	})
	post := func(path string, form url.Values) func() answered {
		return func() answered { return f.do(direct(t, f.http.URL+path, form), nil) }
	}
	get := func(path string) func() answered { return func() answered { return f.get(path) } }
	for _, c := range []struct {
		name   string
		people bool
		ask    func() answered
	}{
		{"password grant", false, func() answered { return f.passwordGrant("nobody", "password") }},
		{"refresh", false, post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {unknown(handle.RefreshToken)}})},
		{"redemption of a code", true, func() answered {
			r := direct(t, f.http.URL+"/token", url.Values{"grant_type": {"authorization_code"}, "code": {unknown(handle.Code)}})
			r.SetBasicAuth("unknown", secret)
			return f.do(r, nil)
		}},
		{"introspection", false, post("/introspect", url.Values{"token": {unknown(handle.AccessToken)}})},
		{"revocation", false, post("/revoke", url.Values{"token": {unknown(handle.AccessToken)}})},
		{"unknown client", true, get("/authorize?client_id=unknown&response_type=code")},
		{"sign-in page", true, get("/login")},
	} {
		w.take()
		a := c.ask()
		list := w.take()
		if len(list) == 0 {
			t.Errorf("%s: the store was not asked: %d %v", c.name, a.status, a.body)
		}
		for _, a := range list {
			if !a.deadline || a.preferred != c.people {
				t.Errorf("%s: %+v", c.name, a)
			}
		}
	}
	w.take()
	s := f.follow(f.http)
	s.line(t)
	if err := f.state.Store.Write(store.Prefer(t.Context()), store.RevokeGrants{Service: f.service.ID, Client: 5}); err != nil {
		t.Fatal(err)
	}
	s.line(t)
	var changes []asked
	for _, a := range w.take() {
		if a.what == "Changes" {
			changes = append(changes, a)
		}
	}
	if len(changes) < 2 || !changes[0].deadline || changes[1].deadline {
		t.Errorf("the stream: %+v", changes)
	}
	if working, waiting := f.handler.entrance.Machines.Load(); working+waiting != 0 {
		t.Errorf("a stream that is open: %d work, %d wait", working, waiting)
	}
}

// Who waits for somebody else's answer waits until the deadline, and is told to
// come again (RFC 9110 §10.2.3).
func TestDeadlineEndsARequest(t *testing.T) {
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(hung.Close)
	o := Overload{RequestTimeout: caddy.Duration(100 * time.Millisecond)}
	f := newFrontOn(t, passwordService(&operator{http: hung}), o, func(s store.Store) store.Store { return s })
	got := f.passwordGrant("alice", "p")
	if got.status != 503 || got.header.Get("Retry-After") == "" || got.body["error"] != "temporarily_unavailable" {
		t.Errorf("%d %v %v", got.status, got.header, got.body)
	}
	if working, waiting := f.handler.entrance.Machines.Load(); working+waiting != 0 {
		t.Errorf("afterwards %d work, %d wait", working, waiting)
	}
}
