package engine_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// register stores a client as a registration would: its settings, and its secret
// sealed.
func (h *house) register(alias string, settings model.Settings, secret string, expires int64) model.ID {
	h.Helper()
	row := model.StoredClient{Service: h.service.ID, Alias: alias, Settings: raw(settings), CreatedAt: h.clock().Unix(), ModifiedAt: h.clock().Unix()}
	if secret != "" {
		row.Sealed = h.sealed(h.service.ID, alias, secret, expires)
	}
	h.write(store.InsertClient{Client: row})
	return h.stored(alias).ID
}

func (h *house) sealed(service model.ID, alias, secret string, expires int64) []byte {
	h.Helper()
	sealed, err := keys.Single(masterKey).Seal(service, "client "+alias, raw(map[string]any{"client_secret": secret, "expires_at": expires}))
	if err != nil {
		h.Fatal(err)
	}
	return sealed
}

func (h *house) stored(alias string) model.StoredClient {
	h.Helper()
	row, err := h.store.StoredClientByAlias(h.Context(), h.service.ID, alias)
	if err != nil {
		h.Fatal(err)
	}
	return row
}

// update changes the row of a registered client.
func (h *house) update(alias string, change func(*model.StoredClient)) {
	h.Helper()
	row := h.stored(alias)
	change(&row)
	h.write(store.UpdateClient{Client: row})
}

func (h *house) write(steps ...store.Step) {
	h.Helper()
	if err := h.store.Write(h.Context(), steps...); err != nil {
		h.Fatal(err)
	}
}

// credentialsOf are those of a registered client that uses client_secret_basic.
func credentialsOf(alias string) engine.ClientCredentials {
	return engine.ClientCredentials{ClientID: alias, ClientSecret: longSecret, Present: true}
}

// A client that was registered at run time is served like one that is declared;
// what changes in the store is obeyed at once here, and soon by every node.
func TestRegisteredClients(t *testing.T) {
	t.Parallel()
	address := storesOf(t).New(t)
	a := openOn(t, openStore(t, address), declare(t, issuer, nil))
	b := openOn(t, openStore(t, address), declare(t, issuer, nil)) // another process
	nodes := []*house{a, b}
	settings := model.Settings{"redirectUris": raw([]string{redirect}), "grantTypes": raw([]string{"AUTHORIZATION_CODE", "REFRESH_TOKEN", "CLIENT_CREDENTIALS"})}
	own := func(h *house) model.Action {
		return h.direct("grant_type=client_credentials", credentialsOf("dynamic")).Action
	}
	for _, h := range nodes {
		if own(h) != model.ActionInvalidClient {
			t.Fatal("there is such a client before it is registered")
		}
	}
	id := a.register("dynamic", settings, longSecret, 0)
	for _, h := range nodes {
		if own(h) != model.ActionOK {
			t.Fatal("it is not served")
		}
		byID, err := h.engine.Client(t.Context(), h.service.ID, id)
		if err != nil || byID.Alias != "dynamic" || byID.Registered == nil || byID.ClientSecret != "" {
			t.Errorf("%+v %v", byID, err)
		}
	}
	code := a.code("dynamic")
	redeemed := a.direct("grant_type=authorization_code&code_verifier="+verifier+"&redirect_uri="+redirect+"&code="+code, credentialsOf("dynamic"))
	a.want(redeemed, model.ActionOK)

	t.Run("its settings change", func(t *testing.T) {
		other := "https://app.example.com/other"
		a.update("dynamic", func(row *model.StoredClient) { row.Settings = raw(with(settings, "redirectUris", []string{other})) })
		if resp := a.on(t).authorize(request("dynamic")); resp.Action != model.ActionBadRequest {
			t.Errorf("the old redirect address is good: %s", resp.Action)
		}
		a.on(t).wantAccepted("the new one", request("dynamic", "redirect_uri", other))
		eventually(t, "another node has not noticed", func() bool { return b.authorize(request("dynamic")).Action == model.ActionBadRequest })
	})
	t.Run("its secret changes", func(t *testing.T) {
		a.update("dynamic", func(row *model.StoredClient) { row.Sealed = a.sealed(a.service.ID, "dynamic", longSecret+"2", 0) })
		if own(a) != model.ActionInvalidClient {
			t.Error("the old secret is good")
		}
		eventually(t, "another node takes the old secret", func() bool { return own(b) == model.ActionInvalidClient })
	})
	t.Run("it is removed", func(t *testing.T) {
		if !a.usable(redeemed.AccessToken) || !b.usable(redeemed.AccessToken) {
			t.Fatal("the token is not good before")
		}
		a.write(store.DeleteClient{Service: a.service.ID, ID: id})
		if a.usable(redeemed.AccessToken) {
			t.Error("its token lives on")
		}
		eventually(t, "its token lives on at another node", func() bool { return !b.usable(redeemed.AccessToken) })
		a.on(t).wantError(a.direct("grant_type=refresh_token&refresh_token="+redeemed.RefreshToken, credentialsOf("dynamic")), "invalid_client")
		if _, err := a.engine.Client(t.Context(), a.service.ID, id); err != store.ErrNotFound {
			t.Errorf("%v", err)
		}
		// threats.md 31: its name is never another's.
		if err := a.store.Write(t.Context(), store.InsertClient{Client: model.StoredClient{Service: a.service.ID, Alias: "dynamic", Settings: raw(settings)}}); err == nil {
			t.Error("its client_id was given to another")
		}
	})
}

