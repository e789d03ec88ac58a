package authorize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/params"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const maxRequestURI = 512 // characters (OpenID Connect Core §6.2)

var (
	errObject = oautherr.New(oautherr.InvalidRequestObject, "the request object is not valid")
	errURI    = oautherr.New(oautherr.InvalidRequestURI, "the request object could not be had from request_uri")
)

// withRequestObject puts the parameters of a request object, given or fetched,
// in place of those outside (OpenID Connect Core §6). When the service or the
// client requires one, only what is inside counts (RFC 9101 §6.3).
func withRequestObject(ctx context.Context, r *realm.Realm, c *model.Client, v params.Values) (params.Values, error) {
	required := r.Service.RequestObjectRequired || c.RequestObjectRequired
	token := v.Get("request")
	switch {
	case token != "" && v.Get("request_uri") != "":
		return v, oautherr.New(oautherr.InvalidRequest, "request and request_uri exclude each other")
	case v.Get("request_uri") != "":
		var err error
		if token, err = fetchObject(ctx, r, c, v.Get("request_uri")); err != nil {
			return v, err
		}
	case token == "" && required:
		return v, oautherr.New(oautherr.InvalidRequest, "a request object is required: use the parameter request or request_uri")
	case token == "":
		return v, nil
	}
	claims, err := openObject(ctx, r, c, token, required)
	if err != nil {
		return v, err
	}
	if refusal := checkObject(r, c, v, claims); refusal != nil {
		return v, refusal
	}
	if required {
		v.Only(func(name string) bool { return name == "client_id" })
	}
	return v, merge(&v, claims)
}

// fetchObject gets a request object from an address that the client has
// registered. A fragment says only that what was kept under another is out of
// date, and nothing is kept: clients put hashes there before they know what
// they will serve (§6.2).
func fetchObject(ctx context.Context, r *realm.Realm, c *model.Client, uri string) (string, error) {
	address, _, _ := strings.Cut(uri, "#")
	registered := slices.ContainsFunc(c.RequestURIs, func(known string) bool {
		known, _, _ = strings.Cut(known, "#")
		return known == address
	})
	if len(uri) > maxRequestURI || !registered {
		return "", oautherr.New(oautherr.InvalidRequestURI, "request_uri is not one that the client has registered")
	}
	document, err := r.Fetch.Get(ctx, address)
	if err != nil {
		return "", errURI.Because(err)
	}
	return strings.TrimSpace(string(document.Body)), nil
}

// openObject decrypts and verifies a request object. One that is encrypted
// must be signed inside (CVE-2026-9793). One that nobody has signed is as good
// as parameters, which nobody signs either: it is taken from a client that is
// registered for no algorithm, as any is (OpenID Connect Core §6.1, OpenID
// Connect Dynamic Client Registration §2).
func openObject(ctx context.Context, r *realm.Realm, c *model.Client, token string, required bool) (map[string]json.RawMessage, error) {
	encrypted := jose.Encrypted(token)
	if encrypted {
		var err error
		if token, err = decryptObject(ctx, r, c, token); err != nil {
			return nil, errObject.Because(err)
		}
	} else if c.RequestEncryptionAlg != "" {
		return nil, errObject.Because(errors.New("the client is registered for encrypted request objects"))
	}
	parsed, err := jose.Parse(token, int(r.Service.MaxRequestObjectBytes))
	if err != nil {
		return nil, errObject.Because(err)
	}
	switch typ := strings.ToLower(parsed.Typ); {
	case typ != "" && typ != "jwt" && typ != "oauth-authz-req+jwt":
		return nil, errObject.Because(errors.New("its typ is that of something else"))
	case c.RequestSignAlg != "" && parsed.Alg != c.RequestSignAlg:
		return nil, errObject.Because(fmt.Errorf("it is signed by another algorithm than %s", c.RequestSignAlg))
	case parsed.Alg == model.AlgNone && (encrypted || required || !parsed.Unsecured()):
		return nil, errObject.Because(errors.New("it is not signed"))
	case parsed.Alg != model.AlgNone:
		if err := verifyObject(ctx, r, c, parsed); err != nil {
			return nil, errObject.Because(err)
		}
	}
	claims, err := jose.Object(parsed.Payload)
	if err != nil {
		return nil, errObject.Because(err)
	}
	return claims, nil
}

