package storetest

import (
	"encoding/json"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// storeID draws an id such as stores give, far from those that they will give
// in a test.
func storeID() model.ID { return newID() - 1<<60 + 1<<40 }

// EveryRow is a service with that id and a row of each kind below it, with every
// member set, in the order of an archive.
func EveryRow(service model.ID) []store.Row {
	hash := func() [32]byte { return hashOf(newID()) }
	client, session, grant, access := storeID(), newID(), newID(), newID()
	confirmation := model.Confirmation{JKT: hash(), X5T: hash()}
	values := map[string]json.RawMessage{"name": json.RawMessage(`"Alice"`)}
	return []store.Row{
		store.ServiceRow{ID: service, Issuer: fmt.Sprintf("https://archive%d.example", service)},
		store.ClientRow{Service: service, ID: client, Alias: "app"},
		store.SecretRow{Service: service, Name: "name", Sealed: []byte{0, 1}},
		store.KeyRow{Key: model.Key{Service: service, KID: "kid", Alg: "ES256", Sealed: []byte{2}, NotBefore: past, ExpiresAt: future}},
		store.StoredClientRow{Client: model.StoredClient{
			Service: service, ID: client, Alias: "app", Developer: "dev", Settings: []byte(`{}`), Sealed: []byte{3}, TokenHash: hash(),
			CreatedAt: past, ModifiedAt: now, Version: 7,
		}},
		store.AccountRow{Account: model.Account{
			Service: service, ID: newID(), Name: "Alice", Key: "alice", Subject: "sub", PasswordHash: "$argon2id$", Claims: values,
			Disabled: true, CreatedAt: past,
		}},
		store.ConsentRow{Consent: model.Consent{
			Service: service, Subject: "sub", Client: client, Scopes: []string{"openid"}, Claims: []string{"email"}, GrantedAt: past,
		}},
		store.SessionRow{Session: model.Session{
			Service: service, ID: session, Hash: hash(), Subject: "sub", AuthTime: past, AMR: []string{"pwd"}, ExpiresAt: future,
		}},
		store.SessionClientRow{Service: service, Session: session, Client: client},
		store.GrantRow{Grant: model.Grant{
			Service: service, ID: grant, Client: client, Subject: "sub", Scopes: []string{"openid", "email"}, Session: session,
			AuthTime: past, ExpiresAt: future, Claims: model.GrantClaims{
				UserInfo: []string{"email"}, IDToken: []string{"name"}, Conditions: map[string][]json.RawMessage{"sub": {json.RawMessage(`"sub"`)}},
				Locales: []string{"en"}, Values: values, ACR: "1", AMR: []string{"pwd"}, Resources: []string{"https://api.example"},
				Properties: []model.Property{{Key: "k", Value: "v", Hidden: true}},
			},
		}, OnlyAccess: access},
		store.RefreshTokenRow{Token: model.RefreshToken{
			Service: service, ID: newID(), Grant: grant, Hash: hash(), ExpiresAt: future, Access: access, Successor: newID(),
			Confirmation: confirmation,
		}},
		store.AccessTokenRow{Token: model.AccessToken{
			Service: service, ID: access, Grant: grant, Hash: hash(), Scopes: []string{"email"}, Resources: []string{"https://api.example"},
			Confirmation: confirmation, ExpiresAt: future,
		}},
		store.HandleRow{Handle: model.Handle{
			Service: service, ID: newID(), Kind: model.HandleCode, Hash: hash(), ExpiresAt: future, Redeemed: true, Grant: grant,
			Payload: []byte(`{}`),
		}},
		store.UsedValueRow{Service: service, Digest: hash(), ExpiresAt: future},
	}
}
