// Package mint makes what is issued: access tokens, refresh tokens and ID
// tokens. It stores nothing; whoever asks writes the rows together with the
// conditions under which they may be there.
package mint
