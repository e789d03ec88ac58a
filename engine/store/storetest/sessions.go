package storetest

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func (e *env) session(subject string) model.Session {
	id := newID()
	return model.Session{
		Service: e.service, ID: id, Hash: hashOf(id), Subject: subject, AuthTime: past, AMR: []string{"pwd", "otp"}, ExpiresAt: future,
	}
}

func testSessions(t *testing.T, e *env) {
	t.Run("sessions begin and end", func(t *testing.T) { testSessionLives(t, e) })
	t.Run("a renewed session has another secret and the same id", func(t *testing.T) { testRenewSession(t, e) })
	t.Run("clients join a session", func(t *testing.T) { testJoinSession(t, e) })
	t.Run("what is expected of a session's clients", func(t *testing.T) { testExpectClients(t, e) })
	t.Run("logout handles wait until they are redeemed", func(t *testing.T) { testLogoutHandles(t, e) })
	t.Run("the end of a session (OpenID Connect Back-Channel Logout §2.7)", func(t *testing.T) { testEndSession(t, e) })
}

func testSessionLives(t *testing.T, e *env) {
	ctx := context.Background()
	a, a2, b := e.session("alice"), e.session("alice"), e.session("bob")
	b.AMR, b.ExpiresAt = nil, math.MaxInt64
	for _, s := range []model.Session{a, a2, b} {
		e.write(t, store.InsertSession{Session: s})
		got, err := e.Session(ctx, e.service, s.ID)
		equal(t, "session", s, got, err)
	}
	e.refused(t, store.ErrConflict, store.InsertSession{Session: a})
	e.write(t, store.EndSession{Service: e.service, ID: a.ID})
	e.write(t, store.EndSession{Service: e.service, ID: a.ID}) // no condition
	fails(t, "the session that was ended", store.ErrNotFound, e.sessionErr(e.service, a.ID))
	fails(t, "its subject's other session", nil, e.sessionErr(e.service, a2.ID))
	e.write(t, store.DeleteSessions{Service: e.service, Subject: "alice"})
	e.write(t, store.DeleteSessions{Service: e.service, Subject: "nobody"})
	fails(t, "the subject's last session", store.ErrNotFound, e.sessionErr(e.service, a2.ID))
	fails(t, "another subject's session", nil, e.sessionErr(e.service, b.ID))
}

func testRenewSession(t *testing.T, e *env) {
	ctx := context.Background()
	s, other := e.session("alice"), e.session("alice")
	e.write(t, store.InsertSession{Session: s}, store.InsertSession{Session: other}, e.join(s.ID, 1))
	for _, amr := range [][]string{{"pwd", "hwk"}, nil} {
		s.Hash, s.AuthTime, s.AMR, s.ExpiresAt = hashOf(newID()), now, amr, future-1 // earlier too
		e.write(t, store.RenewSession{Session: s})
		got, err := e.Session(ctx, e.service, s.ID)
		equal(t, "the renewed session", s, got, err)
	}
	e.joined(t, s.ID, 1)
	got, err := e.Session(ctx, e.service, other.ID)
	equal(t, "another session", other, got, err)

	stolen, gone := s, e.session("alice")
	stolen.Subject, stolen.Hash = "mallory", hashOf(newID())
	e.refused(t, store.ErrNotFound, store.RenewSession{Session: stolen})
	e.refused(t, store.ErrNotFound, store.RenewSession{Session: gone})
	e.write(t, store.EndSession{Service: e.service, ID: s.ID})
	e.refused(t, store.ErrNotFound, store.RenewSession{Session: s})
	fails(t, "the session that was ended", store.ErrNotFound, e.sessionErr(e.service, s.ID))
}

func (e *env) join(session, client model.ID) store.JoinSession {
	return store.JoinSession{Service: e.service, Session: session, Client: client}
}

// joined checks which clients a session has.
func (e *env) joined(t testing.TB, session model.ID, want ...model.ID) {
	t.Helper()
	got, err := e.SessionClients(context.Background(), e.service, session)
	equal(t, "the session's clients", want, got, err)
}

func testJoinSession(t *testing.T, e *env) {
	a, a2, b := e.session("alice"), e.session("alice"), e.session("bob")
	e.write(t, store.InsertSession{Session: a}, store.InsertSession{Session: a2}, store.InsertSession{Session: b})
	e.joined(t, a.ID)
	e.write(t, e.join(a.ID, 9), e.join(a.ID, 3), e.join(a.ID, 9))
	e.write(t, e.join(a.ID, 3)) // joining twice is joining once
	e.write(t, e.join(a2.ID, 3), e.join(b.ID, 4))
	e.joined(t, a.ID, 3, 9)
	e.joined(t, a2.ID, 3)
	e.refused(t, store.ErrNotFound, e.join(newID(), 3))

	e.write(t, store.EndSession{Service: e.service, ID: a.ID})
	e.refused(t, store.ErrNotFound, e.join(a.ID, 3))
	e.joined(t, a.ID)
	e.joined(t, a2.ID, 3)
	e.write(t, store.DeleteSessions{Service: e.service, Subject: "alice"})
	e.joined(t, a2.ID)
	e.joined(t, b.ID, 4)

	e.write(t, store.InsertSession{Session: a}, store.InsertSession{Session: a2})
	e.joined(t, a.ID) // what was known has gone with the session
	e.joined(t, a2.ID)
}

