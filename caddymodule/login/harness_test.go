package login

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

const (
	issuer   = "http://localhost:8080"
	callback = "https://client.example/cb"
	// loggedOut is where people go from signing out.
	loggedOut = "https://client.example/out"
	password  = "correct horse battery staple"
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

var testPaths = Paths{Login: "/login", Consent: "/consent", Grants: "/grants", EndSession: "/end_session", CheckSession: "/check_session"}

// shared is what all tests use, since keys take half a second to make: an
// engine on a store of its own, with a clock that tests move.
type shared struct {
	store    *sqlite.Store
	engine   *engine.Engine
	service  *model.Service
	accounts atomic.Pointer[Accounts] // of the test that runs
	began    atomic.Int64             // when the test that runs did, nanoseconds
	ahead    atomic.Int64             // of the clock since then, nanoseconds
	told     chan fetch.Request       // what clients were sent
}

// Get is part of engine.Fetcher.
func (*shared) Get(context.Context, string, ...string) (fetch.Document, error) {
	return fetch.Document{}, fetch.ErrForbidden
}

// Do is part of engine.Fetcher.
func (s *shared) Do(_ context.Context, r fetch.Request) (fetch.Response, error) {
	s.told <- r
	return fetch.Response{Status: http.StatusOK}, nil
}

func (s *shared) Active(ctx context.Context, _ model.ID, subject string) (bool, error) {
	return s.accounts.Load().Active(ctx, subject)
}

// now stands still unless a test moves it: what is so for a second, or until the
// day ends, does not end in a pause of the machine's.
func (s *shared) now() time.Time { return time.Unix(0, s.began.Load()+s.ahead.Load()) }

var (
	folder string
	runs   atomic.Int64 // makes the names of users differ between runs of a test
)

var house = sync.OnceValues(func() (*shared, error) {
	h := &shared{told: make(chan fetch.Request, 1000)}
	h.began.Store(time.Now().UnixNano())
	var err error
	h.store, err = sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(folder, "store.db"), SweepInterval: -1})
	if err != nil {
		return nil, err
	}
	raw := func(v any) json.RawMessage { b, _ := json.Marshal(v); return b }
	service, err := model.NewService(model.Settings{
		"issuer": raw(issuer), "serviceName": raw("Example <ID>"),
		"supportedScopes": raw([]model.Scope{{Name: "openid"}, {Name: "profile"}, {Name: "email"}, {Name: "offline_access"},
			{Name: "orders:read", Description: "Read your orders"}, {Name: "orders:write"}}),
	})
	if err != nil {
		return nil, err
	}
	var clients []model.Client
	for alias, settings := range map[string]model.Settings{
		"shop": {"clientName": raw("The <b>Shop</b>"), "clientUri": raw("https://client.example/about"), "redirectUris": raw([]string{callback}),
			"postLogoutRedirectUris": raw([]string{loggedOut, loggedOut + "?a=b", "com.example.shop:/out"}), "loginUri": raw("https://client.example/in?from=as")},
		"framed": {"clientName": raw("Framed"), "redirectUris": raw([]string{callback}), "postLogoutRedirectUris": raw([]string{loggedOut, "com.example.framed:/out"}),
			"frontchannelLogoutUri": raw("https://framed.example/out?a=b"), "frontchannelLogoutSessionRequired": raw(true)},
		"framed2": {"redirectUris": raw([]string{callback}), "frontchannelLogoutUri": raw("https://Framed2.example:8443/out")},
		// Addresses that the catalogue accepts, and that mean something in a policy.
		"odd":  {"redirectUris": raw([]string{callback}), "frontchannelLogoutUri": raw("https://*/out")},
		"odd2": {"redirectUris": raw([]string{callback}), "frontchannelLogoutUri": raw("https://a;script-src'unsafe-inline'/out")},
		"told": {"redirectUris": raw([]string{callback}), "backchannelLogoutUri": raw("https://told.example/out")},
		"mail": {"redirectUris": raw([]string{callback, "com.example.mail:/cb"})},
	} {
		c, err := model.NewClient(alias, settings)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	h.engine, err = engine.New(context.Background(), engine.Options{
		Store: h.store, MasterKey: engine.MasterKey{1}, Subjects: h, Now: h.now, Fetch: h,
		Services: []engine.Declaration{{Service: service, Clients: clients}},
	})
	if err != nil {
		return nil, err
	}
	h.service, _ = h.engine.Service(issuer)
	return h, nil
})

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "gatehouse-login"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// cheapHash is a hash that takes no time to verify.
func cheapHash(password string) string {
	h := phc{memory: 64, time: 1, threads: 1, salt: []byte("saltsalt")}
	normal, err := normalPassword(password)
	if err != nil {
		panic(err)
	}
	h.key = argon2.IDKey(normal, h.salt, h.time, h.memory, h.threads, 32)
	return h.String()
}

