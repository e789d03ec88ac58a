package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// surveyTime bounds the look at everything that is encrypted.
	surveyTime = 30 * time.Second
	// clockTolerance is how far clocks may be apart: services allow 10 seconds by
	// default, which two nodes that are off in two directions share.
	clockTolerance = 5 * time.Second
)

// contents looks at what is in a storage of this program's schema.
func (d *doctor) contents(ctx context.Context, st store.Store) {
	vault, ok := st.(engine.Vault)
	if !ok {
		d.found("keys", "this storage cannot list what is encrypted in it", "")
		return
	}
	services, err := servicesOf(ctx, vault)
	if err != nil {
		d.failed("keys", err, adviceOn(err))
		return
	}
	d.masterKey(ctx, st, vault, services)
	now := time.Now()
	for _, s := range services {
		d.findings = append(d.findings, serviceFinding(s, now))
	}
	if len(services) > 0 {
		d.feed(ctx, st, services[0].id, now)
	}
}

// masterKey looks at the master keys, and at what is under them.
func (d *doctor) masterKey(ctx context.Context, st store.Store, vault engine.Vault, services []serviceKeys) {
	keys, err := d.app.masterKeys()
	switch {
	case err == nil && d.app.MasterKey == "" && !sameOwner(d.app.masterKeyPath(), d.app.masterKeyOwned()):
		d.failed("master key", fmt.Errorf("%s and %s belong to different users", d.app.masterKeyPath(), d.app.masterKeyOwned()),
			"give both to the server's user: else it cannot open one of them")
	case err == nil:
		d.found("master key", fmt.Sprintf("from %s, with %d before it", d.app.masterKeySource(), len(keys)-1), "")
	case errors.Is(err, fs.ErrNotExist) && d.app.MasterKey == "" && !holdsSecrets(ctx, st, services):
		d.found("master key", "there is none yet: the first start makes it", "")
	default:
		d.failed("master key", err, d.keyAdvice(keys, err))
	}
	if err == nil {
		d.sealed(ctx, vault, len(keys)-1)
	}
}

// holdsSecrets reports whether something is under a master key, or may be.
func holdsSecrets(ctx context.Context, st store.Store, services []serviceKeys) bool {
	rooted, err := engine.Rooted(ctx, st)
	return err != nil || rooted || slices.ContainsFunc(services, func(s serviceKeys) bool { return len(s.keys) > 0 })
}

// keyAdvice says what to do about master keys. Those that were read nevertheless are
// good, and the error says what else is wrong: nothing is to be restored over them.
func (d *doctor) keyAdvice(keys []engine.MasterKey, err error) string {
	switch {
	case len(keys) > 0:
		return ""
	case d.app.MasterKey != "":
		return "see the option master_key, and what it names"
	case d.app.storage.Folder() == "":
		return "give master_key, the same on every node"
	case errors.Is(err, fs.ErrPermission):
		return "run this as the server's user, to whom the file must belong"
	}
	return "restore it from where it is backed up"
}

// sealed says which of the master keys are needed.
func (d *doctor) sealed(ctx context.Context, vault engine.Vault, previous int) {
	ctx, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	n, err := engine.Survey(ctx, vault, d.app.masterKeys)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		d.failed("encrypted", err, adviceOn(err))
		return
	}
	value := fmt.Sprintf("%d values under the current master key, %d under a previous one", n.Current, n.Previous)
	if err != nil {
		value += fmt.Sprintf(", of those seen in %s", surveyTime)
	}
	switch {
	case n.Unopened > 0:
		d.failed("encrypted", unopened(n), "without it a server does not start, or cannot serve some clients")
	case n.Previous > 0:
		d.found("encrypted", value, "run caddy gatehouse key master reseal")
	case previous > 0 && err == nil:
		d.found("encrypted", value, "the previous master keys are not needed any more: see caddy gatehouse key master --help")
	default:
		d.found("encrypted", value, "")
	}
}

// serviceKeys is a service of the storage with its keys.
type serviceKeys struct {
	id     model.ID
	issuer string
	keys   []model.Key
}

var errRead = errors.New("all keys are read")

