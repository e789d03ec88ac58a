package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	modernc "modernc.org/sqlite"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// madeAt makes a database with the schema of a version.
func madeAt(t *testing.T, path string, version int64) {
	t.Helper()
	ctx := context.Background()
	if err := prepareFile(path, filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	connector, err := modernc.NewConnector(dsn(path, busyTimeout(time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	if err := claim(ctx, db); err != nil {
		t.Fatal(err)
	}
	provider, err := newProvider(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(ctx, version); err != nil {
		t.Fatal(err)
	}
}

// insertedAt1 are the statements by which the first version inserts a row of
// each table, those of the ids that begin with a digit.
func insertedAt1(digit string) []string {
	const hash = `x'0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20'`
	return []string{
		`INSERT INTO services (issuer) VALUES ('https://as.example') ON CONFLICT DO NOTHING`,
		`INSERT INTO clients (service, alias) VALUES (1, 'app` + digit + `') ON CONFLICT DO NOTHING`,
		`INSERT INTO grants (service, id, client, subject, scopes, session, auth_time, expires_at, claims)
			VALUES (1, ` + digit + `1, 1, 'alice', 'openid email', ` + digit + `5, 100, 4000000000, '{"acr":"1"}')`,
		`INSERT INTO access_tokens (service, id, grant_id, expires_at, hash, scopes)
			SELECT 1, ` + digit + `2, ` + digit + `1, 4000000000, ` + hash + `, 'email'`,
		`INSERT INTO refresh_tokens (service, id, grant_id, expires_at, access, successor, hash)
			SELECT 1, ` + digit + `3, ` + digit + `1, 4000000000, ` + digit + `2, 0, ` + hash,
		`INSERT INTO handles (service, id, kind, grant_id, expires_at, redeemed, hash, payload)
			VALUES (1, ` + digit + `4, 2, ` + digit + `1, 4000000000, 0, ` + hash + `, x'7b7d')`,
		`INSERT INTO sessions (service, id, subject, auth_time, expires_at, hash, amr)
			VALUES (1, ` + digit + `5, 'alice', 100, 4000000000, ` + hash + `, '["pwd"]')`,
		`INSERT OR REPLACE INTO consents (service, subject, client, scopes, claims, granted_at) VALUES (1, 'alice', 1, 'openid', NULL, 100)`,
		`INSERT INTO accounts (service, id, name, key, subject, password_hash, claims, disabled, created_at)
			VALUES (1, ` + digit + `6, 'Alice', 'alice` + digit + `', 'alice` + digit + `', '$argon2id$', NULL, 0, 100)`,
		`INSERT INTO keys (service, kid, alg, sealed, not_before, expires_at) VALUES (1, 'k` + digit + `', 'ES256', x'01', 100, 0)`,
		`INSERT INTO changes (service, kind, ref, subject, at) VALUES (1, 2, 7, '', 100)`,
	}
}

// What any version wrote before another process migrates, meanwhile and
// afterwards, until it ends, is there and works; it is refused nothing.
func TestUpgradeUnderLoad(t *testing.T) {
	for version := int64(1); version <= 5; version++ {
		t.Run(fmt.Sprint("from ", version), func(t *testing.T) {
			path := dbPath(t)
			madeAt(t, path, version)
			old := openRaw(t, path)
			for _, query := range insertedAt1("1") {
				must(t, old, query)
			}
			load := startOld(t, path)
			load.await(t, 20)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), openChild+"="+path)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("the process that migrates: %v\n%s", err, out)
			}
			s, service := openAt(t, path, func(o *Options) { o.BusyTimeout = 0 }) // the default: the others hardly rest
			if service != 1 {
				t.Fatalf("the service has the id %d", service)
			}
			load.await(t, 20)
			tokens := load.end()
			for _, query := range insertedAt1("2") {
				must(t, old, query)
			}
			for id := firstOld; id < firstOld+tokens; id++ {
				if _, _, err := s.AccessToken(t.Context(), 1, model.ID(id)); err != nil {
					t.Errorf("token %d of %d: %v", id-firstOld, tokens, err)
				}
			}
			foundAfterUpgrade(t, s, 10)
			foundAfterUpgrade(t, s, 20)
			usedAfterUpgrade(t, s, 10)
			usedAfterUpgrade(t, s, 20)
			clients, err := s.EnsureClients(t.Context(), service, []string{"app1", "app2"})
			if want := map[string]model.ID{"app1": 1, "app2": 2}; err != nil || !cmp.Equal(want, clients) {
				t.Errorf("EnsureClients = %v, %v, want %v", clients, err, want)
			}
		})
	}
}

// oldLoad is a program of the first version that issues tokens and reads them.
type oldLoad struct {
	issued atomic.Int64
	quit   chan struct{}
	done   sync.WaitGroup
}

// firstOld is the id of its first token.
const firstOld = int64(1000)

func startOld(t *testing.T, path string) *oldLoad {
	t.Helper()
	l, c := &oldLoad{quit: make(chan struct{})}, openRaw(t, path)
	l.done.Go(func() {
		for {
			select {
			case <-l.quit:
				return
			default:
			}
			id, found := firstOld+l.issued.Load(), 0
			_, err := c.exec(`INSERT INTO access_tokens (service, id, grant_id, expires_at, hash, scopes) SELECT 1, ?1, 11, 4000000000, randomblob(32), NULL`, id)
			if err == nil {
				err = c.query(func(row) error { found++; return nil }, `SELECT g.subject, t.hash FROM access_tokens t
					CROSS JOIN grants g ON g.id = t.grant_id WHERE t.id = ?1 AND t.service = 1 AND g.service = 1`, id)
			}
			if err != nil || found != 1 {
				t.Errorf("the first version's token %d, which it finds %d times: %v", id-firstOld, found, err)
				return
			}
			l.issued.Add(1)
		}
	})
	t.Cleanup(func() { l.end() })
	return l
}

// await waits until so many more were issued.
func (l *oldLoad) await(t *testing.T, more int64) {
	t.Helper()
	first := l.issued.Load()
	for deadline := time.Now().Add(time.Minute); l.issued.Load() < first+more; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d tokens of %d", l.issued.Load()-first, more)
		}
	}
}

