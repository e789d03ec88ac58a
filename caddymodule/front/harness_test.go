package front

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
	"github.com/gatehouse-auth/gatehouse/caddymodule/errorlog"
	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

const (
	issuer = "http://localhost:8080"
	secret = "a client secret of the front's tests"
)

// front is a handler that serves a service of its own over HTTP.
type front struct {
	t           *testing.T
	http        *httptest.Server
	state       *serving.State
	serving.App // what the front does not use
	declared    model.Service
	clients     []model.Client
	service     *model.Service // as the engine has it
	handler     *Handler

	mu   sync.Mutex
	away map[string]int // who were turned away, by where
}

// Declared is part of serving.App.
func (f *front) Declared(string) (*model.Service, error) { return &f.declared, nil }

// Running is part of serving.App.
func (f *front) Running(context.Context) (*serving.State, error) { return f.state, nil }

// TurnedAway is part of serving.App.
func (f *front) TurnedAway(issuer, where string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away[where]++
	if issuer != f.declared.Issuer {
		f.t.Errorf("the issuer of one that was turned away is %q", issuer)
	}
}

// turnedAway is how many found no place there.
func (f *front) turnedAway(where string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.away[where]
}

// Active is part of engine.Subjects.
func (f *front) Active(ctx context.Context, service model.ID, subject string) (bool, error) {
	return f.state.Accounts[service].Active(ctx, subject)
}

func raw(v any) json.RawMessage {
	b, _ := json.Marshal(v)
	return b
}

// newFront makes a service with settings beside its issuer, and the client web.
func newFront(t *testing.T, settings model.Settings) *front {
	t.Helper()
	return newFrontOn(t, settings, Overload{}, func(s store.Store) store.Store { return s })
}

// newFrontOn is newFront with limits, and something between it and the store.
func newFrontOn(t *testing.T, settings model.Settings, overload Overload, wrap func(store.Store) store.Store) *front {
	t.Helper()
	// A clock that stands still: neither does a pause of the machine's end the
	// second for which guesses are refused, nor does a DPoP nonce become an old one.
	began := time.Now()
	now := func() time.Time { return began }
	f := &front{t: t, away: map[string]int{}, state: &serving.State{
		Accounts: map[model.ID]*login.Accounts{}, Fetch: fetch.New(fetch.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
	}}
	settings["issuer"] = raw(issuer)
	var err error
	if f.declared, err = model.NewService(settings); err != nil {
		t.Fatal(err)
	}
	web, err := model.NewClient("web", model.Settings{"clientSecret": raw(secret), "grantTypes": raw([]string{"PASSWORD", "REFRESH_TOKEN"})})
	if err != nil {
		t.Fatal(err)
	}
	f.clients = []model.Client{web}
	file, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "store.db"), SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	st := wrap(file)
	f.state.Store = st
	f.state.Engine, err = engine.New(t.Context(), engine.Options{
		Store: st, MasterKey: engine.MasterKey{1}, Subjects: f, Fetch: f.state.Fetch, Now: now,
		Services: []engine.Declaration{{Service: f.declared, Clients: f.clients}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.state.Engine.Close)
	f.service, _ = f.state.Engine.Service(issuer)
	f.state.Accounts[f.service.ID], err = login.NewAccounts(login.AccountOptions{
		Store: st, Service: f.service, Guard: login.NewGuard(login.NewHashers()), Fetch: f.state.Fetch, NewID: f.state.Engine.NewID, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.serve(overload)
	return f
}

func (f *front) serve(overload Overload) {
	h := &Handler{
		app: f, service: &f.declared, logger: errorlog.New(zap.NewNop()), Overload: overload,
		entrance: admission.NewEntrance(overload.options()),
	}
	f.handler = h
	h.layOut("")
	if err := h.Validate(); err != nil {
		f.t.Fatal(err)
	}
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusTeapot)
		return nil
	})
	f.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h.ServeHTTP(w, r, next); err != nil {
			f.t.Errorf("%s: %v", r.URL.Path, err)
		}
	}))
	f.t.Cleanup(f.http.Close)
}

// answered is an answer that has been read.
type answered struct {
	status int
	header http.Header
	body   map[string]any
}

// do sends a request and reads its answer.
func (f *front) do(r *http.Request, err error) answered {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answered{status: resp.StatusCode, header: resp.Header}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = json.Unmarshal(text, &a.body) // some answers have none
	return a
}

// passwordGrant asks for tokens with a user's name and password (RFC 6749 §4.3).
func (f *front) passwordGrant(name, password string) answered {
	f.t.Helper()
	form := url.Values{"grant_type": {"password"}, "username": {name}, "password": {password}, "scope": {"openid email"}}
	r, err := http.NewRequest(http.MethodPost, f.http.URL+"/token", strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("web", url.QueryEscape(secret))
	}
	return f.do(r, err)
}

// operator is the operator's own server, with both callbacks.
type operator struct {
	http *httptest.Server

	mu     sync.Mutex
	answer string // of the name alice with the password "p: å"
	status int
	asked  []map[string]any
}

const aliceVouched = `{"authenticated":true,"subject":"a1","displayName":"Alice","claims":"{\"email\":\"alice@example.com\"}"}`

func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{answer: aliceVouched, status: http.StatusOK}
	o.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q map[string]any
		err := json.NewDecoder(r.Body).Decode(&q)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.asked = append(o.asked, q)
		answer := o.answer
		if key, secret, _ := r.BasicAuth(); err != nil || r.Method != http.MethodPost || key != "key" || secret != "secret" {
			o.status = http.StatusUnauthorized
		}
		if q["id"] != "alice" || q["password"] != "p: å" {
			answer = `{"authenticated":false}`
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(o.status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(o.http.Close)
	return o
}

// settings are those of a callback, whose names begin so.
func (o *operator) settings(prefix string, more model.Settings) model.Settings {
	more[prefix+"Endpoint"], more[prefix+"ApiKey"], more[prefix+"ApiSecret"] = raw(o.http.URL+"/"+prefix), raw("key"), raw("secret")
	return more
}

func (o *operator) fails(status int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status = status
}

func (o *operator) questions() []map[string]any {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked
}
