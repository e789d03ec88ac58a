package registration_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/internal/registration"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Who may register (RFC 7591 §3): everybody, or whoever has an initial access
// token, or whom the developer authentication has vouched for.
func TestWhoMayRegister(t *testing.T) {
	tokens := list{object{"developer": "alice", "token": "alice-token"}, object{"developer": "bob", "token": "bobs-token"}}
	both := settings{"initialAccessTokens": tokens, "developerAuthenticationCallbackEndpoint": "https://dev.example.com/"}
	for name, c := range map[string]struct {
		settings  settings
		req       registration.Request
		developer string
		refused   bool
	}{
		"open":                         {nil, registration.Request{}, "", false},
		"open, with some token":        {nil, registration.Request{Token: "whatever"}, "", false},
		"open, vouched for":            {nil, registration.Request{Developer: "carol"}, "carol", false},
		"token":                        {settings{"initialAccessTokens": tokens}, registration.Request{Token: "bobs-token"}, "bob", false},
		"no token":                     {settings{"initialAccessTokens": tokens}, registration.Request{}, "", true},
		"wrong token":                  {settings{"initialAccessTokens": tokens}, registration.Request{Token: "alice-toke"}, "", true},
		"token with more":              {settings{"initialAccessTokens": tokens}, registration.Request{Token: "alice-token "}, "", true},
		"callback":                     {settings{"developerAuthenticationCallbackEndpoint": "https://dev.example.com/"}, registration.Request{Developer: "carol"}, "carol", false},
		"callback, nobody":             {settings{"developerAuthenticationCallbackEndpoint": "https://dev.example.com/"}, registration.Request{}, "", true},
		"callback, token of nobody's":  {settings{"developerAuthenticationCallbackEndpoint": "https://dev.example.com/"}, registration.Request{Token: "x"}, "", true},
		"both, by token":               {both, registration.Request{Token: "alice-token"}, "alice", false},
		"both, by name":                {both, registration.Request{Developer: "carol"}, "carol", false},
		"both, neither":                {both, registration.Request{}, "", true},
		"the developer cannot be said": {nil, registration.Request{JSON: text(web(object{"developer": "root"}))}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t, c.settings)
			if c.req.JSON == "" {
				c.req.JSON = text(web(nil))
			}
			resp := o.call(registration.Register, c.req)
			if c.refused {
				o.refused(resp, model.ActionUnauthorized, "invalid_token", "")
				return
			}
			if row := o.row(o.accepted(resp, model.ActionCreated)); row.Developer != c.developer {
				t.Errorf("the developer is %q, want %q", row.Developer, c.developer)
			}
		})
	}
}

// Off is off, for those too who registered before.
func TestTurnedOff(t *testing.T) {
	o := open(t, settings{"dynamicRegistrationSupported": false})
	for _, f := range []operation{registration.Register, registration.Get, registration.Update, registration.Delete} {
		if resp := o.call(f, registration.Request{JSON: text(web(nil)), ClientID: "declared", Token: "x"}); resp.Action != model.ActionNotFound || resp.ResponseContent != "" {
			t.Errorf("%s %s", resp.Action, resp.ResponseContent)
		}
	}
}

// So many clients has a developer, and everybody without a name together.
func TestClientsPerDeveloper(t *testing.T) {
	o := open(t, settings{"clientsPerDeveloper": 2})
	for _, developer := range []string{"", "alice"} {
		var got object
		for range 2 {
			got = o.accepted(o.call(registration.Register, registration.Request{JSON: text(web(nil)), Developer: developer}), model.ActionCreated)
		}
		o.refused(o.call(registration.Register, registration.Request{JSON: text(web(nil)), Developer: developer}), model.ActionBadRequest, "access_denied", "as many")
		o.accepted(o.call(registration.Delete, own(got)), model.ActionDeleted)
		o.accepted(o.call(registration.Register, registration.Request{JSON: text(web(nil)), Developer: developer}), model.ActionCreated)
	}
}

