package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	mcpIssuer   = "http://localhost:8160"
	mcpResource = "http://localhost:8161/mcp"
	mcpDocument = "http://localhost:8161/.well-known/oauth-protected-resource/mcp"
)

// mcpServer is the example of that name: a Model Context Protocol server that
// knows nothing of tokens, guarded as the protocol's revision 2025-11-25 says.
func mcpServer(t *testing.T, s *server) {
	s.as = mcpIssuer
	mcpVersions(t)
	program := prepare(t, "")
	program.launch(exec.Command(buildExample(t, "mcp-server")))
	wait(t, "the MCP server to listen", func() error { _, err := try(plain, "GET", "http://localhost:8162/mcp", ""); return err })
	t.Run("metadata", mcpMetadata)
	t.Run("sdk", mcpClient)
	t.Run("audience", func(t *testing.T) { mcpAudience(t, s) })
	t.Run("origin", mcpOrigin)
	t.Run("conformance, authorization", func(t *testing.T) { mcpAuthorization(t, s) })
	t.Run("conformance, server", func(t *testing.T) { mcpConformance(t, s) })
}

// mcpVersions: README.md says with what the example was tried, and that is what runs here.
func mcpVersions(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "examples", "mcp-server", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	packages, err := os.ReadFile(filepath.Join("testdata", "package.json"))
	var list struct{ Dependencies map[string]string }
	if err != nil || json.Unmarshal(packages, &list) != nil {
		t.Fatalf("%v: %s", err, packages)
	}
	for _, name := range []string{"@modelcontextprotocol/sdk", "@modelcontextprotocol/conformance"} {
		if version := list.Dependencies[name]; !strings.Contains(string(readme), "`"+name+"` "+version+",") {
			t.Errorf("README.md does not say that %s is %s", name, version)
		}
	}
}

