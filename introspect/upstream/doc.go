// Package upstream decides what a request that an [introspect.Guard] lets
// through carries to the resource in the place of its access token: the token
// itself, nothing, a JWT that the gateway makes of the token's facts
// ([Phantom]), or what an authorization server gives for it ([Exchange], RFC
// 8693). What replaces a token is kept with the token's facts and goes when
// they go.
//
// It knows net/http only.
package upstream
