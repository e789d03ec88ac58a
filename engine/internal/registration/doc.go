// Package registration lets clients register themselves (RFC 7591, OpenID
// Connect Dynamic Client Registration 1.0), and read, update and delete what
// they registered (RFC 7592).
//
// Whatever a client may say of itself is an entry of the catalogue
// (model.ClientSettings) that feeds metadata; nothing else gets in or out.
package registration
