package relyingparty

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// session is somebody who has signed in. Nobody changes one: a change makes
// another. Times are Unix seconds.
type session struct {
	ID       string `json:"id"`  // random
	Subject  string `json:"sub"` // of the ID token
	SID      string `json:"sid"` // the provider's session, if it names one
	ACR      string `json:"acr"`
	AuthTime int64  `json:"authTime"` // 0: not said
	SignedIn int64  `json:"signedIn"` // iat of the first ID token: the provider's clock
	Begun    int64  `json:"begun"`    // our clock, as all below
	Ends     int64  `json:"ends"`
	Seen     int64  `json:"seen"` // of a request; a later one is noted after an eighth of the idle time

	IDToken  string          `json:"idToken"`            // the last one; its claims are not kept twice
	UserInfo json.RawMessage `json:"userInfo,omitempty"` // claims of the userinfo endpoint

	AccessToken  string `json:"access"`
	RefreshToken string `json:"refresh,omitempty"`
	TokenType    string `json:"type"`
	Scope        string `json:"scope"`
	RefreshAt    int64  `json:"refreshAt,omitempty"` // some time before ExpiresAt
	ExpiresAt    int64  `json:"exp,omitempty"`       // of the access token; 0: not said

	facts *introspect.Facts // derived
}

// refreshBefore is how long before its end an access token is refreshed, or a
// quarter of its time when that is less. Seconds.
const refreshBefore = 30

// withTokens is the session with the tokens of an answer.
func (s session) withTokens(t *tokens, now int64) *session {
	s.AccessToken, s.RefreshToken, s.TokenType = t.access, t.refresh, t.kind
	if t.scope != "" {
		s.Scope = t.scope
	}
	if t.idToken != "" {
		s.IDToken = t.idToken
	}
	s.RefreshAt, s.ExpiresAt = 0, 0
	if t.lasts > 0 {
		s.ExpiresAt = now + t.lasts
		s.RefreshAt = s.ExpiresAt - min(refreshBefore, t.lasts/4)
	}
	return &s
}

// seenAt notes a request.
func seenAt(now int64) func(context.Context, *session) (*session, error) {
	return func(_ context.Context, s *session) (*session, error) {
		seen := *s
		seen.Seen = max(s.Seen, now)
		return &seen, nil
	}
}

// marshal is what cookies and the storage have, before it is sealed.
func (s *session) marshal() ([]byte, error) { return json.Marshal(s) }

func unmarshalSession(text []byte, client string) (*session, error) {
	s := new(session)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	return s, s.derive(client)
}

// notClaims are members of an ID token that are about the token, or that are
// facts of their own.
var notClaims = [...]string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "at_hash", "c_hash", "s_hash",
	"active", "client_id", "scope", "token_type", "cnf", "gatehouse",
}

// derive makes the facts of a session out of its ID token, which was verified
// when it came and sealed since.
func (s *session) derive(client string) error {
	parts := strings.Split(s.IDToken, ".")
	if len(parts) != 3 {
		return errors.New("the session's ID token is no JWS")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return fmt.Errorf("the session's ID token: %w", err)
	}
	claims, err := readClaims(payload)
	if err != nil {
		return fmt.Errorf("the session's ID token: %w", err)
	}
	all := map[string]any{}
	if len(s.UserInfo) > 0 {
		if all, err = readClaims(s.UserInfo); err != nil {
			return fmt.Errorf("the session's claims: %w", err)
		}
	}
	f := &introspect.Facts{
		Active: true, Subject: s.Subject, ClientID: client, TokenType: s.TokenType,
		Scopes: strings.Fields(s.Scope), Audience: texts(claims["aud"]), ExpiresAt: s.Ends,
		IssuedAt: number(claims["iat"]), AuthTime: number(claims["auth_time"]),
	}
	f.Issuer, _ = claims["iss"].(string)
	maps.Copy(all, claims) // what was signed wins
	for _, name := range notClaims {
		delete(all, name)
	}
	f.Claims, s.facts = all, f
	return nil
}

func readClaims(text []byte) (claims map[string]any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return claims, decoder.Decode(&claims)
}

// texts reads a claim that is a text, or a list of them.
func texts(claim any) (list []string) {
	switch claim := claim.(type) {
	case string:
		return []string{claim}
	case []any:
		for _, one := range claim {
			if text, ok := one.(string); ok {
				list = append(list, text)
			}
		}
	}
	return list
}

func number(claim any) int64 {
	n, _ := claim.(json.Number)
	i, _ := n.Int64()
	return i
}

// keeper keeps sessions: in cookies, or in Caddy's storage. The errors of its
// methods say that the storage cannot be asked, or that a session is too large.
type keeper interface {
	// read returns the browser's session, nil when it has none that counts.
	read(ctx context.Context, r *http.Request) (*session, error)
	// begin keeps a new session and gives it to the browser.
	begin(ctx context.Context, w http.ResponseWriter, r *http.Request, s *session) error
	// change keeps what f makes of a session in its newest state, for which f
	// may be given another than s. errOver: it has ended meanwhile.
	change(ctx context.Context, s *session, f func(context.Context, *session) (*session, error)) (*session, error)
	// give tells the browser of a change.
	give(ctx context.Context, w http.ResponseWriter, r *http.Request, s *session) error
	// end forgets a session and takes it from the browser.
	end(ctx context.Context, w http.ResponseWriter, r *http.Request, s *session) error
}

// errOver says that a session has ended.
var errOver = errors.New("the session has ended")
