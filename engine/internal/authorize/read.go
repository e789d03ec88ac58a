package authorize

import (
	"slices"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const (
	maxState       = 4096
	maxNonce       = 1024
	maxLoginHint   = 320
	maxAgeDigits   = 10
	challengeChars = 43 // base64url of a SHA-256 (RFC 7636 §4.2)
)

// read fills in the request and what the front must know of it. An error goes
// to the client by redirect.
func (p *pending) read(r *realm.Realm, c *model.Client, v params.Values, resp *Response) *oautherr.Error {
	for _, step := range []func() *oautherr.Error{
		func() *oautherr.Error { return p.readBounds(v) },
		func() *oautherr.Error { return checkFlow(r, c, v) },
		func() *oautherr.Error { return p.readScopes(r, c, v, resp) },
		func() *oautherr.Error { return p.readChallenge(r, c, v) },
		func() *oautherr.Error { return readPrompt(v, resp) },
		func() *oautherr.Error { return p.readMaxAge(c, v, resp) },
		func() *oautherr.Error { return p.readClaims(r, v, resp) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (p *pending) readBounds(v params.Values) *oautherr.Error {
	if len(p.State) > maxState {
		p.State, p.HasState = "", false
		return oautherr.New(oautherr.InvalidRequest, "state is too long")
	}
	if p.Nonce = v.Get("nonce"); len(p.Nonce) > maxNonce {
		return oautherr.New(oautherr.InvalidRequest, "nonce is too long")
	}
	if len(v.Get("login_hint")) > maxLoginHint {
		return oautherr.New(oautherr.InvalidRequest, "login_hint is too long")
	}
	return nil
}

// checkFlow refuses what this service does not do, by the error code that the
// specification has for it.
func checkFlow(r *realm.Realm, c *model.Client, v params.Values) *oautherr.Error {
	switch {
	case v.Has("request"):
		return oautherr.New(oautherr.RequestNotSupported, "request objects are not supported")
	case v.Has("request_uri"):
		return oautherr.New(oautherr.RequestURINotSupported, "request_uri is not supported")
	case v.Has("registration"):
		return oautherr.New(oautherr.RegistrationNotSupp, "the registration parameter is not supported")
	case v.Get("response_type") == "":
		return oautherr.New(oautherr.InvalidRequest, "response_type is missing")
	case v.Get("response_type") != "code":
		return oautherr.New(oautherr.UnsupportedResponseType, "the only response_type supported is code")
	case v.Get("response_mode") != "" && v.Get("response_mode") != "query":
		return oautherr.New(oautherr.InvalidRequest, "the only response_mode supported is query")
	case !r.Supports(model.GrantAuthorizationCode) || !c.Allows(model.GrantAuthorizationCode):
		return oautherr.New(oautherr.UnauthorizedClient, "the client may not use the authorization code flow")
	}
	return nil
}

func (p *pending) readScopes(r *realm.Realm, c *model.Client, v params.Values, resp *Response) *oautherr.Error {
	requested := v.List("scope")
	if len(requested) > realm.MaxScopes {
		return oautherr.New(oautherr.InvalidScope, "there are too many scopes")
	}
	p.Scopes = r.Narrow(c, requested)
	if len(requested) > 0 && len(p.Scopes) == 0 {
		return oautherr.New(oautherr.InvalidScope, "none of the scopes is one that the client may request")
	}
	if p.openID() && p.RedirectOmitted {
		return oautherr.New(oautherr.InvalidRequest, "OpenID Connect requires redirect_uri")
	}
	for _, name := range p.Scopes {
		scope, _ := r.Service.Scope(name)
		resp.Scopes = append(resp.Scopes, scope)
	}
	return nil
}

func (p *pending) openID() bool { return slices.Contains(p.Scopes, "openid") }

// readChallenge is RFC 7636 §4.3 with S256 alone: plain protects against
// nothing that TLS does not (RFC 9700 §2.1.1).
func (p *pending) readChallenge(r *realm.Realm, c *model.Client, v params.Values) *oautherr.Error {
	p.Challenge = v.Get("code_challenge")
	switch {
	case p.Challenge == "" && v.Has("code_challenge_method"):
		return oautherr.New(oautherr.InvalidRequest, "code_challenge_method is there without code_challenge")
	case p.Challenge == "" && (r.Service.PKCERequired || c.Public()):
		return oautherr.New(oautherr.InvalidRequest, "code_challenge is required: use PKCE with the method S256")
	case p.Challenge == "":
		return nil
	case v.Get("code_challenge_method") != "S256":
		return oautherr.New(oautherr.InvalidRequest, "code_challenge_method must be S256")
	case len(p.Challenge) != challengeChars || !base64URL(p.Challenge):
		return oautherr.New(oautherr.InvalidRequest, "code_challenge is not the base64url form of a SHA-256")
	}
	return nil
}

func base64URL(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

var prompts = []string{"none", "login", "consent", "select_account"}

// readPrompt is OpenID Connect Core §3.1.2.1.
func readPrompt(v params.Values, resp *Response) *oautherr.Error {
	resp.Prompts = v.List("prompt")
	for _, prompt := range resp.Prompts {
		if !slices.Contains(prompts, prompt) {
			return oautherr.New(oautherr.InvalidRequest, "prompt has a value that is not supported")
		}
		if prompt == "none" && len(resp.Prompts) > 1 {
			return oautherr.New(oautherr.InvalidRequest, "prompt=none excludes every other value")
		}
	}
	return nil
}

func (p *pending) readMaxAge(c *model.Client, v params.Values, resp *Response) *oautherr.Error {
	if text := v.Get("max_age"); text != "" {
		age, err := strconv.ParseInt(text, 10, 64)
		if err != nil || age < 0 || len(text) > maxAgeDigits {
			return oautherr.New(oautherr.InvalidRequest, "max_age is not a number of seconds")
		}
		p.MaxAge = &age
	} else if c.DefaultMaxAge > 0 {
		p.MaxAge = &c.DefaultMaxAge
	}
	resp.MaxAge = p.MaxAge
	return nil
}
