// Package remote asks an introspection endpoint elsewhere about tokens (RFC
// 7662): that of a Gatehouse engine in another process, or of any other
// authorization server. It authenticates as a client in one of the usual ways,
// reads answers in JSON or signed ones (RFC 9701), tries again what is worth
// trying again, and leaves an endpoint alone that is down.
//
// It remembers no answers: an [introspect.Cache] stands before it.
package remote
