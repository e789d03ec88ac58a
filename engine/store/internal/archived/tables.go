// Package archived says how the rows of an archive lie in the tables of a
// store: which columns they have, and what stands in them.
package archived

import (
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Table is how rows of a kind are kept.
type Table struct {
	Kind store.Kind
	Name string
	Key  []string // the columns that name a row
	Rest []string // the other columns
	// Scan reads Columns, and what List reads behind them.
	Scan func(Row) (store.Row, error)

	extra string // what is read behind the columns
	of    string // which rows t are of a service; by default those that say so
	order string // in which rows t are read; by default any
}

// Row is one row of a result. Its methods give the zero value for NULL.
type Row interface {
	Int(i int) int64
	Bool(i int) bool
	Text(i int) string
	Blob(i int) []byte
	Null(i int) bool
}

// Tables are those of an archive, in its order.
var Tables = []Table{
	{Kind: "service", Name: "services", Key: words("id"), Rest: words("issuer"), of: "t.id = %", Scan: scanService},
	{Kind: "client", Name: "clients", Key: words("service id"), Rest: words("alias"), Scan: scanClient},
	{Kind: "secret", Name: "secrets", Key: words("service name"), Rest: words("sealed"), of: "t.service IN (0, %)", order: "t.service, t.name", Scan: scanSecret},
	{Kind: "key", Name: "keys", Key: words("service kid"), Rest: words("alg sealed not_before expires_at"), Scan: scanKey},
	{Kind: "registered_client", Name: "stored_clients", Key: words("service id"),
		Rest:  words("developer settings sealed token_hash created_at modified_at version"),
		extra: ", (SELECT alias FROM clients c WHERE c.id = t.id)", Scan: scanRegistered},
	{Kind: "account", Name: "accounts", Key: words("service id"),
		Rest: words("name key subject password_hash disabled created_at claims"), Scan: scanAccount},
	{Kind: "consent", Name: "consents", Key: words("service subject client"), Rest: words("scopes granted_at claims"), Scan: scanConsent},
	{Kind: "session", Name: "sessions", Key: words("service id"), Rest: words("subject auth_time expires_at hash amr"), Scan: scanSession},
	{Kind: "session_client", Name: "session_clients", Key: words("service session client"), Scan: scanSessionClient},
	{Kind: "grant", Name: "grants", Key: words("service id"),
		Rest: words("client subject scopes session auth_time expires_at claims only_access"), Scan: scanGrant},
	{Kind: "refresh_token", Name: "refresh_tokens", Key: words("service id"),
		Rest: words("grant_id expires_at access successor hash jkt x5t"), Scan: scanRefreshToken},
	{Kind: "access_token", Name: "access_tokens", Key: words("service id"),
		Rest: words("grant_id expires_at hash scopes resources jkt x5t"), Scan: scanAccessToken},
	{Kind: "handle", Name: "handles", Key: words("service id"),
		Rest: words("kind grant_id expires_at redeemed hash payload"), Scan: scanHandle},
	{Kind: "used_value", Name: "used_values", Key: words("service digest"), Rest: words("expires_at"), Scan: scanUsedValue},
}

func words(s string) []string { return strings.Fields(s) }

// Of finds the table of a row.
func Of(row store.Row) *Table {
	for i := range Tables {
		if Tables[i].Kind == store.KindOf(row) {
			return &Tables[i]
		}
	}
	return nil // store.Row is a closed set: there is none
}

// Columns are those of the key, then the rest, as Values gives them.
func (t *Table) Columns() []string { return append(append([]string(nil), t.Key...), t.Rest...) }

// Named is the condition for the row of a key, whose columns are the first
// parameters. They begin with a mark: $ or ?.
func (t *Table) Named(mark string) string {
	matches := make([]string, len(t.Key))
	for i, column := range t.Key {
		matches[i] = fmt.Sprintf("%s = %s%d", column, mark, i+1)
	}
	return strings.Join(matches, " AND ")
}

// Find reads the row of a key.
func (t *Table) Find(mark string) string { return t.From(t.Name+" t") + " WHERE " + t.Named(mark) }

// From is the statement, without its end, that reads rows t for Scan.
func (t *Table) From(source string) string {
	return "SELECT t." + strings.Join(t.Columns(), ", t.") + t.extra + " FROM " + source
}

// List reads the rows of the service that a placeholder gives, or of all when
// that is 0.
func (t *Table) List(placeholder string) string {
	of := t.of
	if of == "" {
		of = "t.service = %"
	}
	list := t.From(t.Name+" t") + " WHERE " + placeholder + " = 0 OR " + strings.ReplaceAll(of, "%", placeholder)
	if t.order != "" {
		list += " ORDER BY " + t.order
	}
	return list
}
