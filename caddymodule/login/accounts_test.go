package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func TestDeclaredAccountsAreChecked(t *testing.T) {
	hash := cheapHash(password)
	for name, test := range map[string]struct {
		declared []DeclaredAccount
		want     string // empty: accepted
	}{
		"good":           {[]DeclaredAccount{{Name: "alice@example.com", PasswordHash: hash}, {Name: "Zoë", Subject: "7", PasswordHash: hash}}, ""},
		"no name":        {[]DeclaredAccount{{PasswordHash: hash}}, "a name has 1 to 320 bytes"},
		"space":          {[]DeclaredAccount{{Name: "alice smith", PasswordHash: hash}}, "spaces"},
		"control":        {[]DeclaredAccount{{Name: "alice\n", PasswordHash: hash}}, "control characters"},
		"same key":       {[]DeclaredAccount{{Name: "alice", PasswordHash: hash}, {Name: "ALICE", Subject: "2", PasswordHash: hash}}, `same as "alice"`},
		"same subject":   {[]DeclaredAccount{{Name: "alice", PasswordHash: hash}, {Name: "bob", Subject: "alice", PasswordHash: hash}}, `the subject "alice" is that of "alice"`},
		"subject":        {[]DeclaredAccount{{Name: "Zoë", PasswordHash: hash}}, "printable ASCII"},
		"long subject":   {[]DeclaredAccount{{Name: "a", Subject: strings.Repeat("a", 256), PasswordHash: hash}}, "1 to 255"},
		"no hash":        {[]DeclaredAccount{{Name: "alice"}}, "password_hash: expected an Argon2id hash"},
		"clear password": {[]DeclaredAccount{{Name: "alice", PasswordHash: "secret"}}, "password_hash: expected"},
		"bcrypt":         {[]DeclaredAccount{{Name: "alice", PasswordHash: "$2a$10$N9qo8uLOickgx2ZMRZoMye"}}, "password_hash: expected"},
		"claim":          {[]DeclaredAccount{{Name: "alice", PasswordHash: hash, Claims: map[string]json.RawMessage{"email": json.RawMessage("a@b")}}}, "claim email: the value is not JSON"},
		"sub":            {[]DeclaredAccount{{Name: "alice", PasswordHash: hash, Claims: map[string]json.RawMessage{"sub": json.RawMessage(`"x"`)}}}, "set subject instead"},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckAccounts(test.declared)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got the error %v, want one with %q", err, test.want)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("the error repeats what may be a password: %v", err)
			}
		})
	}
}