// mcpMetadata: what clients configure themselves from (RFC 9728 §2, RFC 8414 §2).
func mcpMetadata(t *testing.T) {
	want := map[string]any{
		"resource": mcpResource, "authorization_servers": []any{mcpIssuer}, "scopes_supported": []any{"mcp:tools"}, "bearer_methods_supported": []any{"header"},
	}
	if diff := cmp.Diff(want, get(t, mcpDocument).want(t, http.StatusOK).json(t)); diff != "" {
		t.Error(diff)
	}
	metadata := get(t, mcpIssuer+"/.well-known/oauth-authorization-server").want(t, http.StatusOK).json(t)
	for name, want := range map[string]any{
		"issuer": mcpIssuer, "registration_endpoint": mcpIssuer + "/register", "code_challenge_methods_supported": []any{"S256"},
		"scopes_supported": []any{"mcp:tools", "mcp:admin"}, "authorization_response_iss_parameter_supported": true,
	} {
		if diff := cmp.Diff(want, metadata[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// mcpFlow is what came of a flow of testdata/mcp.mjs.
type mcpFlow struct {
	Error, Tools, Read, Posted, Still, Refused string
	Asked                                      any // the authorization request, its scopes, or how many there were
	Replaced                                   bool
	Exchanges                                  []string
}

var (
	mcpDiscovery = []string{"GET " + mcpDocument + " 200", "GET " + mcpIssuer + "/.well-known/oauth-authorization-server 200"}
	mcpRedeem    = "POST " + mcpIssuer + "/token 200 authorization_code " + mcpResource + " code_verifier"
	mcpChallenge = "POST " + mcpResource + ` 401 Bearer scope="mcp:tools", resource_metadata="` + mcpDocument + `"`
	mcpStepUp    = "POST " + mcpResource + `/admin 403 Bearer error="insufficient_scope", error_description="The access token was not granted the scope that this request needs.", ` +
		`scope="mcp:tools mcp:admin", resource_metadata="` + mcpDocument + `"`
	// mcpSession is the start of a session, and two requests.
	mcpSession = []string{"POST " + mcpResource + " 200", "POST " + mcpResource + " 202", "POST " + mcpResource + " 200", "POST " + mcpResource + " 200"}
	// mcpSignIn is how a client that nobody knows comes to a session: challenge
	// (RFC 9728 §5.1), metadata, discovery (RFC 8414), registration (RFC 7591);
	// then, with the code, a token for the resource (RFC 7636, RFC 8707).
	mcpSignIn = join([]string{mcpChallenge}, mcpDiscovery, []string{"POST " + mcpIssuer + "/register 201"}, mcpDiscovery, []string{mcpRedeem}, mcpSession)
)

func join(lists ...[]string) (all []string) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// mcpClient: the SDK's client finds its way from the server's address alone, and
// from each refusal to what it takes.
func mcpClient(t *testing.T) {
	out, err := node(t, "mcp.mjs", "ISSUER="+mcpIssuer, "SERVER="+mcpResource).Output()
	var flows map[string]mcpFlow
	if err != nil || json.Unmarshal(out, &flows) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	asked := map[string]any{
		"response_type": "code", "redirect_uri": "http://127.0.0.1:33418/callback", "scope": "mcp:tools", "resource": mcpResource, "code_challenge_method": "S256",
	}
	tea, both := "Tea is at four.", "read_notices post_notice"
	known := mcpFlow{Asked: asked, Tools: "read_notices", Read: tea, Exchanges: mcpSignIn}
	again := flows["register again"]
	if again.Error != "" || again.Refused != "UnauthorizedError" || again.Tools != both {
		t.Errorf("register again: %+v", again)
	}
	delete(flows, "register again")
	if diff := cmp.Diff(map[string]mcpFlow{
		"none": known, "client_secret_basic": known, "client_secret_post": known,
		"refresh": {Read: tea, Replaced: true, Asked: 1.0, Exchanges: join(
			[]string{"POST " + mcpResource + ` 401 Bearer error="invalid_token", error_description="The access token is unknown, expired or revoked.", resource_metadata="` + mcpDocument + `"`},
			mcpDiscovery, []string{"POST " + mcpIssuer + "/token 200 refresh_token " + mcpResource, "POST " + mcpResource + " 200"})},
		"step up": {Tools: both, Posted: tea + "\nMind the step. (alice)", Asked: []any{"mcp:tools", "mcp:tools mcp:admin"}, Still: "read_notices",
			Exchanges: join([]string{mcpStepUp}, mcpDiscovery, mcpDiscovery, []string{mcpRedeem, "POST " + mcpResource + "/admin 200", "POST " + mcpResource + "/admin 202",
				"POST " + mcpResource + "/admin 200", "POST " + mcpResource + "/admin 200", "POST " + mcpResource + " 200"})},
		"client credentials": {Read: tea + "\nMind the step. (alice)",
			Exchanges: join([]string{mcpChallenge}, mcpDiscovery, []string{"POST " + mcpIssuer + "/token 200 client_credentials " + mcpResource}, mcpSession[:3])},
	}, flows); diff != "" {
		t.Error(diff)
	}
}

// node is a script of testdata that is about to run, with these variables.
func node(t *testing.T, script string, env ...string) *exec.Cmd {
	t.Helper()
	program := requirePart(t, "node")
	for _, file := range []string{script, "loopback.mjs", "person.mjs", "package-lock.json"} {
		reads(t, filepath.Join("testdata", file))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, filepath.Join("testdata", script))
	cmd.Env = append(os.Environ(), append(env, "USERNAME="+alice, "PASSWORD="+wonder)...)
	cmd.Stderr = t.Output()
	return cmd
}

// mcpToken is a token of alice's for a resource; "" for none in particular.
func mcpToken(t *testing.T, s *server, resource string) string {
	t.Helper()
	r := newRequest("notices-cli", "http://127.0.0.1:1/callback", "mcp:tools")
	if resource != "" {
		r.Set("resource", resource)
	}
	return s.redeem(r, "", s.person(t).code(r, alice, wonder)).want(t, http.StatusOK).text(t, "access_token")
}

// mcpAudience: a token that was asked for another resource is refused (RFC 8707
// §2; Model Context Protocol, Access Token Privilege Restriction).
func mcpAudience(t *testing.T, s *server) {
	for resource, want := range map[string]int{
		mcpResource: http.StatusMethodNotAllowed, // of the MCP server, which has no stream
		"":          http.StatusUnauthorized, mcpResource + "/": http.StatusUnauthorized, "http://localhost:8161/other": http.StatusUnauthorized,
	} {
		got := get(t, mcpResource, "Authorization", "Bearer "+mcpToken(t, s, resource))
		if challenge := got.header.Get("WWW-Authenticate"); got.status != want || strings.Contains(challenge, "not meant for this resource") != (want == http.StatusUnauthorized) {
			t.Errorf("%q: %d %s", resource, got.status, challenge)
		}
	}
}

// mcpOrigin: pages of this machine may call, and read what a client must (CORS);
// others are refused, whatever they bring (Streamable HTTP, Security Warning).
func mcpOrigin(t *testing.T) {
	const page = "http://localhost:6274"
	for _, address := range []string{mcpResource, mcpResource + "/admin", mcpDocument} {
		preflight := send(t, "OPTIONS", address, "", "Origin", page, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,mcp-protocol-version").
			want(t, http.StatusNoContent).header
		if allowed := preflight.Get("Access-Control-Allow-Headers"); preflight.Get("Access-Control-Allow-Origin") != page || !strings.Contains(allowed, "Authorization") || !strings.Contains(allowed, "Mcp-Protocol-Version") {
			t.Errorf("%s: %v", address, preflight)
		}
		for _, foreign := range []string{"http://evil.example.com", "http://localhost.example.com", "http://localhost:8161.example.com", "https://localhost", "null"} {
			got := get(t, address, "Origin", foreign).want(t, http.StatusForbidden)
			if got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s may read %s", foreign, address)
			}
		}
		get(t, address, "Host", "evil.example.com").want(t, http.StatusMisdirectedRequest)
	}
	if got := get(t, mcpResource, "Origin", page).want(t, http.StatusUnauthorized).header; got.Get("Access-Control-Allow-Origin") != page || !strings.Contains(got.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
		t.Errorf("the page cannot read the challenge: %v", got)
	}
	get(t, "http://localhost:8161/other").want(t, http.StatusNotFound)
}

// conformance is @modelcontextprotocol/conformance about to run, and the folder
// that it puts its results into.
func conformance(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	folder := t.TempDir()
	cmd := node(t, "conformance.mjs")
	cmd.Args = append(cmd.Args, append(args, "--output-dir", folder)...)
	return cmd, folder
}

// mcpChecks are what a run has found, by the checks' names; what informs alone is left out.
func mcpChecks(t *testing.T, folder string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, file := range files {
		var checks []struct{ ID, Status, ErrorMessage string }
		text, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(text, &checks) != nil {
			t.Fatalf("%v: %s", err, text)
		}
		for _, c := range checks {
			if c.Status != "INFO" {
				found[c.ID] = strings.TrimSpace(c.Status + " " + c.ErrorMessage)
			}
		}
	}
	return found
}

// mcpAuthorization: the conformance tool's scenarios for authorization servers.
// The warning is true: a client_id is no URL of a metadata document here.
func mcpAuthorization(t *testing.T, s *server) {
	cmd, folder := conformance(t, "authorization", "--url", mcpIssuer, "--client-id", "notices-cli", "--resource", mcpResource, "--port", freePort(t))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if query, ok := strings.CutPrefix(lines.Text(), mcpIssuer+"/authorize?"); ok {
			asked, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			answer := s.person(t).authorize(&request{Values: asked}, alice, wonder)
			get(t, asked.Get("redirect_uri")+"?"+answer.Encode()).want(t, http.StatusOK)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]string{
		"authorization-server-metadata":      "SUCCESS",
		"authorization-server-metadata-cimd": `WARNING Authorization server metadata does not include "client_id_metadata_document_supported"`,
		"authorization-code-grant":           "SUCCESS",
	}, mcpChecks(t, folder)); diff != "" {
		t.Error(diff)
	}
}

// mcpConformance: the conformance tool's scenarios for MCP servers that this one
// has the parts for. The tool has no token; a relay adds it.
func mcpConformance(t *testing.T, s *server) {
	gateway, err := url.Parse("http://localhost:8161")
	if err != nil {
		t.Fatal(err)
	}
	token := mcpToken(t, s, mcpResource)
	relay := httptest.NewUnstartedServer(nil)
	own := relay.Listener.Addr().String()
	relay.Config.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(gateway)
		if r.In.Host != own {
			r.Out.Host = r.In.Host
		}
		r.Out.Header.Set("Authorization", "Bearer "+token)
	}}
	relay.Start()
	defer relay.Close()
	for scenario, want := range map[string]map[string]string{
		"server-initialize":        {"server-initialize": "SUCCESS", "wire-schema-valid": "SUCCESS"},
		"ping":                     {"ping": "SUCCESS", "wire-schema-valid": "SUCCESS"},
		"tools-list":               {"tools-list": "SUCCESS", "tools-name-format": "SUCCESS", "wire-schema-valid": "SUCCESS"},
		"dns-rebinding-protection": {"localhost-host-rebinding-rejected": "SUCCESS", "localhost-host-valid-accepted": "SUCCESS"},
	} {
		t.Run(scenario, func(t *testing.T) {
			cmd, folder := conformance(t, "server", "--url", relay.URL+"/mcp", "--spec-version", "2025-11-25", "--scenario", scenario)
			if out, err := cmd.Output(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			if diff := cmp.Diff(want, mcpChecks(t, folder)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
