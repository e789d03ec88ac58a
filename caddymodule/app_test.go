package caddymodule_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// recorder is an events handler that remembers what it was told.
type recorder struct{}

var told struct {
	sync.Mutex
	events []caddy.Event
}

func init() { caddy.RegisterModule(recorder{}) }

func (recorder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.gatehouse_test", New: func() caddy.Module { return new(recorder) }}
}

// UnmarshalCaddyfile takes the handler's name, and there is no more.
func (*recorder) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

func (recorder) Handle(_ context.Context, e caddy.Event) error {
	told.Lock()
	defer told.Unlock()
	told.events = append(told.events, e)
	return nil
}

// site is a Caddy in this process: its server and admin endpoint are sockets.
// Each configuration has its own, since Caddy shuts the server before it down in
// the background, which meanwhile takes connections of a socket that both have
// and drops requests that arrive there (net/http, Server.Shutdown).
type site struct {
	*testing.T
	folder string
	server *http.Client
	admin  *http.Client
}

const appConfig = `{
	admin unix/%[1]s/admin%[3]s
	log {
		output file %[1]s/log
		level DEBUG
	}
	events {
		on gatehouse_issued gatehouse_test
		on gatehouse_refused gatehouse_test
		on gatehouse_revoked gatehouse_test
		on gatehouse_reuse_detected gatehouse_test
	}
	gatehouse {
		storage sqlite %[1]s/g.db
		service {
			issuer http://localhost
			supported_scopes a b
			client demo {
				client_secret demo-secret
				grant_types client_credentials
			}
			%[2]s
		}
	}
}
http:// {
	bind unix/%[1]s/http%[3]s
	log
	handle /api {
		gatehouse_bearer {
			scopes a
			forward client_id X-Client
			forward sub X-User
			resource http://localhost/api
			realm orders
		}
		respond "client={header.X-Client} user={header.X-User} id={http.auth.user.id} scope={http.auth.user.scope}"
	}
	handle /.well-known/oauth-protected-resource/api {
		gatehouse_bearer {
			scopes a
			resource http://localhost/api
		}
	}
	handle {
		gatehouse_server
	}
}`

// configurations counts those that were run.
var configurations atomic.Int64

// load starts Caddy in this process, or reloads it.
func load(t *testing.T, folder, more string) *site {
	t.Helper()
	name := strconv.FormatInt(configurations.Add(1), 10) + ".sock"
	config, err := adapt(fmt.Sprintf(appConfig, folder, more, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	over := func(socket string) *http.Client {
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(folder, socket))
		}}}
	}
	return &site{t, folder, over("http" + name), over("admin" + name)}
}

func (s *site) do(client *http.Client, method, path, contentType, body string, header ...string) (int, string, http.Header) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

func (s *site) token(scope string) string {
	s.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}, "client_id": {"demo"}}
	status, body, _ := s.do(s.server, "POST", "/token", "application/x-www-form-urlencoded", form.Encode(), "Authorization", "Basic ZGVtbzpkZW1vLXNlY3JldA==")
	var answer struct {
		Token string `json:"access_token"`
	}
	if status != 200 || json.Unmarshal([]byte(body), &answer) != nil || answer.Token == "" {
		s.Fatalf("token: %d %s", status, body)
	}
	return answer.Token
}

func (s *site) api(token string) (int, string) {
	s.Helper()
	status, body, _ := s.do(s.server, "GET", "/api", "", "", "Authorization", "Bearer "+token)
	return status, body
}

func (s *site) wantAPI(token string, want int) {
	s.Helper()
	if got, body := s.api(token); got != want {
		s.Errorf("the API answers %d %s, want %d", got, body, want)
	}
}

func (s *site) manage(method, path, body string, want int) string {
	s.Helper()
	status, answer, _ := s.do(s.admin, method, path, "application/json", body)
	if status != want {
		s.Errorf("%s %s %s: %d %s, want %d", method, path, body, status, answer, want)
	}
	return answer
}

