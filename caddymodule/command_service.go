package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

func serviceCommand() *cobra.Command {
	service := &cobra.Command{Use: "service", Short: "Looks at the services"}
	check := &cobra.Command{
		Use: "check", Short: "Says which settings contradict each other, a specification or RFC 9700", Args: cobra.NoArgs,
		Long: `Reads the configuration, and neither storage nor network. It fails when
settings contradict each other; with --strict, also when one is unsafe.`,
		RunE: serviceCheck,
	}
	check.Flags().Bool("json", false, "Write JSON")
	check.Flags().Bool("strict", false, "Fail for warnings too")
	service.AddCommand(check)
	return service
}

// checked is what the linter found at one service.
type checked struct {
	Issuer   string          `json:"issuer"`
	Findings []model.Finding `json:"findings"`
}

var errFindings = errors.New("there is something to mend")

func serviceCheck(cmd *cobra.Command, _ []string) error {
	cmd.SilenceUsage = true
	app, err := appFromFlags(cmd)
	if err != nil {
		return err
	}
	wanted := flag(cmd, "issuer")
	list := []checked{}
	for i := range app.Services {
		d, err := app.Services[i].declareUnresolved()
		if err != nil {
			return err
		}
		if wanted == "" || wanted == d.Service.Issuer {
			list = append(list, checked{d.Service.Issuer, model.Lint(&d.Service, d.Clients)})
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("no service has the issuer %s", wanted)
	}
	strict, _ := cmd.Flags().GetBool("strict")
	asJSON, _ := cmd.Flags().GetBool("json")
	if err := printChecked(cmd, list, asJSON); err != nil {
		return err
	}
	for _, c := range list {
		for _, f := range c.Findings {
			if f.Level == model.Contradiction || strict && f.Level == model.Warning {
				return errFindings
			}
		}
	}
	return nil
}

func printChecked(cmd *cobra.Command, list []checked, asJSON bool) error {
	if asJSON {
		text, err := json.MarshalIndent(list, "", "  ")
		say(cmd, "%s\n", text)
		return err
	}
	for _, c := range list {
		say(cmd, "%s\n", c.Issuer)
		for _, f := range c.Findings {
			say(cmd, "%s\n", f)
		}
		if len(c.Findings) == 0 {
			say(cmd, "nothing to mend\n")
		}
	}
	return nil
}
