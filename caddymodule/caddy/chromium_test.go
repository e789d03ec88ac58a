package main_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// tab is a Chromium with one tab, which notes what goes wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context
	as  string

	mu       sync.Mutex
	problems []string
	pages    int // of the authorization server
}

func newTab(t *testing.T, s *server) *tab {
	t.Helper()
	chromium := requirePart(t, "chromium")
	allocator, cancel := chromedp.NewExecAllocator(context.Background(),
		// In a folder of chromedp's, which removes it again and again while Chromium's
		// processes still write there; one of t.TempDir fails the test then.
		chromedp.ExecPath(chromium), chromedp.WSURLReadTimeout(patience),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1280, 800))
	t.Cleanup(cancel)
	b := &tab{t: t, as: s.as}
	b.ctx, cancel = chromedp.NewContext(allocator, chromedp.WithListener(b.note))
	t.Cleanup(func() {
		if err := chromedp.Cancel(b.ctx); err != nil {
			t.Errorf("closing Chromium: %v", err)
		}
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, problem := range b.problems {
			t.Errorf("the browser complains: %s", problem)
		}
	})
	// The first action starts the browser, and its context must not end.
	if err := chromedp.Do(b.ctx, command(log.Enable, cdp.Empty{}), command(runtime.Enable, cdp.Empty{}), command(audits.Enable, cdp.Empty{}),
		command(network.Enable, network.EnableParams{}),
		command(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return b
}

// command is a command of the browser as an action.
func command[P, R any](c cdp.Command[P, R], parameters P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, parameters)
		return err
	})
}

// note keeps errors of scripts, of the console and of the content security
// policy. Answers that are refusals, which tests provoke, are none.
func (b *tab) note(event any) {
	problem := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			problem += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			problem = fmt.Sprintf("console: %s", e.Args[0].Value)
		}
	case *log.EventEntryAdded:
		if e.Entry.Source != log.EntrySourceNetwork && (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning) {
			problem = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *audits.EventIssueAdded:
		if details := e.Issue.Details.ContentSecurityPolicyIssueDetails; details != nil {
			problem = fmt.Sprintf("content security policy: %s %s", details.ViolatedDirective, details.BlockedURL)
		}
	case *network.EventResponseReceived:
		// The page for clients' iframes is the one that may be framed.
		if e.Type == network.ResourceTypeDocument && strings.HasPrefix(e.Response.URL, b.as+"/") && e.Response.URL != b.as+"/check_session" {
			problem = b.policy(e.Response)
		}
	}
	if problem != "" {
		b.mu.Lock()
		b.problems = append(b.problems, problem)
		b.mu.Unlock()
	}
}

// policy looks at the content security policy of a page of the server's.
func (b *tab) policy(r *network.Response) string {
	b.mu.Lock()
	b.pages++
	b.mu.Unlock()
	var policy string
	for name, value := range r.Headers {
		if strings.EqualFold(name, "Content-Security-Policy") {
			policy, _ = value.(string)
		}
	}
	if strings.Contains(policy, "default-src 'none'") && strings.Contains(policy, "frame-ancestors 'none'") && !strings.Contains(policy, "unsafe") {
		return ""
	}
	return fmt.Sprintf("%s has the policy %q", r.URL, policy)
}

