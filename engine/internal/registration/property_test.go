package registration_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-auth/gatehouse/engine/internal/registration"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// choices are values that members may have, each good by itself.
var choices = map[string]list{
	"client_name": {"Shop", "", "店"}, "client_name#ja": {"店"}, "client_name#en": {"Shop"},
	"application_type": {"web", "native"}, "contacts": {list{}, list{"a@example.com"}},
	"software_id": {"s"}, "software_version": {"1.0"},
	"redirect_uris":                   {list{redirect}, list{redirect, "https://app.example.com:8443/cb?x=y"}, list{"http://127.0.0.1/cb"}, list{"com.example.app:/cb", "http://localhost/cb"}},
	"response_types":                  {list{"code"}, list{}, list{"code", "token id_token"}, list{"none"}},
	"grant_types":                     {list{"authorization_code"}, list{"authorization_code", "implicit", "refresh_token"}, list{"client_credentials"}},
	"scope":                           {"", "openid", "orders:read openid"},
	"require_pkce":                    {true, false},
	"token_endpoint_auth_method":      {"none", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"},
	"token_endpoint_auth_signing_alg": {"HS256", "ES256"},
	"jwks":                            {jwks()}, "jwks_uri": {"https://app.example.com/jwks"},
	"request_object_signing_alg": {"none", "HS512", "ES256"}, "request_object_encryption_alg": {"RSA-OAEP-256", "dir"},
	"request_uris":                 {list{}, list{"https://app.example.com/r#x"}},
	"id_token_signed_response_alg": {"none", "RS256", "ES256", "HS256"}, "id_token_encrypted_response_alg": {"ECDH-ES", "A128KW"},
	"id_token_encrypted_response_enc": {"A256GCM"}, "userinfo_signed_response_alg": {"none", "RS256"},
	"subject_type": {"public", "pairwise"}, "default_max_age": {0, 1, 3600}, "default_acr_values": {list{"1"}},
	"require_auth_time": {true, false}, "initiate_login_uri": {"https://app.example.com/login"},
	"post_logout_redirect_uris": {list{"https://app.example.com/out"}}, "backchannel_logout_uri": {"https://app.example.com/bc"},
	"frontchannel_logout_uri": {"https://app.example.com/fc"}, "frontchannel_logout_session_required": {true, false},
	"logo_uri": {"https://app.example.com/l.png"}, "logo_uri#ja": {"https://app.example.com/ja.png"},
	"unknown": {1, "x", object{}},
}

// What is registered is what is read, and an update with it changes nothing
// (RFC 7592 §2.1, §2.2).
func TestReadingGivesWhatWasRegistered(t *testing.T) {
	o := open(t, nil)
	accepted := 0
	rapid.Check(t, func(rt *rapid.T) {
		body := web(nil)
		for _, member := range rapid.SliceOfNDistinct(rapid.SampledFrom(memberNames()), 0, 8, rapid.ID).Draw(rt, "members") {
			body[member] = rapid.SampledFrom(choices[member]).Draw(rt, member)
		}
		resp := o.post(body)
		if resp.Action != model.ActionCreated {
			return
		}
		accepted++
		o.checkRoundTrip(parse(resp.ResponseContent))
	})
	if accepted < 10 {
		t.Errorf("only %d registrations were accepted", accepted)
	}
}

func memberNames() []string {
	var names []string
	for _, s := range model.ClientSettings {
		if _, ok := choices[s.Metadata]; ok {
			names = append(names, s.Metadata)
		}
	}
	return append(names, "client_name#ja", "client_name#en", "logo_uri#ja", "unknown")
}

// checkRoundTrip reads a client, updates it with what was read, twice, and
// deletes it. Each answer must be the first one.
func (o *office) checkRoundTrip(first object) {
	o.Helper()
	id := first["client_id"].(string)
	if c, err := o.realm.ClientByAlias(o.Context(), id); err != nil || c.Alias != id {
		o.Fatalf("what was accepted cannot be opened: %v", err)
	}
	same := func(resp *registration.Response, action model.Action) {
		o.Helper()
		if diff := cmp.Diff(first, o.accepted(resp, action)); diff != "" {
			o.Fatal(diff)
		}
	}
	same(o.call(registration.Get, own(first)), model.ActionOK)
	body := maps.Clone(first)
	for _, made := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"} {
		delete(body, made)
	}
	same(o.call(registration.Update, own(first, body)), model.ActionUpdated)
	same(o.call(registration.Update, own(first, body)), model.ActionUpdated)
	same(o.call(registration.Get, own(first)), model.ActionOK)
	o.accepted(o.call(registration.Delete, own(first)), model.ActionDeleted)
}

// Whatever comes, it is refused or it can be read again; what is given back
// names no address that nobody should follow (threats.md 20, 33).
func FuzzRegistration(f *testing.F) {
	o := open(f, nil)
	o.pages.Store("https://app.example.com/sector", text(list{redirect}))
	f.Add(text(web(nil)))
	f.Add(`{"redirect_uris":["com.example.app:/cb"],"application_type":"native","token_endpoint_auth_method":"none"}`)
	f.Add(`{"redirect_uris":["http://localhost:33418/callback"]}`)
	f.Add(`{"redirect_uris":["javascript:alert(1)"]}`)
	f.Add(`{"redirect_uris":["` + redirect + `"],"redirect_uris":null,"client_name#":"","client_name#ja":"\ud800"}`)
	f.Add(`{"grant_types":["client_credentials"],"scope":" "}`)
	f.Add(`{"redirect_uris":["` + redirect + `"],"default_max_age":1e9,"software_statement":"a.b.c"}`)
	f.Add(`[[[[`)
	f.Add(text(web(object{"jwks": jwks("d")})))
	for member, values := range choices {
		for _, value := range values {
			f.Add(text(web(object{member: value})))
		}
	}
	for _, member := range addressMembers {
		f.Add(text(with(member, "https://app.example.com/sector")))
		f.Add(text(with(member, "HTTP://127.0.0.1")))
	}
	f.Fuzz(func(t *testing.T, body string) {
		o.TB = t
		resp := o.call(registration.Register, registration.Request{JSON: body})
		if !json.Valid([]byte(resp.ResponseContent)) || strings.ContainsAny(resp.ResponseContent, "<>&\x00\n") {
			t.Fatalf("%q is answered by %s", body, resp.ResponseContent)
		}
		if resp.Action == model.ActionBadRequest {
			return
		}
		got := o.accepted(resp, model.ActionCreated)
		for member, value := range got {
			if base, _, _ := strings.Cut(member, "#"); strings.HasSuffix(base, "_uri") || strings.HasSuffix(base, "_uris") {
				checkEchoed(t, got, base, value)
			}
		}
		o.checkRoundTrip(got)
	})
}

func checkEchoed(t *testing.T, got object, member string, value any) {
	addresses, several := value.([]any)
	if !several {
		addresses = list{value}
	}
	for _, a := range addresses {
		address, _ := a.(string)
		lower := strings.ToLower(address)
		scheme, _, _ := strings.Cut(lower, ":")
		local := strings.HasPrefix(lower, "http://") && (strings.Contains(lower, "localhost") || strings.Contains(lower, "//127.") || strings.Contains(lower, "//["))
		native := got["application_type"] == "native" && (member == "redirect_uris" || member == "post_logout_redirect_uris")
		if !strings.HasPrefix(lower, "https://") && !(native && (local || strings.Contains(scheme, "."))) {
			t.Errorf("%s is %q", member, address)
		}
	}
}
