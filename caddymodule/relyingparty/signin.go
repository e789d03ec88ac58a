package relyingparty

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// maxTries bounds how often in triesDuration a browser is sent to sign in
// without asking for it: one that does not keep the session would go round for
// ever.
const maxTries = 6

// ask answers a request that needs a session and has none. A page that somebody
// opens leads to the sign-in. Everything else is told so, and is not redirected:
// a script cannot follow, and what a form has sent would be lost.
func (h *Handler) ask(w http.ResponseWriter, r *http.Request) {
	to := h.returnTo(asked(r).RequestURI())
	switch kindOf(r) {
	case page:
		if !h.mayTry(w, r) {
			h.show(w, r, http.StatusForbidden, messageLoop, h.loginURL(to))
			return
		}
		h.signIn(w, r, to)
	case form:
		h.show(w, r, http.StatusUnauthorized, messageForm, h.loginURL("/"))
	case frame:
		h.show(w, r, http.StatusUnauthorized, messageFrame, h.loginURL("/"))
	default:
		// No WWW-Authenticate: there is no scheme by which a script could do
		// better, and browsers ask for a password at some.
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "login_required", "login": h.LoginPath})
	}
}

// kind is what a request is made by.
type kind int

const (
	script kind = iota // fetch, images, other programs
	page               // a page in a window
	form               // a page in a window that a form leads to
	frame              // a page in another
)

// kindOf tells by Fetch Metadata, or where a client sends none, by what it accepts.
func kindOf(r *http.Request) kind {
	mode := r.Header.Get("Sec-Fetch-Mode")
	accepts := strings.Contains(r.Header.Get("Accept"), "text/html") && r.Header.Get("X-Requested-With") == ""
	switch reads := r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case r.Header.Get("Upgrade") != "", mode != "" && mode != "navigate", mode == "" && !accepts:
		return script
	case mode != "" && !slices.Contains([]string{"", "document"}, r.Header.Get("Sec-Fetch-Dest")):
		return frame
	case !reads:
		return form
	}
	return page
}

// returnTo is an address if it is a local one, and not one of ours.
func (h *Handler) returnTo(address string) string {
	path, _, _ := strings.Cut(address, "?")
	if !isLocal(address) || h.endpoints[path] != nil {
		return "/"
	}
	return address
}

// loginURL is the address that signs in and goes to a local one.
func (h *Handler) loginURL(to string) string {
	return h.LoginPath + "?" + url.Values{"return": {to}}.Encode()
}

// mayTry counts redirects that nobody asked for.
func (h *Handler) mayTry(w http.ResponseWriter, r *http.Request) bool {
	tries := 0
	if cookie, err := r.Cookie(h.cookies.tries); err == nil {
		tries, _ = strconv.Atoi(cookie.Value)
	}
	if tries < 0 || tries >= maxTries {
		return false
	}
	h.cookies.set(w, h.cookies.tries, strconv.Itoa(tries+1), triesDuration)
	return true
}

// login begins a sign-in that somebody asked for.
func (h *Handler) login(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		methodNotAllowed(w, "GET, HEAD")
		return
	}
	to := h.returnTo(asked(r).Query().Get("return"))
	s, err := h.session(w, r)
	switch {
	case err != nil:
		h.unavailable(w, r, err)
	case s != nil:
		h.redirect(w, h.local(to))
	default:
		h.cookies.clear(w, h.cookies.tries)
		h.signIn(w, r, to)
	}
}

// signIn sends the browser to the provider (OpenID Connect Core §3.1.2.1).
func (h *Handler) signIn(w http.ResponseWriter, r *http.Request, to string) {
	m, err := h.shared.provider.about(r.Context())
	if err != nil {
		h.unavailable(w, r, err)
		return
	}
	now := h.now()
	p := pending{Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Return: to, Begun: now.Unix()}
	// States ascend with time, so that the oldest are known.
	state := strconv.FormatInt(now.UnixMilli(), 36) + "-" + rand.Text()
	if err := h.keepPending(w, r, state, &p); err != nil {
		h.unavailable(w, r, err)
		return
	}
	h.redirect(w, h.authorizationURL(m, state, &p))
}

func (h *Handler) authorizationURL(m *metadata, state string, p *pending) string {
	options := []oauth2.AuthCodeOption{
		oauth2.S256ChallengeOption(p.Verifier), oauth2.SetAuthURLParam("nonce", p.Nonce),
	}
	if len(h.ACRValues) > 0 {
		options = append(options, oauth2.SetAuthURLParam("acr_values", strings.Join(h.ACRValues, " ")))
	}
	if h.MaxAge > 0 {
		options = append(options, oauth2.SetAuthURLParam("max_age", strconv.FormatInt(seconds(time.Duration(h.MaxAge)), 10)))
	}
	address := h.shared.provider.oauth(m, h.redirectURI(), h.Scopes).AuthCodeURL(state, options...)
	for _, name := range slices.Sorted(maps.Keys(h.Parameters)) {
		address += "&" + url.Values{name: h.Parameters[name]}.Encode() // a name may have many values (RFC 8707 §2)
	}
	return address
}

func (h *Handler) redirectURI() string { return h.origin.String() + h.CallbackPath }

// local is a path of this site as a URL. Nothing that a request says is in it.
func (h *Handler) local(path string) string { return h.origin.String() + path }

// redirect makes the browser ask with GET, whatever it asked with before (RFC
// 9700 §4.12).
func (h *Handler) redirect(w http.ResponseWriter, to string) {
	secureHeaders(w.Header())
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// pending is a sign-in under way. A cookie that holds its state in the name has
// it, sealed for that name alone: the browser that began is the one that ends it
// (RFC 6749 §10.12, RFC 9700 §2.1.1).
type pending struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Return   string `json:"return"`
	Begun    int64  `json:"begun"` // Unix seconds
}

func (h *Handler) keepPending(w http.ResponseWriter, r *http.Request, state string, p *pending) error {
	seal, err := h.seal(r.Context())
	if err != nil {
		return err
	}
	plain, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("sign-in: %w", err)
	}
	h.cookies.setSignIn(w, r, state, seal.sealText(plain, "sign-in "+state))
	return nil
}

// takePending returns the sign-in of a state, nil if this browser has begun none
// or it was answered before. It takes it from the browser.
func (h *Handler) takePending(w http.ResponseWriter, r *http.Request, state string) (*pending, error) {
	cookie, err := r.Cookie(h.cookies.signIn + state)
	if state == "" || err != nil {
		return nil, nil
	}
	h.cookies.clear(w, cookie.Name)
	seal, err := h.seal(r.Context())
	if err != nil {
		return nil, err
	}
	plain, err := seal.openText(cookie.Value, "sign-in "+state)
	if err != nil {
		return nil, nil
	}
	p, now := new(pending), h.now()
	if err := json.Unmarshal(plain, p); err != nil || now.Unix()-p.Begun >= signInDuration {
		return nil, nil
	}
	if !h.shared.used.add(state, struct{}{}, now, signInDuration*time.Second) {
		return nil, nil
	}
	return p, nil
}
