package main_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// webApplication: a person signs in to an application that knows nothing of it,
// and out again; scripts and API routes are never redirected.
func webApplication(t *testing.T, s *server) {
	const app = "http://localhost:8211"
	script := get(t, app+"/data", "Accept", "application/json").want(t, 401)
	if login := script.text(t, "login"); !strings.HasPrefix(login, "/.gatehouse/login") || script.text(t, "error") != "login_required" {
		t.Errorf("a script is told %s", script.body)
	}
	if got := get(t, app+"/api/orders", "Accept", "text/html").want(t, 401).header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
		t.Errorf("an API route is not the login's: %s", got)
	}
	get(t, app+"/orders", "Accept", "text/html").want(t, http.StatusSeeOther)

	s.as = "http://localhost:8210"
	b := newTab(t, s)
	b.do("opening the application", chromedp.Navigate(app+"/orders?id=1"))
	b.signIn(alice, wonder)
	b.see(s.as+"/consent", "Allow Web application?")
	b.click(`button[value=deny]`)
	b.see(app+"/.gatehouse/callback", "You have not been signed in")
	b.inspect("sign-in-denied")
	b.click("a.button")
	b.see(s.as+"/consent", "Allow Web application?")
	b.click(`button[value=allow]`)
	b.see(app+"/orders?id=1", "Signed in as Alice Liddell (alice).")

	// Sign-out from the application ends the session at the provider too.
	b.click("#sign-out")
	b.see(app+"/goodbye", "Goodbye")
	b.do("coming back", chromedp.Navigate(app+"/"))
	b.signIn(alice, wonder)
	b.see(app+"/", "Signed in as Alice Liddell")

	// Sign-out at the provider ends the application's session (back channel).
	b.do("opening the sign-out page", chromedp.Navigate(s.as+"/end_session"))
	b.click("button.primary")
	b.see(s.as+"/end_session", "You are signed out")
	wait(t, "the session to end", func() error {
		b.do("opening the application", chromedp.Navigate(app+"/"))
		if where := b.where(); !strings.HasPrefix(where, s.as+"/login") {
			return errors.New(where)
		}
		return nil
	})
}
