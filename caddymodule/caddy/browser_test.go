package main_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestBrowserApp: the typical request flow as people see it, in the browser
// application of the examples: sign in, consent, call the API, sign out; a
// remembered consent; withdrawal (promise 5); denial.
func TestBrowserApp(t *testing.T) {
	s := startExample(t)
	b := newTab(t, s)
	app := s.app + "/"
	token := func() string {
		t.Helper()
		return evaluate[string](b, `sessionStorage.getItem("token") ?? ""`)
	}
	start := func() {
		t.Helper()
		b.do("opening the application", chromedp.Navigate(app))
		b.see(app, "Sign in to see your orders.")
		b.click("#sign-in")
	}

	start()
	b.signIn("alice", "not wonderland")
	b.see(s.as+"/login", "The name or the password is wrong.")
	b.signIn("Alice", wonder)
	b.see(s.as+"/consent", "Allow Orders?")
	b.see(s.as+"/consent", "See your orders")
	b.click(`button[value=allow]`)
	b.see(app, "Signed in as Alice Liddell.")
	b.click("#call")
	b.see(app, `"user": "alice"`)
	b.see(app, `"tea"`)
	if address := evaluate[string](b, `location.href`); address != app {
		t.Errorf("the address bar has %s", address)
	}
	first := token()
	s.call(first).want(t, 200)

	b.click("#sign-out")
	b.see(s.as+"/end_session", "Sign out?")
	s.call(first).want(t, 401)
	b.click("button.primary")
	b.see(s.as+"/end_session", "You are signed out")
	b.do("opening the grants", chromedp.Navigate(s.as+"/grants"))
	b.see(s.as+"/login", "Sign in")

	start() // the consent is remembered
	b.signIn("alice", wonder)
	b.see(app, "Signed in as Alice Liddell.")
	second := token()
	s.call(second).want(t, 200)

	b.do("opening the grants", chromedp.Navigate(s.as+"/grants"))
	b.see(s.as+"/grants", "Orders")
	b.click("button.danger")
	b.see(s.as+"/grants", "The access was withdrawn.")
	s.call(second).want(t, 401)
	b.see(s.as+"/grants", "No application has access.")

	start() // signed in, so that only the consent is asked for
	b.see(s.as+"/consent", "Allow Orders?")
	b.click(`button[value=deny]`)
	b.see(app, "Something went wrong")
	if got := token(); got != "" {
		t.Errorf("a denied request has the token %s", got)
	}

	start()
	b.see(s.as+"/consent", "Allow Orders?")
	b.click(`button[value=switch]`)
	b.see(s.as+"/login", "You are signed in as alice")
	b.do("going back", chromedp.NavigateBack())
	b.see(s.as, "")
	if b.pages < 10 {
		t.Errorf("only %d pages were looked at", b.pages)
	}
}

// TestPagesForEverybody: the authorization server's pages need no JavaScript,
// fit 320 pixels, can be read in light and dark, and are used by keyboard and
// screen reader (WCAG 2.2 AA: 1.3.1, 1.4.3, 1.4.10, 1.4.11, 2.4.7, 2.5.8, 3.3.2).
func TestPagesForEverybody(t *testing.T) {
	s := startExample(t)
	b := newTab(t, s)
	b.do("switching JavaScript off", command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))

	r := newRequest("browser-app", s.app+"/", "openid profile email offline_access orders:read orders:write")
	b.do("following a link", chromedp.Navigate(s.as+"/authorize?"+r.Encode()))
	b.see(s.as+"/login", "to continue to Orders")
	b.inspect("sign-in")
	b.signIn("alice", "wrong")
	b.see(s.as+"/login", "The name or the password is wrong.")
	b.inspect("sign-in-again")
	b.signIn("alice", wonder)
	b.see(s.as+"/consent", "Allow Orders?")
	b.click("summary")
	b.inspect("consent")
	b.click(`button[value=allow]`)
	b.see(s.app+"/?", "needs JavaScript")
	answer, err := url.Parse(evaluate[string](b, `location.href`))
	if err != nil {
		t.Fatal(err)
	}
	s.redeem(r, "", answer.Query().Get("code")).want(t, 200)

	open := func(path, text string) {
		t.Helper()
		b.do("opening "+path, chromedp.Navigate(s.as+path))
		b.see(s.as+path, text)
	}
	open("/grants", "Orders")
	b.inspect("grants")
	b.click("button.danger")
	b.see(s.as+"/grants", "No application has access.")
	b.inspect("grants-empty")
	open("/authorize?client_id="+strings.Repeat("nobody", 20), "This request cannot be answered")
	b.inspect("error")
	open("/login?interaction=1", "This page is no longer valid")
	b.inspect("error-out-of-date")
	open("/end_session", "Sign out?")
	b.inspect("sign-out")
	b.click("button.primary")
	b.see(s.as+"/end_session", "You are signed out")
	b.inspect("signed-out")
	open("/end_session", "You are not signed in")
	b.inspect("not-signed-in")

	b.do("switching JavaScript on", command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{}), chromedp.Navigate(s.app+"/"))
	b.see(s.app, "Sign in to see your orders.")
	b.inspect("application")
}
