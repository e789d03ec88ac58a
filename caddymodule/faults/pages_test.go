package faults

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// browser is what a user goes to the pages with.
type browser struct {
	user    string
	http    *http.Client
	session Ref // of the sign-in, as far as the history knows of it
}

// newBrowser is one without cookies.
func (r *run) newBrowser(user string) *browser {
	jar, _ := cookiejar.New(nil)
	own := *r.http
	own.Jar = jar
	return &browser{user: user, http: &own}
}

// copyOf is a browser with the same cookies, such as a thief's.
func (r *run) copyOf(b *browser) *browser {
	other, here := r.newBrowser(b.user), &url.URL{Scheme: "http", Host: "localhost", Path: "/"} // cookies know no ports
	other.http.Jar.SetCookies(here, b.http.Jar.Cookies(here))
	other.session = b.session
	return other
}

const (
	// codeLife is how long a code lives at least (the default is longer).
	codeLife = 30 * time.Second
	// lasting are the scopes of what outlives the sign-in, passing those of what
	// ends with it (OpenID Connect Back-Channel Logout §2.7).
	lasting, passing = "orders:read", "openid orders:read"
)

func authorizeForm(client, scope string) url.Values {
	challenge := sha256.Sum256([]byte(verifier))
	return url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirectURI}, "scope": {scope}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
}

// authorize asks for a code. next is it, or the address of the page that is in
// between.
func (r *run) authorize(n *node, b *browser, form url.Values) (o Op, next string, err error) {
	o = Op{Kind: Authorize, Uses: b.session, Whose: whose(form.Get("client_id"), b.user)}
	// By POST (OpenID Connect Core §3.1.2.1): Go's client repeats a GET by itself.
	next, err = r.submit(&o, n, b, "/authorize", form)
	if err != nil {
		return o, "", err
	}
	switch {
	case o.Page != "" && b == r.user:
		o.Outcome, o.Error = Wrong, "the session is not known any more"
	case o.Code != "" && b != r.user && b.session == "":
		o.Outcome, o.Error = Wrong, "a code for nobody"
	}
	r.history.Add(o)
	return o, next, nil
}

// answer fills in a page. next is the code, or the address of the page that
// follows.
func (r *run) answer(kind Kind, n *node, b *browser, page string) (o Op, next string, err error) {
	o = Op{Kind: kind, Uses: RefOf(page), Node: n.number, Start: r.history.Now()}
	values, status, err := read(n, b, page)
	if err != nil {
		return o, "", err
	}
	if values == nil { // it is not there any more
		o.settlePage(status)
	} else if next, err = r.submit(&o, n, b, page, values); err != nil {
		return o, "", err
	}
	if kind == SignIn && o.Outcome == Acknowledged && o.Session == "" {
		o.Outcome, o.Error = Wrong, "no session"
	}
	r.history.Add(o)
	return o, next, nil
}

// signOut ends the sign-in of a browser by the form of the page.
func (r *run) signOut(n *node, b *browser, form url.Values) (Op, error) {
	o := Op{Kind: SignOut, Uses: b.session}
	r.begins(&o, n)
	got, err := exchange(b.http, http.MethodPost, n.base+signOutPage, party{}, formType, form.Encode())
	switch {
	case errors.Is(err, errNotSent):
		return o, err
	case err != nil:
		o.Outcome, o.Error = Unknown, "no answer"
	default:
		o.settle(got.status)
	}
	r.history.Add(o)
	return o, nil
}

const signOutPage = "/end_session"

// submit sends a form, and notes where it leads.
func (r *run) submit(o *Op, n *node, b *browser, path string, form url.Values) (next string, err error) {
	r.begins(o, n)
	got, err := exchange(b.http, http.MethodPost, n.base+path, party{}, formType, form.Encode())
	switch {
	case errors.Is(err, errNotSent):
		return "", err
	case err != nil:
		o.Outcome, o.Error = Unknown, "no answer"
	case got.status != http.StatusSeeOther:
		o.settlePage(got.status)
	default:
		next = o.follow(got)
	}
	return next, nil
}

// settlePage is settle where success is a redirect, 400 says that a page is over,
// and 429 that too many are signing in as one user.
func (o *Op) settlePage(status int) {
	if status == http.StatusTooManyRequests {
		o.Outcome, o.Answered = Unknown, true
		return
	}
	if o.settle(status); o.Outcome == Acknowledged || o.Outcome == Refused && status != http.StatusBadRequest {
		o.Outcome, o.Error = Wrong, fmt.Sprintf("status %d", status)
	}
}

// follow notes what a redirect gives: a code, or another page.
func (o *Op) follow(got *answer) (next string) {
	location, err := url.Parse(got.header.Get("Location"))
	if err != nil || location.Path == "" {
		o.Outcome, o.Error = Wrong, "a redirect to nowhere"
		return ""
	}
	o.Outcome = Acknowledged
	for _, c := range (&http.Response{Header: got.header}).Cookies() {
		if strings.HasSuffix(c.Name, "-session") {
			o.Session = RefOf(c.Value)
		}
	}
	if !strings.HasPrefix(location.String(), redirectURI) {
		next = location.RequestURI()
		o.Page = RefOf(next)
		return next
	}
	next = location.Query().Get("code")
	if o.Code, o.Until = RefOf(next), o.Start+codeLife; next == "" {
		o.Outcome, o.Error = Wrong, "a redirect without a code"
	}
	return next
}

var (
	formPattern  = regexp.MustCompile(`(?s)<form[^>]*>(.*?)</form>`)
	fieldPattern = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// read gets the form of a page, with what the user fills in; nil: there is none.
// errNotSent: there is no answer yet. Nothing depends on whether it was asked for.
func read(n *node, b *browser, page string) (values url.Values, status int, err error) {
	got, err := exchange(b.http, http.MethodGet, n.base+page, party{}, "", "")
	if err != nil || got.status == http.StatusServiceUnavailable {
		return nil, 0, errNotSent
	}
	parts := formPattern.FindSubmatch(got.body)
	if got.status != http.StatusOK || parts == nil {
		return nil, got.status, nil
	}
	values = url.Values{}
	for _, f := range fieldPattern.FindAllSubmatch(parts[1], -1) {
		values.Set(string(f[1]), html.UnescapeString(string(f[2])))
	}
	if strings.Contains(string(parts[1]), `name="password"`) {
		values.Set("username", b.user)
		values.Set("password", "wonderland")
	} else {
		values.Set("action", "allow")
	}
	return values, got.status, nil
}

// signIn goes through the pages once for each client of each user, and leaves
// the session in the cookies of the run's own browser and the consents at the
// server.
func (r *run) signIn() {
	r.t.Helper()
	err := errors.Join(r.consent(r.user, app), r.consent(r.user, web), r.consent(r.newBrowser("bob"), app))
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) consent(b *browser, by party) error {
	o, n := Op{Kind: Authorize}, r.nodes[0]
	next, err := r.submit(&o, n, b, "/authorize", authorizeForm(by.id, passing))
	for range 3 {
		if err != nil || !strings.HasPrefix(next, "/") {
			break
		}
		var form url.Values
		if form, _, err = read(n, b, next); form == nil {
			break
		}
		next, err = r.submit(&o, n, b, next, form)
	}
	if err == nil && o.Code == "" {
		err = fmt.Errorf("signing in does not end: %s", o)
	}
	return err
}