// env is a server with accounts of its own, over the shared engine.
type env struct {
	*shared
	t      *testing.T
	server *Server
	http   *httptest.Server
	user   string   // the account that most tests use
	errs   chan any // what Begin and ServePage returned
}

// setting is what an env may have otherwise.
type setting struct {
	wrap     func(store.Store) store.Store // what is between the server and the store
	service  func(*model.Service)          // changes settings of which the engine knows nothing
	fetch    engine.Fetcher
	declared []DeclaredAccount
	log      *zap.Logger
}

func newEnv(t *testing.T, declared ...DeclaredAccount) *env {
	t.Helper()
	return newEnvOn(t, func(s store.Store) store.Store { return s }, declared...)
}

// newEnvOn is newEnv with something between the server and the store.
func newEnvOn(t *testing.T, wrap func(store.Store) store.Store, declared ...DeclaredAccount) *env {
	t.Helper()
	user := nextUser(t)
	declared = append(declared, DeclaredAccount{
		Name: user, PasswordHash: cheapHash(password),
		Claims: map[string]json.RawMessage{"email": json.RawMessage(`"user@example.com"`)},
	})
	return newEnvWith(t, user, setting{wrap: wrap, declared: declared})
}

func nextUser(t *testing.T) string { return fmt.Sprintf("user-%d-%s", runs.Add(1), t.Name()) }

func newEnvWith(t *testing.T, user string, s setting) *env {
	t.Helper()
	h, err := house()
	if err != nil {
		t.Fatal(err)
	}
	e := &env{shared: h, t: t, user: user, errs: make(chan any, 100)}
	h.began.Store(time.Now().UnixNano())
	h.ahead.Store(0)
	var st store.Store = h.store
	if s.wrap != nil {
		st = s.wrap(st)
	}
	service, paths := *h.service, testPaths
	if s.service != nil {
		s.service(&service)
		paths.Social = SocialPath
	}
	accounts, err := NewAccounts(AccountOptions{
		Store: st, Service: &service, Declared: s.declared, Guard: NewGuard(NewHashers()), Fetch: s.fetch, NewID: h.engine.NewID, Now: h.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.accounts.Store(accounts)
	e.server, err = New(Options{Engine: h.engine, Store: st, Service: &service, Accounts: accounts, Fetch: s.fetch, Paths: paths, Logger: s.log})
	if err != nil {
		t.Fatal(err)
	}
	e.http = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.http.Close)
	return e
}

// serve mounts the server as the front does.
func (e *env) serve(w http.ResponseWriter, r *http.Request) {
	r = r.WithContext(store.Prefer(r.Context()))
	var err error
	if r.URL.Path == "/authorize" {
		var a *engine.AuthorizationResponse
		a, err = e.engine.Authorization(r.Context(), e.service.ID, engine.AuthorizationRequest{Parameters: r.URL.RawQuery})
		switch {
		case err != nil:
		case a.Action == model.ActionInteraction || a.Action == model.ActionNoInteraction:
			err = e.server.Begin(w, r, a)
		case a.Action == model.ActionLocation:
			err = seeOther(w, a.ResponseContent)
		default:
			e.server.ErrorPage(w, r, http.StatusBadRequest, "Bad request", a.ResponseContent)
		}
	} else {
		var handled bool
		handled, err = e.server.ServePage(w, r)
		if !handled {
			http.NotFound(w, r)
		}
	}
	if err != nil {
		e.errs <- err
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (e *env) advance(d time.Duration) { e.ahead.Add(int64(d)) }
