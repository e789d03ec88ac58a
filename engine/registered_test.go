package engine_test

import (
	"encoding/json"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// register stores a client as a registration would: its settings, and its secret
// sealed.
func (h *house) register(alias string, settings model.Settings, secret string, expires int64) model.ID {
	h.Helper()
	row := h.row(alias, settings, secret, expires)
	if err := h.store.Write(h.Context(), store.InsertClient{Client: row}); err != nil {
		h.Fatal(err)
	}
	return h.stored(alias).ID
}

// row is the row of a registered client.
func (h *house) row(alias string, settings model.Settings, secret string, expires int64) model.StoredClient {
	h.Helper()
	row := model.StoredClient{Service: h.service.ID, Alias: alias, Settings: raw(settings), CreatedAt: h.clock().Unix(), ModifiedAt: h.clock().Unix()}
	if secret != "" {
		var err error
		row.Sealed, err = masterKey.Seal(h.service.ID, "client "+alias, raw(map[string]any{"client_secret": secret, "expires_at": expires}))
		if err != nil {
			h.Fatal(err)
		}
	}
	return row
}

func (h *house) stored(alias string) model.StoredClient {
	h.Helper()
	row, err := h.store.StoredClientByAlias(h.Context(), h.service.ID, alias)
	if err != nil {
		h.Fatal(err)
	}
	return row
}

var (
	_ = keys.Master{}
	_ = handle.Ticket
	_ = json.Marshal
	_ = testing.Short
)