func TestKey(t *testing.T) {
	for name, want := range map[string]string{
		"alice": "alice", "ALICE": "alice", "\uff41lice": "alice", "Alice@Example.COM": "alice@example.com",
		"Zoe\u0308": "zoë", "ZOË": "zoë", "Ⅳ": "", "": "", " ": "", "a b": "", "a\x00": "", "a\u200b": "", "a\u202e": "",
		strings.Repeat("a", 320): strings.Repeat("a", 320), strings.Repeat("a", 321): "", "\xff": "",
	} {
		got, err := Key(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Key(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
}

func FuzzKey(f *testing.F) {
	for _, name := range []string{"alice", "ALICE", "Zoe\u0308", "ſ", "İ", "ẞ", "Σς", "ａ", "a@b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		key, err := Key(name)
		if err != nil {
			return
		}
		if again, err := Key(key); again != key || err != nil || key == "" || len(key) > maxName {
			t.Errorf("Key(%q) = %q, but of that it is %q, %v", name, key, again, err)
		}
	})
}

// stored adds an account to the store.
func (e *env) stored(name, subject, hash string) model.Account {
	e.t.Helper()
	key, err := Key(name)
	if err != nil {
		e.t.Fatal(err)
	}
	a := model.Account{Service: e.service.ID, ID: e.engine.NewID(), Name: name, Key: key, Subject: subject, PasswordHash: hash,
		Claims: map[string]json.RawMessage{"name": json.RawMessage(`"N"`)}}
	if err := e.store.Write(context.Background(), store.InsertAccount{Account: a}); err != nil {
		e.t.Fatal(err)
	}
	return a
}

func TestStoredAccounts(t *testing.T) {
	run := fmt.Sprint(runs.Add(1)) // the store is shared
	e := newEnv(t, DeclaredAccount{Name: "declared" + run, Subject: "d" + run, PasswordHash: cheapHash(password)})
	ctx := context.Background()
	a := e.stored("Stored"+run, "s"+run, cheapHash("stored password"))
	accounts := e.server.accounts
	if subject, err := accounts.Authenticate(ctx, "STORED"+run, "stored password", 0); subject != "s"+run || err != nil {
		t.Errorf("got %q, %v", subject, err)
	}
	got, err := accounts.Claims(ctx, "s"+run)
	want := map[string]json.RawMessage{"name": json.RawMessage(`"N"`), "preferred_username": json.RawMessage(`"Stored` + run + `"`)}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; claims (-want +got):\n%s", err, diff)
	}
	if got, err := accounts.Claims(ctx, "nobody"); len(got) > 0 || err != nil {
		t.Errorf("claims of nobody: %v, %v", got, err)
	}
	if err := e.store.Write(ctx, store.SetDisabled{Service: e.service.ID, ID: a.ID, Disabled: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := accounts.Authenticate(ctx, "stored"+run, "stored password", 0); !errors.Is(err, ErrCredentials) {
		t.Errorf("a disabled account: %v", err)
	}
	for subject, want := range map[string]bool{"s" + run: false, "nobody": false, "d" + run: true} {
		if active, err := accounts.Active(ctx, subject); active != want || err != nil {
			t.Errorf("%s is active: %v, %v", subject, active, err)
		}
	}
	// A stored account stands neither for a declared name nor for its subject.
	e.stored("DECLARED"+run, "other"+run, cheapHash("intruder"))
	e.stored("intruder"+run, "d"+run, cheapHash("intruder"))
	for _, name := range []string{"declared" + run, "intruder" + run} {
		if subject, err := accounts.Authenticate(ctx, name, "intruder", 0); !errors.Is(err, ErrCredentials) {
			t.Errorf("%s signed in as %q, %v", name, subject, err)
		}
	}
	e.stored("nopassword"+run, "n"+run, "")
	for _, p := range []string{"", "x"} {
		if _, err := accounts.Authenticate(ctx, "nopassword"+run, p, 0); !errors.Is(err, ErrCredentials) {
			t.Errorf("an account without a password: %v", err)
		}
	}
}

// Unknown, disabled and wrong are one page after the same work (CVE-2026-23511).
// The work is counted, since a stop-watch would only prove it most of the time.
func TestThreat30NoEnumeration(t *testing.T) {
	e := newEnv(t, DeclaredAccount{Name: "off-30", PasswordHash: cheapHash(password), Disabled: true})
	var work []uint64
	e.server.accounts.derive = func(p, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
		work = append(work, uint64(memory)*uint64(time)<<32|uint64(len(salt))<<16|uint64(keyLen))
		return argon2.IDKey(p, salt, time, memory, threads, keyLen)
	}
	b := e.browser()
	login := b.authorize()
	var pages []string
	names := []string{e.user, "off-30", "nobody-30", "no such name", strings.Repeat("n", 321), "\u202e"}
	for _, name := range names {
		p := password
		if name == e.user {
			p = "wrong"
		}
		page := b.submit(login, "username", name, "password", p).want(t, 422, "/login", "The name or the password is wrong.")
		pages = append(pages, strings.Replace(page.body, `value="`+name+`"`, `value=""`, 1))
	}
	for i := range names {
		if work[i] != work[0] || len(work) != len(names) {
			t.Errorf("%q takes other work than a wrong password: %v", names[i], work)
		}
		// The page of a name that is too long does not repeat it; nothing else differs.
		if len(names[i]) <= maxName && pages[i] != pages[0] {
			t.Errorf("%q has another page: %s", names[i], cmp.Diff(pages[0], pages[i]))
		}
	}
	for _, p := range []string{"", strings.Repeat("p", 1025)} {
		before := len(work)
		b.submit(login, "username", "nobody-30b", "password", p).want(t, 422, "/login", "wrong")
		if len(work) != before+1 || work[before] != work[0] {
			t.Errorf("a password of %d bytes takes other work", len(p))
		}
	}
}

// Guesses count for the account, however its name is spelt (CVE-2025-24806).
func TestThreat29ThrottleCountsTheAccount(t *testing.T) {
	e := newEnv(t)
	b := e.browser()
	login := b.authorize()
	for i, spelling := range []string{e.user, strings.ToUpper(e.user), strings.ToLower(e.user), "U" + e.user[1:], "ｕ" + e.user[1:]} {
		p := b.submit(login, "username", spelling, "password", "wrong")
		p.want(t, 422, "/login", "wrong")
		if i == 0 && strings.Contains(p.body, "Try again in") {
			t.Error("the first failure is throttled")
		}
	}
	p := b.signIn(login)
	p.want(t, 429, "/login", "Try again in 1 second.")
	if got := p.header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After: %s", got)
	}
	e.advance(time.Second)
	b.signIn(login).want(t, 200, "/consent", "")
	// Names that nobody has are throttled too: otherwise this would tell.
	b = e.browser()
	login = b.authorize()
	for range freeFailures {
		b.submit(login, "username", "nobody-29", "password", "wrong").want(t, 422, "/login", "")
	}
	b.submit(login, "username", "NOBODY-29", "password", "wrong").want(t, 429, "/login", "")
}

func TestThreat29GuessesAtOnceDoNotSlipPast(t *testing.T) {
	e := newEnv(t)
	var verified atomic.Int32
	e.server.accounts.derive = func(p, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
		verified.Add(1)
		return make([]byte, keyLen)
	}
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() { _, _ = e.server.accounts.Authenticate(context.Background(), e.user, "guess", 0) })
	}
	wg.Wait()
	if n := verified.Load(); n > freeFailures {
		t.Errorf("%d guesses were looked at, want at most %d", n, freeFailures)
	}
}

