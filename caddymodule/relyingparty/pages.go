package relyingparty

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// message is what a page says.
type message struct{ Title, Detail, Link string }

var (
	messageLoop = message{"You are signed in, but not here",
		"Your browser does not keep the session of this site. Allow cookies for it, and try again.", "Sign in"}
	messageForm = message{"You are not signed in",
		"What you have sent was not accepted. Sign in, and send it again.", "Sign in"}
	messageFrame   = message{"You are not signed in", "Sign in to see this.", "Sign in"}
	messageLate    = message{"This sign-in is over", "It took too long, was begun in another browser, or has been used already.", "Sign in"}
	messageDenied  = message{"You have not been signed in", "The sign-in was cancelled, or you have no access to this site.", "Try again"}
	messageRefused = message{"You have not been signed in",
		"The answer of the sign-in service is not one that this site accepts. If this happens again, tell who runs the site.", "Try again"}
	messageRequired    = message{"You are not signed in", "The sign-in service needs something from you first.", "Try again"}
	messageMalformed   = message{"This address is not complete", "The answer of the sign-in service cannot be read.", "Sign in"}
	messageUnavailable = message{"Signing in is not possible at the moment", "Please try again in a few seconds.", "Try again"}
	messageSignOut     = message{"Do you want to sign out?", "You will be signed out of this site.", "Sign out"}
	messageSignedOut   = message{"You are signed out", "You may still be signed in at the service where you signed in.", "Go on"}
)

// pages are what people see of this handler.
type pages struct {
	template *template.Template
	policy   string // Content-Security-Policy
}

func newPages() (*pages, error) {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(pageCSS))
	return &pages{t, "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) +
		"'; base-uri 'none'; frame-ancestors 'none'"}, nil
}

// view is what a page is made of. Everything is escaped.
type view struct {
	message
	Style template.CSS // ours
	To    string       // where the link or the button leads; empty: there is none
	Post  bool         // a button, not a link
}

// show shows a page with a link to a local address.
func (h *Handler) show(w http.ResponseWriter, r *http.Request, status int, m message, to string) {
	h.render(w, r, status, view{message: m, To: to}, h.pages.policy+"; form-action 'none'")
}

func (h *Handler) render(w http.ResponseWriter, r *http.Request, status int, v view, policy string) {
	v.Style = template.CSS(pageCSS)
	var body bytes.Buffer
	if err := h.pages.template.Execute(&body, v); err != nil {
		secureHeaders(w.Header())
		http.Error(w, http.StatusText(status), status)
		return
	}
	secureHeaders(w.Header())
	if v.Post { // some browsers tell where a form comes from by Origin alone, which no-referrer makes null
		w.Header().Set("Referrer-Policy", "same-origin")
	}
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) // the browser has gone; there is nobody to tell
	}
}
