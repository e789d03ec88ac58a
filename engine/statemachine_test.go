package engine_test

import (
	"flag"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// family is what a test expects of the tokens of one grant.
type family struct {
	client  string
	ended   bool
	tokens  []*refreshing // in the order of their succession; one, when it is kept
	access  string        // the one that counts; empty when it was revoked
	expires time.Time     // of access
}

// refreshing is a refresh token and what came with it.
type refreshing struct {
	text, access string
	until        time.Time
}

// tokenMachine holds an engine against a simple model of it: a list of families.
type tokenMachine struct {
	*house
	single   bool
	families []*family
	retired  []string // access tokens that must not be good any more
}

const (
	accessLasts  = 100 * time.Second
	refreshLasts = 1000 * time.Second
)

func (m *tokenMachine) pick(t *rapid.T) *family {
	if len(m.families) == 0 {
		t.Skip("no family yet")
	}
	return rapid.SampledFrom(m.families).Draw(t, "family")
}

func (f *family) newest() *refreshing { return f.tokens[len(f.tokens)-1] }

func (m *tokenMachine) retire(f *family) {
	if f.access != "" {
		m.retired = append(m.retired, f.access)
	}
	f.access = ""
}

func (m *tokenMachine) got(f *family, resp *engine.TokenResponse) {
	m.retire(f)
	f.access, f.expires = resp.AccessToken, m.clock().Add(accessLasts)
}

// begin goes through an authorization: "spa" has its refresh token replaced,
// "web" keeps it.
func (m *tokenMachine) begin(t *rapid.T) {
	if len(m.families) == 3 {
		t.Skip("few families, each with a long life")
	}
	f := &family{client: rapid.SampledFrom([]string{"spa", "web"}).Draw(t, "client")}
	resp := m.redeem(f.client, m.code(f.client))
	if resp.Action != model.ActionOK {
		t.Fatalf("no tokens: %s", resp.ResponseContent)
	}
	if m.single {
		for _, other := range m.families {
			if other.client == f.client {
				m.retire(other)
			}
		}
	}
	m.got(f, resp)
	f.tokens = []*refreshing{{resp.RefreshToken, resp.AccessToken, m.clock().Add(refreshLasts)}}
	m.families = append(m.families, f)
}

// use presents refresh tokens of a family, one after the other.
func (m *tokenMachine) use(t *rapid.T) {
	f := m.pick(t)
	for range rapid.IntRange(1, 5).Draw(t, "times") {
		m.present(t, f, rapid.IntRange(0, min(2, len(f.tokens)-1)).Draw(t, "age"))
		m.check(t)
	}
}

// present presents one refresh token: the newest is refreshed, the one before it
// is answered again, an older one ends the family.
func (m *tokenMachine) present(t *rapid.T, f *family, age int) {
	used := f.tokens[len(f.tokens)-1-age]
	resp := m.refresh(f.client, used.text)
	refused := f.ended || !m.clock().Before(used.until)
	switch {
	case refused || age > 1:
		if errorCode(resp.ResponseContent) != "invalid_grant" {
			t.Fatalf("a refresh token that is %d old, ended %v: %s", age, refused, resp.ResponseContent)
		}
		if !refused { // reuse
			f.ended = true
			m.retire(f)
		}
	case resp.Action != model.ActionOK:
		t.Fatalf("refused: %s", resp.ResponseContent)
	case age == 1: // a lost answer; an access token that has ended is given in some form, good for nothing
		if resp.RefreshToken != f.newest().text || resp.AccessToken != f.newest().access && m.usable(resp.AccessToken) {
			t.Fatalf("another pair was given")
		}
	case f.client == "web":
		if resp.RefreshToken != used.text {
			t.Fatalf("a token that is kept was replaced")
		}
		m.got(f, resp)
	default:
		if resp.RefreshToken == used.text || resp.AccessToken == used.access {
			t.Fatalf("nothing was replaced")
		}
		m.got(f, resp)
		f.tokens = append(f.tokens, &refreshing{resp.RefreshToken, resp.AccessToken, m.clock().Add(refreshLasts)})
	}
}

// steal presents a refresh token as another client.
func (m *tokenMachine) steal(t *rapid.T) {
	f := m.pick(t)
	thief := map[string]string{"spa": "spa2", "web": "web2"}[f.client]
	if resp := m.refresh(thief, f.newest().text); errorCode(resp.ResponseContent) != "invalid_grant" {
		t.Fatalf("another client refreshes: %s", resp.ResponseContent)
	}
}

func (m *tokenMachine) revokeAccess(t *rapid.T) {
	f := m.pick(t)
	if f.access != "" {
		m.house.revoke(f.client, f.access)
		m.retire(f)
	}
}

// revokeRefresh ends the family, by whichever refresh token that has not expired
// (RFC 7009 §2.1).
func (m *tokenMachine) revokeRefresh(t *rapid.T) {
	f := m.pick(t)
	token := rapid.SampledFrom(f.tokens).Draw(t, "token")
	m.house.revoke(f.client, token.text)
	if m.clock().Before(token.until) {
		f.ended = true
		m.retire(f)
	}
}

func (m *tokenMachine) revokeSubject(t *rapid.T) {
	if err := m.engine.RevokeGrants(m.Context(), m.service.ID, "alice", 0); err != nil {
		t.Fatal(err)
	}
	for _, f := range m.families {
		f.ended = true
		m.retire(f)
	}
}

func (m *tokenMachine) wait(t *rapid.T) {
	m.pass(time.Duration(rapid.SampledFrom([]int{1, 10, 50, 100, 500}).Draw(t, "seconds")) * time.Second)
}

func (m *tokenMachine) clean(*rapid.T) { m.sweep() }

// check holds the tokens that count against what is expected of them, and those
// that ended last.
func (m *tokenMachine) check(t *rapid.T) {
	for _, f := range m.families {
		if want := f.access != "" && m.clock().Before(f.expires); f.access != "" && m.usable(f.access) != want {
			t.Fatalf("an access token of %s is usable: %v, want %v", f.client, !want, want)
		}
	}
	m.checkRetired(t, m.retired[max(0, len(m.retired)-2):])
}

func (m *tokenMachine) checkRetired(t *rapid.T, tokens []string) {
	for _, token := range tokens {
		if m.usable(token) {
			t.Fatalf("a token that had ended is usable")
		}
	}
}

// tryLess makes fewer tries than rapid does by default: each of these goes through
// a database many times.
func tryLess(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	if before := checks.Value.String(); before == checks.DefValue {
		_ = checks.Value.Set("30")
		t.Cleanup(func() { _ = checks.Value.Set(before) })
	}
}

// threats.md 2, 18 (RFC 6749 §6, RFC 7009 §2.1, RFC 9700 §4.14.2): in whatever
// order tokens are issued, refreshed, presented again, stolen, revoked and swept,
// what is usable is what a simple model says.
func TestTokensAgainstAModel(t *testing.T) {
	tryLess(t)
	for name, settings := range map[string]model.Settings{
		"opaque": nil, "JWT, single": {"accessTokenSignAlg": raw("EdDSA"), "singleAccessTokenPerSubject": raw(true)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := with(settings, "accessTokenDuration", int(accessLasts/time.Second), "refreshTokenDuration", int(refreshLasts/time.Second))
			h := open(t, all)
			rapid.Check(t, func(rt *rapid.T) {
				if err := h.engine.RevokeGrants(t.Context(), h.service.ID, "alice", 0); err != nil {
					rt.Fatal(err)
				}
				m := &tokenMachine{house: h, single: settings != nil}
				rt.Repeat(map[string]func(*rapid.T){
					"": m.check, "begin": m.begin, "use": m.use, "use again": m.use, "steal": m.steal, "revoke an access token": m.revokeAccess,
					"revoke a refresh token": m.revokeRefresh, "revoke a subject": m.revokeSubject, "wait": m.wait, "sweep": m.clean,
				})
				m.checkRetired(rt, m.retired)
			})
		})
	}
}