// shortDir is a folder whose name leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Facts of a token become headers and placeholders; RFC 9728's metadata is
// named in challenges and served (promises 8 and 9).
func TestGatewayPlaceholdersAndMetadata(t *testing.T) {
	s := load(t, shortDir(t), "")
	status, body := s.api(s.token("a b"))
	if want := "client=demo user= id= scope=a b"; status != 200 || body != want {
		t.Errorf("got %d %q, want %q", status, body, want)
	}
	_, _, header := s.do(s.server, "GET", "/api", "", "")
	challenge := header.Get("WWW-Authenticate")
	for _, want := range []string{`Bearer realm="orders"`, `scope="a"`, `resource_metadata="http://localhost/.well-known/oauth-protected-resource/api"`} {
		if !strings.Contains(challenge, want) {
			t.Errorf("the challenge %s lacks %s", challenge, want)
		}
	}
	status, body, _ = s.do(s.server, "GET", "/.well-known/oauth-protected-resource/api", "", "")
	if status != 200 || !strings.Contains(body, `"resource":"http://localhost/api"`) || !strings.Contains(body, `"authorization_servers":["http://localhost"]`) {
		t.Errorf("metadata: %d %s", status, body)
	}
}

// The admin endpoint revokes by token, subject and client, purges the cache,
// shows its statistics and rotates keys; what it cannot do it says.
func TestAdmin(t *testing.T) {
	s := load(t, shortDir(t), "")
	token := s.token("a")
	s.wantAPI(token, 200)
	var stats []struct {
		Issuer       string
		Hits, Misses int
	}
	// ristretto shows a write a little later, so that a hit may need some calls.
	for calls := 1; calls <= 1000 && (len(stats) == 0 || stats[0].Hits == 0); calls++ {
		s.wantAPI(token, 200)
		stats = nil
		if err := json.Unmarshal([]byte(s.manage("GET", "/gatehouse/cache", "", 200)), &stats); err != nil || len(stats) != 1 || stats[0].Hits+stats[0].Misses != calls+1 {
			t.Fatalf("statistics after %d calls: %v %v", calls+1, stats, err)
		}
	}
	if stats[0].Hits == 0 {
		t.Error("the cache is never hit")
	}
	if got := s.manage("DELETE", "/gatehouse/cache", "", 200); !strings.Contains(got, `"purged":1`) {
		t.Errorf("purge: %s", got)
	}
	s.wantAPI(token, 200)

	if got := s.manage("POST", "/gatehouse/revoke", `{"token":"`+token+`"}`, 200); !strings.Contains(got, `"revoked":true`) {
		t.Errorf("revoke: %s", got)
	}
	s.wantAPI(token, 401)
	if got := s.manage("POST", "/gatehouse/revoke", `{"token":"`+token+`"}`, 200); !strings.Contains(got, `"revoked":false`) {
		t.Errorf("revoke again: %s", got)
	}
	token = s.token("a")
	s.wantAPI(token, 200)
	s.manage("POST", "/gatehouse/revoke", `{"client_id":"demo","issuer":"http://localhost"}`, 200)
	s.wantAPI(token, 401)
	s.manage("POST", "/gatehouse/revoke", `{"subject":"nobody"}`, 200)

	for body, want := range map[string]int{
		`{}`: 400, `{"token":"x","subject":"y"}`: 400, `{"client_id":"unknown"}`: 404, `{"issuer":"http://other","token":"x"}`: 404,
		`{"tokens":"x"}`: 400, `[`: 400, ``: 400,
	} {
		s.manage("POST", "/gatehouse/revoke", body, want)
	}
	s.manage("PUT", "/gatehouse/revoke", "{}", 405)
	if status, _, _ := s.do(s.admin, "POST", "/gatehouse/revoke", "text/plain", "{}"); status != 415 {
		t.Errorf("text/plain: %d", status)
	}
	if got := s.manage("POST", "/gatehouse/keys/rotate", `{"algs":["ES256"],"announce":"0s","overlap":"1h"}`, 200); !strings.Contains(got, `"kids":["`) {
		t.Errorf("rotate: %s", got)
	}
	s.manage("POST", "/gatehouse/keys/rotate", `{"algs":["HS256"]}`, 400)
	s.manage("POST", "/gatehouse/keys/rotate", `{"announce":"-1s"}`, 400)
	_, document, _ := s.do(s.server, "GET", "/jwks", "", "")
	if set, err := jwk.ParseString(document); err != nil || set.Len() != 4 {
		t.Errorf("after a rotation: %v keys, %v", set, err)
	}
}

