package caddymodule

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule/login"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("gatehouse", parseGlobalOption)
}

// parseGlobalOption reads the global option gatehouse.
//
// Syntax:
//
//	gatehouse {
//		storage <module> [<args...>]
//		master_key <hex or placeholder> [<previous...>]
//		outbound {
//			allow    <range...>
//			trust    <file...>
//			timeout  <duration>
//			max_size <size>
//			per_host <number>
//		}
//		service {
//			<setting> <args...>
//			supported_scopes {
//				<scope> [<description>] [default] [#<language>=<description>] [<attribute>=<value>]
//			}
//			client <client_id> {
//				<setting> <args...>
//			}
//			account <name> {
//				subject       <sub>
//				password_hash <hash>
//				email         <address>
//				claim         <name> <value>
//				disabled
//			}
//		}
//		introspector <name> <module> [<args...>]
//		gateway_keys <file>
//	}
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next() // gatehouse
		return nil, d.Err("gatehouse: the option is there twice")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "gatehouse", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile reads the global option; see parseGlobalOption.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // gatehouse
	if d.NextArg() {
		return d.Errf("gatehouse: expected a block, not %q", d.Val())
	}
	for d.NextBlock(0) {
		switch d.Val() {
		case "storage":
			if err := a.unmarshalStorage(d); err != nil {
				return err
			}
		case "master_key":
			keys := d.RemainingArgs()
			if len(keys) == 0 || a.MasterKey != "" {
				return d.Err("master_key: expected one option with 64 hexadecimal digits, or a placeholder for them, and then any previous keys")
			}
			a.MasterKey, a.PreviousMasterKeys = keys[0], keys[1:]
		case "outbound":
			if a.Outbound != nil {
				return d.Err("outbound: the option is there twice")
			}
			a.Outbound = new(Outbound)
			if err := a.Outbound.unmarshal(d); err != nil {
				return err
			}
		case "service":
			var s Service
			if err := s.unmarshal(d); err != nil {
				return err
			}
			a.Services = append(a.Services, s)
		case "gateway_keys":
			if !d.AllArgs(&a.GatewayKeys) {
				return d.Err("gateway_keys: expected one file")
			}
		case "introspector":
			if err := a.unmarshalIntrospector(d); err != nil {
				return err
			}
		default:
			return d.Errf("gatehouse: unknown option %q; expected storage, master_key, outbound, service, introspector or gateway_keys", d.Val())
		}
	}
	if len(a.Services) == 0 && len(a.IntrospectorList) == 0 {
		return d.Err("gatehouse: expected at least one service block or one introspector")
	}
	return nil
}

func (a *App) unmarshalStorage(d *caddyfile.Dispenser) error {
	if a.StorageRaw != nil {
		return d.Err("storage: the option is there twice")
	}
	if !d.NextArg() {
		return d.Err("storage: expected the name of a storage, such as sqlite")
	}
	name := d.Val()
	module, err := caddyfile.UnmarshalModule(d, "gatehouse.storage."+name)
	if err != nil {
		return err
	}
	a.StorageRaw = caddyconfig.JSONModuleObject(module, "module", name, nil)
	return nil
}

func (s *Service) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("service: expected a block, not %q", d.Val())
	}
	s.Settings = model.Settings{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "client":
			if err := s.unmarshalClient(d); err != nil {
				return err
			}
		case "account":
			if err := s.unmarshalAccount(d); err != nil {
				return err
			}
		default:
			if err := unmarshalSetting(d, model.ServiceSettings, s.Settings, "service", "client", "account"); err != nil {
				return err
			}
		}
	}
	settings, err := withoutPlaceholders(model.ServiceSettings, s.Settings)
	if err == nil {
		_, err = model.NewService(settings)
	}
	if err != nil {
		return d.Errf("service: %v", err)
	}
	return nil
}

func (s *Service) unmarshalClient(d *caddyfile.Dispenser) error {
	c := Client{Settings: model.Settings{}}
	if !d.AllArgs(&c.ClientID) {
		return d.Err("client: expected one client_id")
	}
	if err := model.CheckAlias(c.ClientID); err != nil {
		return d.Errf("client %q: %v", c.ClientID, err)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := unmarshalSetting(d, model.ClientSettings, c.Settings, "client "+c.ClientID); err != nil {
			return err
		}
	}
	if err := checkClient(c); err != nil {
		return d.Errf("%v", err)
	}
	s.Clients = append(s.Clients, c)
	return nil
}

// checkClient validates what can be before placeholders have their values.
func checkClient(c Client) error {
	settings, err := withoutPlaceholders(model.ClientSettings, c.Settings)
	if err != nil {
		return err
	}
	_, err = model.NewClient(c.ClientID, settings)
	return err
}

