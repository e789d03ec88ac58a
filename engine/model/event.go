package model

// EventKind names something that operators and auditors want to know.
type EventKind string

// The events that the engine reports.
const (
	EventIssued        EventKind = "issued"
	EventRefused       EventKind = "refused"
	EventRevoked       EventKind = "revoked"
	EventReuseDetected EventKind = "reuse_detected"
	// A session has ended (operation end_session), or a client has been told so
	// (operation backchannel_logout).
	EventLoggedOut EventKind = "logged_out"
	// A client could not be told that a session has ended.
	EventLogoutFailed EventKind = "logout_failed"
	// The keys that another process has changed cannot be read.
	EventKeysFailed EventKind = "keys_failed"
	EventRegistered EventKind = "registered" // a client registered, changed or deleted itself: the operation says which
)

// Event is one report. It never carries a token, a code or a secret.
type Event struct {
	Kind      EventKind
	Service   ID
	Operation string // the engine's operation: token, revocation, …
	GrantType GrantType
	Client    string // the client's alias; empty when it is not known
	Subject   string
	Grant     ID
	// Code and Description are those of a refusal.
	Code        string
	Description string
}