// RFC 7592 §2: no client is managed but by its own token, and nobody learns
// which clients there are.
func TestManagementNeedsTheToken(t *testing.T) {
	o := open(t, settings{"initialAccessTokens": list{object{"developer": "alice", "token": "alice-token"}}})
	create := func() object {
		return o.accepted(o.call(registration.Register, registration.Request{JSON: text(web(nil)), Token: "alice-token"}), model.ActionCreated)
	}
	mine, other := create(), create()
	id, token := mine["client_id"].(string), mine["registration_access_token"].(string)
	answers := map[string]bool{}
	for name, req := range map[string]registration.Request{
		"no token": {ClientID: id}, "another client's": {ClientID: id, Token: other["registration_access_token"].(string)},
		"cut": {ClientID: id, Token: token[:len(token)-1]}, "in another spelling": {ClientID: id, Token: strings.ToUpper(token)}, "with more": {ClientID: id, Token: token + "="},
		"an initial access token": {ClientID: id, Token: "alice-token"}, "the secret": {ClientID: id, Token: mine["client_secret"].(string)},
		"its hash": {ClientID: id, Token: string(o.rowHash(mine))}, "no client": {Token: token}, "an unknown client": {ClientID: "c_unknown", Token: token},
		"a client with an odd name": {ClientID: "a b\x00", Token: token}, "a declared client": {ClientID: "declared", Token: token},
		"a declared client by its secret": {ClientID: "declared", Token: "its-secret"}, "vouched for": {ClientID: id, Developer: "alice"},
	} {
		req.JSON = text(web(object{"client_id": req.ClientID}))
		for _, f := range []operation{registration.Get, registration.Update, registration.Delete} {
			resp := o.call(f, req)
			if resp.Action != model.ActionUnauthorized {
				t.Errorf("%s: %s", name, resp.Action)
			}
			answers[resp.ResponseContent] = true
		}
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
	o.accepted(o.call(registration.Get, own(mine)), model.ActionOK)
	// threats.md 18: after the client, its token.
	o.accepted(o.call(registration.Delete, own(mine)), model.ActionDeleted)
	for _, f := range []operation{registration.Get, registration.Update, registration.Delete} {
		o.refused(o.call(f, update(mine, web(nil))), model.ActionUnauthorized, "invalid_token", "")
	}
}

// A client that the configuration has come to declare is nobody's to manage,
// even by the token that it once got.
func TestDeclaredLater(t *testing.T) {
	o := open(t, nil)
	got := o.register(web(nil))
	declared, err := model.NewClient(got["client_id"].(string), asSettings(settings{"clientSecret": "its-secret"}))
	if err != nil {
		t.Fatal(err)
	}
	declared.ID = o.row(got).ID
	if o.realm, err = realm.New(o.realm.House, *o.realm.Service, []model.Client{declared}, o.realm.Keys); err != nil {
		t.Fatal(err)
	}
	for _, f := range []operation{registration.Get, registration.Update, registration.Delete} {
		o.refused(o.call(f, update(got, web(nil))), model.ActionUnauthorized, "invalid_token", "")
	}
}

// RFC 7592 §2.3: the grants of a client go in the same write, and nobody else's.
func TestDeleteRevokesGrants(t *testing.T) {
	o := open(t, nil)
	mine, other := o.register(web(nil)), o.register(web(nil))
	s := o.realm.Service.ID
	grants := map[model.ID]model.ID{1: o.row(mine).ID, 2: o.row(other).ID}
	for id, client := range grants {
		grant := model.Grant{Service: s, ID: id, Client: client, Subject: "alice", ExpiresAt: o.clock().Unix() + 60}
		if err := o.realm.Store.Write(t.Context(), store.InsertGrant{Grant: grant}); err != nil {
			t.Fatal(err)
		}
	}
	o.accepted(o.call(registration.Delete, own(mine)), model.ActionDeleted)
	_, err := o.realm.Store.Grant(t.Context(), s, 1)
	_, errOther := o.realm.Store.Grant(t.Context(), s, 2)
	if !errors.Is(err, store.ErrNotFound) || errOther != nil {
		t.Errorf("its grant: %v; another's: %v", err, errOther)
	}
}

func (o *office) rowHash(answer object) []byte {
	row := o.row(answer)
	return row.TokenHash[:]
}

// RFC 7592 §2.2.
func TestUpdate(t *testing.T) {
	o := open(t, nil)
	got := o.register(web(object{"client_name": "Shop", "contacts": list{"a@example.com"}}))
	const metadata = "invalid_client_metadata"
	for name, c := range map[string]struct {
		body   object
		member string
	}{
		"client_id must be there":          {web(nil), "client_id"},
		"client_id must be the client's":   {web(object{"client_id": "c_other"}), "client_id"},
		"client_id must be text":           {web(object{"client_id": list{got["client_id"]}}), "client_id"},
		"no registration_access_token":     {web(object{"client_id": got["client_id"], "registration_access_token": got["registration_access_token"]}), "registration_access_token"},
		"no registration_client_uri":       {web(object{"client_id": got["client_id"], "registration_client_uri": got["registration_client_uri"]}), "registration_client_uri"},
		"no client_secret_expires_at":      {web(object{"client_id": got["client_id"], "client_secret_expires_at": 0}), "client_secret_expires_at"},
		"no client_id_issued_at":           {web(object{"client_id": got["client_id"], "client_id_issued_at": got["client_id_issued_at"]}), "client_id_issued_at"},
		"no client chooses its own secret": {web(object{"client_id": got["client_id"], "client_secret": "a-secret-of-my-own-choice"}), "client_secret"},
		"a secret is text":                 {web(object{"client_id": got["client_id"], "client_secret": 7}), "client_secret"},
		"metadata is held to the same":     {web(object{"client_id": got["client_id"], "logo_uri": "http://app.example.com/"}), "logo_uri"},
	} {
		t.Run(name, func(t *testing.T) {
			o.TB = t
			o.refused(o.call(registration.Update, own(got, c.body)), model.ActionBadRequest, metadata, c.member)
		})
	}
	o.TB = t
	if version := o.row(got).Version; version != 1 {
		t.Errorf("refused updates have made version %d", version)
	}
	o.pass(time.Minute)
	changed := o.accepted(o.call(registration.Update, update(got, web(object{"client_name": "Store", "client_secret": got["client_secret"]}))), model.ActionUpdated)
	want := maps.Clone(got) // what is left out is deleted; what the server made stays
	want["client_name"] = "Store"
	delete(want, "contacts")
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Error(diff)
	}
	if c := o.client(got); c.ClientName != "Store" || len(c.Contacts) > 0 {
		t.Errorf("the engine still has %+v", c)
	}
	if row := o.row(got); row.Version != 2 || row.ModifiedAt != row.CreatedAt+60 {
		t.Errorf("the row is %+v", row)
	}
	// A client that needs no secret any more has none, and a new one when it does again.
	none := o.accepted(o.call(registration.Update, update(got, web(object{"token_endpoint_auth_method": "none"}))), model.ActionUpdated)
	if none["client_secret"] != nil || len(o.row(got).Sealed) != 0 {
		t.Error("a public client has a secret")
	}
	o.refused(o.call(registration.Update, update(got, web(object{"client_secret": got["client_secret"]}))), model.ActionBadRequest, metadata, "client_secret")
	o.refused(o.call(registration.Update, update(got, web(object{"client_secret": ""}))), model.ActionBadRequest, metadata, "client_secret")
	again := o.accepted(o.call(registration.Update, update(got, web(nil))), model.ActionUpdated)
	if secret, _ := again["client_secret"].(string); len(secret) != 64 || secret == got["client_secret"] {
		t.Errorf("the new secret is %q", secret)
	}
}

