// Package logout ends sign-in sessions, and tells the clients of a session
// that it has ended: OpenID Connect RP-Initiated, Front-Channel and
// Back-Channel Logout 1.0.
//
// A session ends when its user signs out, and when somebody else signs in with
// the same browser. A session that expires, and one that an operator ends with
// the account, end silently: clients find out when they next ask for a token.
//
// Who must be told over the back channel is written together with the end of
// the session, one handle for each client, which is redeemed when the client
// has been told or will not be told. A crash, a shutdown or a lack of room
// loses none of them: what has waited for too long is picked up by whichever
// process finds it. So a client may be told twice; the token then has the same
// jti. What could not be picked up for a day, because no process ran, is lost.
// The front channel is the browser's: nobody learns whether it arrived.
package logout
