// Package token processes token requests (RFC 6749 §3.2): one file a grant
// type, and the issuing that they share.
package token