// RFC 7591 §3.2.1: secrets that expire. An update renews one that has.
func TestSecretExpires(t *testing.T) {
	o := open(t, settings{"clientSecretDuration": 3600})
	got := o.register(web(nil))
	if got["client_secret_expires_at"] != float64(o.clock().Unix()+3600) || o.client(got).SecretExpiresAt != o.clock().Unix()+3600 {
		t.Errorf("it expires at %v", got["client_secret_expires_at"])
	}
	o.pass(time.Hour - time.Second)
	if kept := o.accepted(o.call(registration.Update, update(got, web(nil))), model.ActionUpdated); kept["client_secret"] != got["client_secret"] || kept["client_secret_expires_at"] != got["client_secret_expires_at"] {
		t.Error("a good secret was replaced")
	}
	o.pass(time.Second)
	if read := o.accepted(o.call(registration.Get, own(got)), model.ActionOK); read["client_secret"] != got["client_secret"] {
		t.Error("reading has replaced the secret")
	}
	renewed := o.accepted(o.call(registration.Update, update(got, web(object{"client_secret": got["client_secret"]}))), model.ActionUpdated)
	if renewed["client_secret"] == got["client_secret"] || renewed["client_secret_expires_at"] != float64(o.clock().Unix()+3600) {
		t.Errorf("the renewed secret is %v", renewed)
	}
}

