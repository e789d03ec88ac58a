// Package jwt introspects JWT access tokens by their signature (RFC 9068 §4),
// for any issuer whose keys can be found: through its metadata (OpenID Connect
// Discovery 1.0 §4, RFC 8414 §3), at an address, or in a set that is given.
//
// [Introspector] is for access tokens. [KeySet] is the part below it, for
// whatever else an issuer signs: it keeps the keys, and asks for them no more
// often than an interval allows, whatever arrives.
//
// The signature checks are jwx's and the metadata is go-oidc's. Its RemoteKeySet
// is not used: it fetches the keys again for each unknown kid.
package jwt
