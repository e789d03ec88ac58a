// Package archive carries a store's rows to another store: in a file, or over
// from one that goes on serving.
//
// A file is JSON, one object a line. The first is a header, then comes a row a
// line in the order of store.Kinds, and the last says how many rows there are and
// what the SHA-256 of all lines before it is, so that a file that was cut or
// changed is noticed. Sealed values stay sealed; hashes are as they are kept.
package archive

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const (
	// Version is that of the format. Files of a higher one are refused.
	Version = 1
	// maxLine bounds a line, in bytes.
	maxLine = 8 << 20
)

var (
	// ErrFormat: the file is none of these, or not whole, or not as it was written.
	ErrFormat = errors.New("not a whole export of Gatehouse")
	// ErrNewer: the file was written by a later version.
	ErrNewer = errors.New("written by a newer Gatehouse")
)

// Header says what is in a file.
type Header struct {
	Gatehouse string    `json:"gatehouse"` // "export"
	Version   int       `json:"version"`
	Created   time.Time `json:"created"`
	// Issuer is the one service that is in it; empty: all.
	Issuer string `json:"issuer,omitempty"`
	// Tokens: it holds sessions, grants, tokens and what was used once.
	Tokens bool `json:"tokens"`
}

const headerName = "export"

// footer ends a file.
type footer struct {
	Rows   int64            `json:"rows"`
	SHA256 model.Thumbprint `json:"sha256"` // of all lines before
}

const footerName = "end"

// The rows as they are written. Where the members are those of the store's type,
// they convert into each other, so that none can be forgotten.
type (
	serviceLine struct {
		ID     model.ID `json:"id"`
		Issuer string   `json:"issuer"`
	}
	clientLine struct {
		Service model.ID `json:"service"`
		ID      model.ID `json:"id"`
		Alias   string   `json:"alias"`
	}
	secretLine struct {
		Service model.ID `json:"service"`
		Name    string   `json:"name"`
		Sealed  []byte   `json:"sealed"`
	}
	keyLine struct {
		Service   model.ID `json:"service"`
		KID       string   `json:"kid"`
		Alg       string   `json:"alg"`
		Sealed    []byte   `json:"sealed"`
		NotBefore int64    `json:"not_before"`
		ExpiresAt int64    `json:"expires_at,omitempty"`
	}
	storedClientLine struct {
		Service    model.ID         `json:"service"`
		ID         model.ID         `json:"id"`
		Alias      string           `json:"alias"`
		Developer  string           `json:"developer,omitempty"`
		Settings   []byte           `json:"settings"`
		Sealed     []byte           `json:"sealed,omitzero"`
		TokenHash  model.Thumbprint `json:"token_hash,omitzero"`
		CreatedAt  int64            `json:"created_at"`
		ModifiedAt int64            `json:"modified_at"`
		Version    int64            `json:"version"`
	}
	accountLine struct {
		Service      model.ID                   `json:"service"`
		ID           model.ID                   `json:"id"`
		Name         string                     `json:"name"`
		Key          string                     `json:"key"`
		Subject      string                     `json:"subject"`
		PasswordHash string                     `json:"password_hash"`
		Claims       map[string]json.RawMessage `json:"claims,omitempty"`
		Disabled     bool                       `json:"disabled,omitempty"`
		CreatedAt    int64                      `json:"created_at"`
	}
	consentLine struct {
		Service   model.ID `json:"service"`
		Subject   string   `json:"subject"`
		Client    model.ID `json:"client"`
		Scopes    []string `json:"scopes,omitempty"`
		Claims    []string `json:"claims,omitempty"`
		GrantedAt int64    `json:"granted_at"`
	}
	sessionLine struct {
		Service   model.ID         `json:"service"`
		ID        model.ID         `json:"id"`
		Hash      model.Thumbprint `json:"hash,omitzero"`
		Subject   string           `json:"subject"`
		AuthTime  int64            `json:"auth_time"`
		AMR       []string         `json:"amr,omitempty"`
		ExpiresAt int64            `json:"expires_at"`
	}
	sessionClientLine struct {
		Service model.ID `json:"service"`
		Session model.ID `json:"session"`
		Client  model.ID `json:"client"`
	}
	grantLine struct {
		Service    model.ID          `json:"service"`
		ID         model.ID          `json:"id"`
		Client     model.ID          `json:"client"`
		Subject    string            `json:"subject,omitempty"`
		Scopes     []string          `json:"scopes,omitempty"`
		Session    model.ID          `json:"session,omitempty"`
		AuthTime   int64             `json:"auth_time,omitempty"`
		ExpiresAt  int64             `json:"expires_at"`
		Claims     model.GrantClaims `json:"claims,omitzero"`
		OnlyAccess model.ID          `json:"only_access,omitempty"`
	}
	refreshTokenLine struct {
		Service      model.ID           `json:"service"`
		ID           model.ID           `json:"id"`
		Grant        model.ID           `json:"grant"`
		Hash         model.Thumbprint   `json:"hash,omitzero"`
		ExpiresAt    int64              `json:"expires_at"`
		Access       model.ID           `json:"access,omitempty"`
		Successor    model.ID           `json:"successor,omitempty"`
		Confirmation model.Confirmation `json:"cnf,omitzero"`
	}
	// accessTokenLine tells an empty list, which is the token's own, from none,
	// which is the grant's.
	accessTokenLine struct {
		Service      model.ID           `json:"service"`
		ID           model.ID           `json:"id"`
		Grant        model.ID           `json:"grant"`
		Hash         model.Thumbprint   `json:"hash,omitzero"`
		JWT          bool               `json:"jwt,omitempty"`
		Scopes       []string           `json:"scopes,omitzero"`
		Resources    []string           `json:"resources,omitzero"`
		Confirmation model.Confirmation `json:"cnf,omitzero"`
		ExpiresAt    int64              `json:"expires_at"`
	}
	handleLine struct {
		Service   model.ID         `json:"service"`
		ID        model.ID         `json:"id"`
		Kind      model.HandleKind `json:"kind"`
		Hash      model.Thumbprint `json:"hash,omitzero"`
		ExpiresAt int64            `json:"expires_at"`
		Redeemed  bool             `json:"redeemed,omitempty"`
		Grant     model.ID         `json:"grant,omitempty"`
		Payload   []byte           `json:"payload,omitzero"`
	}
	usedValueLine struct {
		Service   model.ID         `json:"service"`
		Digest    model.Thumbprint `json:"digest,omitzero"`
		ExpiresAt int64            `json:"expires_at"`
	}
)