// end ends the program, and returns how many it has issued.
func (l *oldLoad) end() int64 {
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	l.done.Wait()
	return l.issued.Load()
}

// What the third version wrote, before the migration and beside it, is bound to
// nothing, and it goes on reading: also what is bound, of which it knows nothing.
func TestUpgradeFrom3(t *testing.T) {
	path := dbPath(t)
	madeAt(t, path, 3)
	old := openRaw(t, path)
	for _, query := range insertedAt1("1") {
		must(t, old, query)
	}
	s, service := openAt(t, path, nil)
	for _, query := range insertedAt1("2") {
		must(t, old, query)
	}
	foundAfterUpgrade(t, s, 10)
	foundAfterUpgrade(t, s, 20)
	bound := benchToken(service, 11, 17)
	bound.Confirmation = model.Confirmation{JKT: bound.Hash, X5T: model.Thumbprint{1}}
	refresh := model.RefreshToken{Service: service, ID: 17, Grant: 11, Hash: bound.Hash, Access: 17, ExpiresAt: 4e9, Confirmation: bound.Confirmation}
	if err := s.Write(context.Background(), store.InsertAccessToken{Token: bound}, store.InsertRefreshToken{Token: refresh}); err != nil {
		t.Fatal(err)
	}
	read := 0
	err := old.query(func(row) error { read++; return nil },
		`SELECT t.grant_id, t.expires_at, t.hash, t.scopes, t.resources, g.claims FROM access_tokens t CROSS JOIN grants g ON g.id = t.grant_id
			WHERE t.id IN (?2, 22) AND t.service = ?1 AND g.service = ?1 AND g.only_access IN (0, ?2)`, int64(service), int64(bound.ID))
	if err != nil || read != 2 {
		t.Errorf("the third version reads %d of two tokens: %v", read, err)
	}
	got, _, err := s.AccessToken(context.Background(), service, bound.ID)
	if diff := cmp.Diff(bound, got); err != nil || diff != "" {
		t.Errorf("a token that is bound: %v (-want +got):\n%s", err, diff)
	}
	usedAfterUpgrade(t, s, 20)
}

