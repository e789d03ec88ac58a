package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// DeclaredAccount is a user who stands in the configuration.
type DeclaredAccount struct {
	// Name is what the user signs in with.
	Name string `json:"name,omitempty"`
	// Subject is the sub claim; the name when it is not set.
	Subject string `json:"subject,omitempty"`
	// PasswordHash is an Argon2id hash in the PHC string format.
	PasswordHash string `json:"password_hash,omitempty"`
	// Claims are facts about the user, by claim name.
	Claims map[string]json.RawMessage `json:"claims,omitempty"`
	// Disabled keeps the user out, and ends what was granted before.
	Disabled bool `json:"disabled,omitempty"`
}

// ErrCredentials says that a name and password are not those of an active
// account, and no more than that.
var ErrCredentials = errors.New("wrong name or password")

// Accounts are the users of one service: those declared in the configuration,
// then those in the store; or those whom the authentication callback vouches
// for, which are in the store too. It is safe for concurrent use.
type Accounts struct {
	store     store.Store
	service   model.ID
	byKey     map[string]*model.Account
	bySubject map[string]*model.Account
	decoy     *phc
	*Guard
	derive deriver
	now    func() time.Time

	callback              *callbackAPI // nil: names and passwords are looked up here
	claims, claimsLocales []string     // that the callback is asked for
	newID                 func() model.ID
}

// AccountOptions are what the accounts of a service are made of.
type AccountOptions struct {
	Store    store.Store
	Service  *model.Service
	Declared []DeclaredAccount
	Guard    *Guard
	Fetch    engine.Fetcher   // for the authentication callback
	NewID    func() model.ID  // for its accounts
	Now      func() time.Time // nil: the clock
}

// Guard protects accounts against guessing, and the machine against many
// sign-ins at once. One guards a service for as long as the process lives, so
// that a new configuration gives nobody a fresh start.
type Guard struct {
	pool       *pool // of those whose password is looked at here
	calls      *pool // of those about whom a callback is asked
	throttle   *throttle
	developers func() *throttle // made when it is needed first: it takes memory
}

// NewGuard returns a guard that has seen nothing yet. The hashers may be those
// of other services too.
func NewGuard(hashers *Hashers) *Guard {
	return &Guard{
		pool: hashers.pool, calls: newPool(callsAtOnce, queuePerCaller),
		throttle: newThrottle(), developers: sync.OnceValue(newThrottle),
	}
}

// CheckAccounts reports what is wrong with declared accounts, if anything is.
func CheckAccounts(declared []DeclaredAccount) error { return noAccounts().declareAll(declared) }

// CheckService reports what is wrong with the sign-in of a service and the
// accounts that are declared for it.
func CheckService(s *model.Service, declared []DeclaredAccount) error {
	called := s.AuthenticationCallback.Endpoint != ""
	switch {
	case called && len(declared) > 0:
		return fmt.Errorf("account %q is declared, but authentication_callback_endpoint alone says who may sign in: leave one of them out", declared[0].Name)
	case !called && len(s.SupportedSNSes) > 0:
		return errors.New("supported_snses needs authentication_callback_endpoint, which says whose account a social network's user has")
	}
	return CheckAccounts(declared)
}

// NewAccounts checks the declared accounts and puts them before the store's.
func NewAccounts(o AccountOptions) (*Accounts, error) {
	if err := CheckService(o.Service, o.Declared); err != nil {
		return nil, err
	}
	if o.Service.AuthenticationCallback.Endpoint != "" && (o.Fetch == nil || o.NewID == nil) {
		return nil, errors.New("the authentication callback needs something to be asked with, and ids for its accounts")
	}
	a := noAccounts()
	a.store, a.service, a.Guard, a.newID = o.Store, o.Service.ID, o.Guard, o.NewID
	if o.Now != nil {
		a.now = o.Now
	}
	a.callback = newCallback(o.Service.AuthenticationCallback, o.Service, o.Fetch, o.Guard)
	a.claims, a.claimsLocales = wantedClaims(o.Service)
	return a, a.declareAll(o.Declared)
}

func noAccounts() *Accounts {
	return &Accounts{byKey: map[string]*model.Account{}, bySubject: map[string]*model.Account{}, derive: argon2.IDKey, now: time.Now}
}

func (a *Accounts) declareAll(declared []DeclaredAccount) error {
	for i, d := range declared {
		if err := a.declare(d); err != nil {
			return fmt.Errorf("account %d (%q): %w", i+1, d.Name, err)
		}
	}
	if a.decoy == nil {
		a.decoy = decoy()
	}
	return nil
}

