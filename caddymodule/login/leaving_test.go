package login

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// OpenID Connect Front-Channel Logout §3: the page that tells clients, and
// nobody else, and goes on.
func TestFrontChannelLogout(t *testing.T) {
	e := newEnv(t)
	b, hint := e.withHint()
	b.visit("framed")
	b.visit("framed2")
	p := b.get(signOutPath("id_token_hint", hint, "post_logout_redirect_uri", loggedOut, "state", "s"))
	p.want(t, 200, "/end_session", `<a id="next" href="https://client.example/out?state=s">Go on to <bdi>The &lt;b&gt;Shop&lt;/b&gt;</bdi></a>`)
	sid := claims(t, hint)["sid"].(string)
	for _, frame := range []string{
		`<iframe src="https://framed.example/out?a=b&amp;iss=http%3A%2F%2Flocalhost%3A8080&amp;sid=` + sid + `" hidden sandbox="`,
		`<iframe src="https://Framed2.example:8443/out" hidden sandbox="`,
	} {
		if !strings.Contains(p.body, frame) {
			t.Errorf("%s is not in %s", frame, p.body)
		}
	}
	if n := strings.Count(p.body, "<iframe"); n != 2 {
		t.Errorf("%d frames", n)
	}
	policy := directives(p.header.Get("Content-Security-Policy"))
	script := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindStringSubmatch(p.body)
	sum := sha256.Sum256([]byte(script[1]))
	for name, want := range map[string]string{
		"default-src": "'none'", "frame-ancestors": "'none'", "base-uri": "'none'", "form-action": "'self'",
		"script-src": "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
	} {
		if policy[name] != want {
			t.Errorf("%s %s, want %s", name, policy[name], want)
		}
	}
	if got := policy["frame-src"]; got != "https://framed.example https://framed2.example:8443" && got != "https://framed2.example:8443 https://framed.example" {
		t.Errorf("frame-src %s", got)
	}
	if got := p.header.Get("Refresh"); got != "5; url=https://client.example/out?state=s" {
		t.Errorf("Refresh: %s", got)
	}
	b.wantSignedIn(false)
	// Without an address to go on to, it stays.
	b, hint = e.withHint()
	b.visit("framed")
	p = b.get(signOutPath("id_token_hint", hint)).want(t, 200, "/end_session", "You are signed out")
	if p.header.Get("Refresh") != "" || strings.Contains(p.body, `id="next"`) || !strings.Contains(p.body, "<iframe") {
		t.Errorf("%v %s", p.header, p.body)
	}
	// By hand, and to an application on the device.
	b, _ = e.withHint()
	b.visit("framed")
	p = b.submit(b.get(signOutPath("client_id", "framed", "post_logout_redirect_uri", "com.example.framed:/out")))
	p.want(t, 200, "/end_session", `<a id="next" href="com.example.framed:/out">`)
}

func directives(policy string) map[string]string {
	list := map[string]string{}
	for directive := range strings.SplitSeq(policy, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), " ")
		list[name] = value
	}
	return list
}

// What clients register shapes neither the policy nor the page (CVE-2025-67495).
func TestThreat33FramesFromOddAddresses(t *testing.T) {
	e := newEnv(t)
	b, hint := e.withHint()
	b.visit("odd")
	b.visit("odd2")
	b.visit("framed")
	p := b.get(signOutPath("id_token_hint", hint)).want(t, 200, "/end_session", "<iframe")
	if policy := p.header.Get("Content-Security-Policy"); strings.Contains(policy, "*") || strings.Contains(policy, "unsafe") || strings.Count(p.body, "<iframe") != 1 {
		t.Errorf("%s\n%s", policy, p.body)
	}
	frames, origins := framesOf([]string{"javascript:alert(1)", "data:text/html,x", "https://a b/", "//a.example", "https://a.example,b.example/", "https://[::1]/", "https:///x", "https://a.example:x/"})
	if len(frames)+len(origins) > 0 {
		t.Errorf("%q %q", frames, origins)
	}
}

// A page of the operator's own that tells nobody is noticed at the start.
func TestLeavingTemplateHasFrames(t *testing.T) {
	for content, want := range map[string]string{
		`{{define "main"}}<h1>{{.Title}}</h1>{{end}}`:                                                               "leaving.html: there is no frame",
		`{{define "main"}}{{range .Frames}}<iframe src="{{.}}"></iframe>{{end}}<script>{{.Script}}</script>{{end}}`: "",
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, pageLeaving), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := CheckTemplates(folder); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}
