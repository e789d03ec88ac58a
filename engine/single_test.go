package engine_test

import (
	"context"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// The Edit Service page on Single Access Token Per Subject, word for word: "an
// attempt to issue a new access token invalidates existing access tokens that
// are associated with the same subject and the same client"; attempts by Client
// Credentials Flow do not; "an attempt by Refresh Token Flow invalidates the
// coupled access token only and this invalidation is always performed".
func TestSingleAccessTokenPerSubject(t *testing.T) {
	t.Parallel()
	settings := map[string]model.Settings{"the service": with(everyFlow, "singleAccessTokenPerSubject", true), "the client": everyFlow}
	for who, service := range settings {
		t.Run(who, func(t *testing.T) {
			client := with(anyFlow["any"], "singleAccessTokenPerSubject", who == "the client")
			h := openWith(t, service, map[string]model.Settings{"any": client, "other": with(anyFlow["any"])})
			asBob := func(r *engine.AuthorizationIssueRequest) { r.Subject = "bob" }
			bobs := h.consented(request("any", "response_type", "token"), asBob).Get("access_token")
			others := h.tokens("other").AccessToken
			own := h.own("any", "orders:read").AccessToken

			ways := map[string]func() string{
				"code":     func() string { return h.tokens("any").AccessToken },
				"implicit": func() string { return h.consented(request("any", "response_type", "token")).Get("access_token") },
				"hybrid":   func() string { return h.consented(request("any", "response_type", "code token")).Get("access_token") },
				"password": func() string { return h.password("any", "scope", "orders:read").AccessToken },
			}
			last := ways["code"]()
			for way, issue := range ways {
				for again, issueAgain := range ways {
					first := issue()
					if h.usable(last) {
						t.Errorf("%s: the token before lives on", way)
					}
					last = issueAgain()
					if h.usable(first) || !h.usable(last) {
						t.Errorf("%s after %s: the token before lives on, or the new one does not", again, way)
					}
				}
			}
			if !h.usable(bobs) || !h.usable(others) || !h.usable(own) {
				t.Error("another subject's, another client's or the client's own token has ended")
			}
			if ownAgain := h.own("any", "orders:read").AccessToken; !h.usable(own) || !h.usable(ownAgain) || !h.usable(last) {
				t.Error("a client credentials request ended a token")
			}
		})
	}
}

// The same page: refreshing ends the coupled access token alone, whether the
// setting is on or off.
func TestRefreshEndsTheCoupledTokenAlone(t *testing.T) {
	t.Parallel()
	for _, single := range []bool{false, true} {
		for _, client := range []string{"web", "spa"} { // kept, replaced
			h := open(t, model.Settings{"singleAccessTokenPerSubject": raw(single)})
			a := h.tokens(client)
			b := h.tokens(client)
			if h.usable(a.AccessToken) == single {
				t.Fatalf("single %v: the first token is usable: %v", single, h.usable(a.AccessToken))
			}
			// The refresh token of a is good, whatever became of its access token.
			a2 := h.refresh(client, a.RefreshToken)
			h.want(a2, model.ActionOK)
			if !h.usable(a2.AccessToken) || !h.usable(b.AccessToken) || h.usable(a.AccessToken) {
				t.Errorf("single %v, %s: a %v, its successor %v, b %v", single, client, h.usable(a.AccessToken), h.usable(a2.AccessToken), h.usable(b.AccessToken))
			}
			b2 := h.refresh(client, b.RefreshToken)
			if !h.usable(a2.AccessToken) || !h.usable(b2.AccessToken) || h.usable(b.AccessToken) {
				t.Errorf("single %v, %s: the second refresh ended more than its own", single, client)
			}
			c := h.tokens(client)
			if h.usable(a2.AccessToken) == single || h.usable(b2.AccessToken) == single || !h.usable(c.AccessToken) {
				t.Errorf("single %v, %s: a new token leaves refreshed ones", single, client)
			}
		}
	}
}

// Of many at once, one access token stays.
func TestSingleAccessTokenAtOnce(t *testing.T) {
	t.Parallel()
	h := openWith(t, with(everyFlow, "singleAccessTokenPerSubject", true), anyFlow)
	for _, n := range []int{2, 16, 64} {
		tickets := make([]string, n)
		for i := range tickets {
			tickets[i] = h.authorize(request("any", "response_type", "token")).Ticket
		}
		var mu sync.Mutex
		var tokens []string
		together(n, func(i int) {
			resp, err := h.engine.AuthorizationIssue(context.Background(), h.service.ID, engine.AuthorizationIssueRequest{Ticket: tickets[i], Subject: "alice"})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			tokens = append(tokens, resp.AccessToken)
		})
		usable := 0
		for _, token := range tokens {
			if h.usable(token) {
				usable++
			}
		}
		if usable != 1 || len(tokens) != n {
			t.Errorf("%d at once: %d of %d are usable", n, usable, len(tokens))
		}
	}
}