// foundAfterUpgrade reads the rows whose ids are a few more than first.
func foundAfterUpgrade(t *testing.T, s *Store, first model.ID) {
	t.Helper()
	ctx := context.Background()
	same := func(what string, want, got any, err error) {
		t.Helper()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}
	var hash [32]byte
	for i := range hash {
		hash[i] = byte(i + 1)
	}
	const late = 4_000_000_000
	digit := string(rune('0' + first/10))
	grant := model.Grant{
		Service: 1, ID: first + 1, Client: 1, Subject: "alice", Scopes: []string{"openid", "email"}, Session: first + 5,
		AuthTime: 100, ExpiresAt: late, Claims: model.GrantClaims{ACR: "1"},
	}
	access, g, err := s.AccessToken(ctx, 1, first+2)
	same("access token", model.AccessToken{
		Service: 1, ID: first + 2, Grant: grant.ID, Hash: hash, Scopes: []string{"email"}, ExpiresAt: late,
	}, access, err)
	same("grant", grant, g, nil)
	refresh, _, err := s.RefreshToken(ctx, 1, first+3)
	same("refresh token", model.RefreshToken{
		Service: 1, ID: first + 3, Grant: grant.ID, Hash: hash, ExpiresAt: late, Access: first + 2,
	}, refresh, err)
	code, err := s.Handle(ctx, 1, model.HandleCode, first+4)
	same("code", model.Handle{
		Service: 1, ID: first + 4, Kind: model.HandleCode, Hash: hash, ExpiresAt: late, Grant: grant.ID, Payload: []byte(`{}`),
	}, code, err)
	session, err := s.Session(ctx, 1, first+5)
	same("session", model.Session{
		Service: 1, ID: first + 5, Hash: hash, Subject: "alice", AuthTime: 100, AMR: []string{"pwd"}, ExpiresAt: late,
	}, session, err)
	account, err := s.AccountByKey(ctx, 1, "alice"+digit)
	same("account", model.Account{
		Service: 1, ID: first + 6, Name: "Alice", Key: "alice" + digit, Subject: "alice" + digit, PasswordHash: "$argon2id$", CreatedAt: 100,
	}, account, err)
	consent, err := s.Consent(ctx, 1, "alice", 1)
	same("consent", model.Consent{Service: 1, Subject: "alice", Client: 1, Scopes: []string{"openid"}, GrantedAt: 100}, consent, err)
	keys, err := s.Keys(ctx, 1)
	same("keys", 2, len(keys), err)
}

// usedAfterUpgrade does with the rows what the new version can do.
func usedAfterUpgrade(t *testing.T, s *Store, first model.ID) {
	t.Helper()
	ctx := context.Background()
	kept := benchToken(1, first+1, int64(first+7))
	for _, steps := range [][]store.Step{
		{store.RedeemHandle{Service: 1, Kind: model.HandleCode, ID: first + 4, Now: 100}},
		{store.JoinSession{Service: 1, Session: first + 5, Client: 1}},
		{store.KeepAccessToken{Service: 1, Subject: "alice", Client: 1, Access: kept.ID}, store.InsertAccessToken{Token: kept}},
	} {
		if err := s.Write(ctx, steps...); err != nil {
			t.Errorf("%T: %v", steps[0], err)
		}
	}
	if _, _, err := s.AccessToken(ctx, 1, first+2); err == nil {
		t.Error("a token that is not the one kept is found")
	}
	if _, _, err := s.AccessToken(ctx, 1, kept.ID); err != nil {
		t.Errorf("the token that is kept: %v", err)
	}
	if err := s.Write(ctx, store.EndSession{Service: 1, ID: first + 5}); err != nil {
		t.Errorf("EndSession: %v", err)
	}
	if _, err := s.Grant(ctx, 1, first+1); err == nil {
		t.Error("a grant outlives its session")
	}
}
