package caddymodule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
)

// A storage that cannot take services in says where they can go, and how it would
// become one that can.
func TestImportTaken(t *testing.T) {
	for _, c := range []struct {
		storage Storage
		want    string
	}{{&SQLite{path: "/data/g.db"}, "remove /data/g.db"}, {new(Postgres), "drop the schema gatehouse"}} {
		v := &vault{app: &App{storage: c.storage}}
		err := v.importError(fmt.Errorf("%w: it has the service https://as.example.com", archive.ErrTaken))
		for _, want := range []string{"it has the service", "into a storage of its own", "if nothing in it is needed", c.want} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
}

// Who forgets the file is told where it stands.
func TestCommandsWantAFile(t *testing.T) {
	keys, _, err := keyCommand().Find([]string{"import"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*cobra.Command{importCommand(), backupCommand(), keys} {
		for _, args := range [][]string{nil, {"one", "two"}} {
			if err := cmd.Args(cmd, args); err == nil || !strings.Contains(err.Error(), "expected one file") || !strings.Contains(err.Error(), cmd.Name()+" <file>") {
				t.Errorf("%s %v: %v", cmd.Name(), args, err)
			}
		}
		if err := cmd.Args(cmd, []string{"one"}); err != nil {
			t.Error(err)
		}
	}
}
