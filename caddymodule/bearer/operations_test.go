package bearer_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// recording traces every request into memory, in the place of Caddy's tracing.
type recording struct{}

var spans = tracetest.NewInMemoryExporter()
var tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

func init() {
	caddy.RegisterModule(recording{})
	httpcaddyfile.RegisterHandlerDirective("recording", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) { return recording{}, nil })
	httpcaddyfile.RegisterDirectiveOrder("recording", httpcaddyfile.After, "tracing")
}

func (recording) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.recording", New: func() caddy.Module { return recording{} }}
}

func (recording) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	ctx, span := tracers.Tracer("caddy").Start(r.Context(), "request")
	defer span.End()
	return next.ServeHTTP(w, r.WithContext(ctx))
}

// TestOperatorsSee: metrics, spans and the audit log tell what the gateway did,
// with a digest in place of the token (promise 13, threats 32 and 34).
func TestOperatorsSee(t *testing.T) {
	spans.Reset()
	folder := shortDir(t)
	s := start(t, folder, "introspector one oracle seen", "recording\ngatehouse_bearer {\naudit\nrealm orders\nscopes a\n}\nrespond fine")
	good, weak := tokenOf("seen", `{"sub":"alice","client_id":"shop","scope":"a"}`), tokenOf("seen", `{"sub":"alice"}`)
	for token, want := range map[string]int{good: 200, weak: 403, "seen.unknown": 401, "seen.down": 503, "": 401} {
		if got := s.get("/orders?secret=1", token); got.status != want {
			t.Errorf("%s: %d", token, got.status)
		}
	}
	metrics := s.ask(s.admin, "/metrics", "").body
	for _, want := range []string{
		`gatehouse_refusals_total{realm="orders",reason="scope"} 1`,
		`gatehouse_refusals_total{realm="orders",reason="not_active"} 1`,
		`gatehouse_refusals_total{realm="orders",reason="unavailable"} 1`,
		`gatehouse_refusals_total{realm="orders",reason="no_token"} 1`,
		`gatehouse_introspections_total{introspector="one",result="failed"} 1`,
		`gatehouse_introspection_seconds_count{introspector="one"} 4`,
		`gatehouse_cache_lookups_total{introspector="one",result="miss"} 4`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	recorded, refused := 0, 0
	for _, span := range spans.GetSpans() {
		for _, attribute := range span.Attributes {
			if strings.Contains(attribute.Value.String(), good) {
				t.Errorf("a span holds the token: %v", attribute)
			}
			if attribute.Key == "gatehouse.refused" {
				refused++
			}
		}
		if span.Name == "introspection" {
			recorded++
			if !span.Parent.IsValid() {
				t.Error("an introspection is no child of its request")
			}
		}
	}
	if recorded != 4 || refused != 4 {
		t.Errorf("%d introspections and %d refusals in the trace, want 4 and 4", recorded, refused)
	}
	log, err := os.ReadFile(filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.SplitSeq(string(log), "\n") {
		if strings.Contains(line, good) || strings.Contains(line, weak) {
			t.Errorf("the log holds a token: %s", line)
		}
		if !strings.Contains(line, `"logger":"http.handlers.gatehouse_bearer.audit"`) {
			continue
		}
		lines++
		if strings.Contains(line, "secret=1") {
			t.Errorf("the audit log holds a query: %s", line)
		}
		if strings.Contains(line, `"let through"`) && !(strings.Contains(line, `"sub":"alice"`) && strings.Contains(line, `"client_id":"shop"`) && strings.Contains(line, `"path":"/orders"`)) {
			t.Errorf("the audit log says too little: %s", line)
		}
	}
	if lines != 5 {
		t.Errorf("%d lines in the audit log for 5 requests", lines)
	}
}

// While nobody can tell about tokens the log says so, and does not grow with the
// load: the disk that it fills may be what is full. The metrics count.
func TestOutageDoesNotFillTheLog(t *testing.T) {
	folder := shortDir(t)
	s := start(t, folder, "introspector one oracle out", "gatehouse_bearer {\nrealm outage\n}\nrespond fine")
	const requests = 100
	began := time.Now()
	for range requests {
		if got := s.get("/", "out.down"); got.status != 503 {
			t.Fatalf("%d", got.status)
		}
	}
	most := 1 + int(time.Since(began)/time.Second)
	log, err := os.ReadFile(filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), `"msg":"no introspection"`); n == 0 || n > most {
		t.Errorf("%d lines of %d requests, want one to %d", n, requests, most)
	}
	if !strings.Contains(string(log), "connection refused") {
		t.Error("the log does not say why")
	}
	if want := `gatehouse_refusals_total{realm="outage",reason="unavailable"} 100`; !strings.Contains(s.ask(s.admin, "/metrics", "").body, want) {
		t.Errorf("the metrics lack %s", want)
	}
}

// TestAdminShowsRoutes: an operator sees each guarded route with its matchers
// and its policy, and how those stand that are asked.
func TestAdminShowsRoutes(t *testing.T) {
	s := start(t, shortDir(t), "introspector one oracle a https://a.example", `
handle /orders/* {
	gatehouse_bearer {
		scopes orders:read
		client shop
		resource http://localhost/orders
	}
	respond fine
}
handle {
	gatehouse_bearer {
		optional
		upstream exchange http://localhost:1/token {
			client_id gateway
			client_secret not-to-be-shown
		}
	}
	respond fine
}`)
	var routes []struct {
		Server string
		Listen []string
		Match  []any
		Policy struct {
			Scopes          []string
			Client          []string
			Optional        bool
			Asked           []string
			AcceptedIssuers []string `json:"accepted_issuers"`
			Metadata        string   `json:"resource_metadata"`
		}
	}
	body := s.ask(s.admin, "/gatehouse/routes", "").body
	if err := json.Unmarshal([]byte(body), &routes); err != nil || len(routes) != 2 {
		t.Fatalf("%v: %s", err, body)
	}
	first := routes[0]
	if first.Policy.Scopes[0] != "orders:read" || first.Policy.Client[0] != "shop" || first.Policy.Asked[0] != "one" || first.Policy.AcceptedIssuers[0] != "https://a.example" ||
		first.Policy.Metadata != "http://localhost/.well-known/oauth-protected-resource/orders" || len(first.Listen) != 1 {
		t.Errorf("%s", body)
	}
	if match, _ := json.Marshal(first.Match); !strings.Contains(string(match), "/orders/*") {
		t.Errorf("matchers: %s", match)
	}
	if !strings.Contains(body, `"client_id":"gateway"`) || strings.Contains(body, "not-to-be-shown") {
		t.Errorf("of an exchange the operator sees %s", body)
	}
	if !routes[1].Policy.Optional {
		t.Errorf("%s", body)
	}
	got := s.ask(s.admin, "/gatehouse/health", "")
	if got.status != 200 || !strings.Contains(got.body, `"ok":true`) || !strings.Contains(got.body, `{"name":"one","status":{"name":"a"}}`) {
		t.Errorf("health: %d %s", got.status, got.body)
	}
}
