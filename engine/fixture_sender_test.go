package engine_test

import (
	"context"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// proof is a key's proof for a token request, with changes.
func (h *house) proof(k *dpoptest.Key, changes dpoptest.Members) string {
	h.Helper()
	claims := dpoptest.Members{"htm": "POST", "htu": h.service.TokenEndpoint, "iat": h.clock().Unix()}
	return k.Prove(h, claims.With(changes))
}

// holder makes a new proof for each token request.
func (h *house) holder(k *dpoptest.Key) engine.Sender {
	h.Helper()
	return engine.Sender{DPoP: []string{h.proof(k, nil)}, HTM: "POST"}
}

// certified is a sender with a client certificate, of which the engine sees the
// digest alone.
func certified(name string) engine.Sender {
	return engine.Sender{HTM: "POST", ClientCertificate: []byte("the certificate of " + name)}
}

// from makes a token request of a sender.
func (h *house) from(s engine.Sender, client string, pairs ...string) *engine.TokenResponse {
	h.Helper()
	parameters, credentials := h.as(client, pairs...)
	resp, err := h.engine.Token(context.Background(), h.service.ID, engine.TokenRequest{Parameters: parameters, Basic: credentials, Sender: s})
	if err != nil {
		h.Fatal(err)
	}
	return resp
}

// redeemWith and refreshWith are the parameters of those token requests.
func redeemWith(code string) []string {
	return []string{"grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "code_verifier", verifier}
}

func refreshWith(token string) []string {
	return []string{"grant_type", "refresh_token", "refresh_token", token}
}

// tokensFrom goes through the code flow as a sender.
func (h *house) tokensFrom(s engine.Sender, client string, pairs ...string) *engine.TokenResponse {
	h.Helper()
	resp := h.from(s, client, redeemWith(h.code(client, pairs...))...)
	h.want(resp, model.ActionOK)
	return resp
}

// passwordFrom goes through the password flow as a sender.
func (h *house) passwordFrom(s engine.Sender, client string) *engine.TokenResponse {
	h.Helper()
	asked := h.from(s, client, "grant_type", "password", "username", "alice", "password", "secret")
	h.want(asked, model.ActionPassword)
	resp, err := h.engine.TokenIssue(h.Context(), h.service.ID, engine.TokenIssueRequest{Ticket: asked.Ticket, Subject: "alice", AuthTime: h.clock().Unix()})
	if err != nil {
		h.Fatal(err)
	}
	h.want(resp, model.ActionOK)
	return resp
}

// userInfoFrom makes a userinfo request of a sender.
func (h *house) userInfoFrom(s engine.Sender, scheme, token string) *engine.UserInfoResponse {
	h.Helper()
	resp, err := h.engine.UserInfo(h.Context(), h.service.ID, engine.UserInfoRequest{Token: token, Scheme: scheme, Sender: s})
	if err != nil {
		h.Fatal(err)
	}
	return resp
}

// atUserInfo makes a proof for a userinfo request, with changes.
func (h *house) atUserInfo(k *dpoptest.Key, token string, changes dpoptest.Members) engine.Sender {
	h.Helper()
	about := dpoptest.Members{"htm": "GET", "htu": h.service.UserInfoEndpoint, "ath": dpoptest.Hash(token)}
	return engine.Sender{DPoP: []string{h.proof(k, about.With(changes))}, HTM: "GET"}
}

// wantBound fails unless an access token is bound so wherever that is said: in
// the answer, at both introspections and, if it is one, in the JWT itself.
func (h *house) wantBound(resp *engine.TokenResponse, jkt, x5t string) {
	h.Helper()
	h.want(resp, model.ActionOK)
	cnf, kind := map[string]any{}, "Bearer"
	if jkt != "" {
		cnf["jkt"], kind = jkt, "DPoP"
	}
	if x5t != "" {
		cnf["x5t#S256"] = x5t
	}
	same := func(what string, got any) {
		h.Helper()
		members, _ := got.(map[string]any)
		if len(members) != len(cnf) || members["jkt"] != cnf["jkt"] || members["x5t#S256"] != cnf["x5t#S256"] {
			h.Errorf("%s has the cnf %v, want %v", what, got, cnf)
		}
	}
	if want := `"token_type":"` + kind + `"`; !strings.Contains(resp.ResponseContent, want) {
		h.Errorf("the answer is %s, want %s", resp.ResponseContent, want)
	}
	direct := h.introspect(resp.AccessToken)
	if direct.Confirmation.JKT.String() != jkt || direct.Confirmation.X5T.String() != x5t || direct.TokenType != kind {
		h.Errorf("introspection: %s %+v", direct.TokenType, direct.Confirmation)
	}
	standard := h.introspectedBy("service", resp.AccessToken)
	same("RFC 7662's answer", standard["cnf"])
	if standard["token_type"] != kind {
		h.Errorf("RFC 7662's token_type is %v", standard["token_type"])
	}
	if h.service.AccessTokenSignAlg != "" {
		same("the JWT", h.verified(resp.AccessToken, "").claims["cnf"])
	}
}
