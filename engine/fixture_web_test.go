package engine_test

import (
	"context"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// web is what an engine can reach, and what it has asked for.
type web struct {
	mu    sync.Mutex
	pages map[string]fetch.Document
	asked []string
}

func newWeb() *web { return &web{pages: map[string]fetch.Document{}} }

// serve puts a document at an address, for a quarter of an hour.
func (w *web) serve(address, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[address] = fetch.Document{Body: []byte(body), MaxAge: 15 * time.Minute}
}

// drop takes a document away: asking for it fails.
func (w *web) drop(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pages, address)
}

// requests lists the addresses that were asked for.
func (w *web) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

func (w *web) Get(_ context.Context, address string, _ ...string) (fetch.Document, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, address)
	page, ok := w.pages[address]
	if !ok {
		return fetch.Document{}, fmt.Errorf("nothing is at %s: %w", address, fetch.ErrUnavailable)
	}
	return page, nil
}

func (w *web) Do(ctx context.Context, r fetch.Request) (fetch.Response, error) {
	page, err := w.Get(ctx, r.Address)
	return fetch.Response{Document: page, Status: 200}, err
}

// answer is what a browser carries to a client.
type answer struct {
	url.Values
	mode    model.ResponseMode
	address string // where it goes, without what it carries in a fragment
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	formInput  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// read takes an answer apart as a browser would.
func (h *house) read(action model.Action, content string) answer {
	h.Helper()
	got := answer{Values: url.Values{}}
	switch action {
	case model.ActionLocation:
		address, fragment, found := strings.Cut(content, "#")
		if got.address, got.mode = address, model.ModeFragment; !found {
			got.address, fragment, _ = strings.Cut(content, "?")
			got.mode = model.ModeQuery
		}
		values, err := url.ParseQuery(fragment)
		if err != nil {
			h.Fatalf("%s: %v", content, err)
		}
		got.Values = values
	case model.ActionForm:
		got.mode = model.ModeFormPost
		if form := formAction.FindStringSubmatch(content); form != nil {
			got.address = html.UnescapeString(form[1])
		}
		for _, input := range formInput.FindAllStringSubmatch(content, -1) {
			got.Add(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
		}
	default:
		h.Fatalf("no answer to a client: %s %s", action, content)
	}
	for name, values := range got.Values {
		if len(values) != 1 {
			h.Errorf("%s is %d times in the answer", name, len(values))
		}
	}
	return got
}

// wantRefusal makes an authorization request that must be refused with a code
// at the client's redirect address, with the state and the issuer.
func (h *house) wantRefusal(code, parameters string) {
	h.Helper()
	resp := h.authorize(parameters)
	if resp.Action != model.ActionLocation && resp.Action != model.ActionForm {
		h.Errorf("got %s %s, want %s", resp.Action, resp.ResponseContent, code)
		return
	}
	got := h.read(resp.Action, resp.ResponseContent)
	if got.Get("error") != code || got.Get("state") != "s" || got.Get("iss") != issuer || got.address != redirect || resp.Ticket != "" {
		h.Errorf("got %s %v, want %s", got.address, got.Values, code)
	}
}