// stand-ins for secrets that are known at the start alone. No algorithm wants
// a longer client secret.
var (
	standInText = json.RawMessage(`"` + strings.Repeat("known at start, ", 4) + `"`)
	standInJWKS = json.RawMessage(`"{\"keys\":[]}"`)
)

// withoutPlaceholders puts a stand-in in place of each secret that has a placeholder.
func withoutPlaceholders[T any](catalogue []model.Setting[T], given model.Settings) (model.Settings, error) {
	settings := maps.Clone(given)
	for i := range catalogue {
		s := &catalogue[i]
		value, ok := settings[s.Property]
		if !ok || !s.Secret || !hasPlaceholder(value) {
			continue
		}
		switch s.Type {
		case "text":
			settings[s.Property] = standInText
		case "JSON":
			settings[s.Property] = standInJWKS
		}
	}
	return settings, nil
}

func hasPlaceholder(value json.RawMessage) bool {
	var text string
	return json.Unmarshal(value, &text) == nil && strings.Contains(text, "{") && !json.Valid([]byte(text))
}

// unmarshalSetting reads one line, or block, of a catalogue into values.
func unmarshalSetting[T any](d *caddyfile.Dispenser, catalogue []model.Setting[T], values model.Settings, where string, others ...string) error {
	name := d.Val()
	setting, ok := model.Find(catalogue, name)
	if !ok {
		return d.Errf("%s: unknown setting %q; expected one of %s", where, name,
			strings.Join(append(model.Names(catalogue), others...), ", "))
	}
	args := d.RemainingArgs()
	nesting := d.Nesting()
	block := d.NextBlock(nesting)
	switch {
	case block && (!setting.HasBlock() || len(args) > 0):
		return d.Errf("%s: expected no block here", name)
	case block:
		return unmarshalBlock(d, nesting, setting, values)
	}
	value, err := setting.Parse(args)
	if err != nil {
		return d.Errf("%v", err)
	}
	return put(d, setting, values, value)
}

// unmarshalBlock reads the entries of a setting that is written as a block.
func unmarshalBlock[T any](d *caddyfile.Dispenser, nesting int, setting *model.Setting[T], values model.Settings) error {
	var entries []json.RawMessage
	for more := true; more; more = d.NextBlock(nesting) {
		entry, err := setting.ParseEntry(d.Val(), d.RemainingArgs())
		if err != nil {
			return d.Errf("%v", err)
		}
		entries = append(entries, entry)
	}
	value, err := json.Marshal(entries)
	if err != nil {
		return d.Errf("%v", err)
	}
	return put(d, setting, values, value)
}

// put checks a value against the setting's limits, here where the line is
// known, and keeps it.
func put[T any](d *caddyfile.Dispenser, setting *model.Setting[T], values model.Settings, value json.RawMessage) error {
	if _, ok := values[setting.Property]; ok {
		return d.Errf("%s: the setting is there twice", setting.Name())
	}
	if !setting.Secret || !hasPlaceholder(value) {
		if err := setting.Apply(new(T), value); err != nil {
			return d.Errf("%v", err)
		}
	}
	values[setting.Property] = value
	return nil
}

func (s *Service) unmarshalAccount(d *caddyfile.Dispenser) error {
	account := login.DeclaredAccount{Claims: map[string]json.RawMessage{}}
	if !d.AllArgs(&account.Name) {
		return d.Err("account: expected one name")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name, args := d.Val(), d.RemainingArgs()
		ok := len(args) == 1
		switch name {
		case "subject":
			if ok {
				account.Subject = args[0]
			}
		case "password_hash":
			if ok {
				account.PasswordHash = args[0]
			}
		case "email":
			if ok {
				account.Claims["email"] = claimValue(args[0])
			}
		case "claim":
			if ok = len(args) == 2; ok {
				account.Claims[args[0]] = claimValue(args[1])
			}
		case "disabled":
			if ok = len(args) == 0; ok {
				account.Disabled = true
			}
		default:
			return d.Errf("account %s: unknown setting %q; expected subject, password_hash, email, claim or disabled", account.Name, name)
		}
		if !ok {
			return d.Errf("account %s: %s: wrong number of arguments", account.Name, name)
		}
	}
	s.Accounts = append(s.Accounts, account)
	if err := login.CheckAccounts(s.Accounts); err != nil {
		return d.Errf("%v", err)
	}
	return nil
}

// claimValue reads a claim: true, false, a number or a JSON object or array is
// that value, and anything else is text.
func claimValue(text string) json.RawMessage {
	if json.Valid([]byte(text)) && text != "null" {
		return json.RawMessage(text)
	}
	value, _ := json.Marshal(text)
	return value
}

// Interface guards
var _ caddyfile.Unmarshaler = (*App)(nil)
