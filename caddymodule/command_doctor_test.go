package caddymodule

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// A service that can sign now and later is well; one that cannot sign fails, and
// what will come of the rest is said before it does.
func TestSigningKeyFindings(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	key := func(alg string, from, until time.Duration) model.Key {
		k := model.Key{Alg: alg, NotBefore: now.Add(from).Unix()}
		if until != 0 {
			k.ExpiresAt = now.Add(until).Unix()
		}
		return k
	}
	const hour = time.Hour
	for name, c := range map[string]struct {
		keys    []model.Key
		advice  string
		failing bool
	}{
		"none yet":                     {nil, "", false},
		"one that signs":               {[]model.Key{key("ES256", -hour, 0)}, "", false},
		"a successor that signs":       {[]model.Key{key("ES256", -2*hour, hour), key("ES256", -hour, 0)}, "", false},
		"a successor, announced":       {[]model.Key{key("ES256", -hour, 2*hour), key("ES256", hour, 0)}, "", false},
		"the last one ends":            {[]model.Key{key("ES256", -hour, hour)}, "has no successor", false},
		"two end":                      {[]model.Key{key("ES256", -hour, 2*hour), key("ES256", -hour, hour)}, "1970-01-12T15:46:40Z and has no successor", false},
		"the last one has ended":       {[]model.Key{key("ES256", -2*hour, -hour)}, "no ES256 key signs any more", true},
		"it ends at this second":       {[]model.Key{key("ES256", -2*hour, time.Nanosecond)}, "no ES256 key signs any more", true},
		"none has begun":               {[]model.Key{key("ES256", hour, 0)}, "the clock here is behind", false},
		"one of two algorithms":        {[]model.Key{key("ES256", -hour, 0), key("EdDSA", -2*hour, -hour)}, "no EdDSA key", true},
		"an old one of each algorithm": {[]model.Key{key("ES256", -hour, -hour), key("ES256", -hour, 0), key("RSA-OAEP-256", -hour, 0)}, "", false},
	} {
		f := signingKeys("https://as.example.com", c.keys, now)
		if f.Failing != c.failing || (f.Advice == "") != (c.advice == "") || !strings.Contains(f.Advice, c.advice) || !strings.HasPrefix(f.Value, "https://as.example.com: ") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// Differences of some seconds are harmless, and larger ones are reported.
func TestClockFindings(t *testing.T) {
	for age, well := range map[time.Duration]bool{time.Hour: true, 0: true, -clockTolerance: true, -clockTolerance - time.Second: false, -time.Hour: false} {
		if f := clockFinding(age); (f.Advice == "") != well || f.Failing {
			t.Errorf("%s: %+v", age, f)
		}
	}
}

// What has no key file is told of the option, not of a backup.
func TestMasterKeyFindings(t *testing.T) {
	d := &doctor{app: &App{storage: new(Postgres)}}
	d.masterKey(t.Context(), nil, nil, nil)
	if f := d.findings[0]; !f.Failing || !strings.HasPrefix(f.Advice, "give master_key") {
		t.Errorf("%+v", f)
	}
}
