package login

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const (
	interactionDuration = 60 * 60 // seconds
	maxInteractions     = 8       // in one browser
)

// cookieNames are the names and attributes of a service's cookies. The names
// hold a digest of the issuer: hosts share cookies across ports, and paths.
type cookieNames struct {
	session     string
	interaction string // followed by the interaction's id
	state       string // of the browser, for clients' iframes
	path        string
	secure      bool
}

func newCookieNames(issuer *url.URL, service *model.Service, paths Paths) cookieNames {
	c := cookieNames{path: cookiePath(issuer, service, paths), secure: issuer.Scheme == "https"}
	prefix := ""
	switch {
	case c.secure && c.path == "/":
		prefix = "__Host-"
	case c.secure:
		prefix = "__Secure-"
	}
	digest := sha256.Sum256([]byte(service.Issuer))
	prefix += "gatehouse-" + hex.EncodeToString(digest[:5])
	c.session, c.interaction, c.state = prefix+"-session", prefix+"-login-", prefix+"-state"
	return c
}

// cookiePath is the issuer's path, unless an endpoint that needs the cookies
// has been put elsewhere.
func cookiePath(issuer *url.URL, service *model.Service, paths Paths) string {
	if issuer.Path == "" || issuer.Path == "/" {
		return "/"
	}
	needed := []string{paths.Login, paths.Consent, paths.Grants, paths.EndSession}
	if paths.CheckSession != "" {
		needed = append(needed, paths.CheckSession)
	}
	if u, err := url.Parse(service.AuthorizationEndpoint); err == nil {
		needed = append(needed, u.Path)
	}
	for _, path := range needed {
		if !strings.HasPrefix(path, issuer.Path+"/") {
			return "/"
		}
	}
	return issuer.Path
}

// signedOutState is the state of a browser whose user has signed out.
const signedOutState = "0"

// setState tells the iframes of clients who is signed in, without saying who
// (OpenID Connect Session Management §3.3): scripts of ours can read it, in
// frames of other sites too. Its end is that of the sign-in.
func (c *cookieNames) setState(w http.ResponseWriter, r *http.Request, now *session) {
	c.putState(w, r, now.browserState()+"."+strconv.FormatInt(now.ExpiresAt, 10))
}

// endState tells them that nobody is signed in any more, if they were told of
// somebody before.
func (c *cookieNames) endState(w http.ResponseWriter, r *http.Request) {
	if len(r.CookiesNamed(c.state)) > 0 {
		c.putState(w, r, signedOutState)
	}
}

func (c *cookieNames) putState(w http.ResponseWriter, r *http.Request, value string) {
	if has, err := r.Cookie(c.state); err == nil && has.Value == value {
		return
	}
	site := http.SameSiteNoneMode
	if !c.secure { // which browsers require for that
		site = http.SameSiteLaxMode
	}
	http.SetCookie(w, &http.Cookie{Name: c.state, Value: value, Path: c.path, Secure: c.secure, SameSite: site})
}

func (c *cookieNames) set(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: c.path, MaxAge: maxAge,
		Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// setSession has no Max-Age, so that the sign-in ends with the browser when
// that is sooner.
func (c *cookieNames) setSession(w http.ResponseWriter, value string) { c.set(w, c.session, value, 0) }

func (c *cookieNames) clearSession(w http.ResponseWriter) { c.set(w, c.session, "", -1) }

// setInteraction adds the cookie of an interaction beside those of other tabs,
// of which the oldest go when there are too many.
func (c *cookieNames) setInteraction(w http.ResponseWriter, r *http.Request, id model.ID, value string) {
	c.set(w, c.interaction+idText(id), value, interactionDuration)
	var ids []model.ID
	for _, cookie := range r.Cookies() {
		text, ok := strings.CutPrefix(cookie.Name, c.interaction)
		if !ok {
			continue
		}
		if other, ok := parseID(text); !ok {
			c.set(w, cookie.Name, "", -1)
		} else if other != id {
			ids = append(ids, other)
		}
	}
	slices.Sort(ids) // ids ascend with time
	ids = slices.Compact(ids)
	for len(ids) >= maxInteractions {
		c.clearInteraction(w, ids[0])
		ids = ids[1:]
	}
}

func (c *cookieNames) clearInteraction(w http.ResponseWriter, id model.ID) {
	c.set(w, c.interaction+idText(id), "", -1)
}

// idText is an id as it stands in addresses and cookie names.
func idText(id model.ID) string { return strconv.FormatInt(int64(id), 36) }

// parseID reads the exact form that idText gives.
func parseID(text string) (model.ID, bool) {
	n, err := strconv.ParseInt(text, 36, 64)
	if err != nil || n <= 0 || idText(model.ID(n)) != text {
		return 0, false
	}
	return model.ID(n), true
}