func servicesOf(ctx context.Context, vault engine.Vault) (services []serviceKeys, err error) {
	err = vault.Rows(ctx, 0, func(row store.Row) error {
		switch row := row.(type) {
		case store.ServiceRow:
			services = append(services, serviceKeys{id: row.ID, issuer: row.Issuer})
		case store.KeyRow:
			i := slices.IndexFunc(services, func(s serviceKeys) bool { return s.id == row.Key.Service })
			if i >= 0 {
				services[i].keys = append(services[i].keys, row.Key)
			}
		case store.ClientRow, store.SecretRow:
		default:
			return errRead
		}
		return nil
	})
	if errors.Is(err, errRead) {
		err = nil
	}
	return services, err
}

// serviceFinding says whether a service is there whole, and can sign.
func serviceFinding(s serviceKeys, now time.Time) store.Finding {
	if issuer, loading := strings.CutPrefix(s.issuer, store.Unfinished); loading {
		return store.Finding{Name: "service", Value: issuer + " is being loaded, or was and not to its end", Advice: store.FinishLoading, Failing: true}
	}
	return signingKeys(s.issuer, s.keys, now)
}

// signingKeys says whether a service can sign now, and will be able to.
func signingKeys(issuer string, keys []model.Key, now time.Time) store.Finding {
	f := store.Finding{Name: "signing keys", Value: issuer + ": "}
	algs := map[string][]model.Key{}
	for _, k := range keys {
		algs[k.Alg] = append(algs[k.Alg], k)
	}
	var names, troubles []string
	for alg, keys := range algs {
		names = append(names, alg)
		trouble, failing := algTrouble(alg, keys, now)
		if trouble != "" {
			troubles, f.Failing = append(troubles, trouble), f.Failing || failing
		}
	}
	slices.Sort(names)
	slices.Sort(troubles)
	f.Value += strings.Join(names, " ")
	if len(names) == 0 {
		f.Value += "none; they are made when it is served, unless its setting jwks gives them"
	}
	f.Advice = strings.Join(troubles, "; ")
	return f
}

// algTrouble says what is wrong with the keys of one algorithm.
func algTrouble(alg string, keys []model.Key, now time.Time) (trouble string, failing bool) {
	at := now.Unix()
	ended := func(k model.Key) bool { return k.ExpiresAt != 0 && k.ExpiresAt <= at }
	live := slices.DeleteFunc(slices.Clone(keys), ended)
	if len(live) == 0 {
		return fmt.Sprintf("no %s key signs any more: run caddy gatehouse key rotate --alg %s", alg, alg), true
	}
	if !slices.ContainsFunc(live, func(k model.Key) bool { return k.NotBefore <= at }) {
		return fmt.Sprintf("no %s key signs yet: the clock here is behind that of the node that made it", alg), false
	}
	if end, ends := endOf(live); ends {
		return fmt.Sprintf("the last %s key ends at %s and has no successor: run caddy gatehouse key rotate --alg %s",
			alg, end.UTC().Format(time.RFC3339), alg), false
	}
	return "", false
}

// endOf is when the last of some keys ends, if all of them end.
func endOf(keys []model.Key) (end time.Time, ends bool) {
	last := int64(0)
	for _, k := range keys {
		if k.ExpiresAt == 0 {
			return time.Time{}, false
		}
		last = max(last, k.ExpiresAt)
	}
	return time.Unix(last, 0), true
}

// feed says how old the newest change is. One of the future tells of a clock
// that is wrong, here or at another node.
func (d *doctor) feed(ctx context.Context, st store.Store, service model.ID, now time.Time) {
	page, err := st.Changes(ctx, service, model.Place{}, 0) // no place of the feed: the answer is its end
	if err != nil {
		d.failed("feed", err, adviceOn(err))
		return
	}
	if page.Next.At == 0 {
		d.found("feed", "nothing has changed yet", "")
		return
	}
	age := now.Sub(time.UnixMilli(page.Next.At)).Round(time.Millisecond)
	d.findings = append(d.findings, clockFinding(age))
	d.found("feed", fmt.Sprintf("number %d, the last, is from %s", page.Next.Seq, time.UnixMilli(page.Next.At).UTC().Format(time.RFC3339)), "")
}

// clockFinding judges by the age of the newest change.
func clockFinding(age time.Duration) store.Finding {
	f := store.Finding{Name: "clock", Value: "not behind the newest change"}
	if age < -clockTolerance {
		f.Value = fmt.Sprintf("%s behind the newest change", -age)
		f.Advice = "this clock, or that of the node that wrote it, is wrong: let NTP set both"
	}
	return f
}
