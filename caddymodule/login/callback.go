package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const (
	callbackTime   = 10 * time.Second // for an answer, the waiting for a turn included
	maxAnswer      = 64 << 10         // bytes
	maxClaims      = 255
	maxClaimsText  = 32 << 10 // bytes
	callsAtOnce    = 4        // as many as the guarded client lets go to one host
	queuePerCaller = 16
)

// ErrUnavailable says that whoever was asked, the operator's callback or a
// social network, has not said who somebody is, one way or the other. It is
// never an answer about the user: try again later.
var ErrUnavailable = errors.New("nobody says who this is")

// errUnusable is an ErrUnavailable of somebody who did answer. The password may
// have been looked at, so that it counts as a guess.
var errUnusable = errors.New("unusable answer")

// callbackAPI is a Web API of the operator's that authenticates somebody.
type callbackAPI struct {
	model.Callback
	apiKey any // of the service, as it is told
	fetch  engine.Fetcher
	pool   *pool
}

// newCallback returns nil for a callback that is not set.
func newCallback(c model.Callback, s *model.Service, fetch engine.Fetcher, guard *Guard) *callbackAPI {
	if c.Endpoint == "" {
		return nil
	}
	return &callbackAPI{Callback: c, apiKey: apiKey(s.APIKey), fetch: fetch, pool: guard.calls}
}

// apiKey is a number for those who read the callbacks' requests, so that it is
// one here when it can be. 0 stands for none.
func apiKey(key string) any {
	if n, err := strconv.ParseInt(key, 10, 64); err == nil && n > 0 && strconv.FormatInt(n, 10) == key {
		return n
	}
	if key == "" {
		return 0
	}
	return key
}

// question is what a developer authentication callback is asked, and a part of
// what an authentication callback is. Members that are texts or lists are null
// when there is nothing to say, and numbers are 0.
type question struct {
	ServiceAPIKey    any        `json:"serviceApiKey"`
	ID               string     `json:"id"`
	Password         nullable   `json:"password"`
	SNS              *model.SNS `json:"sns"`
	AccessToken      nullable   `json:"accessToken"`
	RefreshToken     nullable   `json:"refreshToken"`
	ExpiresIn        int64      `json:"expiresIn"` // seconds
	RawTokenResponse nullable   `json:"rawTokenResponse"`
}

// userQuestion is what an authentication callback is asked.
type userQuestion struct {
	question
	ClientID      model.ID `json:"clientId"`
	Claims        []string `json:"claims"`
	ClaimsLocales []string `json:"claimsLocales"`
}

// nullable is a text that is null when there is none.
type nullable string

// MarshalJSON is part of json.Marshaler.
func (n nullable) MarshalJSON() ([]byte, error) {
	if n == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(n))
}

// answer is what both callbacks answer, as far as it is of use here.
type answer struct {
	Authenticated bool   `json:"authenticated"`
	Subject       string `json:"subject"`
	Claims        string `json:"claims"` // JSON
}

// ask asks a question whose asker has been counted. The error is
// ErrCredentials, ErrUnavailable, ErrBusy or the context's.
func (c *callbackAPI) ask(ctx context.Context, q any) (*answer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, callbackTime)
	defer cancel()
	var a *answer
	var failure error
	err = c.pool.do(within, 1, func() { a, failure = c.post(within, body) })
	switch {
	case err == nil:
		return a, failure
	case ctx.Err() == nil && !errors.Is(err, ErrBusy):
		err = fmt.Errorf("%w: it was not this one's turn within %s", ErrUnavailable, callbackTime)
	}
	return nil, err
}

func (c *callbackAPI) post(ctx context.Context, body []byte) (*answer, error) {
	r := fetch.Request{
		Method: http.MethodPost, Address: c.Endpoint, ContentType: "application/json", Body: body,
		Accept: []string{"application/json"},
	}
	if c.APIKey != "" {
		r.Username, r.Password = c.APIKey, c.APISecret
	}
	resp, err := c.fetch.Do(ctx, r)
	if err != nil {
		return nil, noAnswer(resp, err)
	}
	a := new(answer)
	if len(resp.Body) > maxAnswer || json.Unmarshal(resp.Body, a) != nil {
		return nil, unusable("the callback's answer is not the JSON object that it should be, or too long")
	}
	if !a.Authenticated {
		return nil, ErrCredentials
	}
	if err := checkSubject(a.Subject); err != nil {
		return nil, unusable("the callback authenticates somebody, but: " + err.Error())
	}
	return a, nil
}

// noAnswer tells those who did not answer from those whose answer is of no use.
func noAnswer(resp fetch.Response, err error) error {
	if resp.Status != 0 && !errors.Is(err, fetch.ErrUnavailable) {
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errUnusable, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func unusable(why string) error { return fmt.Errorf("%w: %w: %s", ErrUnavailable, errUnusable, why) }

// askable reports whether a password may be anybody's. An empty one is nobody's,
// though some directories take it for a wish to be anonymous (RFC 4513 §5.1.2).
func askable(password string) bool {
	return password != "" && len(password) <= maxPassword && utf8.ValidString(password)
}

// engineClaims are claims whose values are the engine's.
var engineClaims = []string{"sub", "auth_time"}

// wantedClaims are the claims that an authentication callback is asked for: all
// that the service supplies, whatever this client wants, since the account is
// kept for the other clients of the same sign-in. Null: none are needed.
func wantedClaims(s *model.Service) (names, languages []string) {
	if !s.OpenID() {
		return nil, nil
	}
	names = slices.DeleteFunc(slices.Clone(s.SupportedClaims), func(name string) bool { return slices.Contains(engineClaims, name) })
	return names, s.SupportedClaimLocales
}

// parseClaims reads what an authentication callback says about a user.
func parseClaims(text string) (map[string]json.RawMessage, error) {
	if text == "" {
		return nil, nil
	}
	var claims map[string]json.RawMessage
	if len(text) > maxClaimsText || json.Unmarshal([]byte(text), &claims) != nil || len(claims) > maxClaims {
		return nil, unusable(fmt.Sprintf("the callback's claims are not the text of a JSON object with at most %d members and %d bytes", maxClaims, maxClaimsText))
	}
	for name, value := range claims {
		if string(value) == "null" || slices.Contains(engineClaims, name) {
			delete(claims, name)
		}
		if base, _, _ := strings.Cut(name, "#"); base == "" || len(name) > maxName {
			return nil, unusable("the callback names a claim that cannot be one")
		}
	}
	return claims, nil
}
