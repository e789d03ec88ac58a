package login

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Developers are those who may register clients of a service by name and
// password, which the developer authentication callback knows. It is safe for
// concurrent use.
type Developers struct {
	callback *callbackAPI
	guard    *Guard
	now      func() time.Time
}

// NewDevelopers returns nil when the service has no developer authentication
// callback. Guesses at developers are counted apart from those at users.
func NewDevelopers(s *model.Service, fetch engine.Fetcher, guard *Guard, now func() time.Time) *Developers {
	c := newCallback(s.DeveloperCallback, s, fetch, guard)
	if c == nil {
		return nil
	}
	return &Developers{callback: c, guard: guard, now: now}
}

// Authenticate finds the developer whom a name and password belong to. The
// error is ErrCredentials, *ErrThrottled, ErrBusy, ErrUnavailable or the context's.
func (d *Developers) Authenticate(ctx context.Context, name, password string) (subject string, err error) {
	key, ok := countedKey(name)
	err = d.guard.developers().count(key, d.now(), func() error {
		if !ok || !askable(password) {
			return ErrCredentials
		}
		said, err := d.callback.ask(ctx, question{ServiceAPIKey: d.callback.apiKey, ID: name, Password: nullable(password)})
		if err != nil {
			return err
		}
		subject = said.Subject
		return nil
	})
	return subject, err
}
