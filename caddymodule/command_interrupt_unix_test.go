//go:build unix

package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine/store/newfile"
)

// An interrupt ends a command's work, and leaves no draft of what it makes.
func TestInterruptedCommand(t *testing.T) {
	v := openVault(t)
	folder := t.TempDir()
	config := filepath.Join(folder, "Caddyfile")
	text := fmt.Sprintf("{\n\tgatehouse {\n\t\tstorage sqlite %s\n\t\tservice {\n\t\t\tissuer https://as.example.com\n\t\t}\n\t}\n}\n", v.app.storage.(*SQLite).path)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := new(cobra.Command)
	cmd.Flags().String("config", config, "")
	cmd.SetContext(t.Context())
	run := atVault(existing, func(ctx context.Context, _ *vault) error {
		return newfile.Create(filepath.Join(folder, "made"), func(draft *os.File) error {
			if _, err := draft.WriteString("half"); err != nil {
				return err
			}
			if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		})
	})
	if err := run(cmd, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the command: %v", err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v", entries, err)
	}
}
