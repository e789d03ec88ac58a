package relyingparty

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/caddymodule/errorlog"
)

// clock is a clock that stands still until it is moved.
type clock struct{ offset, start atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.start.Store(time.Now().Unix())
	return c
}

func (c *clock) now() time.Time { return time.Unix(c.start.Load()+c.offset.Load(), 0) }

func (c *clock) move(d time.Duration) { c.offset.Add(int64(d / time.Second)) }

// options are the handler's JSON.
type options map[string]any

// site is a web application behind the handler, and its provider.
type site struct {
	t        *testing.T
	clock    *clock
	provider *fakeProvider
	http     *httptest.Server
	handler  atomic.Pointer[Handler]
	folder   string // of Caddy's storage
	base     options
	more     options // of the handler that runs
	logs     *observer.ObservedLogs
	log      *zap.Logger

	mu   sync.Mutex
	last http.Header // what the application got last
	seen int         // how often it was asked
}

func newSite(t *testing.T, more options) *site {
	t.Helper()
	s := &site{t: t, clock: newClock(), folder: t.TempDir()}
	core, logs := observer.New(zapcore.DebugLevel)
	s.log, s.logs = zap.New(core), logs
	t.Cleanup(func() {
		for _, line := range logs.All() {
			if t.Failed() {
				t.Log(line.Message, line.ContextMap())
			}
		}
	})
	s.provider = newFakeProvider(t, s.clock.now)
	s.http = serveTLS(t, s.serve)
	trust := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(trust, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s.base = options{
		"issuer": s.provider.http.URL, "client_id": "web", "client_secret": "the secret", "origin": s.http.URL,
		"scopes": []string{"openid", "orders"}, "trust": []string{trust},
		"forward": []map[string]string{{"Claim": "sub", "Header": "X-User"}, {"Claim": "email", "Header": "X-Email"}},
	}
	s.load(more)
	return s
}

// node is another node of the site's cluster: it has the same storage, and a
// memory of its own.
func (s *site) node() *site {
	s.t.Helper()
	n := &site{t: s.t, clock: s.clock, provider: s.provider, folder: s.folder + "/.", base: s.base, log: s.log}
	n.http = serveTLS(s.t, n.serve)
	n.load(s.more)
	return n
}

// serve is Caddy's way to the handler, which a rewrite comes before.
func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	h := s.handler.Load()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	r.URL.Path = "/rewritten" + r.URL.Path
	if err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(s.application)); err != nil {
		s.t.Errorf("%s: %v", r.URL.Path, err)
	}
}

func (s *site) application(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	s.last, s.seen = r.Header.Clone(), s.seen+1
	s.mu.Unlock()
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, err := io.WriteString(w, repl.ReplaceAll("hello {http.auth.user.id}|{http.auth.user.roles}|{http.auth.user.nothing}", "?"))
	return err
}

// received is the header that the application got last.
func (s *site) received() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *site) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// load starts the handler with these options beside the usual ones, or replaces
// the one that runs, as a reload does.
func (s *site) load(more options) *Handler {
	s.t.Helper()
	h, err := s.provision(more)
	if err != nil {
		s.t.Fatal(err)
	}
	s.more = more
	if before := s.handler.Swap(h); before != nil {
		_ = before.Cleanup()
	} else {
		s.t.Cleanup(func() { _ = s.handler.Load().Cleanup() })
	}
	return h
}

func (s *site) provision(more options) (*Handler, error) {
	s.t.Helper()
	all := maps.Clone(s.base)
	maps.Copy(all, more)
	return provision(s.t, s.folder, s.clock.now, s.log, all)
}

// provision makes a handler as Caddy does.
func provision(t *testing.T, folder string, now func() time.Time, log *zap.Logger, all options) (*Handler, error) {
	t.Helper()
	storage, _ := json.Marshal(map[string]string{"module": "file_system", "root": folder})
	ctx, err := caddy.ProvisionContext(&caddy.Config{StorageRaw: storage, Admin: &caddy.AdminConfig{Disabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{now: now}
	if err := json.Unmarshal(config, h); err != nil {
		t.Fatal(err)
	}
	if err = h.Provision(ctx); err == nil {
		h.logger = errorlog.New(log)
		if err = h.Validate(); err == nil {
			return h, nil
		}
	}
	_ = h.Cleanup()
	return nil, err
}

// browser is somebody at a browser.
type browser struct {
	site   *site
	client *http.Client
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s, &http.Client{Jar: jar, Transport: s.http.Client().Transport, Timeout: 30 * time.Second}}
}

// answer is an answer that has been read.
type answer struct {
	status int
	header http.Header
	body   string
	url    *url.URL
}

// do sends a request with headers: name, value, …. A path is the site's.
func (b *browser) do(method, address, body string, header ...string) *answer {
	b.site.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.site.http.URL + address
	}
	r, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(body))
	if err != nil {
		b.site.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.site.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.site.t.Fatal(err)
	}
	return &answer{resp.StatusCode, resp.Header, string(text), resp.Request.URL}
}

// open opens a page in a window, and follows redirects.
func (b *browser) open(address string, header ...string) *answer {
	b.site.t.Helper()
	return b.do(http.MethodGet, address, "", append(header, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none")...)
}

// step opens a page and follows nothing.
func (b *browser) step(address string, header ...string) *answer {
	b.site.t.Helper()
	follow := b.client.CheckRedirect
	defer func() { b.client.CheckRedirect = follow }()
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b.open(address, header...)
}

// fetch is a script's request.
func (b *browser) fetch(path string, header ...string) *answer {
	b.site.t.Helper()
	return b.do(http.MethodGet, path, "", append(header, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin", "Accept", "*/*")...)
}

func (a *answer) want(t *testing.T, status int, text string) *answer {
	t.Helper()
	if a.status != status || !strings.Contains(a.body, text) {
		body := a.body[strings.Index(a.body, "<body>")+1:]
		t.Fatalf("%s: %d %.300s, want %d and %q", a.url, a.status, body, status, text)
	}
	return a
}

// signedIn is a browser with a session.
func (s *site) signedIn() *browser {
	s.t.Helper()
	b := s.browser()
	b.open("/").want(s.t, http.StatusOK, "hello alice")
	return b
}

// cookies are those that the browser has for the site, by name.
func (b *browser) cookies() map[string]string {
	u, _ := url.Parse(b.site.http.URL)
	all := map[string]string{}
	for _, c := range b.client.Jar.Cookies(u) {
		all[c.Name] = c.Value
	}
	return all
}

// put gives the browser these cookies, and no other.
func (b *browser) put(cookies map[string]string) {
	b.client.Jar, _ = cookiejar.New(nil)
	u, _ := url.Parse(b.site.http.URL)
	for name, value := range cookies {
		b.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
	}
}

// bothKinds runs a test with cookie sessions and with server sessions.
func bothKinds(t *testing.T, more options, test func(t *testing.T, s *site)) {
	for _, kind := range []string{"cookie", "server"} {
		t.Run(kind, func(t *testing.T) {
			all := options{"session": kind}
			maps.Copy(all, more)
			test(t, newSite(t, all))
		})
	}
}