// run runs an action in a tab, for as long as a person would wait.
func run[T any](b *tab, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// do runs actions in the tab.
func (b *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if _, err := run(b, chromedp.Steps(actions...)); err != nil {
		b.t.Fatalf("%s: %v; the tab shows %s", what, err, b.where())
	}
}

// where says what the tab shows, for errors.
func (b *tab) where() string {
	text, err := run(b, chromedp.Evaluate[string](`location.href + ": " + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// evaluate runs a script in the tab.
func evaluate[T any](b *tab, script string) T {
	b.t.Helper()
	value, err := run(b, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// see waits until the tab shows an address that begins so, and a text.
func (b *tab) see(address, text string) {
	b.t.Helper()
	wait(b.t, address+" with "+text, func() error {
		ok, err := run(b, chromedp.Evaluate[bool](fmt.Sprintf(
			`document.readyState === "complete" && location.href.startsWith(%q) && document.body.innerText.includes(%q)`, address, text)))
		if err != nil || !ok {
			return fmt.Errorf("%w; it shows %s", err, b.where())
		}
		return nil
	})
}

// signIn fills in the form of the sign-in page.
func (b *tab) signIn(name, password string) {
	b.t.Helper()
	b.see(b.as+"/login", "Sign in")
	b.do("signing in", chromedp.SetValue(chromedp.CSS("#username"), name),
		chromedp.SendKeys(chromedp.CSS("#password"), password), chromedp.Click(chromedp.CSS("button.primary")))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.do("clicking "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// looks are how pages are looked at: widths, and colours that people prefer.
var looks = []struct {
	name   string
	width  int64
	colour string
}{
	{"light-320", 320, "light"}, {"dark-320", 320, "dark"}, {"light", 1280, "light"}, {"dark", 1280, "dark"},
}

// audit finds what keeps people from using a page. It returns sentences.
const audit = `(() => {
  const problems = [], say = (text) => problems.push(text)
  const root = document.scrollingElement
  if (root.scrollWidth > innerWidth) say("it scrolls sideways: " + root.scrollWidth + " of " + innerWidth + " pixels")
  if (!document.documentElement.lang) say("it has no language")
  if (!document.title.trim()) say("it has no title")
  if (document.querySelectorAll("h1").length !== 1) say("it has " + document.querySelectorAll("h1").length + " h1")
  if (!document.querySelector("main")) say("it has no main")
  if (!document.querySelector("meta[name=viewport]")) say("it has no viewport")
  let level = 0
  for (const h of document.querySelectorAll("h1,h2,h3,h4")) {
    if (+h.tagName[1] > level + 1) say("the heading " + h.textContent + " skips a level")
    level = +h.tagName[1]
  }
  for (const input of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!input.labels?.length || !input.labels[0].textContent.trim()) say("the input " + input.name + " has no label")
    if (!input.autocomplete) say("the input " + input.name + " has no autocomplete")
  }
  for (const control of document.querySelectorAll("button, a[href], input:not([type=hidden]), summary")) {
    if (!control.checkVisibility()) continue
    const box = control.getBoundingClientRect(), name = control.textContent.trim() || control.name
    if (!name && !control.getAttribute("aria-label")) say("a control has no name: " + control.outerHTML)
    if (box.height < 24 || box.width < 24) say("the control " + name + " is too small: " + box.width + " x " + box.height)
  }
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id)
  if (new Set(ids).size !== ids.length) say("an id is there twice")
  for (const e of document.querySelectorAll("[aria-describedby],[aria-labelledby]"))
    for (const id of (e.getAttribute("aria-describedby") ?? e.getAttribute("aria-labelledby")).split(" "))
      if (!document.getElementById(id)) say("no element has the id " + id)

  const parse = (colour) => { const m = colour.match(/[\d.]+/g).map(Number); return { rgb: m.slice(0, 3), alpha: m[3] ?? 1 } }
  const over = (top, under) => top.rgb.map((c, i) => c * top.alpha + under[i] * (1 - top.alpha))
  const luminance = (rgb) => rgb.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0)
  const ground = (e) => {
    const layers = []
    for (; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor))
    const canvas = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255]
    return layers.reverse().reduce((under, top) => over(top, under), canvas)
  }
  const contrast = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05) }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const seen = new Set()
  while (texts.nextNode()) if (texts.currentNode.nodeValue.trim()) seen.add(texts.currentNode.parentElement)
  document.querySelectorAll("input:not([type=hidden])").forEach((e) => seen.add(e))
  for (const e of seen) {
    const style = getComputedStyle(e)
    if (!e.checkVisibility() || style.visibility === "hidden") continue
    const under = ground(e), ratio = contrast(over(parse(style.color), under), under)
    if (ratio < 4.5) say("the contrast of " + JSON.stringify(e.textContent.trim() || e.name) + " is " + ratio.toFixed(2))
    if (parseFloat(style.fontSize) < 12) say("the text " + JSON.stringify(e.textContent.trim()) + " is small: " + style.fontSize)
  }
  for (const e of document.querySelectorAll("input:not([type=hidden]), button:not(.link)")) {
    const style = getComputedStyle(e), around = ground(e.parentElement)
    const edge = contrast(over(parse(style.borderTopColor), around), around), fill = contrast(ground(e), around)
    if (Math.max(edge, fill) < 3) say("the edge of " + (e.name || e.textContent) + " has a contrast of " + Math.max(edge, fill).toFixed(2))
  }
  return problems
})()`

// focus describes how the focused element shows that it is.
const focus = `(() => {
  const e = document.activeElement
  if (!e || e === document.body) return ""
  const style = getComputedStyle(e)
  const visible = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 || style.boxShadow !== "none"
  return (visible ? "visible " : "hidden ") + e.tagName + " " + (e.name || e.textContent.trim()) + " " + (e.value ?? "")
})()`

// inspect looks at the page that the tab shows, in every way.
func (b *tab) inspect(name string) {
	b.t.Helper()
	for _, look := range looks {
		b.do("changing the look",
			command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: look.width, Height: 800, DeviceScaleFactor: 1}),
			command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: look.colour}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}}))
		for _, problem := range evaluate[[]string](b, audit) {
			b.t.Errorf("the page %s, %s: %s", name, look.name, problem)
		}
		b.screenshot(name + "-" + look.name)
	}
	// Once around with the keyboard: everything that can be used gets the focus, visibly.
	want := evaluate[int](b, `document.activeElement?.blur(), [...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary")].filter((e) => e.checkVisibility()).length`)
	reached := map[string]bool{}
	for range want + 1 {
		b.do("a tab", chromedp.KeyEvent(kb.Tab))
		now := evaluate[string](b, focus)
		if now == "" {
			continue
		}
		reached[now] = true
		if strings.HasPrefix(now, "hidden") {
			b.t.Errorf("the page %s: the focus is not visible: %s", name, now)
		}
	}
	if len(reached) < want {
		b.t.Errorf("the page %s: the keyboard reaches %d of %d controls: %v", name, len(reached), want, reached)
	}
}

// screenshot keeps a picture of the page in the folder that the environment
// variable GATEHOUSE_SCREENSHOTS names.
func (b *tab) screenshot(name string) {
	b.t.Helper()
	folder := os.Getenv("GATEHOUSE_SCREENSHOTS")
	if folder == "" {
		return
	}
	beyond := true
	picture, err := run(b, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		r, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &beyond})
		if err != nil {
			return nil, err
		}
		return r.Data, nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
}
