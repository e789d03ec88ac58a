package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

func doctorCommand() *cobra.Command {
	doctor := &cobra.Command{
		Use: "doctor", Short: "Looks at configuration, storage, keys and clock, and says what to mend", Args: cobra.NoArgs,
		Long: `Looks beside a running server or without one, changes nothing and asks no
network but that of the storage. It fails when something will not work as it is;
the rest are warnings.`,
		RunE: doctorRun,
	}
	doctor.Flags().Bool("json", false, "Write JSON")
	return doctor
}

// asItIs is what storages implement that can be looked at before they are used.
type asItIs interface {
	// OpenAsIs opens what is there: it makes, migrates and removes nothing, and
	// nothing can be written. fs.ErrNotExist: there is nothing yet.
	OpenAsIs(ctx context.Context) (store.Store, error)
}

// doctor gathers findings.
type doctor struct {
	app      *App
	findings []store.Finding
}

func (d *doctor) found(name, value, advice string) {
	d.findings = append(d.findings, store.Finding{Name: name, Value: value, Advice: advice})
}

func (d *doctor) failed(name string, err error, advice string) {
	d.findings = append(d.findings, store.Finding{Name: name, Value: err.Error(), Advice: advice, Failing: true})
}

func doctorRun(cmd *cobra.Command, _ []string) error {
	cmd.SilenceUsage = true
	ctx, cancel := caddy.NewContext(caddy.Context{Context: cmd.Context()})
	defer cancel()
	d := new(doctor)
	if d.configuration(cmd) {
		d.storage(ctx)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		if err := d.writeJSON(cmd); err != nil {
			return err
		}
	} else {
		d.write(cmd)
	}
	for _, f := range d.findings {
		if f.Failing {
			return errFindings
		}
	}
	return nil
}

// configuration provisions the configuration as a start does, and reports
// whether there is enough of it to look further.
func (d *doctor) configuration(cmd *cobra.Command) bool {
	var err error
	if d.app, err = appFromFlags(cmd); err != nil {
		d.failed("configuration", err, "see caddy adapt and the reference")
		return false
	}
	raw, file, _, err := caddycmd.LoadConfig(flagOr(cmd, "config", "Caddyfile"), flag(cmd, "adapter"))
	var config *caddy.Config
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err == nil {
		err = caddy.Validate(config)
	}
	if err != nil {
		d.failed("configuration", err, "a server would not start with it; here the environment may lack what it has there")
	} else {
		d.found("configuration", file+" is valid", "")
	}
	return true
}

func flagOr(cmd *cobra.Command, name, otherwise string) string {
	if value := flag(cmd, name); value != "" {
		return value
	}
	return otherwise
}

// storage looks at the storage, and then at what is in it.
func (d *doctor) storage(ctx caddy.Context) {
	if err := d.app.loadStorage(ctx); err != nil {
		d.failed("storage", err, "see the option storage")
		return
	}
	storage, ok := d.app.storage.(asItIs)
	if !ok {
		d.found("storage", "this storage cannot be looked at", "")
		return
	}
	st, err := storage.OpenAsIs(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		d.beforeTheFirstStart(placeOf(err))
		return
	}
	if err != nil {
		d.failed("storage", err, cmp.Or(adviceOn(err), "see the option storage"))
		return
	}
	defer st.Close()
	findings, err := st.Inspect(ctx)
	d.findings = append(d.findings, findings...)
	if err != nil {
		d.failed("storage", err, adviceOn(err))
		return
	}
	for _, f := range findings {
		if f.Name == "schema" && f.Advice != "" { // rows cannot be read under another one
			d.found("keys", "not looked at: the schema is not this program's", "")
			return
		}
	}
	d.contents(ctx, st)
}

// adviceOn says what to do about an error of a storage, if that is known.
func adviceOn(err error) string { return cmp.Or(postgres.Advice(err), sqlite.Advice(err)) }

// beforeTheFirstStart is told where there is no storage. A file may be missing too
// because this is another user, or not the path, of the server that has it.
func (d *doctor) beforeTheFirstStart(place string) {
	keys, err := d.app.masterKeys()
	noKey := errors.Is(err, fs.ErrNotExist)
	switch none := "there is no database" + place; {
	case place == "":
		d.found("storage", "there is none yet: the first start makes it", "")
	case d.app.MasterKey == "" && !noKey:
		d.failed("storage", fmt.Errorf("%s, but a key in %s", none, d.app.masterKeyPath()), "restore the database from a backup, or remove the key if nothing is under it")
	default:
		d.found("storage", none, "the first start makes it; if there has been one: is this the user, and the configuration, of the server?")
	}
	if err != nil && !noKey {
		d.failed("master key", err, d.keyAdvice(keys, err))
	}
}

// write says everything in lines, what is to be done after what was seen.
func (d *doctor) write(cmd *cobra.Command) {
	for _, f := range d.findings {
		line := fmt.Sprintf("%-7s %s: %s", severity(f), f.Name, f.Value)
		if f.Advice != "" {
			line += "\n        " + f.Advice
		}
		say(cmd, "%s\n", strings.TrimRight(line, " "))
	}
}

// severity is "fails", "warning" or "ok".
func severity(f store.Finding) string {
	switch {
	case f.Failing:
		return "fails"
	case f.Advice != "":
		return "warning"
	}
	return "ok"
}

// examined is a finding in JSON.
type examined struct {
	Name     string `json:"name"`
	Severity string `json:"severity"` // ok, warning or fails
	Value    string `json:"value"`
	Advice   string `json:"advice,omitempty"`
}

func (d *doctor) writeJSON(cmd *cobra.Command) error {
	list := make([]examined, len(d.findings))
	for i, f := range d.findings {
		list[i] = examined{f.Name, severity(f), f.Value, f.Advice}
	}
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	return encoder.Encode(list)
}