func verifyObject(ctx context.Context, r *realm.Realm, c *model.Client, parsed *jose.Parsed) error {
	if parsed.Alg.Symmetric() {
		if c.RequestSignAlg != parsed.Alg || c.ClientSecret == "" || c.SecretExpired(r.Now().Unix()) { // not even by the accident of a secret that is kept
			return errors.New("the client is not registered for that algorithm, or its secret has expired")
		}
		return parsed.Verify([]byte(c.ClientSecret))
	}
	return r.VerifyClient(ctx, c, parsed)
}

func decryptObject(ctx context.Context, r *realm.Realm, c *model.Client, token string) (string, error) {
	sealed, err := jose.ParseSealed(token, 2*int(r.Service.MaxRequestObjectBytes))
	switch {
	case err != nil:
		return "", err
	case c.RequestEncryptionAlg != "" && sealed.Alg != c.RequestEncryptionAlg,
		c.RequestEncryptionEnc != "" && sealed.Enc != c.RequestEncryptionEnc:
		return "", errors.New("it is encrypted otherwise than the client is registered for")
	}
	var list []any
	if sealed.Alg.Symmetric() {
		if c.RequestEncryptionAlg != sealed.Alg || c.ClientSecret == "" || c.SecretExpired(r.Now().Unix()) {
			return "", errors.New("the client is not registered for that encryption, or its secret has expired")
		}
		key, err := jose.SecretKey(sealed.Alg, sealed.Enc, c.ClientSecret)
		if err != nil {
			return "", err
		}
		list = []any{key}
	}
	for _, key := range r.Keys.Decrypters(sealed.Alg, sealed.Kid, r.Now()) {
		list = append(list, key.Decrypter())
	}
	return sealed.Open(ctx, r.RSA, list)
}

// checkObject holds the claims of a request object against the request and the
// clock (OpenID Connect Core §6.1, RFC 9101 §5, §10.8).
func checkObject(r *realm.Realm, c *model.Client, v params.Values, claims map[string]json.RawMessage) *oautherr.Error {
	now, skew := r.Now().Unix(), r.Service.AllowableClockSkew
	has := func(name string) bool { _, ok := claims[name]; return ok }
	expires, ends := jose.Time(claims["exp"])
	notBefore, begins := jose.Time(claims["nbf"])
	switch {
	case has("request") || has("request_uri"):
		return errObject.Because(errors.New("it contains another"))
	case has("client_id") && jose.Text(claims["client_id"]) != c.Alias, has("iss") && jose.Text(claims["iss"]) != c.Alias:
		return errObject.Because(errors.New("it was made by another client"))
	case jose.Text(claims["sub"]) == c.Alias:
		return errObject.Because(errors.New("it is a client assertion"))
	case has("aud") && !slices.Contains(jose.Texts(claims["aud"]), r.Service.Issuer):
		return errObject.Because(errors.New("it is for another authorization server"))
	case has("exp") && (!ends || expires+skew <= now):
		return errObject.Because(errors.New("it has expired"))
	case has("nbf") && (!begins || notBefore > now+skew):
		return errObject.Because(errors.New("it is not valid yet"))
	}
	inside, ok := model.ParseResponseType(jose.Text(claims["response_type"]))
	outside, _ := model.ParseResponseType(v.Get("response_type"))
	if has("response_type") && v.Has("response_type") && (!ok || inside != outside) {
		return oautherr.New(oautherr.InvalidRequest, "response_type differs from the one in the request object")
	}
	return nil
}

// notParameters are claims of a request object that are no parameters.
var notParameters = []string{"iss", "aud", "exp", "iat", "nbf", "jti", "sub", "client_id"}

// merge puts the claims in place of parameters of the same names.
func merge(v *params.Values, claims map[string]json.RawMessage) error {
	for name, raw := range claims {
		if slices.Contains(notParameters, name) || isNull(raw) {
			continue
		}
		values, err := parameterValues(name, raw)
		if err != nil {
			return errObject.Because(err)
		}
		v.SetAll(name, values)
	}
	return nil
}

// parameterValues are what a claim gives a parameter: one value, but for
// resource (RFC 8707 §2). What may not be outside may not be inside either.
func parameterValues(name string, raw json.RawMessage) ([]string, error) {
	values := jose.Texts(raw)
	switch {
	case raw[0] == '[' && (name != "resource" || values == nil):
		return nil, fmt.Errorf("%s is a list", name)
	case raw[0] != '[' && raw[0] != '"':
		values = []string{string(raw)} // a number, or the object of claims
	}
	for _, value := range values {
		if len(value) > params.MaxValue || strings.IndexByte(value, 0) >= 0 {
			return nil, fmt.Errorf("%s is too long, or has a NUL character", name)
		}
	}
	return values, nil
}