func (a *Accounts) declare(d DeclaredAccount) error {
	key, err := Key(d.Name)
	if err != nil {
		return err
	}
	if d.Subject == "" {
		d.Subject = d.Name
	}
	if err := checkSubject(d.Subject); err != nil {
		return err
	}
	if other := a.byKey[key]; other != nil {
		return fmt.Errorf("the name is the same as %q, which is declared before it", other.Name)
	}
	if other := a.bySubject[d.Subject]; other != nil {
		return fmt.Errorf("the subject %q is that of %q, which is declared before it", d.Subject, other.Name)
	}
	hash, err := parsePHC(d.PasswordHash)
	if err != nil {
		return fmt.Errorf("password_hash: %w", err)
	}
	for name, value := range d.Claims {
		if name == "sub" {
			return errors.New("claim sub: set subject instead")
		}
		if !json.Valid(value) {
			return fmt.Errorf("claim %s: the value is not JSON", name)
		}
	}
	account := &model.Account{
		Service: a.service, Name: d.Name, Key: key, Subject: d.Subject,
		PasswordHash: d.PasswordHash, Claims: d.Claims, Disabled: d.Disabled,
	}
	a.byKey[key], a.bySubject[d.Subject] = account, account
	if a.decoy == nil || hash.cost() > a.decoy.cost() {
		a.decoy = hash.blank()
	}
	return nil
}

// maxName bounds names in bytes, as typed and as compared.
const maxName = 320

var errName = fmt.Errorf("a name has 1 to %d bytes, and neither spaces nor control characters nor symbols that look like others", maxName)

// Key returns the one spelling of a name that is compared, so that alice,
// Alice and ALICE are one account (RFC 8265 §3.3).
func Key(name string) (string, error) {
	if name == "" || len(name) > maxName {
		return "", errName
	}
	return stable(precis.UsernameCaseMapped.String, name)
}

// stable applies the rules of a profile until nothing changes, since once is
// not always enough (RFC 8264 §7).
func stable(profile func(string) (string, error), name string) (string, error) {
	if len(name) > maxName {
		return "", errName
	}
	for range 4 {
		key, err := profile(name)
		if err != nil || key == "" || len(key) > maxName {
			return "", errName
		}
		if key == name {
			return key, nil
		}
		name = key
	}
	return "", errName
}

// checkSubject is OpenID Connect Core §2: at most 255 ASCII characters.
func checkSubject(s string) error {
	if s == "" || len(s) > 255 {
		return errors.New("the subject must have 1 to 255 characters")
	}
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return fmt.Errorf("the subject %q must be printable ASCII without spaces; set one that differs from the name", s)
		}
	}
	return nil
}

// find returns the account of a subject, nil if there is none.
func (a *Accounts) find(ctx context.Context, subject string) (*model.Account, error) {
	if account := a.bySubject[subject]; account != nil {
		return account, nil
	}
	account, err := a.store.AccountBySubject(ctx, a.service, subject)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &account, nil
}

// Active reports whether there is an account of that subject that is not
// disabled. The error is the store's.
func (a *Accounts) Active(ctx context.Context, subject string) (bool, error) {
	account, err := a.find(ctx, subject)
	return account != nil && !account.Disabled, err
}

// Claims returns the claims about a subject: none when there is no account,
// and otherwise at least preferred_username. The error is the store's.
func (a *Accounts) Claims(ctx context.Context, subject string) (map[string]json.RawMessage, error) {
	account, err := a.find(ctx, subject)
	if account == nil || err != nil {
		return nil, err
	}
	name, err := json.Marshal(account.Name)
	if err != nil {
		return nil, err
	}
	claims := map[string]json.RawMessage{"preferred_username": name}
	maps.Copy(claims, account.Claims)
	delete(claims, "sub")
	return claims, nil
}

// Authenticate finds the subject whom a name and password belong to. A name
// that nobody has, a disabled account and a wrong password are one answer,
// ErrCredentials, after the same work. Other errors are *ErrThrottled, ErrBusy,
// the context's, the store's and, of the authentication callback,
// ErrUnavailable. The callback is told which client wants to know, 0 for none.
func (a *Accounts) Authenticate(ctx context.Context, name, password string, client model.ID) (subject string, err error) {
	if a.callback != nil {
		return a.askPassword(ctx, name, password, client)
	}
	key, keyErr := Key(name)
	if keyErr != nil {
		key = "\x00" + name // no key begins so
	}
	err = a.throttle.count(key, a.now(), func() error {
		account, hash, err := a.candidate(ctx, key)
		if err != nil {
			return err
		}
		normal, passwordErr := normalPassword(password)
		matches := false
		if err := a.pool.do(ctx, hash.workers(), func() { matches = hash.matches(a.derive, normal) }); err != nil {
			return err
		}
		if !matches || account == nil || account.Disabled || passwordErr != nil || keyErr != nil {
			return ErrCredentials
		}
		subject = account.Subject
		return nil
	})
	return subject, err
}

// candidate returns the account of a key and what to verify against, which is
// a decoy when there is no account. The store is asked in every case, so that
// the time does not tell who is declared.
func (a *Accounts) candidate(ctx context.Context, key string) (*model.Account, *phc, error) {
	stored, err := a.store.AccountByKey(ctx, a.service, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, nil, err
	}
	account := a.byKey[key]
	// A stored account may not speak for the subject of a declared one.
	if account == nil && err == nil && a.bySubject[stored.Subject] == nil {
		account = &stored
	}
	if account == nil {
		return nil, a.decoy, nil
	}
	hash, err := parsePHC(account.PasswordHash)
	if err != nil {
		return nil, a.decoy, nil // an account without a password
	}
	return account, hash, nil
}
