// Package authorize processes authorization requests (RFC 6749 §4.1, OpenID
// Connect Core §3.1.2): it checks a request and keeps it under a ticket, and
// later redeems the ticket for a code or an error.
package authorize
