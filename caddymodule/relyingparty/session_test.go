package relyingparty

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// files are the storage's, by their path.
func (s *site) files() map[string][]byte {
	s.t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(s.folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Base(filepath.Dir(path)) != "locks" {
			all[path], err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// A session ends after its duration, in use or not, and after its idle time.
func TestSessionEnds(t *testing.T) {
	bothKinds(t, options{"session_duration": "10h", "idle": "1h"}, func(t *testing.T, s *site) {
		idle := s.signedIn()
		s.clock.move(time.Hour - time.Second)
		idle.fetch("/").want(t, http.StatusOK, "hello")
		s.clock.move(time.Hour)
		idle.gone(t)

		used := s.signedIn()
		for range 10*60/50 - 1 {
			s.clock.move(50 * time.Minute)
			used.fetch("/").want(t, http.StatusOK, "hello")
		}
		s.clock.move(50 * time.Minute)
		used.gone(t)

		// A reload shortens sessions that have begun, and lengthens none.
		b := s.signedIn()
		s.clock.move(30 * time.Minute)
		b.fetch("/").want(t, http.StatusOK, "hello")
		s.clock.move(20 * time.Minute)
		kind := s.handler.Load().Session
		s.load(options{"session": kind, "session_duration": "50m", "idle": "40m"})
		b.gone(t)
		b = s.signedIn()
		s.load(options{"session": kind, "session_duration": "10h", "idle": "10h"})
		s.clock.move(50*time.Minute - time.Second)
		b.fetch("/").want(t, http.StatusOK, "hello")
		s.clock.move(time.Second)
		b.gone(t)
	})
}

// The id changes at sign-in (threat 27, CVE-2024-28197): what a browser had
// before is worth nothing after.
func TestNewSession(t *testing.T) {
	bothKinds(t, nil, func(t *testing.T, s *site) {
		b := s.signedIn()
		before := b.cookies()
		s.provider.told(func() { s.provider.subject = "bob" })
		again := s.browser()
		start := again.step("/x").header.Get("Location")
		mixed := again.cookies()
		maps.Copy(mixed, before)
		again.put(mixed)
		again.open(start).want(t, 200, "hello bob")
		for name, value := range again.cookies() {
			if before[name] == value {
				t.Errorf("%s is the same", name)
			}
		}
		b.gone(t) // whose session was replaced
	})
}

// Cookies that were altered, cut, put together from two, or made elsewhere are
// no session, and no error.
func TestAlteredCookies(t *testing.T) {
	bothKinds(t, options{"scopes": []string{"openid"}}, func(t *testing.T, s *site) {
		s.provider.told(func() { s.provider.change = func(c map[string]any) { c["long"] = strings.Repeat("x", 5000) } })
		one, two := s.signedIn().cookies(), s.signedIn().cookies()
		try := func(name string, cookies map[string]string, want int) {
			t.Helper()
			b := s.browser()
			b.put(cookies)
			if a := b.fetch("/"); a.status != want {
				t.Errorf("%s: %d", name, a.status)
			}
		}
		try("as it is", one, 200)
		for name, value := range one {
			for i := 0; i < len(value); i += 1 + len(value)/40 {
				altered := maps.Clone(one)
				c := byte('A')
				if value[i] == c {
					c = 'B'
				}
				altered[name] = value[:i] + string(c) + value[i+1:]
				try("altered", altered, 401)
			}
			cut := maps.Clone(one)
			cut[name] = value[:len(value)-1]
			try("cut", cut, 401)
			delete(cut, name)
			try("a part is missing", cut, 401)
			if len(one) > 1 {
				mixed := maps.Clone(one)
				mixed[name] = two[name]
				try("of two", mixed, 401)
			}
		}
		for _, value := range []string{"", ".", "1.", "9.x", "0.x", "-1.x", "1." + strings.Repeat("A", 100), strings.Repeat("9", 30) + ".x", "zz." + rand.Text(), "../../../secret"} {
			try(value, map[string]string{s.handler.Load().cookies.session: value}, 401)
		}
	})
}

// A session that is larger than a cookie takes several; one that is larger than
// five is refused with a page, and the server keeps what cookies cannot.
func TestLargeSessions(t *testing.T) {
	bothKinds(t, nil, func(t *testing.T, s *site) {
		p := s.provider
		p.told(func() { p.change = func(c map[string]any) { c["long"] = strings.Repeat("x", 5000) } })
		b := s.signedIn()
		cookie := s.handler.Load().Session == "cookie"
		if n := len(b.cookies()); cookie != (n > 1) || n > maxChunks {
			t.Errorf("%d cookies", n)
		}
		for _, value := range b.cookies() {
			if len(value) > 4000 {
				t.Errorf("a cookie of %d bytes", len(value))
			}
		}
		p.told(func() { p.change = nil })
		start := s.browser()
		location := start.step("/x").header.Get("Location")
		both := start.cookies()
		maps.Copy(both, b.cookies())
		start.put(both)
		start.open(location).want(t, 200, "hello")
		if n := len(start.cookies()); n != 1 {
			t.Errorf("%d cookies after a smaller session", n)
		}
		p.told(func() { p.change = func(c map[string]any) { c["long"] = strings.Repeat("x", 16000) } })
		if cookie {
			s.browser().open("/").want(t, http.StatusServiceUnavailable, "not possible")
			return
		}
		s.signedIn()
	})
}

func secret() string {
	raw := make([]byte, secretSize)
	_, _ = rand.Read(raw)
	return hex.EncodeToString(raw)
}

// Secrets rotate: the first seals, all open; a session of a secret that is gone
// is none.
func TestSecretsRotate(t *testing.T) {
	for _, kind := range []string{"cookie", "server"} {
		t.Run(kind, func(t *testing.T) {
			old, now := secret(), secret()
			s := newSite(t, options{"session": kind, "cookie_secrets": []string{old}})
			b := s.signedIn()
			s.load(options{"session": kind, "cookie_secrets": []string{now, old}})
			b.fetch("/").want(t, 200, "hello")
			later := s.signedIn()
			s.load(options{"session": kind, "cookie_secrets": []string{now}})
			s.clock.move(sessionLasts)
			b.gone(t)
			later.fetch("/").want(t, 200, "hello")
		})
	}
}

// Two relying parties with one secret do not take each other's sessions, under
// whatever name the cookie comes.
func TestPartiesApart(t *testing.T) {
	shared := secret()
	s := newSite(t, options{"cookie_secrets": []string{shared}})
	b := s.signedIn()
	value := b.cookies()[s.handler.Load().cookies.session]
	s.load(options{"cookie_secrets": []string{shared}, "client_id": "other"})
	b.put(map[string]string{s.handler.Load().cookies.session: value})
	b.gone(t)
}

// The storage shows nobody who is signed in or with what: neither ids nor tokens
// nor names; a file put in another's place is no session.
func TestStorageIsSealed(t *testing.T) {
	s := newSite(t, options{"session": "server"})
	one := s.signedIn()
	s.provider.told(func() { s.provider.subject = "bob" })
	two := s.browser()
	two.open("/").want(t, 200, "hello bob")
	var sessions []string
	for path, content := range s.files() {
		// What is sealed is random: a shorter text would stand in it by chance.
		for _, text := range []string{"alice", "access-", "refresh-", "eyJhbGciOi"} {
			if bytes.Contains(content, []byte(text)) || strings.Contains(path, "alice") {
				t.Errorf("%s holds %s", path, text)
			}
		}
		for _, cookie := range one.cookies() {
			if _, id, _ := strings.Cut(cookie, "."); strings.Contains(path, id) || bytes.Contains(content, []byte(id)) {
				t.Error("the storage holds an id")
			}
		}
		if strings.Contains(path, "/sessions/") {
			sessions = append(sessions, path)
		}
	}
	if len(sessions) != 2 {
		t.Fatalf("%v", sessions)
	}
	if err := os.Rename(sessions[0], sessions[1]); err != nil {
		t.Fatal(err)
	}
	s.clock.move(sessionLasts)
	one.gone(t)
	two.gone(t)
}

// All nodes of a cluster share the generated secret, and server sessions; a
// secret that cannot be read is not replaced, and opens no door (threat 25).
func TestGeneratedSecret(t *testing.T) {
	bothKinds(t, nil, func(t *testing.T, s *site) {
		b := s.signedIn()
		n := s.node()
		there := n.browser()
		there.put(b.cookies())
		there.fetch("/").want(t, 200, "hello alice")

		path := filepath.Join(s.folder, secretKey)
		if err := os.WriteFile(path, []byte("not a secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		third := n.node().browser()
		third.put(b.cookies())
		third.fetch("/").want(t, http.StatusServiceUnavailable, "temporarily_unavailable")
		if text, _ := os.ReadFile(path); string(text) != "not a secret" {
			t.Error("the secret was replaced")
		}
	})
}

// The storage is not there: an outage, and no open door.
func TestStorageIsDown(t *testing.T) {
	s := newSite(t, options{"session": "server"})
	b := s.signedIn()
	if err := os.RemoveAll(s.folder); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.clock.move(sessionLasts)
	b.fetch("/").want(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	s.browser().open("/").want(t, http.StatusServiceUnavailable, "not possible")
}

// What is over leaves the storage, a day at a time.
func TestSweep(t *testing.T) {
	// A session, and the end of all of somebody's; an end in a cookie's place.
	for kind, left := range map[string]int{"server": 1, "cookie": 0} {
		s := newSite(t, options{"session": kind})
		s.signedIn().open("/.gatehouse/logout")
		s.signedIn().backchannel(s.provider.logoutToken("", map[string]any{"sub": "nobody"})).want(t, 200, "")
		if n := s.kept(); n != 2 {
			t.Fatalf("%s: %d files", kind, n)
		}
		s.clock.move(3 * 24 * time.Hour)
		s.signedIn()
		for deadline := time.Now().Add(10 * time.Second); s.kept() != left; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d files", kind, s.kept())
			}
		}
	}
}

// kept is how many sessions and ends the storage has.
func (s *site) kept() (n int) {
	for path := range s.files() {
		if strings.Contains(path, "/sessions/") || strings.Contains(path, "/ended/") {
			n++
		}
	}
	return n
}

// A session that another node has ended does not come back by way of a node that
// still has it in memory (threat 18).
func TestEndedElsewhere(t *testing.T) {
	s := newSite(t, options{"session": "server", "idle": "16s"})
	b := s.signedIn()
	there := s.node().browser()
	there.put(b.cookies())
	there.fetch("/").want(t, 200, "hello")
	b.open("/.gatehouse/logout")
	s.clock.move(3 * time.Second)
	there.gone(t)
	for path := range s.files() {
		if strings.Contains(path, "/sessions/") {
			t.Errorf("%s is back", path)
		}
	}
}
