package caddymodule_test

import (
	"cmp"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

//go:generate go test -run TestReferenceIsCurrent -update

var update = flag.Bool("update", false, "write REFERENCE.md anew")

// REFERENCE.md is made from the catalogue; a setting cannot be missing in it.
func TestReferenceIsCurrent(t *testing.T) {
	service, err := model.NewService(model.Settings{"issuer": []byte(`"https://as.example.com"`)})
	if err != nil {
		t.Fatal(err)
	}
	client, err := model.NewClient("c", model.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Reference\n\nMade from the source by `go generate ./caddymodule`.\n\n## Directives and options\n")
	for _, file := range sources(t) {
		writeSyntax(t, &b, file)
	}
	b.WriteString("\n## Settings\n\nIn a Caddyfile a setting has the name in the first column; in JSON, the one in the second.\n")
	writeReference(&b, "Service", model.ServiceSettings, &service)
	writeReference(&b, "Client", model.ClientSettings, &client)
	if *update {
		if err := os.WriteFile("REFERENCE.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	current, err := os.ReadFile("REFERENCE.md")
	if err != nil || string(current) != b.String() {
		t.Errorf("REFERENCE.md is not current (%v): run go generate ./caddymodule", err)
	}
}

// sources are all files here, so that no directive can be missing: those of the
// app, and then those of its folders.
func sources(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.Name() == "testdata":
			return fs.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			files = append(files, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(files, func(a, b string) int { return cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")) })
	return files
}

// writeSyntax copies what the comments of a file say under Syntax, since the
// comment is the manual. A block that stands within another one is there already.
func writeSyntax(t *testing.T, b *strings.Builder, name string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, comment := range file.Comments {
		_, syntax, ok := strings.Cut(comment.Text(), "Syntax:\n\n")
		if !ok {
			continue
		}
		var block, within strings.Builder
		for line := range strings.Lines(syntax) {
			if !strings.HasPrefix(line, "\t") {
				break
			}
			block.WriteString("    " + line[1:])
			within.WriteString("    " + line)
		}
		if !strings.Contains(b.String(), within.String()) {
			b.WriteString("\n" + block.String())
		}
	}
}

func writeReference[T any](b *strings.Builder, title string, catalogue []model.Setting[T], defaults *T) {
	fmt.Fprintf(b, "\n### %s\n", title)
	tab := ""
	for i := range catalogue {
		s := &catalogue[i]
		if s.Tab != tab {
			tab = s.Tab
			fmt.Fprintf(b, "\n#### %s\n\n| name | property | what it is | value | default | discovery |\n|---|---|---|---|---|---|\n", tab)
		}
		value := s.Type
		if s.Limits != "" {
			value += "; " + s.Limits
		}
		standard := ""
		if v := s.Value(defaults); !s.Required && !s.Secret && v != nil {
			standard = fmt.Sprint(v)
		}
		if s.Required {
			standard = "required"
		}
		metadata := s.Metadata
		if metadata != "" {
			metadata = "`" + metadata + "`"
		}
		fmt.Fprintf(b, "| `%s` | `%s` | %s | %s | %s | %s |\n", s.Name(), s.Property, s.Help, value, strings.Trim(standard, "[]"), metadata)
	}
}
