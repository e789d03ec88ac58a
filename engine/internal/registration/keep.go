package registration

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	idPrefix    = "c_" // a client_id never looks like an option of a command
	idBytes     = 16
	secretBytes = 48 // 64 characters: as many bytes as HS512 needs (RFC 7518 §3.2)
	maxTries    = 64 // of an update, when others change the client at the same time
)

// create stores a new client and answers with what it is to know.
func create(ctx context.Context, r *realm.Realm, d *draft, developer string) (*Response, error) {
	token, err := newToken(r)
	if err != nil {
		return nil, err
	}
	var row model.StoredClient
	var k realm.Secrets
	err = r.Write(ctx, func() ([]store.Step, error) {
		id, err := random(r, idBytes)
		if err != nil {
			return nil, err
		}
		now := r.Now().Unix()
		row = model.StoredClient{
			Service: r.Service.ID, Alias: idPrefix + id, Developer: developer,
			TokenHash: sha256.Sum256([]byte(token)), CreatedAt: now, ModifiedAt: now, Version: 1,
		}
		k, err = d.keep(r, &row, realm.Secrets{})
		return []store.Step{store.InsertClient{Client: row, Most: int(r.Service.ClientsPerDeveloper)}}, err
	})
	if errors.Is(err, store.ErrSpent) {
		// RFC 7591 §3.2.2 has no code for it: nothing is wrong with the metadata.
		// That the server denies the request is access_denied (RFC 6749 §4.1.2.1).
		return nil, oautherr.New(oautherr.AccessDenied, "as many clients are registered as a developer may have")
	}
	if err != nil {
		return nil, err
	}
	report(r, "registration", row.Alias)
	return inform(r, model.ActionCreated, &row, k, token)
}

// replace stores what a client now says of itself. Each version of a client is
// replaced once: whoever comes second looks at the new one, and is judged anew.
func replace(ctx context.Context, r *realm.Realm, d *draft, row model.StoredClient, req Request, secret json.RawMessage) (*Response, error) {
	for range maxTries {
		old, err := r.OpenSecrets(&row)
		if err != nil {
			return nil, err
		}
		// RFC 7592 §2.2: no client chooses its own secret.
		if secret != nil && (old.ClientSecret == "" || !sameSecret(old.ClientSecret, jose.Text(secret))) {
			return nil, refuse("client_secret", "is not the one that was issued")
		}
		row.ModifiedAt = r.Now().Unix()
		k, err := d.keep(r, &row, old)
		if err != nil {
			return nil, err
		}
		err = r.Store.Write(ctx, store.UpdateClient{Client: row})
		if err == nil {
			report(r, "registration/update", row.Alias)
			return inform(r, model.ActionUpdated, &row, k, req.Token)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if row, err = authenticate(ctx, r, req); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: client %s changes all the time", store.ErrUnavailable, row.Alias)
}

// keep puts a draft into a row, and makes sure that a client can be made of it.
// The secret is the old one while it is good; a client that needs none has none.
func (d *draft) keep(r *realm.Realm, row *model.StoredClient, old realm.Secrets) (k realm.Secrets, err error) {
	if d.needsSecret() {
		k = old
		if k.ClientSecret == "" || k.ExpiresAt != 0 && k.ExpiresAt <= r.Now().Unix() {
			if k, err = newSecret(r); err != nil {
				return k, err
			}
		}
	}
	k.Statement = d.statement
	if row.Settings, err = json.Marshal(d.settings); err != nil {
		return k, err
	}
	if err := r.SealSecrets(row, k); err != nil {
		return k, err
	}
	if _, err := r.OpenClient(*row); err != nil {
		return k, refuse("client", "%v", inMembers(err))
	}
	return k, nil
}

func newSecret(r *realm.Realm) (s realm.Secrets, err error) {
	s.ClientSecret, err = random(r, secretBytes)
	if r.Service.ClientSecretDuration > 0 {
		s.ExpiresAt = r.Now().Unix() + r.Service.ClientSecretDuration
	}
	return s, err
}

// newToken makes a registration access token. It does not expire, since nobody
// could manage the client any more (RFC 7592 §5). Of it all a row keeps the
// hash, so that no altered form of it is taken for the same (threats.md 18).
func newToken(r *realm.Realm) (string, error) {
	secret, err := handle.NewSecret(r.Random)
	if err != nil {
		return "", err
	}
	return handle.Format(handle.Registration, r.IDs.Next(), &secret), nil
}

// random is that many random bytes as text.
func random(r *realm.Realm, n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r.Random, b); err != nil {
		return "", fmt.Errorf("no random bytes: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// inform answers with the client information response (RFC 7591 §3.2.1, RFC
// 7592 §3): everything that is registered, and nothing that is not metadata.
func inform(r *realm.Realm, action model.Action, row *model.StoredClient, k realm.Secrets, token string) (*Response, error) {
	client, err := r.OpenClient(*row)
	if err != nil {
		return nil, err
	}
	registered := model.Settings{}
	if err := json.Unmarshal(row.Settings, &registered); err != nil {
		return nil, err
	}
	document := map[string]any{}
	for i := range model.ClientSettings {
		s := &model.ClientSettings[i]
		if _, ok := registered[s.Property]; ok && s.Metadata != "" {
			express(document, s, s.Value(client))
		}
	}
	document["client_id"] = row.Alias
	document["client_id_issued_at"] = row.CreatedAt
	document["registration_client_uri"] = r.Service.RegistrationEndpoint + "/" + row.Alias
	document["registration_access_token"] = token
	if k.ClientSecret != "" {
		document["client_secret"] = k.ClientSecret
		document["client_secret_expires_at"] = k.ExpiresAt
	}
	if k.Statement != "" {
		document["software_statement"] = k.Statement
	}
	content, err := json.Marshal(document)
	return &Response{Action: action, ResponseContent: string(content)}, err
}
