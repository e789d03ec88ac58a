package caddymodule

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
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

// A service that was not loaded to its end keeps a server from starting, whatever
// keys it has.
func TestUnfinishedServiceFinding(t *testing.T) {
	f := serviceFinding(serviceKeys{issuer: store.Unfinished + "https://as.example.com"}, time.Now())
	if !f.Failing || !strings.HasPrefix(f.Value, "https://as.example.com is being loaded") || !strings.Contains(f.Advice, "import --cancel") {
		t.Errorf("%+v", f)
	}
	if f := serviceFinding(serviceKeys{issuer: "https://as.example.com"}, time.Now()); f.Failing {
		t.Errorf("%+v", f)
	}
}

// Only a key that is lost is to be restored: one that is good must not be written
// over. What has no key file is told of the option.
func TestMasterKeyFindings(t *testing.T) {
	folder := t.TempDir()
	a, st := openApp(t, folder)
	if _, err := openedKey(t, a, st); err != nil {
		t.Fatal(err)
	}
	good := masterKeyLines(engine.MasterKey{1})
	services := []serviceKeys{{keys: []model.Key{{}}}}
	for name, c := range map[string]struct {
		app           *App
		content       string
		mode          os.FileMode
		value, advice string
	}{
		"for all to read": {a, good, 0o644, "run chmod 600", ""},
		"more than many":  {a, strings.Repeat(good, maxMasterKeys+1), 0o600, "more than", ""},
		"garbled":         {a, "no key", 0o644, "hexadecimal", "restore it"},
		"missing":         {a, "", 0, "no such file", "restore it"},
		"of the option":   {&App{storage: a.storage, MasterKey: "no key"}, "", 0, "hexadecimal", "see the option master_key"},
		"of many nodes":   {&App{storage: new(Postgres)}, "", 0, "needs master_key", "give master_key"},
	} {
		_ = os.Remove(a.masterKeyPath())
		if c.content != "" {
			if err := errors.Join(os.WriteFile(a.masterKeyPath(), []byte(c.content), c.mode), os.Chmod(a.masterKeyPath(), c.mode)); err != nil {
				t.Fatal(err)
			}
		}
		d := &doctor{app: c.app}
		d.masterKey(t.Context(), st, st.(engine.Vault), services)
		f := d.findings[0]
		if !f.Failing || !strings.Contains(f.Value, c.value) || !strings.HasPrefix(f.Advice, c.advice) || (f.Advice == "") != (c.advice == "") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// Before the first start all may be well, or this is another user than the server's,
// or the database was lost. What the first start needs is asked for.
func TestBeforeTheFirstStart(t *testing.T) {
	storage := &SQLite{path: filepath.Join(t.TempDir(), "g.db")}
	key := &App{storage: storage, MasterKey: strings.Repeat("5a", 32)}
	look := func(a *App) []store.Finding {
		d := &doctor{app: a}
		_, err := a.storage.(asItIs).OpenAsIs(t.Context())
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		d.beforeTheFirstStart(placeOf(err))
		return d.findings
	}
	warns := func(when string, list []store.Finding) {
		t.Helper()
		if f := list[0]; len(list) > 1 || f.Failing || !strings.Contains(f.Value, storage.path) || !strings.Contains(f.Advice, "is this the user") {
			t.Errorf("%s: %+v", when, list)
		}
	}
	warns("no database", look(&App{storage: storage}))
	if list := look(&App{storage: storage, MasterKey: "no key"}); len(list) != 2 || !list[1].Failing {
		t.Errorf("without a key: %+v", list)
	}
	if err := os.WriteFile(filepath.Join(storage.Folder(), masterKeyFile), []byte(masterKeyLines(engine.MasterKey{1})), 0o600); err != nil {
		t.Fatal(err)
	}
	if list := look(&App{storage: storage}); len(list) != 1 || !list[0].Failing || !strings.Contains(list[0].Advice, "restore the database") {
		t.Errorf("a key and no database: %+v", list)
	}
	warns("a key that is not used", look(key))

	d := &doctor{app: &App{storage: new(Postgres)}}
	d.beforeTheFirstStart("")
	if list := d.findings; len(list) != 2 || list[0].Failing || !list[1].Failing || !strings.HasPrefix(list[1].Advice, "give master_key") {
		t.Errorf("on PostgreSQL without a key: %+v", list)
	}
	d = &doctor{app: &App{storage: new(Postgres), MasterKey: key.MasterKey}}
	d.beforeTheFirstStart("")
	if list := d.findings; len(list) != 1 || list[0].Advice != "" {
		t.Errorf("on PostgreSQL: %+v", list)
	}
}
