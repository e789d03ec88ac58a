package model

// StoredClient is a client that was registered at run time (RFC 7591), as the
// store keeps it. Times are Unix seconds.
type StoredClient struct {
	Service ID
	ID      ID
	// Alias is the client_id: random, and never given to another client.
	Alias string
	// Developer is who registered it; empty when anybody may register.
	Developer string
	// Settings are the client's settings as JSON, by property, without secrets.
	Settings []byte
	// Sealed holds the client secret, encrypted with the master key; empty
	// without one.
	Sealed []byte
	// TokenHash is SHA-256 of the registration access token (RFC 7592 §3).
	TokenHash  [32]byte
	CreatedAt  int64
	ModifiedAt int64
	// Version counts the changes, so that none is lost.
	Version int64
}
