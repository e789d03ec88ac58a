package storetest

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func testSweep(t *testing.T, e *env) {
	ctx := context.Background()

	// Rows whose expiry has nothing to do with the order of their ids.
	expiries := []int64{now - 1, math.MaxInt64, past, now, now + 1, 1e15, 0, future}
	read := map[string]func() error{}
	want := map[string]error{}
	parent := e.grant()
	parent.ExpiresAt = math.MaxInt64
	e.write(t, store.InsertGrant{Grant: parent})
	expired := 0
	for i := range 40 {
		at := expiries[i%len(expiries)]
		g, a, r, h, s := e.grant(), e.accessToken(parent.ID), e.refreshToken(parent.ID, 0), e.handle(model.HandleCode), e.session("alice")
		g.ExpiresAt, a.ExpiresAt, r.ExpiresAt, h.ExpiresAt, s.ExpiresAt = at, at, at, at, at
		e.write(t, store.InsertGrant{Grant: g}, store.InsertAccessToken{Token: a}, store.InsertRefreshToken{Token: r},
			store.InsertHandle{Handle: h}, store.InsertSession{Session: s})
		for what, f := range map[string]func() error{
			"grant":         func() error { return e.grantErr(e.service, g.ID) },
			"access token":  func() error { return e.accessErr(e.service, a.ID) },
			"refresh token": func() error { return e.refreshErr(e.service, r.ID) },
			"handle":        func() error { return e.handleErr(e.service, h.Kind, h.ID) },
			"session":       func() error { return e.sessionErr(e.service, s.ID) },
		} {
			name := fmt.Sprintf("%s %d that expires at %d", what, i, at)
			read[name] = f
			if at <= now {
				want[name] = store.ErrNotFound
				expired++
			}
		}
	}
	check := func(t *testing.T) {
		t.Helper()
		for name, f := range read {
			fails(t, name, want[name], f())
		}
	}

	t.Run("what has expired goes, in bounded steps, and nothing else", func(t *testing.T) {
		const limit = 7
		removed := 0
		for range 2 * (len(read) + 50) / limit { // twice around at most
			n, err := e.Sweep(ctx, nowTime, limit)
			if err != nil || n < 0 || n > limit {
				t.Fatalf("Sweep(%d) = %d, %v", limit, n, err)
			}
			removed += n
		}
		check(t)
		equal(t, "rows removed", expired, removed, nil)
		n, err := e.Sweep(ctx, nowTime, 1_000_000)
		equal(t, "rows removed once more", 0, n, err)
		check(t)
	})

	t.Run("a limit of nothing does nothing", func(t *testing.T) {
		for _, limit := range []int{0, -1} {
			n, err := e.Sweep(ctx, time.Unix(math.MaxInt32, 0), limit)
			equal(t, "rows removed", 0, n, err)
		}
		check(t)
	})

	t.Run("one large step goes all around", func(t *testing.T) {
		n, err := e.Sweep(ctx, time.Unix(future, 0), 1_000_000)
		equal(t, "rows removed", 5*5*2, n, err) // now+1 and future
		if err := e.grantErr(e.service, parent.ID); err != nil {
			t.Errorf("the grant that never expires: %v", err)
		}
	})

	t.Run("values go when they expire, what a session knows of clients with it", func(t *testing.T) { testSweepLater(t, e) })

	t.Run("accounts, consents, keys and clients stay", func(t *testing.T) {
		client := e.registered(t, e.storedClient("stays"))
		client.TokenHash, client.ModifiedAt = [32]byte{}, past
		e.write(t, store.UpdateClient{Client: client})
		client.Version++
		account, key := e.account("stays"), e.key("stays")
		key.ExpiresAt = past // withdrawn, but not the store's to forget
		consent := model.Consent{Service: e.service, Subject: "alice", Client: 1, GrantedAt: past}
		e.write(t, store.InsertAccount{Account: account}, store.InsertKey{Key: key}, store.PutConsent{Consent: consent})
		if _, err := e.Sweep(ctx, time.Unix(math.MaxInt32*1000, 0), 1_000_000); err != nil {
			t.Errorf("Sweep: %v", err)
		}
		_, err := e.AccountByKey(ctx, e.service, account.Key)
		fails(t, "account", nil, err)
		_, err = e.Consent(ctx, e.service, "alice", 1)
		fails(t, "consent", nil, err)
		keys, err := e.Keys(ctx, e.service)
		equal(t, "keys", []model.Key{key}, keys, err)
		e.reads(t, client)
	})
}

// sweepAll sweeps in small steps until nothing goes for a while.
func (e *env) sweepAll(t *testing.T, at int64) (removed int) {
	t.Helper()
	for idle := 0; idle < 20; idle++ {
		n, err := e.Sweep(context.Background(), time.Unix(at, 0), 7)
		if err != nil {
			t.Fatalf("Sweep: %v", err)
		}
		if removed += n; n > 0 {
			idle = 0
		}
	}
	return removed
}

func testSweepLater(t *testing.T, e *env) {
	const each = 25
	e.sweepAll(t, now)
	use := func(i int, now, expires int64) store.UseOnce {
		return store.UseOnce{Service: e.service, Digest: hashOf(model.ID(i)), Now: now, ExpiresAt: expires}
	}
	var gone, stay []model.Session
	for i := range each {
		expired, lasts := e.session("alice"), e.session("alice")
		expired.ExpiresAt = now
		e.write(t, use(2*i, past, now), use(2*i+1, past, future),
			store.InsertSession{Session: expired}, store.InsertSession{Session: lasts},
			e.join(expired.ID, 1), e.join(lasts.ID, 1), e.join(expired.ID, 2))
		gone, stay = append(gone, expired), append(stay, lasts)
	}
	equal(t, "rows removed", each*4, e.sweepAll(t, now), nil) // a value, a session and its two clients
	for i := range each {
		e.joined(t, gone[i].ID)
		e.joined(t, stay[i].ID, 1)
		e.write(t, use(2*i, past, now)) // before its time it would be used, if it were there
		e.refused(t, store.ErrSpent, use(2*i+1, now, future))
	}
	e.write(t, store.DeleteSessions{Service: e.service, Subject: "alice"})
	equal(t, "rows removed later", each*2, e.sweepAll(t, future), nil) // the values
}
