package login

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

//go:embed templates
var embedded embed.FS

const (
	layoutFile   = "layout.html"
	styleFile    = "style.css"
	maxTemplate  = 1 << 20 // bytes
	styleMaxAge  = "31536000"
	templateRoot = "templates"
)

// pages are the templates, ready to be shown.
type pages struct {
	signIn, consent, grants, signOut, message *template.Template

	style        []byte
	styleVersion string
}

type sample struct {
	page *template.Template
	view any
}

// CheckTemplates reports what is wrong with a folder of pages, if anything is.
func CheckTemplates(folder string) error {
	_, err := loadPages(folder)
	return err
}

// loadPages parses the templates and tries each of them.
func loadPages(folder string) (*pages, error) {
	source, err := newSource(folder)
	if err != nil {
		return nil, fmt.Errorf("templates %s: %w", folder, err)
	}
	p := new(pages)
	for _, page := range []struct {
		into **template.Template
		file string
	}{
		{&p.signIn, "signin.html"}, {&p.consent, "consent.html"}, {&p.grants, "grants.html"},
		{&p.signOut, "signout.html"}, {&p.message, "message.html"},
	} {
		if *page.into, err = source.parse(page.file); err != nil {
			return nil, err
		}
	}
	for _, s := range p.samples() {
		if err := s.page.Execute(io.Discard, s.view); err != nil {
			return nil, fmt.Errorf("templates %s: %w", folder, err)
		}
	}
	if p.style, err = source.read(styleFile); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(p.style)
	p.styleVersion = hex.EncodeToString(digest[:6])
	return p, nil
}

// source reads templates: from a folder, and what is not there from the binary.
type source struct {
	folder fs.FS // nil: none
	name   string
}

// newSource refuses files that would never be read, since they are most
// likely misspelt.
func newSource(folder string) (*source, error) {
	if folder == "" {
		return &source{}, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var known []string
	builtIn, err := embedded.ReadDir(templateRoot)
	if err != nil {
		return nil, err
	}
	for _, e := range builtIn {
		known = append(known, e.Name())
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(known, e.Name()) {
			return nil, fmt.Errorf("%s is not a file that is used here; those are %s", e.Name(), strings.Join(known, ", "))
		}
	}
	return &source{folder: os.DirFS(folder), name: folder}, nil
}

func (s *source) read(file string) ([]byte, error) {
	if s.folder != nil {
		content, err := fs.ReadFile(s.folder, file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("templates %s: %w", s.name, err)
		case len(content) > maxTemplate || !utf8.Valid(content):
			return nil, fmt.Errorf("templates %s: %s is larger than %d bytes, or not UTF-8", s.name, file, maxTemplate)
		default:
			return content, nil
		}
	}
	return embedded.ReadFile(templateRoot + "/" + file)
}

// parse returns the layout with a page in it.
func (s *source) parse(file string) (*template.Template, error) {
	page := template.New(layoutFile)
	for _, name := range []string{layoutFile, file} {
		content, err := s.read(name)
		if err != nil {
			return nil, err
		}
		t := page
		if name != layoutFile {
			t = page.New(name)
		}
		if _, err := t.Parse(string(content)); err != nil {
			return nil, fmt.Errorf("templates %s: %w", s.name, err)
		}
	}
	return page, nil
}

// secureHeaders are on every answer.
func secureHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

const contentPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"

// policy is the Content-Security-Policy of a page. A page whose form ends at a
// client says nothing about form-action: Chromium holds it against every
// redirect that follows the form, the client's own ones included, and nobody
// here knows where those lead.
func policy(leaves bool) string {
	if leaves {
		return contentPolicy
	}
	return contentPolicy + "; form-action 'self'"
}

// render shows a page. Its form leaves when the answer may be a redirect to a client.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, page *template.Template, view any, leaves bool) error {
	var body bytes.Buffer
	if err := page.Execute(&body, view); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	h := w.Header()
	secureHeaders(h)
	h.Set("Content-Security-Policy", policy(leaves))
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) // the browser has gone; there is nobody to tell
	}
	return nil
}

// refuse shows an error page.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, e *refusal) {
	v := messageView{common: s.common(e.title), Detail: e.detail, Back: e.back, BackText: e.backText}
	if err := s.render(w, r, e.status, s.pages.message, v, false); err != nil {
		secureHeaders(w.Header())
		http.Error(w, http.StatusText(e.status), e.status)
	}
}

// outOfDate is for a form whose token is not the one that its page would have now.
func outOfDate(back string) error {
	return &refusal{status: http.StatusForbidden, title: "This page is out of date",
		detail: "You have signed in or out since it was shown, perhaps in another tab. Nothing was done.",
		back:   back, backText: "Show it again"}
}

// showStyle serves the stylesheet. Its address changes with its content.
func (s *Server) showStyle(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(s.pages.style)))
	h.Set("Cache-Control", "no-cache")
	if r.URL.RawQuery == "v="+s.pages.styleVersion {
		h.Set("Cache-Control", "public, max-age="+styleMaxAge+", immutable")
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(s.pages.style)
	}
	return nil
}
