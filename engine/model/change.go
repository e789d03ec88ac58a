package model

// ChangeKind says what a row of the change feed is about.
type ChangeKind uint8

// The kinds of changes. The numbers are stored: never renumber.
const (
	ChangeTokenRevoked   ChangeKind = 1 // Ref: the access token's id
	ChangeGrantRevoked   ChangeKind = 2 // Ref: the grant's id; it, or tokens below it, ended
	ChangeSubjectRevoked ChangeKind = 3 // Subject: whose grants ended
	ChangeClientRevoked  ChangeKind = 4 // Ref: the client whose grants ended
	ChangeKeys           ChangeKind = 5 // the service's keys changed
	ChangeAccount        ChangeKind = 6 // Subject: the account that changed
	ChangeClient         ChangeKind = 7 // Ref: the registered client that came, changed or went; Subject: its alias
	// ChangeEverything is in no feed: a store gives it when it cannot say what was
	// missed. Whatever is remembered of the service may be wrong.
	ChangeEverything ChangeKind = 8
)

// Change is a row of the change feed: something that a cache must know.
type Change struct {
	Seq     int64
	Service ID
	Kind    ChangeKind
	Ref     ID
	Subject string
	At      int64 // when it was written, in Unix milliseconds
}

// Place is a place in the change feed: behind the change of that number.
type Place struct {
	// Feed names the sequence, apart from that of any other store.
	Feed string
	Seq  int64
	// At is the At of that change. A store that was restored from a backup gives
	// the same numbers again, but not at the same times.
	At int64
}
