package front

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/introspect"
)

// sender is by what a request to an endpoint shows who sends it: its DPoP proof
// (RFC 9449 §4.1) and the certificate of its connection (RFC 8705 §3).
func sender(run *running, r *http.Request, endpoint string) engine.Sender {
	s := engine.Sender{DPoP: r.Header["Dpop"], HTM: r.Method, HTU: called(run, r, endpoint)}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		s.ClientCertificate = r.TLS.PeerCertificates[0].Raw
	}
	return s
}

// called is the URL of a request that did not come by the address of the
// endpoint, but by the direct one: at the issuer's origin, whatever Host says
// (threats.md 22).
func called(run *running, r *http.Request, endpoint string) string {
	issuer, err := url.Parse(run.service.Issuer)
	if err != nil || r.URL.Path == pathOf(endpoint) {
		return ""
	}
	return (&url.URL{Scheme: issuer.Scheme, Host: issuer.Host, Path: r.URL.Path}).String()
}

// passNonce gives the client the nonce for its next proof (RFC 9449 §8.2).
func passNonce(w http.ResponseWriter, nonce string) {
	if nonce != "" {
		w.Header().Set("DPoP-Nonce", nonce)
	}
}

// userInfoCredentials reads the access token of a userinfo request: from the
// header (RFC 6750 §2.1, RFC 9449 §7.1) or, by POST, from the form (RFC 6750
// §2.2). One in two places is refused.
func userInfoCredentials(r *http.Request, most int64) (introspect.Credentials, *introspect.Refusal, error) {
	credentials, refusal := introspect.ReadCredentials(r, 0)
	if refusal != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") == "" {
		return credentials, refusal, nil
	}
	parameters, err := form(r, most)
	if err != nil {
		return credentials, nil, err
	}
	values, err := url.ParseQuery(parameters)
	inBody := values["access_token"]
	if err != nil || len(inBody) > 1 || len(inBody) == 1 && credentials.Token != "" {
		return credentials, nil, &httpError{http.StatusBadRequest, "invalid_request", "the access token is there more than once, or the form is malformed"}
	}
	if len(inBody) == 1 {
		credentials = introspect.Credentials{Scheme: introspect.SchemeBearer, Token: inBody[0]}
	}
	return credentials, nil, nil
}