// threats.md 31: a registered client is one service's, and its sealed secret is
// good in no other place.
func TestThreat31RegisteredClientsAreApart(t *testing.T) {
	t.Parallel()
	a, b := pairOfServices(t)
	own := model.Settings{"grantTypes": raw([]string{"CLIENT_CREDENTIALS"})}
	a.register("dynamic", own, longSecret, 0)
	a.want(a.direct("grant_type=client_credentials", credentialsOf("dynamic")), model.ActionOK)
	b.wantError(b.direct("grant_type=client_credentials", credentialsOf("dynamic")), "invalid_client")
	moved := model.StoredClient{Service: b.service.ID, Alias: "dynamic", Settings: raw(own), Sealed: a.stored("dynamic").Sealed}
	b.write(store.InsertClient{Client: moved})
	if resp, err := b.engine.Token(t.Context(), b.service.ID, engine.TokenRequest{Parameters: "grant_type=client_credentials", Basic: credentialsOf("dynamic")}); err == nil {
		t.Errorf("a secret that was moved opens: %s", resp.ResponseContent)
	} else if strings.Contains(err.Error(), longSecret) {
		t.Error("the error shows the secret (threats.md 34)")
	}
	if bytes.Contains(a.stored("dynamic").Sealed, []byte(longSecret)) || bytes.Contains(a.stored("dynamic").Settings, []byte(longSecret)) {
		t.Error("the secret is in the store in clear")
	}
}

// What was read of a client before it changed is not remembered after that,
// however reads and changes come together.
func TestRegisteredClientsAreNotRememberedTooLong(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.register("dynamic", model.Settings{"clientName": raw("0"), "redirectUris": raw([]string{redirect})}, "", 0)
	for i := range 100 {
		name := strings.Repeat("x", i%90+1)
		together(4, func(n int) {
			if n == 0 {
				h.update("dynamic", func(row *model.StoredClient) {
					row.Settings = raw(model.Settings{"clientName": raw(name), "redirectUris": raw([]string{redirect})})
				})
				return
			}
			_, _ = h.engine.ClientByAlias(t.Context(), h.service.ID, "dynamic")
		})
		c, err := h.engine.ClientByAlias(t.Context(), h.service.ID, "dynamic")
		if err != nil || c.ClientName != name {
			t.Fatalf("after the change the client is %v %v", c, err)
		}
	}
}

// A registered client that names a declared one's client_id cannot be: the
// configuration's is the one (threats.md 10, 20).
func TestDeclaredClientsComeFirst(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	err := h.store.Write(t.Context(), store.InsertClient{Client: model.StoredClient{Service: h.service.ID, Alias: "web", Settings: raw(model.Settings{"redirectUris": raw([]string{"https://evil.example/"})})}})
	if err == nil {
		t.Error("a declared client's name was registered")
	}
	if resp := h.authorize(request("web", "redirect_uri", "https://evil.example/")); resp.Action != model.ActionBadRequest {
		t.Errorf("%s", resp.Action)
	}
}

// A row that this version cannot make a client of is an error, and no client.
func TestRegisteredClientThatCannotBeRead(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for alias, settings := range map[string]string{"broken": "{", "list": "[]", "unknown": `{"nonsense":1}`, "contradiction": `{"grantTypes":["AUTHORIZATION_CODE"]}`} {
		h.write(store.InsertClient{Client: model.StoredClient{Service: h.service.ID, Alias: alias, Settings: []byte(settings)}})
		if c, err := h.engine.ClientByAlias(t.Context(), h.service.ID, alias); err == nil {
			t.Errorf("%s: %+v", alias, c)
		}
	}
}
