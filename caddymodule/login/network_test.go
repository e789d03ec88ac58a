package login

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

const (
	appID     = "1234567890"
	appSecret = "app secret&="
	// redirection is "Authlete server's /api/sns/redirection", which is
	// registered at the network.
	redirection = issuer + "/api/sns/redirection"
)

// socialNetwork is a server that does what Facebook does.
type socialNetwork struct {
	t    *testing.T
	http *httptest.Server

	mu          sync.Mutex
	codes       map[string]url.Values // the authorization request, by code
	redeemed    int
	user        string // who is signed in there
	tokenAnswer http.HandlerFunc
	userAnswer  http.HandlerFunc
}

func newSocialNetwork(t *testing.T) *socialNetwork {
	t.Helper()
	n := &socialNetwork{t: t, codes: map[string]url.Values{}, user: "10158"}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/access_token", n.token)
	mux.HandleFunc("GET /me", n.me)
	n.http = httptest.NewServer(mux)
	t.Cleanup(n.http.Close)
	return n
}

// env is a server of an operator with this network on its sign-in page.
func (n *socialNetwork) env(o *operator, s setting) *env {
	n.t.Helper()
	change := s.service
	s.service = func(service *model.Service) {
		service.SupportedSNSes = []model.SNS{model.SNSFacebook}
		service.SNSCredentials = []model.SNSCredentials{{SNS: model.SNSFacebook, APIKey: appID, APISecret: appSecret}}
		if change != nil {
			change(service)
		}
	}
	e := o.env(s)
	for i := range e.server.networks {
		e.server.networks[i].endpoint.TokenURL = n.http.URL + "/oauth/access_token"
		e.server.networks[i].user = n.http.URL + "/me"
	}
	return e
}

// approve is what happens at the network: the user goes on, and the browser is
// sent back. It returns the address without the host.
func (n *socialNetwork) approve(p *page) string {
	n.t.Helper()
	request := n.request(p)
	n.mu.Lock()
	defer n.mu.Unlock()
	code := fmt.Sprintf("code-%d", len(n.codes))
	n.codes[code] = request
	return SocialPath + "?" + url.Values{"code": {code}, "state": {request.Get("state")}}.Encode() + "#_=_"
}

// request is the authorization request with which a browser has left.
func (n *socialNetwork) request(p *page) url.Values {
	n.t.Helper()
	if p.status != http.StatusSeeOther || p.location == nil || p.location.Host != "www.facebook.com" || p.location.Path != "/dialog/oauth" {
		n.t.Fatalf("status %d, location %v, page %s; want a redirect to the network", p.status, p.location, p.body)
	}
	return p.location.Query()
}

func (n *socialNetwork) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	n.mu.Lock()
	request, known := n.codes[r.PostForm.Get("code")]
	delete(n.codes, r.PostForm.Get("code"))
	instead := n.tokenAnswer
	n.redeemed++
	n.mu.Unlock()
	if instead != nil {
		instead(w, r)
		return
	}
	challenge := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	_, _, basic := r.BasicAuth()
	if !known || basic || r.PostForm.Get("client_id") != appID || r.PostForm.Get("client_secret") != appSecret ||
		r.PostForm.Get("redirect_uri") != redirection || base64.RawURLEncoding.EncodeToString(challenge[:]) != request.Get("code_challenge") {
		says(400, "application/json", `{"error":{"message":"This authorization code has been used.","code":100}}`)(w, r)
		return
	}
	says(200, "application/json; charset=UTF-8", `{"access_token":"EAAB","token_type":"bearer","expires_in":5183944}`)(w, r)
}

func (n *socialNetwork) me(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	instead, user := n.userAnswer, n.user
	n.mu.Unlock()
	q := r.URL.Query()
	proof := hmac.New(sha256.New, []byte(appSecret))
	_, _ = io.WriteString(proof, "EAAB")
	switch {
	case instead != nil:
		instead(w, r)
	case q.Get("access_token") != "EAAB" || q.Get("appsecret_proof") != hex.EncodeToString(proof.Sum(nil)) || q.Get("fields") != "id":
		says(400, "application/json", `{"error":{"code":190}}`)(w, r)
	default:
		says(200, "text/javascript; charset=UTF-8", fmt.Sprintf(`{"id":%q}`, user))(w, r)
	}
}

// depart presses the network's button.
func (b *browser) depart(p *page) *page {
	b.t.Helper()
	action, form := p.form(b.t)
	form.Set("sns", "facebook")
	return b.do(http.MethodPost, action, form)
}