// Caddy events tell what happened, without a token in them; so do metrics and
// the log (threats.md 34).
func TestEventsMetricsAndLogs(t *testing.T) {
	folder := shortDir(t)
	s := load(t, folder, "")
	told.Lock()
	told.events = nil
	told.Unlock()
	token := s.token("a")
	s.wantAPI(token, 200)
	form := "application/x-www-form-urlencoded"
	s.do(s.server, "POST", "/revoke", form, "token="+token, "Authorization", "Basic ZGVtbzpkZW1vLXNlY3JldA==")
	s.do(s.server, "POST", "/token", form, "grant_type=client_credentials", "Authorization", "Basic ZGVtbzp3cm9uZy1zZWNyZXQ=")
	s.wantAPI(token, 401)
	told.Lock()
	var names []string
	for _, e := range told.events {
		names = append(names, e.Name())
		if data := fmt.Sprint(e.Data); strings.Contains(data, token) || strings.Contains(data, "secret") {
			t.Errorf("an event carries a secret: %s", data)
		}
		if e.Data["issuer"] != "http://localhost" {
			t.Errorf("event %s: %v", e.Name(), e.Data)
		}
	}
	told.Unlock()
	if want := []string{"gatehouse_issued", "gatehouse_revoked", "gatehouse_refused"}; !slices.Equal(names, want) {
		t.Errorf("events: %v, want %v", names, want)
	}
	_, metrics, _ := s.do(s.admin, "GET", "/metrics", "", "")
	for _, want := range []string{
		`gatehouse_events_total{code="",event="issued",grant_type="client_credentials",issuer="http://localhost",operation="token"} 1`,
		`gatehouse_events_total{code="invalid_client",event="refused",grant_type="",issuer="http://localhost",operation="token"} 1`,
		`gatehouse_cache_lookups_total{introspector="http://localhost",result="miss"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	log, err := os.ReadFile(filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"gatehouse":{"token":"`, `"client_id":"demo"`, `"error":"invalid_token"`, `"reason":"invalid_client`} {
		if !bytes.Contains(log, []byte(want)) {
			t.Errorf("the log lacks %s", want)
		}
	}
	for _, secret := range []string{token, "demo-secret", "ZGVtbzpkZW1vLXNlY3JldA==", "wrong-secret", "ZGVtbzp3cm9uZy1zZWNyZXQ="} {
		if bytes.Contains(log, []byte(secret)) || strings.Contains(metrics, secret) {
			t.Errorf("%s is in the log or the metrics", secret)
		}
	}
}

// Promise 12: a reload keeps the cache and the counters; what changed holds at once.
func TestReloadKeepsTheCache(t *testing.T) {
	folder := shortDir(t)
	s := load(t, folder, "")
	token := s.token("a")
	s.wantAPI(token, 200)
	for range 3 {
		s = load(t, folder, "")
		s.wantAPI(token, 200)
	}
	var stats []struct{ Hits, Misses, Fetches int }
	if err := json.Unmarshal([]byte(s.manage("GET", "/gatehouse/cache", "", 200)), &stats); err != nil || len(stats) != 1 || stats[0].Fetches != 1 || stats[0].Hits != 3 {
		t.Errorf("the cache did not survive: %+v %v", stats, err)
	}
	s = load(t, folder, "client other {\nclient_secret other-secret\n}")
	s.wantAPI(token, 200)
}
