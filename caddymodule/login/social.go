package login

import (
	"crypto/hmac"
	"errors"
	"net"
	"net/http"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/oauth2"
)

// SocialPath is where social networks send people back to, below the issuer's path.
const SocialPath = "/api/sns/redirection"

// The state of an authorization request to a social network, and the verifier
// of its PKCE challenge (RFC 7636 §4.1), follow from the interaction's secret,
// which is in a cookie of this browser alone. Nothing need be kept, so that
// people may come back by the browser's button and sign in by password instead;
// and nobody can send their own code to somebody else's browser (RFC 6749 §10.12).

func (n *network) state(in *interaction) string {
	return idText(in.id) + "." + csrfToken(&in.secret, "state at "+string(n.sns))
}

func (n *network) verifier(in *interaction) string {
	return csrfToken(&in.secret, "verifier at "+string(n.sns))
}

// offered are the networks on the page of a sign-in: none when a level is
// essential that they do not reach.
func (s *Server) offered(st *state) []network {
	if len(st.ACRs) > 0 {
		return nil
	}
	return s.networks
}

// config is what the network knows this service by.
func (s *Server) config(n *network) *oauth2.Config {
	return &oauth2.Config{
		ClientID: n.credentials.APIKey, ClientSecret: n.credentials.APISecret, Endpoint: n.endpoint,
		RedirectURL: s.origin + s.paths.Social,
	}
}

// depart sends the browser to a social network.
func (s *Server) depart(w http.ResponseWriter, in *interaction, sns string) error {
	for _, n := range s.offered(&in.state) {
		if string(n.sns) != sns {
			continue
		}
		options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(n.verifier(in))}
		if in.SignIn || in.MaxAge != nil {
			// prompt=login and max_age are about the user (OpenID Connect Core
			// §3.1.2.1), whom the network may have seen long ago.
			options = append(options, n.again)
		}
		return seeOther(w, s.config(&n).AuthCodeURL(n.state(in), options...))
	}
	return errMalformed
}

// arrive takes up whoever comes back from a social network. The way back can be
// gone once: the interaction goes on as another one before anybody is asked
// about the code.
func (s *Server) arrive(w http.ResponseWriter, r *http.Request) error {
	parameters, err := query(r)
	if err != nil {
		return err
	}
	before, n, err := s.returning(r, parameters.Get("state"))
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead { // which must change nothing
		secureHeaders(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	in, err := s.replace(w, r, &before.state, before)
	if err != nil {
		return err
	}
	if parameters.Get("error") == "access_denied" {
		l := s.look(r).locale
		return s.renderSignIn(w, r, http.StatusOK, in, signInView{Name: in.LoginHint, Alert: l.text("signin.network_denied", "network", n.name)})
	}
	subject, err := s.bySocialNetwork(r, n, before, parameters.Get("code"))
	if err != nil {
		return s.arrivalFailed(w, r, in, n, err)
	}
	return s.signedIn(w, r, in, subject, nil) // RFC 8176 has no word for it
}

// returning finds the interaction and the network that a state is for.
func (s *Server) returning(r *http.Request, text string) (*interaction, *network, error) {
	name, _, _ := strings.Cut(text, ".")
	id, ok := parseID(name)
	if !ok {
		return nil, nil, errNoInteraction
	}
	in, err := s.interactionOf(r, id)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range s.offered(&in.state) {
		if in.Logout == "" && hmac.Equal([]byte(n.state(in)), []byte(text)) {
			return in, &n, nil
		}
	}
	return nil, nil, errNoInteraction
}

// bySocialNetwork finds the subject of the user who has a network's code.
func (s *Server) bySocialNetwork(r *http.Request, n *network, in *interaction, code string) (string, error) {
	if code == "" {
		return "", errRefused
	}
	t, err := n.identify(r.Context(), s.fetch, s.config(n), code, n.verifier(in))
	if err != nil {
		return "", err
	}
	return s.accounts.askTraveller(r.Context(), t, in.Client)
}

// arrivalFailed shows the sign-in page again.
func (s *Server) arrivalFailed(w http.ResponseWriter, r *http.Request, in *interaction, n *network, err error) error {
	switch {
	case errors.Is(err, errRefused):
		s.log.Warn("a social network refuses", zap.String("issuer", s.service.Issuer), zap.String("network", string(n.sns)), zap.Error(err))
		alert := s.look(r).locale.text("signin.network_failed", "network", n.name)
		return s.renderSignIn(w, r, http.StatusUnprocessableEntity, in, signInView{Name: in.LoginHint, Alert: alert})
	case errors.Is(err, ErrCredentials):
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		s.log.Info("sign-in failed", zap.String("issuer", s.service.Issuer), zap.String("client", s.clientAlias(r, in.Client)),
			zap.String("remote", host), zap.String("network", string(n.sns)))
		alert := s.look(r).locale.text("signin.network_unknown", "network", n.name)
		return s.renderSignIn(w, r, http.StatusUnprocessableEntity, in, signInView{Name: in.LoginHint, Alert: alert})
	}
	return s.signInFailed(w, r, in, in.LoginHint, err)
}

func networkViews(list []network) (views []networkView) {
	for _, n := range list {
		views = append(views, networkView{Value: string(n.sns), Name: n.name})
	}
	return views
}
