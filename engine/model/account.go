package model

import "encoding/json"

// Account is a user of a service, kept in the store.
type Account struct {
	Service ID
	ID      ID
	// Name is how the account was written; Key is the one spelling that is
	// compared, so that alice, Alice and ALICE are one account.
	Name string
	Key  string
	// Subject is the sub claim: never reused, never changed.
	Subject string
	// PasswordHash is an Argon2id hash in the PHC string format.
	PasswordHash string
	Claims       map[string]json.RawMessage
	Disabled     bool
	CreatedAt    int64 // Unix seconds
}

// Session is a browser's sign-in at a service. Times are Unix seconds.
type Session struct {
	Service   ID
	ID        ID
	Hash      [32]byte // SHA-256 of the secret in the cookie
	Subject   string
	AuthTime  int64
	AMR       []string // RFC 8176
	ExpiresAt int64
}

// Consent is what a user has allowed a client, remembered.
type Consent struct {
	Service   ID
	Subject   string
	Client    ID
	Scopes    []string
	Claims    []string
	GrantedAt int64 // Unix seconds
}

// Key is a key of a service, for signing or for being written to. It is announced in the JWK Set from its
// creation, signs from NotBefore, and is withdrawn at ExpiresAt, so rotation
// overlaps without any state but these times (Unix seconds).
type Key struct {
	Service ID
	// KID is the key id in JWS headers and the JWK Set.
	KID       string
	Alg       string // a SignAlg, or an EncAlg for a key that is written to
	Sealed    []byte // the private JWK, encrypted with the master key
	NotBefore int64
	ExpiresAt int64 // 0: not retired
}
