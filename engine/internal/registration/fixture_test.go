package registration_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/internal/registration"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

const (
	issuer   = "https://as.example.com"
	endpoint = issuer + "/register"
	redirect = "https://app.example.com/cb"
)

// object is metadata; settings are a service's.
type (
	object   = map[string]any
	list     = []any
	settings = map[string]any
)

// office is where clients register: a service on a store of its own.
type office struct {
	testing.TB
	realm *realm.Realm
	pages sync.Map // what can be fetched, by address

	mu      sync.Mutex
	now     time.Time
	events  []model.Event
	fetched []string
}

// open makes a service that lets clients register and has every flow turned on.
func open(t testing.TB, more settings) *office {
	t.Helper()
	o := &office{TB: t, now: time.Now().Truncate(time.Second)}
	st, err := sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(t.TempDir(), "g.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	all := settings{
		"issuer": issuer, "dynamicRegistrationSupported": true,
		"supportedScopes":        list{object{"name": "openid"}, object{"name": "email"}, object{"name": "orders:read"}, object{"name": "orders:write"}},
		"supportedGrantTypes":    list{"AUTHORIZATION_CODE", "IMPLICIT", "PASSWORD", "CLIENT_CREDENTIALS", "REFRESH_TOKEN"},
		"supportedResponseTypes": list{"NONE", "CODE", "TOKEN", "ID_TOKEN", "CODE_TOKEN", "CODE_ID_TOKEN", "ID_TOKEN_TOKEN", "CODE_ID_TOKEN_TOKEN"},
	}
	maps.Copy(all, more)
	service, err := model.NewService(asSettings(all))
	if err != nil {
		t.Fatal(err)
	}
	service.ID, err = st.EnsureService(context.Background(), service.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	master := keys.Single(keys.MasterKey{1, 2, 3})
	ring, err := keys.Given(serviceKeys())
	if err != nil {
		t.Fatal(err)
	}
	ids, err := st.EnsureClients(context.Background(), service.ID, []string{"declared"})
	if err != nil {
		t.Fatal(err)
	}
	declared, err := model.NewClient("declared", asSettings(settings{"clientSecret": "its-secret"}))
	if err != nil {
		t.Fatal(err)
	}
	declared.Service, declared.ID = service.ID, ids["declared"]
	o.realm, err = realm.New(&realm.House{
		Store: st, Master: master, Now: o.clock, Random: rand.Reader, IDs: handle.NewIDs(o.clock, rand.Reader),
		Observe: o.observe, Fetch: o, RSA: jose.NewPool(2),
	}, service, []model.Client{declared}, ring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Subscribe(func(c model.Change) { o.realm.ForgetClient(c.Ref) }))
	return o
}

// serviceKeys are for RS256, ES256 and RSA-OAEP-256, made once: RSA keys take time.
var serviceKeys = sync.OnceValue(func() string {
	set := jwk.NewSet()
	for _, alg := range []string{"RS256", "ES256", "RSA-OAEP-256"} {
		var private any
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if alg == "ES256" {
			private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		}
		if err != nil {
			panic(err)
		}
		key, err := jwk.FromRaw(private)
		if err != nil || key.Set("alg", alg) != nil || set.AddKey(key) != nil {
			panic(err)
		}
	}
	return text(set)
})

func asSettings(values settings) model.Settings {
	s := model.Settings{}
	for property, value := range values {
		s[property] = jose.Raw(value)
	}
	return s
}

func (o *office) clock() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now
}

func (o *office) pass(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

func (o *office) observe(e model.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
}

// Get is part of realm.Fetcher: it gives the pages of the test.
func (o *office) Get(_ context.Context, address string, _ ...string) (fetch.Document, error) {
	o.mu.Lock()
	o.fetched = append(o.fetched, address)
	o.mu.Unlock()
	if page, ok := o.pages.Load(address); ok {
		return fetch.Document{Body: []byte(page.(string))}, nil
	}
	return fetch.Document{}, fmt.Errorf("%w: 10.0.0.7 is ours", fetch.ErrForbidden)
}

// Do is part of realm.Fetcher: nothing here may call it.
func (o *office) Do(context.Context, fetch.Request) (fetch.Response, error) {
	panic("registration sends nothing")
}

type operation = func(context.Context, *realm.Realm, registration.Request) (*registration.Response, error)

func (o *office) call(f operation, req registration.Request) *registration.Response {
	o.Helper()
	resp, err := f(context.Background(), o.realm, req)
	if err != nil {
		o.Fatal(err)
	}
	return resp
}

func (o *office) post(body object) *registration.Response {
	o.Helper()
	return o.call(registration.Register, registration.Request{JSON: text(body)})
}

// register is for a body that must be accepted; the result is the answer.
func (o *office) register(body object) object {
	o.Helper()
	return o.accepted(o.post(body), model.ActionCreated)
}

func (o *office) accepted(resp *registration.Response, action model.Action) object {
	o.Helper()
	if resp.Action != action {
		o.Fatalf("%s %s, want %s", resp.Action, resp.ResponseContent, action)
	}
	return parse(resp.ResponseContent)
}

// refused checks an error: its code, and part of the description.
func (o *office) refused(resp *registration.Response, action model.Action, code, description string) {
	o.Helper()
	e := parse(resp.ResponseContent)
	got, _ := e["error_description"].(string)
	if resp.Action != action || e["error"] != code || !strings.Contains(got, description) {
		o.Errorf("%s %s, want %s with %q", resp.Action, resp.ResponseContent, code, description)
	}
	if len(e) > 2 || len(got) > 320 {
		o.Errorf("the answer says more than it should: %s", resp.ResponseContent)
	}
}

// own is a request about a client as it is allowed to itself.
func own(answer object, body ...object) registration.Request {
	req := registration.Request{ClientID: answer["client_id"].(string), Token: answer["registration_access_token"].(string)}
	if len(body) > 0 {
		req.JSON = text(body[0])
	}
	return req
}

// update is the body of an update that has the given metadata.
func update(answer object, metadata object) registration.Request {
	body := maps.Clone(metadata)
	body["client_id"] = answer["client_id"]
	return own(answer, body)
}

// row is what the store has of a client.
func (o *office) row(answer object) model.StoredClient {
	o.Helper()
	row, err := o.realm.Store.StoredClientByAlias(context.Background(), o.realm.Service.ID, answer["client_id"].(string))
	if err != nil {
		o.Fatal(err)
	}
	return row
}

// client is what the rest of the engine sees of a client.
func (o *office) client(answer object) *model.Client {
	o.Helper()
	c, err := o.realm.ClientByAlias(context.Background(), answer["client_id"].(string))
	if err != nil {
		o.Fatal(err)
	}
	return c
}

// web is the metadata of a client with a redirect address and more.
func web(more object) object {
	body := object{"redirect_uris": list{redirect}}
	maps.Copy(body, more)
	return body
}

func text(v any) string { return string(jose.Raw(v)) }

func parse(content string) object {
	var o object
	if json.Unmarshal([]byte(content), &o) != nil {
		return object{}
	}
	return o
}
