package caddymodule

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func userCommand() *cobra.Command {
	user := &cobra.Command{Use: "user", Short: "Manages the accounts in the store"}
	add := &cobra.Command{
		Use: "add <name>", Short: "Adds an account; asks for its password", Args: cobra.ExactArgs(1),
		RunE: atDesk(orNew, userAdd),
	}
	add.Flags().String("email", "", "The email claim")
	add.Flags().StringArray("claim", nil, "A claim as name=value, as often as needed; JSON values are taken as such")
	passwd := &cobra.Command{
		Use: "passwd <name>", Short: "Sets an account's password and ends its sessions", Args: cobra.ExactArgs(1),
		RunE: atDesk(existing, userPasswd),
	}
	for _, cmd := range []*cobra.Command{add, passwd} {
		cmd.Flags().Bool("password-stdin", false, "Read the password from standard input's first line")
	}
	user.AddCommand(add, passwd,
		&cobra.Command{
			Use: "list", Short: "Lists the accounts", Args: cobra.NoArgs,
			RunE: atDesk(existing, userList),
		},
		&cobra.Command{
			Use: "disable <name>", Short: "Disables an account: its sessions and tokens end at once", Args: cobra.ExactArgs(1),
			RunE: atDesk(existing, func(ctx context.Context, d *desk, cmd *cobra.Command, args []string) error {
				return userDisable(ctx, d, cmd, args[0], true)
			}),
		},
		&cobra.Command{
			Use: "enable <name>", Short: "Enables an account that was disabled", Args: cobra.ExactArgs(1),
			RunE: atDesk(existing, func(ctx context.Context, d *desk, cmd *cobra.Command, args []string) error {
				return userDisable(ctx, d, cmd, args[0], false)
			}),
		},
		&cobra.Command{
			Use: "hash", Short: "Prints the hash of a password for an account in a Caddyfile", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				hash, err := askPassword(cmd, false)
				if err == nil {
					say(cmd, "%s\n", hash)
				}
				return err
			},
		})
	return user
}

func userAdd(ctx context.Context, d *desk, cmd *cobra.Command, args []string) error {
	key, err := login.Key(args[0])
	if err != nil {
		return err
	}
	claims, err := claimFlags(cmd)
	if err != nil {
		return err
	}
	stdin, _ := cmd.Flags().GetBool("password-stdin")
	hash, err := askPassword(cmd, stdin)
	if err != nil {
		return err
	}
	id := handle.NewIDs(time.Now, nil).Next()
	account := model.Account{
		Service: d.service.ID, ID: id, Name: args[0], Key: key,
		Subject: strconv.FormatInt(int64(id), 36), PasswordHash: hash, Claims: claims, CreatedAt: time.Now().Unix(),
	}
	err = d.store.Write(ctx, store.InsertAccount{Account: account})
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("there is an account %s already", args[0])
	}
	if err != nil {
		return err
	}
	say(cmd, "added %s, subject %s\n", account.Name, account.Subject)
	return nil
}

func claimFlags(cmd *cobra.Command) (map[string]json.RawMessage, error) {
	claims := map[string]json.RawMessage{}
	if email := flag(cmd, "email"); email != "" {
		claims["email"] = claimValue(email)
	}
	list, _ := cmd.Flags().GetStringArray("claim")
	for _, claim := range list {
		name, value, ok := strings.Cut(claim, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--claim %q: expected name=value", claim)
		}
		claims[name] = claimValue(value)
	}
	return claims, nil
}

func userPasswd(ctx context.Context, d *desk, cmd *cobra.Command, args []string) error {
	account, err := d.account(ctx, args[0])
	if err != nil {
		return err
	}
	stdin, _ := cmd.Flags().GetBool("password-stdin")
	hash, err := askPassword(cmd, stdin)
	if err != nil {
		return err
	}
	err = d.store.Write(ctx,
		store.SetPassword{Service: d.service.ID, ID: account.ID, Hash: hash},
		store.DeleteSessions{Service: d.service.ID, Subject: account.Subject})
	if err == nil {
		say(cmd, "changed the password of %s; its sessions have ended\n", account.Name)
	}
	return err
}

func userDisable(ctx context.Context, d *desk, cmd *cobra.Command, name string, disabled bool) error {
	account, err := d.account(ctx, name)
	if err != nil {
		return err
	}
	steps := []store.Step{store.SetDisabled{Service: d.service.ID, ID: account.ID, Disabled: disabled}}
	if disabled {
		steps = append(steps,
			store.DeleteSessions{Service: d.service.ID, Subject: account.Subject},
			store.RevokeGrants{Service: d.service.ID, Subject: account.Subject})
	}
	if err := d.store.Write(ctx, steps...); err != nil {
		return err
	}
	if disabled {
		say(cmd, "disabled %s; its sessions and tokens have ended\n", account.Name)
	} else {
		say(cmd, "enabled %s\n", account.Name)
	}
	return nil
}

// listPage is how many accounts are read at a time.
const listPage = 500

func userList(ctx context.Context, d *desk, cmd *cobra.Command, _ []string) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSUBJECT\tSTATE\tCREATED")
	for after := model.ID(0); ; {
		accounts, err := d.store.Accounts(ctx, d.service.ID, after, listPage)
		if err != nil {
			return err
		}
		for _, a := range accounts {
			state := "active"
			if a.Disabled {
				state = "disabled"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", a.Name, a.Subject, state, time.Unix(a.CreatedAt, 0).UTC().Format(time.DateOnly))
			after = a.ID
		}
		if len(accounts) < listPage {
			return table.Flush()
		}
	}
}

// account finds an account of the store by any spelling of its name.
func (d *desk) account(ctx context.Context, name string) (model.Account, error) {
	key, err := login.Key(name)
	if err != nil {
		return model.Account{}, err
	}
	account, err := d.store.AccountByKey(ctx, d.service.ID, key)
	if errors.Is(err, store.ErrNotFound) {
		return account, fmt.Errorf("the store has no account %s; accounts in the Caddyfile are edited there", name)
	}
	return account, err
}

// askPassword reads a password, from the terminal without showing it and
// twice, or from standard input, and returns its hash.
func askPassword(cmd *cobra.Command, stdin bool) (string, error) {
	if stdin || !term.IsTerminal(int(os.Stdin.Fd())) {
		line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		if err != nil && line == "" {
			return "", fmt.Errorf("reading the password from standard input: %w", err)
		}
		return login.HashPassword(strings.TrimRight(line, "\r\n"))
	}
	first, err := prompt(cmd, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := prompt(cmd, "Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ")
	}
	return login.HashPassword(first)
}

func prompt(cmd *cobra.Command, text string) (string, error) {
	cmd.PrintErr(text)
	password, err := term.ReadPassword(int(os.Stdin.Fd()))
	cmd.PrintErrln()
	return string(password), err
}
