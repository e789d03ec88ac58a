package bearer_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
	"github.com/gatehouse-auth/gatehouse/caddymodule/serving"
	"github.com/gatehouse-auth/gatehouse/introspect"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// oracle is an introspector whose tokens hold their own facts, and which counts
// what it is asked. The token "down" is one that nobody can tell about.
type oracle struct {
	Name  string   `json:"name"`
	Takes []string `json:"takes"`
}

// asked counts introspections, open the oracles that have not been closed.
var asked, open atomic.Int64

func init() { caddy.RegisterModule(new(oracle)) }

func (*oracle) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.introspectors.oracle", New: func() caddy.Module { return new(oracle) }}
}

// UnmarshalCaddyfile reads: introspector <name> oracle <name> [<issuer...>]
func (o *oracle) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if args := d.RemainingArgs(); len(args) > 0 {
		o.Name, o.Takes = args[0], args[1:]
		return nil
	}
	return d.ArgErr()
}

func (o *oracle) Declare() serving.Declaration {
	return serving.Declaration{
		Key: "oracle " + o.Name, Identity: o.Name, Issuers: o.Takes,
		Takes: []introspect.Candidate{{Prefixes: []string{o.Name + "."}}},
	}
}

func (o *oracle) Open(*introspect.Cache) (serving.Authority, error) {
	open.Add(1)
	return o, nil
}

func (o *oracle) Introspect(_ context.Context, token string) (*introspect.Facts, error) {
	asked.Add(1)
	_, coded, _ := strings.Cut(token, ".")
	switch coded {
	case "down":
		return nil, errors.New("connection refused")
	case "unknown":
		return &introspect.Facts{}, nil
	}
	body, err := base64.RawURLEncoding.DecodeString(coded)
	if err != nil {
		return &introspect.Facts{}, nil
	}
	return introspect.ParseFacts(body)
}

func (o *oracle) Status() any { return map[string]string{"name": o.Name} }
func (o *oracle) Close()      { open.Add(-1) }

// tokenOf makes a token of an oracle with these facts, active.
func tokenOf(name, facts string) string {
	return name + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"active":true,"x":0`+strings.Replace(strings.Replace(facts, "{}", "}", 1), `{"`, `,"`, 1)))
}

// site is a Caddy in this process whose server and admin endpoint are sockets.
// Each configuration has its own, since Caddy shuts the server before it down in
// the background, which meanwhile takes connections of a socket that both have
// and drops requests that arrive there (net/http, Server.Shutdown).
type site struct {
	*testing.T
	folder string
	client *http.Client
	admin  *http.Client
}

// configurations counts those that were run.
var configurations atomic.Int64

// tryStart runs these options and these routes; again, it reloads. The name of
// the sockets is returned.
func tryStart(folder, options, routes string) (name string, err error) {
	name = strconv.FormatInt(configurations.Add(1), 10) + ".sock"
	config, err := adapt(fmt.Sprintf("{\n\tadmin unix/%[1]s/admin%[4]s\n\tstorage file_system %[1]s/caddy\n\tlog {\n\t\toutput file %[1]s/log\n\t\tlevel DEBUG\n\t}\n\tgatehouse {\n%[2]s\n\t}\n}\nhttp:// {\n\tbind unix/%[1]s/http%[4]s\n\tlog\n%[3]s\n}", folder, options, routes, name))
	if err != nil {
		return "", err
	}
	return name, caddy.Load(config, true)
}

func start(t *testing.T, folder, options, routes string) *site {
	t.Helper()
	name, err := tryStart(folder, options, routes)
	if err != nil {
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

func adapt(text string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	return config, err
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

// answer is what came back.
type answer struct {
	status int
	body   string
	header http.Header
}

// get asks for a path with a bearer token, if there is one, and other headers.
func (s *site) get(path, token string, header ...string) answer {
	s.Helper()
	return s.ask(s.client, path, token, header...)
}

func (s *site) ask(client *http.Client, path, token string, header ...string) answer {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer{resp.StatusCode, string(body), resp.Header}
}

func mustParse(t *testing.T, config []byte) *caddy.Config {
	t.Helper()
	var parsed caddy.Config
	if err := json.Unmarshal(config, &parsed); err != nil {
		t.Fatal(err)
	}
	return &parsed
}
