package registration

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// members are those of a JSON object.
type members map[string]json.RawMessage

// parse reads the body of a request. Members that are null are as good as not
// there (RFC 7592 §2.2); of those that come twice the last counts, for every
// check alike, since nothing looks at the text again.
func parse(r *realm.Realm, text string) (members, error) {
	if int64(len(text)) > r.Service.MaxRegistrationBytes {
		return nil, refuse("client metadata", "longer than %d bytes", r.Service.MaxRegistrationBytes)
	}
	if !utf8.ValidString(text) {
		return nil, refuse("client metadata", "is not UTF-8 (RFC 8259 section 8.1)")
	}
	object, err := jose.Object([]byte(text))
	if err != nil {
		return nil, refuse("client metadata", "the body is not a JSON object")
	}
	return withoutNulls(object), nil
}

func withoutNulls(m members) members {
	maps.DeleteFunc(m, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	return m
}

// setByServer are members of the answer that no update may have (RFC 7592 §2.2).
var setByServer = []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"}

// checkReplacement finds what an update must have, and must not have, beside
// metadata (RFC 7592 §2.2). It looks at the body alone: a software statement
// has no say in it.
func checkReplacement(body members, alias string) error {
	for _, name := range setByServer {
		if body[name] != nil {
			return refuse(name, "must not be in an update (RFC 7592 section 2.2)")
		}
	}
	if jose.Text(body["client_id"]) != alias {
		return refuse("client_id", "must be in the update, and the client's own (RFC 7592 section 2.2)")
	}
	return nil
}

// draft is what a client wants to be.
type draft struct {
	// settings are by property, as they will be stored.
	settings model.Settings
	// client has the settings, and has not been validated as a whole.
	client    model.Client
	statement string
}

// prepare makes a draft of the metadata in a body, and holds it against
// everything that it can be held against without the client's row.
func prepare(ctx context.Context, r *realm.Realm, body members) (*draft, error) {
	statement, body, err := believe(r, body)
	if err != nil {
		return nil, err
	}
	d := &draft{settings: model.Settings{}, statement: statement}
	d.client = model.Client{ApplicationType: model.ApplicationWeb, SubjectType: model.SubjectPublic, IDTokenSignAlg: model.RS256}
	for i := range model.ClientSettings {
		s := &model.ClientSettings[i]
		if s.Metadata == "" {
			continue
		}
		if err := d.read(s, body); err != nil {
			return nil, err
		}
	}
	if err := d.fillIn(r); err != nil {
		return nil, err
	}
	for _, check := range checks {
		if err := check(r, d); err != nil {
			return nil, err
		}
	}
	// Last, since it makes a request: nobody gets that for less than a client
	// with which everything else is in order.
	return d, d.checkSector(ctx, r)
}

// read takes what a setting wants of the members.
func (d *draft) read(s *model.Setting[model.Client], body members) error {
	name, tagged := strings.CutSuffix(s.Metadata, "#")
	if tagged {
		return d.readTagged(s, name, body)
	}
	value, ok := body[name]
	// Some clients write what they do not have as an empty text.
	if !ok || s.Type == "URL" && string(value) == `""` {
		return nil
	}
	return d.set(s, name, value)
}

// readTagged takes the members with a language tag (RFC 7591 §2.2), which are
// the same in upper and lower case.
func (d *draft) readTagged(s *model.Setting[model.Client], name string, body members) error {
	var list []model.Tagged
	seen := map[string]bool{}
	for _, member := range slices.Sorted(maps.Keys(body)) {
		tag, ok := strings.CutPrefix(member, name+"#")
		if !ok {
			continue
		}
		var text string
		if json.Unmarshal(body[member], &text) != nil {
			return refuse(member, "expected text")
		}
		if seen[strings.ToLower(tag)] {
			return refuse(member, "the language is there twice")
		}
		seen[strings.ToLower(tag)] = true
		list = append(list, model.Tagged{Tag: tag, Value: text})
	}
	if list == nil {
		return nil
	}
	return d.set(s, s.Metadata, jose.Raw(list))
}

// set gives the draft a setting, in the form in which metadata has it.
func (d *draft) set(s *model.Setting[model.Client], member string, value json.RawMessage) error {
	if !strings.HasSuffix(member, "#") {
		var err error
		if value, err = s.FromMetadata(value); err != nil {
			return refuse(member, "%v", err)
		}
	}
	if err := s.Apply(&d.client, value); err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the name that the setting has elsewhere
		}
		return refuse(strings.TrimSuffix(member, "#"), "%v", err)
	}
	d.settings[s.Property] = value
	return nil
}

// setting finds the setting that a member feeds.
func setting(member string) *model.Setting[model.Client] {
	i := slices.IndexFunc(model.ClientSettings, func(s model.Setting[model.Client]) bool { return s.Metadata == member })
	return &model.ClientSettings[i]
}

// has reports whether the draft has what a member feeds.
func (d *draft) has(member string) bool {
	_, ok := d.settings[setting(member).Property]
	return ok
}

// put gives the draft a value of this server's choice.
func (d *draft) put(member string, value any) error {
	return d.set(setting(member), member, jose.Raw(value))
}

// needsSecret reports whether the client authenticates, signs or encrypts with
// a secret.
func (d *draft) needsSecret() bool {
	return d.client.TokenAuthMethod.Secret() || d.client.UsesSecret()
}

// express writes a setting's value as metadata.
func express(document map[string]any, s *model.Setting[model.Client], value any) {
	switch v := value.(type) {
	case []model.Tagged:
		for _, t := range v {
			document[s.Metadata+t.Tag] = t.Value
		}
	case []string:
		document[s.Metadata] = v
		if s.Metadata == "scope" {
			document["scope"] = strings.Join(v, " ")
		}
	case string:
		document[s.Metadata] = v
		if s.Type == "JSON" {
			document[s.Metadata] = json.RawMessage(v)
		}
	default:
		document[s.Metadata] = v
	}
}

// inMembers says what is wrong with settings in the names of metadata.
func inMembers(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner // without the client_id, which is not final
	}
	return memberNames.Replace(err.Error())
}

// memberNames turns the names that settings have in a Caddyfile into those of
// the specifications, longer ones first.
var memberNames = func() *strings.Replacer {
	var pairs [][2]string
	for i := range model.ClientSettings {
		s := &model.ClientSettings[i]
		if s.Metadata != "" && s.Metadata != s.Name() && !strings.HasSuffix(s.Metadata, "#") {
			pairs = append(pairs, [2]string{s.Name(), s.Metadata})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return len(b[0]) - len(a[0]) })
	var list []string
	for _, p := range pairs {
		list = append(list, p[0], p[1])
	}
	return strings.NewReplacer(list...)
}()
