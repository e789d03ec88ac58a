package main_test

import (
	"net/http"
	"testing"
)

// authenticationCallback is the example of that name: whoever the operator's
// Web API vouches for signs in as the subject that it names.
func authenticationCallback(t *testing.T, s *server) {
	s.as = "http://localhost:8150"
	r := newRequest("app", "http://127.0.0.1:1/callback", "openid profile")
	code := s.person(t).code(r, "somebody", "whatever they type")
	tokens := s.redeem(r, "", code).want(t, http.StatusOK)
	info := get(t, s.as+"/userinfo", "Authorization", "Bearer "+tokens.text(t, "access_token")).want(t, http.StatusOK)
	if sub, name := info.text(t, "sub"), info.text(t, "name"); sub != "customer-1" || name != "Customer One" {
		t.Errorf("signed in as %s, %s", sub, name)
	}
}