// Each version of a client is replaced once: of many updates at once none is
// lost, and none is half another's.
func TestUpdatesAtOnce(t *testing.T) {
	o := open(t, nil)
	got := o.register(web(nil))
	const updates = 16
	var wait sync.WaitGroup
	start := make(chan struct{})
	for i := range updates {
		wait.Go(func() {
			<-start
			name := strings.Repeat("x", i+1)
			resp, err := registration.Update(t.Context(), o.realm, update(got, web(object{"client_name": name, "software_id": name})))
			if err != nil || resp.Action != model.ActionUpdated || parse(resp.ResponseContent)["client_name"] != name {
				t.Errorf("%v %v", resp, err)
			}
		})
	}
	close(start)
	wait.Wait()
	read := o.accepted(o.call(registration.Get, own(got)), model.ActionOK)
	if row := o.row(got); row.Version != 1+updates || read["client_name"] != read["software_id"] {
		t.Errorf("version %d, %v", row.Version, read)
	}
	if c := o.client(got); c.ClientName != read["client_name"] {
		t.Errorf("the engine has %q, the store %q", c.ClientName, read["client_name"])
	}
}

// Of deletes at once one deletes, and an update meanwhile brings nothing back.
func TestDeletesAtOnce(t *testing.T) {
	o := open(t, nil)
	got := o.register(web(nil))
	var mu sync.Mutex
	var wait sync.WaitGroup
	actions := map[model.Action]int{}
	for i := range 16 {
		wait.Go(func() {
			f := registration.Delete
			if i%2 == 0 {
				f = registration.Update
			}
			resp, err := f(t.Context(), o.realm, update(got, web(nil)))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			actions[resp.Action]++
		})
	}
	wait.Wait()
	if actions[model.ActionDeleted] != 1 || actions[model.ActionDeleted]+actions[model.ActionUpdated]+actions[model.ActionUnauthorized] != 16 {
		t.Errorf("%v", actions)
	}
	o.refused(o.call(registration.Get, own(got)), model.ActionUnauthorized, "invalid_token", "")
}

// threats.md 33: an answer has no markup in it, whatever was registered.
func TestThreat33AnswersAreInert(t *testing.T) {
	o := open(t, nil)
	name := `</script><script>alert("1")</script>`
	resp := o.post(web(object{"client_name": name, "client_name#ja": name, "contacts": list{name}, "software_id": name}))
	if got := o.accepted(resp, model.ActionCreated); got["client_name"] != name || !json.Valid([]byte(resp.ResponseContent)) || strings.ContainsAny(resp.ResponseContent, "<>&") {
		t.Error(resp.ResponseContent)
	}
	resp = o.post(web(object{"client_name": list{name}, "application_type": name}))
	if strings.ContainsAny(resp.ResponseContent, "<>&") {
		t.Error(resp.ResponseContent)
	}
}