// unavailable is a store of which some of the reads fail.
type unavailable struct {
	store.Store
	off atomic.Bool
}

func (u *unavailable) AccountByKey(ctx context.Context, s model.ID, key string) (model.Account, error) {
	if u.off.Load() {
		return model.Account{}, store.ErrUnavailable
	}
	return u.Store.AccountByKey(ctx, s, key)
}

func (u *unavailable) Write(ctx context.Context, steps ...store.Step) error {
	if u.off.Load() {
		return store.ErrUnavailable
	}
	return u.Store.Write(ctx, steps...)
}

func TestStoreFailuresAreReturnedAndCostNothing(t *testing.T) {
	u := new(unavailable)
	e := newEnvOn(t, func(s store.Store) store.Store { u.Store = s; return u })
	b := e.browser()
	login := b.authorize()
	u.off.Store(true)
	for range freeFailures + 2 {
		b.signIn(login).want(t, 503, "/login", "")
		if err, _ := (<-e.errs).(error); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
	}
	u.off.Store(false)
	b.signIn(login).want(t, 200, "/consent", "")
}

func TestBusy(t *testing.T) {
	e := newEnv(t)
	accounts := e.server.accounts
	accounts.pool = newPool(1, 0)
	accounts.pool.admitted <- struct{}{}
	b := e.browser()
	login := b.authorize()
	for range freeFailures + 2 {
		if p := b.signIn(login).want(t, 503, "/login", "Too many people"); p.header.Get("Retry-After") == "" {
			t.Error("Retry-After is missing")
		}
	}
	<-accounts.pool.admitted
	accounts.pool.working <- struct{}{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := accounts.Authenticate(ctx, e.user, password, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-accounts.pool.working
	b.signIn(login).want(t, 200, "/consent", "")
}
