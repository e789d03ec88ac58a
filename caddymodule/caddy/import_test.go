package main_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

// collides fills a storage with another service, to which a grant of the file
// belongs.
func (s *server) collides(file, database string) {
	s.t.Helper()
	text, err := os.Open(file)
	if err != nil {
		s.t.Fatal(err)
	}
	defer text.Close()
	r, err := archive.NewReader(text)
	if err != nil {
		s.t.Fatal(err)
	}
	const other = 1 << 40
	rows := []store.Row{store.ServiceRow{ID: other, Issuer: "https://other.example"}}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.t.Fatal(err)
		}
		switch row := row.(type) {
		case store.SecretRow:
			if row.Service == 0 {
				rows = append(rows, row)
			}
		case store.GrantRow:
			row.Grant.Service = other
			rows = append(rows, row)
		}
	}
	st, err := sqlite.Open(s.t.Context(), sqlite.Options{Path: database, SweepInterval: -1})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(st.PutRows(s.t.Context(), rows), st.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// TestImportGivenUp: two storages may have drawn the same id. An import that meets
// one says which and what can be done, is in no export's way, and can be given up.
// Then the service is loaded without its tokens, or begins anew.
func TestImportGivenUp(t *testing.T) {
	s := startOwn(t, elsewhere(t, "one"))
	kept := s.serviceToken("orders:read")
	all, few := filepath.Join(s.folder, "all.jsonl"), filepath.Join(s.folder, "few.jsonl")
	s.gatehouse("", "export", "-o", all)
	s.gatehouse("", "export", "-o", few, "--without-tokens")
	s.stop()
	s.config = s.configured("two.caddyfile", elsewhere(t, "two"))
	database := filepath.Join(s.folder, "two", "gatehouse.db")
	s.collides(all, database)
	s.copyKey(filepath.Join(s.folder, "one", "gatehouse.key"), filepath.Join(s.folder, "two", "gatehouse.key"))

	_, errs, err := s.command("", "gatehouse", "-c", s.config, "import", all)
	for _, want := range []string{"grant ", "of the service ", "--without-tokens", "import --cancel"} {
		if err == nil || !strings.Contains(errs, want) {
			t.Errorf("import: %v %s, want %q", err, errs, want)
		}
	}
	if strings.Contains(errs, "run it again") {
		t.Errorf("it would be so again: %s", errs)
	}
	s.fails("is being loaded", "-c", s.config, "user", "add", "bob")
	rest := filepath.Join(s.folder, "rest.jsonl")
	if _, errs, err = s.command("", "gatehouse", "-c", s.config, "export", "-o", rest); err != nil || !strings.Contains(errs, "not loaded to its end: "+s.as) {
		t.Errorf("an export of the others: %v %s", err, errs)
	}
	if text, err := os.ReadFile(rest); err != nil || strings.Contains(string(text), s.as) || !strings.Contains(string(text), "https://other.example") {
		t.Errorf("it holds %s, %v", text, err)
	}
	s.fails("was not loaded to its end", "-c", s.config, "export", "--issuer", s.as)

	s.fails("expected one file, not 0: caddy gatehouse import <file>", "-c", s.config, "import")
	s.fails("unknown command", "-c", s.config, "import", "--cancel", all)
	for range 2 {
		if out := s.gatehouse("", "import", "--cancel"); !strings.Contains(out, "nothing is left") {
			t.Errorf("import --cancel: %s", out)
		}
	}
	s.gatehouse("", "import", few)
	s.start()
	s.call(kept).want(t, 401)
	s.call(s.serviceToken("orders:read")).want(t, 200)
}
