// Package model holds the nouns of the engine: services, clients, grants,
// tokens, one-time handles, accounts, and the catalogue that declares every
// setting once. It does no I/O and imports nothing of Gatehouse.
package model
