package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"

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
// then those in the store. It is safe for concurrent use.
type Accounts struct {
	store     store.Store
	service   model.ID
	byKey     map[string]*model.Account
	bySubject map[string]*model.Account
	decoy     *phc
	*Guard
	derive deriver
	now    func() time.Time
}

// Guard protects accounts against guessing, and the machine against many
// sign-ins at once. One guards a service for as long as the process lives, so
// that a new configuration gives nobody a fresh start.
type Guard struct {
	pool     *pool
	throttle *throttle
}

// NewGuard returns a guard that has seen nothing yet.
func NewGuard() *Guard { return &Guard{pool: newPool(), throttle: newThrottle()} }

// CheckAccounts reports what is wrong with declared accounts, if anything is.
func CheckAccounts(declared []DeclaredAccount) error {
	_, err := NewAccounts(nil, 0, declared, nil)
	return err
}

// NewAccounts checks the declared accounts and puts them before the store's.
func NewAccounts(st store.Store, service model.ID, declared []DeclaredAccount, guard *Guard) (*Accounts, error) {
	a := &Accounts{
		store: st, service: service,
		byKey: map[string]*model.Account{}, bySubject: map[string]*model.Account{},
		Guard: guard, derive: argon2.IDKey, now: time.Now,
	}
	for i, d := range declared {
		if err := a.declare(d); err != nil {
			return nil, fmt.Errorf("account %d (%q): %w", i+1, d.Name, err)
		}
	}
	if a.decoy == nil {
		a.decoy = decoy()
	}
	return a, nil
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
	// The rules are applied until nothing changes, since once is not always
	// enough (RFC 8264 §7).
	for range 4 {
		key, err := precis.UsernameCaseMapped.String(name)
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
// the context's and the store's.
func (a *Accounts) Authenticate(ctx context.Context, name, password string) (subject string, err error) {
	key, keyErr := Key(name)
	if keyErr != nil {
		key = "\x00" + name // no key begins so
	}
	attempt, err := a.throttle.reserve(key, a.now())
	if err != nil {
		return "", err
	}
	verified := false
	defer func() {
		if !verified {
			a.throttle.release(attempt)
		}
	}()
	account, hash, err := a.candidate(ctx, key)
	if err != nil {
		return "", err
	}
	normal, passwordErr := normalPassword(password)
	matches := false
	if err := a.pool.do(ctx, func() { matches = hash.matches(a.derive, normal) }); err != nil {
		return "", err
	}
	verified = true
	if !matches || account == nil || account.Disabled || passwordErr != nil || keyErr != nil {
		return "", ErrCredentials
	}
	a.throttle.succeeded(attempt)
	return account.Subject, nil
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
