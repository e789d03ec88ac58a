package authorize

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/mint"
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
	maxLocales     = 20
	maxACRs        = 20
	maxResources   = 20
	maxResource    = 1024
	challengeChars = 43 // base64url of a SHA-256 (RFC 7636 §4.2)
	maxChallenge   = 128
)

// read fills in the request and what the front must know of it. A refusal goes
// to the client.
func (p *pending) read(ctx context.Context, r *realm.Realm, c *model.Client, v params.Values, resp *Response) error {
	for _, step := range []func() *oautherr.Error{
		func() *oautherr.Error { return p.readBounds(v) },
		func() *oautherr.Error { return p.readFlow(r, c, v) },
		func() *oautherr.Error { return p.readScopes(r, c, v, resp) },
		func() *oautherr.Error { return p.readNonce(v) },
		func() *oautherr.Error { return p.readChallenge(r, c, v) },
		func() *oautherr.Error { return p.readKey(v) },
		func() *oautherr.Error { return readPrompt(v, resp) },
		func() *oautherr.Error { return p.readMaxAge(c, v, resp) },
		func() *oautherr.Error { return p.readPages(r, v, resp) },
		func() *oautherr.Error { return p.readResources(v, resp) },
		func() *oautherr.Error { return p.readClaims(r, v, resp) },
		func() *oautherr.Error { return p.readACRs(r, c, v, resp) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return p.readHint(ctx, r, v, resp)
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

// readFlow refuses what this service or this client does not do, by the error
// code that the specification has for it. What is not turned on does not exist.
func (p *pending) readFlow(r *realm.Realm, c *model.Client, v params.Values) *oautherr.Error {
	mode := model.ResponseMode(v.Get("response_mode"))
	switch {
	case v.Has("registration"):
		return oautherr.New(oautherr.RegistrationNotSupp, "the registration parameter is not supported")
	case v.Get("response_type") == "":
		return oautherr.New(oautherr.InvalidRequest, "response_type is missing")
	case !r.Service.SupportsResponse(p.Type):
		return oautherr.New(oautherr.UnsupportedResponseType, "this service does not support that response_type")
	case !c.AllowsResponse(p.Type):
		return oautherr.New(oautherr.UnauthorizedClient, "the client is not registered for that response_type")
	case mode != "" && mode != p.Mode:
		return oautherr.New(oautherr.InvalidRequest, "that response_mode is not supported with that response_type")
	}
	for _, g := range p.Type.Grants() {
		if !c.Allows(g) {
			return oautherr.Newf(oautherr.UnauthorizedClient, "the client is not registered for the grant type %s", g)
		}
	}
	return nil
}

func (p *pending) readScopes(r *realm.Realm, c *model.Client, v params.Values, resp *Response) (refusal *oautherr.Error) {
	if p.Scopes, refusal = r.Scopes(c, v.List("scope")); refusal != nil {
		return refusal
	}
	if !p.Type.Code() {
		// Without a code there is no refresh token (OpenID Connect Core §11).
		p.Scopes = slices.DeleteFunc(p.Scopes, func(s string) bool { return s == "offline_access" })
	}
	switch {
	case p.Type.IDToken() && !p.openID():
		return oautherr.New(oautherr.InvalidScope, "a response_type with id_token requires the scope openid")
	case p.openID() && p.RedirectOmitted:
		return oautherr.New(oautherr.InvalidRequest, "OpenID Connect requires redirect_uri")
	}
	for _, name := range p.Scopes {
		scope, _ := r.Service.Scope(name)
		resp.Scopes = append(resp.Scopes, scope)
	}
	return nil
}

func (p *pending) openID() bool { return slices.Contains(p.Scopes, "openid") }

// readNonce: an ID token that comes through the browser is bound to the
// request by it (OpenID Connect Core §3.2.2.1, §3.3.2.11).
func (p *pending) readNonce(v params.Values) *oautherr.Error {
	if p.Type.IDToken() && p.Nonce == "" {
		return oautherr.New(oautherr.InvalidRequest, "nonce is required with that response_type")
	}
	return nil
}

// readChallenge is RFC 7636 §4.3.
func (p *pending) readChallenge(r *realm.Realm, c *model.Client, v params.Values) *oautherr.Error {
	p.Challenge = v.Get("code_challenge")
	method := v.Get("code_challenge_method")
	s256 := r.Service.PKCES256Required || c.PKCES256Required
	required := p.Type.Code() && (r.Service.PKCERequired || c.PKCERequired || c.Public())
	switch {
	case p.Challenge == "" && v.Has("code_challenge_method"):
		return oautherr.New(oautherr.InvalidRequest, "code_challenge_method is there without code_challenge")
	case p.Challenge == "" && required:
		return oautherr.New(oautherr.InvalidRequest, "code_challenge is required: use PKCE with the method S256")
	case p.Challenge == "":
		return nil
	case method == "S256":
		if len(p.Challenge) != challengeChars || !unreserved(p.Challenge, "-_") {
			return oautherr.New(oautherr.InvalidRequest, "code_challenge is not the base64url form of a SHA-256")
		}
		return nil
	case s256:
		return oautherr.New(oautherr.InvalidRequest, "code_challenge_method must be S256")
	case method != "" && method != "plain":
		return oautherr.New(oautherr.InvalidRequest, "code_challenge_method must be S256 or plain")
	case len(p.Challenge) < challengeChars || len(p.Challenge) > maxChallenge || !unreserved(p.Challenge, "-_.~"):
		return oautherr.New(oautherr.InvalidRequest, "code_challenge is not 43 to 128 unreserved characters")
	}
	p.ChallengePlain = true
	return nil
}

// readKey is RFC 9449 §10.
func (p *pending) readKey(v params.Values) *oautherr.Error {
	if jkt := v.Get("dpop_jkt"); jkt != "" && p.JKT.UnmarshalText([]byte(jkt)) != nil {
		return oautherr.New(oautherr.InvalidRequest, "dpop_jkt is not the base64url form of a SHA-256")
	}
	return nil
}

// unreserved reports whether a text has letters, digits and some marks alone.
func unreserved(s, marks string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') && !slices.Contains([]byte(marks), c) {
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
		resp.MaxAge = &age
	} else if c.DefaultMaxAge > 0 {
		resp.MaxAge = &c.DefaultMaxAge
	}
	p.AuthTimeWanted = resp.MaxAge != nil
	return nil
}

// readPages is how the pages should look: display, ui_locales and login_hint
// (OpenID Connect Core §3.1.2.1), and the languages of claims (§5.2).
func (p *pending) readPages(r *realm.Realm, v params.Values, resp *Response) *oautherr.Error {
	resp.LoginHint = v.Get("login_hint")
	if resp.Display = model.Display(v.Get("display")); resp.Display != "" && !slices.Contains(r.Service.SupportedDisplays, resp.Display) {
		return oautherr.New(oautherr.InvalidRequest, "display has a value that is not supported")
	}
	resp.UILocales = languageTags(v.List("ui_locales"))
	for _, tag := range languageTags(v.List("claims_locales")) {
		if supportsLocale(r, tag) {
			p.ClaimsLocales = append(p.ClaimsLocales, tag)
		}
	}
	return nil
}

// languageTags keeps what has the form of a language tag: unknown ones are no error.
func languageTags(list []string) []string {
	list = slices.DeleteFunc(list, func(tag string) bool { return !model.LanguageTag(tag) })
	return list[:min(len(list), maxLocales)]
}

// readResources is RFC 8707 §2.
func (p *pending) readResources(v params.Values, resp *Response) *oautherr.Error {
	var refusal *oautherr.Error
	p.Resources, refusal = Resources(v)
	resp.Resources = p.Resources
	return refusal
}

// Resources reads the protected resources of a request: absolute URIs without
// a fragment (RFC 8707 §2).
func Resources(v params.Values) ([]string, *oautherr.Error) {
	list := v.All("resource")
	if len(list) > maxResources {
		return nil, oautherr.New(oautherr.InvalidTarget, "there are too many resources")
	}
	for _, resource := range list {
		u, err := url.Parse(resource)
		if err != nil || !u.IsAbs() || strings.Contains(resource, "#") || u.User != nil || len(resource) > maxResource {
			return nil, oautherr.New(oautherr.InvalidTarget, "resource is not an absolute URI without a fragment")
		}
	}
	return list, nil
}

// readACRs takes the levels of sign-in from the claims parameter, acr_values
// or the client's settings, in that order (OpenID Connect Core §5.5.1.1).
func (p *pending) readACRs(r *realm.Realm, c *model.Client, v params.Values, resp *Response) *oautherr.Error {
	acr, asked := p.IDTokenClaims["acr"]
	switch {
	case asked && len(acr.Values) > 0:
		p.ACRs, p.ACREssential = acr.texts(), acr.Essential
	case v.Get("acr_values") != "":
		p.ACRs = v.List("acr_values")
	default:
		p.ACRs = c.DefaultACRs
	}
	if len(p.ACRs) > maxACRs {
		return oautherr.New(oautherr.InvalidRequest, "there are too many acr_values")
	}
	reachable := slices.DeleteFunc(slices.Clone(p.ACRs), func(v string) bool { return !slices.Contains(r.Service.SupportedACRs, v) })
	if p.ACREssential && len(reachable) == 0 {
		return oautherr.New(oautherr.UnmetAuthentication, "no acr that is essential to the client can be reached")
	}
	p.ACRs = reachable
	resp.ACRs, resp.ACREssential = reachable, p.ACREssential
	return nil
}

// readHint finds out who must sign in (OpenID Connect Core §3.1.2.1, §5.5.1).
func (p *pending) readHint(ctx context.Context, r *realm.Realm, v params.Values, resp *Response) error {
	for _, claims := range []wishes{p.IDTokenClaims, p.UserInfoClaims} {
		if texts := claims["sub"].texts(); len(texts) == 1 {
			if refusal := p.expect(texts[0]); refusal != nil {
				return refusal
			}
		}
	}
	if token := v.Get("id_token_hint"); token != "" {
		hint, err := mint.ReadHint(ctx, r, token)
		if err != nil {
			return err
		}
		if hint == nil {
			return oautherr.New(oautherr.InvalidRequest, "id_token_hint is not an ID token of this issuer")
		}
		if refusal := p.expect(hint.Subject); refusal != nil {
			return refusal
		}
	}
	resp.Subject = p.Subject
	return nil
}

// expect lets one user alone answer the request. Nobody can be two (§3.1.2.2).
func (p *pending) expect(subject string) *oautherr.Error {
	if p.Subject != "" && p.Subject != subject {
		return oautherr.New(oautherr.LoginRequired, "the request asks for two users")
	}
	p.Subject = subject
	return nil
}
