package front

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// direct is a request that the client web makes at a path.
func direct(t *testing.T, address string, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("web", url.QueryEscape(secret))
	return r
}

// following is a stream that is being read.
type following struct {
	*http.Response
	lines *bufio.Reader
}

func (f *front) follow(server *httptest.Server) *following {
	f.t.Helper()
	resp, err := server.Client().Do(direct(f.t, server.URL+"/revocations", nil))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { resp.Body.Close() })
	return &following{resp, bufio.NewReader(resp.Body)}
}

// line is the next line, or "" when the stream has ended as it should.
func (s *following) line(t *testing.T) (l struct{ Position, Service, Kind, ID string }) {
	t.Helper()
	text, err := s.lines.ReadBytes('\n')
	if err != nil && (err.Error() != "EOF" || len(text) > 0) {
		t.Fatalf("%q %v", text, err)
	}
	if len(text) > 0 && (json.Unmarshal(text, &l) != nil || l.Position == "") {
		t.Fatalf("%q", text)
	}
	return l
}

// secure serves the same over HTTP/2.
func (f *front) secure() *httptest.Server {
	server := httptest.NewUnstartedServer(f.http.Config.Handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	f.t.Cleanup(server.Close)
	return server
}

// Promise 5: lines come when something is revoked, not when a buffer is full; no
// cache and no proxy keeps them.
func TestRevocationStreamIsFlushed(t *testing.T) {
	f := newFront(t, model.Settings{})
	for name, server := range map[string]*httptest.Server{"HTTP/1.1": f.http, "HTTP/2.0": f.secure()} {
		t.Run(name, func(t *testing.T) {
			s := f.follow(server)
			got := map[string]string{"Status": s.Status, "Proto": s.Proto}
			for _, name := range []string{"Content-Type", "Cache-Control", "X-Accel-Buffering", "X-Content-Type-Options"} {
				got[name] = s.Header.Get(name)
			}
			want := map[string]string{"Status": "200 OK", "Proto": name, "Content-Type": "application/x-ndjson", "Cache-Control": "no-store",
				"X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if first := s.line(t); first.Service == "" {
				t.Errorf("the first line is %+v", first)
			}
			for range 3 {
				if err := f.state.Store.Write(t.Context(), store.RevokeGrants{Service: f.service.ID, Client: 5}); err != nil {
					t.Fatal(err)
				}
				if l := s.line(t); l.Kind != "client" || l.ID != "5" {
					t.Errorf("got %+v", l)
				}
			}
		})
	}
}

// RFC 6749 §5.2, RFC 9110 §15.5.6: what is refused is refused as elsewhere.
func TestRevocationStreamRefusals(t *testing.T) {
	f := newFront(t, model.Settings{})
	wrong := direct(t, f.http.URL+"/revocations", nil)
	wrong.SetBasicAuth("web", "wrong")
	if got := f.do(wrong, nil); got.status != 401 || got.body["error"] != "invalid_client" || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("a wrong secret: %d %v", got.status, got.body)
	}
	get, err := http.NewRequest(http.MethodGet, f.http.URL+"/revocations", nil)
	if got := f.do(get, err); got.status != 405 || got.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", got.status, got.header)
	}
}

// The streams are bounded, and one that its follower has left is free again.
func TestRevocationStreamBound(t *testing.T) {
	f := newFront(t, model.Settings{})
	s := f.follow(f.http)
	credentials := engine.ClientCredentials{ClientID: "web", ClientSecret: secret, Present: true}
	for range 255 {
		resp, err := f.state.Engine.RevocationStream(t.Context(), f.service.ID, engine.RevocationStreamRequest{Basic: credentials})
		if err != nil || resp.Stream == nil {
			t.Fatalf("%v %v", resp, err)
		}
	}
	full := f.do(direct(t, f.http.URL+"/revocations", nil), nil)
	if full.status != 503 || full.body["error"] != "temporarily_unavailable" || full.header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %v", full.status, full.body)
	}
	s.Body.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		resp, err := http.DefaultClient.Do(direct(t, f.http.URL+"/revocations", nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %d", resp.StatusCode)
		}
	}
}

// Promise 12: a stream ends when its server shuts down, which waits for it, and
// when the engine of its configuration closes.
func TestRevocationStreamEnds(t *testing.T) {
	f := newFront(t, model.Settings{})
	for name, server := range map[string]*httptest.Server{"HTTP/1.1": f.http, "HTTP/2.0": f.secure()} {
		s, other := f.follow(server), f.follow(server)
		s.line(t)
		other.line(t)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // nothing else ends it: a heartbeat goes out, and that is all
		if err := server.Config.Shutdown(ctx); err != nil {
			t.Errorf("%s: Shutdown: %v", name, err)
		}
		cancel()
		if l := s.line(t); l.Position != "" {
			t.Errorf("%s: after the shutdown came %+v", name, l)
		}
	}

	reloaded := newFront(t, model.Settings{})
	second, err := engine.New(t.Context(), engine.Options{
		Store: reloaded.state.Store, MasterKey: engine.MasterKey{1}, Services: []engine.Declaration{{Service: reloaded.declared, Clients: reloaded.clients}},
	})
	if err != nil {
		t.Fatal(err)
	}
	reloaded.state.Engine = second
	s := reloaded.follow(reloaded.http)
	s.line(t)
	second.Close()
	if l := s.line(t); l.Position != "" {
		t.Errorf("after the engine closed came %+v", l)
	}
}

// deadlines is a connection whose other side does not read.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

func (d *deadlines) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// A follower that does not read is given up, and keeps nobody from ending.
func TestRevocationStreamStuck(t *testing.T) {
	f := newFront(t, model.Settings{})
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	before := time.Now()
	if err := f.handler.ServeHTTP(w, direct(t, issuer+"/revocations", nil), caddyhttp.HandlerFunc(nil)); err != nil {
		t.Error(err)
	}
	if len(w.set) != 1 || w.set[0].Before(before.Add(stuck)) || w.set[0].After(time.Now().Add(stuck)) {
		t.Errorf("the deadlines are %v", w.set)
	}
}

// RFC 9701 §4: who accepts a JWT gets one, and everybody else JSON.
func TestIntrospectionJWT(t *testing.T) {
	f := newFront(t, model.Settings{})
	for accept, jwt := range map[string]bool{
		"application/token-introspection+jwt":                         true,
		"application/json, Application/Token-Introspection+JWT;q=0.5": true,
		"application/token-introspection+jwt;q=0, */*":                false,
		"application/token-introspection+jwt;q=x":                     false,
		"application/json": false,
		"*/*":              false,
		"":                 false,
	} {
		r := direct(t, f.http.URL+"/introspect", url.Values{"token": {"x"}})
		r.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := new(strings.Builder)
		_, _ = bufio.NewReader(resp.Body).WriteTo(body)
		resp.Body.Close()
		want := "application/json"
		answer := body.String()
		if jwt {
			want = introspectionJWT
			payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(answer+"..", ".")[1])
			answer = string(payload)
		}
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != want || resp.Header.Get("Cache-Control") != "no-store" || !strings.Contains(answer, `"active":false`) {
			t.Errorf("%q: %d %v %s", accept, resp.StatusCode, resp.Header, answer)
		}
	}
}
