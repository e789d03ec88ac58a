package mint

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/jose"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Wanted are the claims that a token or a userinfo answer should have.
type Wanted struct {
	Names      []string
	Conditions map[string][]json.RawMessage // values that a claim must have, by name
	Locales    []string                     // claims_locales
}

// The members that stand for claims of other providers (OpenID Connect Core §5.6.2).
const (
	claimNames   = "_claim_names"
	claimSources = "_claim_sources"
)

// Select takes of the claims that were supplied those that are wanted, each
// also in the languages asked for (OpenID Connect Core §5.2), and of the
// references to other providers those for claims that are wanted.
func Select(r *realm.Realm, w Wanted, supplied map[string]json.RawMessage) map[string]json.RawMessage {
	chosen := make(map[string]json.RawMessage, len(w.Names))
	for _, name := range w.Names {
		if value, ok := supplied[name]; ok && satisfies(value, w.Conditions[name]) {
			chosen[name] = value
		}
		for _, tag := range w.Locales {
			for key, value := range supplied {
				if base, has, tagged := CutTag(key); tagged && base == name && strings.EqualFold(has, tag) {
					chosen[key] = value
				}
			}
		}
	}
	refer(r, w.Names, supplied, chosen)
	return chosen
}

// satisfies reports whether a claim has one of the values asked for, if any was.
func satisfies(value json.RawMessage, wanted []json.RawMessage) bool {
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w json.RawMessage) bool {
		return bytes.Equal(compacted(w), compacted(value))
	})
}

func compacted(raw json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// refer carries aggregated and distributed claims over, as far as the service
// supports each (OpenID Connect Core §5.6.2).
func refer(r *realm.Realm, wanted []string, supplied, chosen map[string]json.RawMessage) {
	var names map[string]string
	var sources map[string]json.RawMessage
	if json.Unmarshal(supplied[claimNames], &names) != nil || json.Unmarshal(supplied[claimSources], &sources) != nil {
		return
	}
	keptNames, keptSources := map[string]string{}, map[string]json.RawMessage{}
	for name, source := range names {
		kind := model.ClaimDistributed
		if members, err := jose.Object(sources[source]); err != nil {
			continue
		} else if members["JWT"] != nil {
			kind = model.ClaimAggregated
		}
		if slices.Contains(wanted, name) && slices.Contains(r.Service.SupportedClaimTypes, kind) {
			keptNames[name], keptSources[source] = source, sources[source]
		}
	}
	if len(keptNames) > 0 {
		chosen[claimNames], chosen[claimSources] = jose.Raw(keptNames), jose.Raw(keptSources)
	}
}

// CutTag takes the language off a claim's name: name#ja.
func CutTag(name string) (base, tag string, tagged bool) { return strings.Cut(name, "#") }