// testEndSession ends one session beside grants that it ends and others.
func testEndSession(t *testing.T, e *env) {
	s, other := e.session("alice"), e.session("alice")
	e.write(t, store.InsertSession{Session: s}, store.InsertSession{Session: other}, e.join(s.ID, 1), e.join(other.ID, 1))
	var ended, kept, tokens []model.ID
	for _, test := range []struct {
		session model.ID
		ends    bool
		scopes  []string
	}{
		{s.ID, true, []string{"openid"}},
		{s.ID, true, []string{"orders:read", "openid"}},
		{s.ID, true, []string{"openid", "offline_access_", "xoffline_access", "Offline_Access"}},
		{s.ID, false, []string{"openid", "offline_access"}},
		{s.ID, false, []string{"offline_access", "openid", "email"}},
		{s.ID, false, []string{"orders:read"}},
		{s.ID, false, []string{"openid2", "xopenid", "open", "OpenID"}},
		{s.ID, false, nil},
		{other.ID, false, []string{"openid"}},
		{0, false, []string{"openid"}},
	} {
		g := e.grant()
		g.Session, g.Scopes = test.session, test.scopes
		a := e.accessToken(g.ID)
		e.write(t, store.InsertGrant{Grant: g}, store.InsertAccessToken{Token: a})
		if test.ends {
			ended, tokens = append(ended, g.ID), append(tokens, a.ID)
		} else {
			kept = append(kept, g.ID)
		}
	}
	remains := func(t *testing.T) {
		t.Helper()
		for _, id := range kept {
			fails(t, "a grant that outlives the session", nil, e.grantErr(e.service, id))
		}
	}

	e.write(t, store.EndSession{Service: e.service}) // no session is nobody's
	for _, id := range ended {
		fails(t, "a grant before its session ends", nil, e.grantErr(e.service, id))
	}
	remains(t)

	l := listen(e)
	defer l.cancel()
	e.write(t, store.EndSession{Service: e.service, ID: s.ID})
	var told []model.ID
	for _, c := range l.take() {
		equal(t, "change", model.Change{Service: e.service, Kind: model.ChangeGrantRevoked, Ref: c.Ref}, c, nil)
		told = append(told, c.Ref)
	}
	slices.Sort(told)
	equal(t, "the grants told of", ended, told, nil)
	fails(t, "the session", store.ErrNotFound, e.sessionErr(e.service, s.ID))
	e.joined(t, s.ID)
	for i := range ended {
		fails(t, "a grant of the session", store.ErrNotFound, e.grantErr(e.service, ended[i]))
		fails(t, "its token", store.ErrNotFound, e.accessErr(e.service, tokens[i]))
	}
	remains(t)
	fails(t, "another session", nil, e.sessionErr(e.service, other.ID))
	e.joined(t, other.ID, 1)

	// A session that is gone already, by its expiry say, has grants to end.
	g := e.grant()
	g.Session = s.ID
	e.write(t, store.InsertGrant{Grant: g})
	e.write(t, store.EndSession{Service: e.service, ID: s.ID})
	fails(t, "a grant of the session that was gone", store.ErrNotFound, e.grantErr(e.service, g.ID))

	// The end of a subject's sessions leaves the grants alone.
	e.write(t, store.DeleteSessions{Service: e.service, Subject: "alice"})
	remains(t)
}

func testExpectClients(t *testing.T, e *env) {
	s := e.session("alice")
	expect := func(clients ...model.ID) store.ExpectClients {
		return store.ExpectClients{Service: e.service, Session: s.ID, Clients: clients}
	}
	e.refused(t, store.ErrConflict, expect()) // there is no such session
	e.write(t, store.InsertSession{Session: s}, expect())
	e.refused(t, store.ErrConflict, expect(3))
	e.write(t, e.join(s.ID, 3), e.join(s.ID, 9), expect(3, 9))
	for _, others := range [][]model.ID{nil, {3}, {3, 4}, {3, 3}, {9, 3}, {3, 9, 10}} {
		e.refused(t, store.ErrConflict, expect(others...), store.EndSession{Service: e.service, ID: s.ID})
	}
	e.joined(t, s.ID, 3, 9)
	e.write(t, expect(3, 9), store.EndSession{Service: e.service, ID: s.ID})
	e.refused(t, store.ErrConflict, expect(3, 9))
	e.refused(t, store.ErrConflict, expect())
}

func testLogoutHandles(t *testing.T, e *env) {
	s := *e
	s.service = e.newService(t)
	waits := func(after model.ID, limit int, want ...model.Handle) {
		t.Helper()
		got, err := s.LogoutHandles(context.Background(), s.service, after, limit)
		equal(t, "handles", want, got, err)
	}
	waits(0, 10)
	a, b, c := s.handle(model.HandleLogout), s.handle(model.HandleLogout), s.handle(model.HandleLogout)
	s.write(t, store.InsertHandle{Handle: b}, store.InsertHandle{Handle: s.handle(model.HandleLogin)}, store.InsertHandle{Handle: c}, store.InsertHandle{Handle: a})
	waits(0, 10, a, b, c)
	waits(0, 2, a, b)
	waits(a.ID, 10, b, c)
	waits(c.ID, 10)
	waits(0, 0)
	s.write(t, store.RedeemHandle{Service: s.service, Kind: model.HandleLogout, ID: b.ID, Now: now})
	waits(0, 10, a, c)
}
