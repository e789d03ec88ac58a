// Package fetch makes the HTTP requests whose address somebody else chose: a
// client's jwks_uri, request_uri, sector_identifier_uri, logo and back-channel
// logout address, and the callbacks of a service. There is one client for all
// of them, because each request that goes around it is a way into the
// operator's network (RFC 9101 §10.4, RFC 7591 §5, OpenID Connect Core §6.2).
//
//   - What may be reached: https, and public addresses alone. The address is
//     judged when the socket is about to connect. A name that changes its
//     address in between gains nothing by it.
//   - What is sent: what the engine put in. There are no cookies, no Referer,
//     no proxy of the environment and no TLS session of an earlier time.
//   - What comes back: bounded in bytes and in time, uncompressed.
//   - How much: requests are bounded over all hosts and for each of them, so
//     that nobody makes a weapon of the engine, or stops it with a slow host.
//
// Not refused are the operator's own public addresses, and a translation prefix
// of the operator's own network (RFC 6052 §2.2): neither can be told from here.
package fetch
