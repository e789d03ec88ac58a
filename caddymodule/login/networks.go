package login

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// network is a social network, and this service's credentials there.
type network struct {
	sns      model.SNS
	name     string // the same in every language
	endpoint oauth2.Endpoint
	// user is the address of facts about the user, a JSON object with the
	// member id; query is what it is asked with.
	user  string
	query func(token, secret string) url.Values
	// again makes the network look at the user anew, whoever is signed in there.
	again       oauth2.AuthCodeOption
	credentials model.SNSCredentials
}

// knownNetworks are the social networks of the Web API. Their addresses name no
// version of the network's API, which stands for the oldest that still works.
func knownNetworks() []network {
	return []network{{
		sns: model.SNSFacebook, name: "Facebook",
		endpoint: oauth2.Endpoint{
			AuthURL:   "https://www.facebook.com/dialog/oauth",
			TokenURL:  "https://graph.facebook.com/oauth/access_token",
			AuthStyle: oauth2.AuthStyleInParams,
		},
		user:  "https://graph.facebook.com/me",
		query: facebookQuery,
		again: oauth2.SetAuthURLParam("auth_type", "reauthenticate"),
	}}
}

// facebookQuery proves that the token is used by whom it was given to, which
// can be made a condition there.
func facebookQuery(token, secret string) url.Values {
	proof := hmac.New(sha256.New, []byte(secret))
	proof.Write([]byte(token))
	return url.Values{"fields": {"id"}, "access_token": {token}, "appsecret_proof": {hex.EncodeToString(proof.Sum(nil))}}
}

// networksOf are the social networks that a service offers. Without
// credentials, or without a callback that says whose account a user there has,
// there are none (the linter says so).
func networksOf(s *model.Service) (list []network) {
	if s.AuthenticationCallback.Endpoint == "" {
		return nil
	}
	for _, sns := range s.SupportedSNSes {
		for _, n := range knownNetworks() {
			for _, c := range s.SNSCredentials {
				if n.sns == sns && c.SNS == sns {
					n.credentials = c
					list = append(list, n)
				}
			}
		}
	}
	return list
}
