package relyingparty

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	family         = "gatehouse-rp-"
	hostPrefix     = "__Host-"
	maxChunk       = 3800    // bytes of a cookie's value; browsers take 4096 with its name and attributes
	maxChunks      = 5       // of a session
	maxSignIns     = 5       // under way in one browser
	signInDuration = 10 * 60 // seconds
	triesDuration  = 60      // seconds
)

// cookieNames are the names and attributes of a relying party's cookies. The
// names hold a digest: hosts share cookies across ports.
type cookieNames struct {
	session string // followed by "-" and a number from the second chunk on
	signIn  string // followed by the state
	tries   string
	secure  bool
}

// newCookieNames uses the __Host- prefix, which keeps other hosts of the domain
// from setting the cookies (RFC 6265bis §4.1.3.2), unless the site is on http,
// where browsers refuse it.
func newCookieNames(origin *url.URL, party string) cookieNames {
	digest := sha256.Sum256([]byte(party))
	prefix := family + hex.EncodeToString(digest[:5])
	c := cookieNames{secure: origin.Scheme == "https"}
	if c.secure {
		prefix = hostPrefix + prefix
	}
	c.session, c.signIn, c.tries = prefix+"-session", prefix+"-login-", prefix+"-tries"
	return c
}

func (c *cookieNames) set(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (c *cookieNames) clear(w http.ResponseWriter, name string) { c.set(w, name, "", -1) }

// chunk is the name of a session's cookie number n.
func (c *cookieNames) chunk(n int) string {
	if n == 0 {
		return c.session
	}
	return c.session + "-" + strconv.Itoa(n)
}

// setSession spreads a value over cookies, the first of which says how many
// they are. They have no Max-Age, so that the session ends with the browser
// when that is sooner.
func (c *cookieNames) setSession(w http.ResponseWriter, r *http.Request, value string) error {
	chunks := (len(value) + maxChunk - 1) / maxChunk
	if chunks > maxChunks {
		return fmt.Errorf("a session of %d bytes is too large for cookies, which hold %d: use session server", len(value), maxChunk*maxChunks)
	}
	n := 0
	for part := range slices.Chunk([]byte(value), maxChunk) {
		text := string(part)
		if n == 0 {
			text = strconv.Itoa(chunks) + "." + text
		}
		c.set(w, c.chunk(n), text, 0)
		n++
	}
	c.clearChunks(w, r, n)
	return nil
}

// readSession puts the value together; it is empty when a part is missing.
func (c *cookieNames) readSession(r *http.Request) string {
	first, err := r.Cookie(c.session)
	if err != nil {
		return ""
	}
	count, value, _ := strings.Cut(first.Value, ".")
	chunks, err := strconv.Atoi(count)
	if err != nil || chunks < 1 || chunks > maxChunks {
		return ""
	}
	for n := 1; n < chunks; n++ {
		next, err := r.Cookie(c.chunk(n))
		if err != nil {
			return ""
		}
		value += next.Value
	}
	return value
}

func (c *cookieNames) clearSession(w http.ResponseWriter, r *http.Request) { c.clearChunks(w, r, 0) }

// clearChunks clears those of the browser's chunks that begin with number n.
func (c *cookieNames) clearChunks(w http.ResponseWriter, r *http.Request, n int) {
	for ; n < maxChunks; n++ {
		if len(r.CookiesNamed(c.chunk(n))) > 0 {
			c.clear(w, c.chunk(n))
		}
	}
}

// setSignIn adds the cookie of a sign-in beside those of other tabs, of which
// the oldest go when there are too many.
func (c *cookieNames) setSignIn(w http.ResponseWriter, r *http.Request, state, value string) {
	c.set(w, c.signIn+state, value, signInDuration)
	var others []string
	for _, cookie := range r.Cookies() {
		if strings.HasPrefix(cookie.Name, c.signIn) {
			others = append(others, cookie.Name)
		}
	}
	slices.Sort(others) // states begin with the time
	others = slices.Compact(others)
	for len(others) >= maxSignIns {
		c.clear(w, others[0])
		others = others[1:]
	}
}

// withoutOurs takes the cookies of this kind out of a request, so that no
// session reaches what is behind the gateway: neither this site's, nor that of
// another port of the host.
func withoutOurs(h http.Header) {
	lines := h["Cookie"]
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, family) }) {
		return
	}
	var kept []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.Trim(pair, " \t")
			if pair != "" && !strings.HasPrefix(strings.TrimPrefix(pair, hostPrefix), family) {
				kept = append(kept, pair)
			}
		}
	}
	if len(kept) == 0 {
		h.Del("Cookie")
		return
	}
	h["Cookie"] = []string{strings.Join(kept, "; ")}
}
