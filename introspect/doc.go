// Package introspect is the gateway's judgement about bearer tokens: what a
// token is, whether it suffices, and how to say no. It reads the token from a
// request (RFC 6750 §2.1), asks an [Introspector] for its [Facts], keeps them
// in a [Cache] that revocation reaches at once, judges a [Policy] on every
// request and answers with the challenges of RFC 6750 §3 and RFC 9728 §5.1.
//
// It knows net/http only. [Guard] puts the parts together; each of them is of
// use alone too.
package introspect
