package login

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

//go:embed templates locales
var embedded embed.FS

const (
	layoutFile   = "layout.html"
	wapFile      = "wap.html" // the layout for display=wap
	styleFile    = "style.css"
	maxTemplate  = 1 << 20 // bytes
	styleMaxAge  = "31536000"
	templateRoot = "templates"
)

// The pages, by the file of their template.
const (
	pageSignIn  = "signin.html"
	pageConsent = "consent.html"
	pageGrants  = "grants.html"
	pageSignOut = "signout.html"
	pageLeaving = "leaving.html" // signs out of applications too
	pageMessage = "message.html"
)

var (
	allPages   = []string{pageSignIn, pageConsent, pageGrants, pageSignOut, pageLeaving, pageMessage}
	allLayouts = []string{layoutFile, wapFile}
)

// pages are the templates, ready to be shown in every language.
type pages struct {
	locales   *locales
	templates map[templateKey]*template.Template

	style        []byte
	styleVersion string
}

type templateKey struct {
	page, layout string
	locale       *locale
}

// CheckTemplates reports what is wrong with a folder of pages and texts, if
// anything is, and which of some languages has no texts.
func CheckTemplates(folder string, uiLocales ...string) error {
	p, err := loadPages(folder)
	if err != nil {
		return err
	}
	for _, tag := range uiLocales {
		if p.locales.exactly(tag) == nil {
			return fmt.Errorf("there are no texts for the language %s: put them in %s/%s%s in the folder of the templates",
				tag, localeFolder, tag, localeSuffix)
		}
	}
	return nil
}

// loadPages reads the languages and the templates, and tries each in each.
func loadPages(folder string) (*pages, error) {
	source, err := newSource(folder)
	if err != nil {
		return nil, fmt.Errorf("templates %s: %w", folder, err)
	}
	p := &pages{templates: map[templateKey]*template.Template{}}
	if p.locales, err = source.locales(); err != nil {
		return nil, err
	}
	for _, layout := range allLayouts {
		for _, page := range allPages {
			if err := p.load(source, layout, page); err != nil {
				return nil, err
			}
		}
	}
	if p.style, err = source.read(styleFile); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(p.style)
	p.styleVersion = hex.EncodeToString(digest[:6])
	return p, nil
}

// load parses a page in a layout, and gives it each language's texts. A
// template is made for one language, so that a text needs no more than its key
// wherever it stands in the template.
func (p *pages) load(source *source, layout, page string) error {
	base, err := source.parse(layout, page, p.locales.all[0].functions())
	if err != nil {
		return err
	}
	for _, l := range p.locales.all {
		t, err := base.Clone()
		if err != nil {
			return fmt.Errorf("templates %s: %w", source.name, err)
		}
		t.Funcs(l.functions())
		for _, view := range samples(page, l) {
			var shown bytes.Buffer
			if err := t.Execute(&shown, view); err != nil {
				return fmt.Errorf("templates %s: %s: %w", source.name, l.tag, err)
			}
			if page == pageLeaving && !strings.Contains(shown.String(), `src="`+sampleFrame+`"`) {
				return fmt.Errorf("templates %s: %s: there is no frame with the address of each of .Frames", source.name, page)
			}
		}
		p.templates[templateKey{page, layout, l}] = t
	}
	return nil
}

// template is a page as it looks to somebody.
func (p *pages) template(page string, l *look) *template.Template {
	layout := layoutFile
	if l.display == displayWAP {
		layout = wapFile
	}
	return p.templates[templateKey{page, layout, l.locale}]
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
	known = append(known, localeFolder)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(known, e.Name()) {
			return nil, fmt.Errorf("%s is not a file that is used here; those are %s", e.Name(), strings.Join(known, ", "))
		}
	}
	return &source{folder: os.DirFS(folder), name: folder}, nil
}

func (s *source) read(file string) ([]byte, error) {
	if content, err := s.fromFolder(file); content != nil || err != nil {
		return content, err
	}
	return embedded.ReadFile(templateRoot + "/" + file)
}

// fromFolder returns a file of the folder, nil if there is none.
func (s *source) fromFolder(file string) ([]byte, error) {
	if s.folder == nil {
		return nil, nil
	}
	content, err := fs.ReadFile(s.folder, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("templates %s: %w", s.name, err)
	case len(content) > maxTemplate || !utf8.Valid(content):
		return nil, fmt.Errorf("templates %s: %s is larger than %d bytes, or not UTF-8", s.name, file, maxTemplate)
	}
	return append([]byte{}, content...), nil // not nil, though it be empty
}

// parse returns a layout with a page in it.
func (s *source) parse(layout, page string, functions template.FuncMap) (*template.Template, error) {
	t := template.New(layout).Funcs(functions)
	for _, name := range []string{layout, page} {
		content, err := s.read(name)
		if err != nil {
			return nil, err
		}
		part := t
		if name != layout {
			part = t.New(name)
		}
		if _, err := part.Parse(string(content)); err != nil {
			return nil, fmt.Errorf("templates %s: %w", s.name, err)
		}
	}
	return t, nil
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
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, page string, view any, leaves bool) error {
	return s.renderUnder(w, r, status, page, view, policy(leaves))
}

// renderUnder shows a page under a Content-Security-Policy of its own.
func (s *Server) renderUnder(w http.ResponseWriter, r *http.Request, status int, page string, view any, policy string) error {
	var body bytes.Buffer
	l := s.look(r)
	if err := s.pages.template(page, l).Execute(&body, view); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	h := w.Header()
	secureHeaders(h)
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", l.locale.tag.String())
	h.Add("Vary", "Accept-Language")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) // the browser has gone; there is nobody to tell
	}
	return nil
}

// refuse shows an error page.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, e *refusal) {
	l := s.look(r).locale
	v := messageView{
		common: s.common(r, e.key+".title"), Detail: l.text(e.key+".detail", e.arguments...), Technical: e.technical,
		Back: e.back, BackText: l.optional(e.backKey),
	}
	if err := s.render(w, r, e.status, pageMessage, v, false); err != nil {
		secureHeaders(w.Header())
		http.Error(w, http.StatusText(e.status), e.status)
	}
}

// outOfDate is for a form whose token is not the one that its page would have now.
func outOfDate(back string) error {
	return &refusal{status: http.StatusForbidden, key: "error.outdated", back: back, backKey: "error.outdated.back"}
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
