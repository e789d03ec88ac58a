package sqlite

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s, service := openAt(t, filepath.Join(dir, "odd name?#%41.db"), nil)
	if err := s.Write(context.Background(), store.InsertGrant{Grant: benchGrant(service, 1)}); err != nil {
		t.Fatal(err)
	}
	var names []string
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			names = append(names, d.Name())
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"odd name?#%41.db", "odd name?#%41.db-lock", "odd name?#%41.db-shm", "odd name?#%41.db-wal"}
	if !slices.Equal(names, want) {
		t.Errorf("files are %q, want %q", names, want)
	}
}

// openChild is the variable that makes a child process of this test binary
// open a store and write to it.
const openChild = "GATEHOUSE_SQLITE_OPEN"

func openInChild(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Path: path})
	if err != nil {
		return err
	}
	defer s.Close()
	service, err := s.EnsureService(ctx, "https://as.example")
	if err != nil {
		return err
	}
	if service != 1 {
		return fmt.Errorf("the service has the id %d", service)
	}
	return s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, firstID+rand.Int64N(firstID))})
}

func TestProcessesOpenAtOnce(t *testing.T) {
	const n = 6
	path := dbPath(t)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if i%2 == 0 { // this process several times too
				if err := openInChild(path); err != nil {
					t.Errorf("in this process: %v", err)
				}
				return
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), openChild+"="+path)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("in another process: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()
}

// Every statement but the sweeper's goes by a key or an index.
func TestStatementsUseKeys(t *testing.T) {
	ctx := context.Background()
	s, service := openAt(t, dbPath(t), func(o *Options) { o.Readers = 1 })
	exercise(t, s, service)
	if _, err := s.Sweep(ctx, time.Unix(1, 0), 0); err != nil {
		t.Fatal(err)
	}
	plans := openRaw(t, s.opts.Path)
	check := func(c *conn) {
		for query := range c.stmts {
			if !strings.HasPrefix(query, "SELECT") && !strings.HasPrefix(query, "INSERT") &&
				!strings.HasPrefix(query, "UPDATE") && !strings.HasPrefix(query, "DELETE") {
				continue
			}
			err := plans.query(func(r row) error {
				if step := r.text(3); strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "CONSTANT ROW") {
					t.Errorf("%s: %s", step, query)
				}
				return nil
			}, "EXPLAIN QUERY PLAN "+query, nil, nil, nil, nil, nil, nil, nil, nil, nil)
			if err != nil {
				t.Errorf("%s: %v", query, err)
			}
		}
	}
	reader := <-s.reads.idle
	delete(reader.stmts, selectSequence)
	check(reader)
	s.reads.idle <- reader
	_ = s.writer.do(ctx, nil, func(t *tx) error { check(t.conn); return nil })
}

// exercise runs every step and every reader, whatever comes of it.
func exercise(t *testing.T, s *Store, service model.ID) {
	t.Helper()
	ctx := context.Background()
	key := model.Key{Service: service, KID: "k"}
	for _, step := range []store.Step{
		store.InsertGrant{Grant: benchGrant(service, 1)}, store.ExtendGrant{Service: service, ID: 1},
		store.InsertAccessToken{Token: benchToken(service, 1, 1)},
		store.KeepAccessToken{Service: service, Subject: benchGrant(service, 1).Subject, Client: 1, Access: 1},
		store.ExtendGrant{Service: service, ID: 1, Access: 2}, store.RevokeAccessToken{Service: service, ID: 1},
		store.InsertRefreshToken{Token: model.RefreshToken{Service: service, ID: 1, Grant: 1, ExpiresAt: 9}},
		store.RenewAccessToken{Service: service, ID: 1, Access: 2}, store.RotateRefreshToken{Service: service, ID: 1, Successor: 2},
		store.InsertHandle{Handle: model.Handle{Service: service, ID: 1, ExpiresAt: 9}}, store.RedeemHandle{Service: service, ID: 1},
		store.RevokeGrant{Service: service, ID: 1}, store.RevokeGrants{Service: service, Subject: "a"},
		store.RevokeGrants{Service: service, Client: 1}, store.RevokeGrants{Service: service, Subject: "a", Client: 1},
		store.InsertSession{Session: model.Session{Service: service, ID: 1}}, store.RenewSession{Session: model.Session{Service: service, ID: 1}},
		store.JoinSession{Service: service, Session: 1, Client: 1},
		store.ExpectClients{Service: service, Session: 1, Clients: []model.ID{1}}, store.EndSession{Service: service, ID: 1},
		store.DeleteSessions{Service: service, Subject: "a"}, store.UseOnce{Service: service},
		store.PutConsent{Consent: model.Consent{Service: service, Subject: "a", Client: 1}},
		store.DeleteConsent{Service: service, Subject: "a", Client: 1},
		store.InsertAccount{Account: model.Account{Service: service, ID: 1, Key: "a", Subject: "a"}},
		store.SetPassword{Service: service, ID: 1}, store.SetDisabled{Service: service, ID: 1},
		store.InsertFirstKeys{Service: service, Keys: []model.Key{key}}, store.RetireKeys{Service: service},
		store.InsertKey{Key: model.Key{Service: service, KID: "k2"}},
		store.InsertClient{Client: model.StoredClient{Service: service, Alias: "registered"}, Most: 1},
	} {
		if err := s.Write(ctx, step); err != nil {
			t.Errorf("%T: %v", step, err)
		}
	}
	client, err := s.StoredClientByAlias(ctx, service, "registered")
	if err != nil {
		t.Errorf("StoredClientByAlias: %v", err)
	}
	err = s.Write(ctx, store.UpdateClient{Client: client}, store.DeleteClient{Service: service, ID: client.ID})
	if err != nil {
		t.Errorf("changing a client: %v", err)
	}
	_, _ = s.StoredClient(ctx, service, client.ID)
	_, _ = s.SessionClients(ctx, service, 1)
	_, _ = s.LogoutHandles(ctx, service, 0, 1)
	_, _ = s.EnsureClients(ctx, service, []string{"a"})
	_, _ = s.Grant(ctx, service, 1)
	_, _, _ = s.AccessToken(ctx, service, 1)
	_, _, _ = s.RefreshToken(ctx, service, 1)
	_, _ = s.Handle(ctx, service, 1, 1)
	_, _ = s.Session(ctx, service, 1)
	_, _ = s.Keys(ctx, service)
	_, _ = s.AccountByKey(ctx, service, "a")
	_, _ = s.AccountBySubject(ctx, service, "a")
	_, _ = s.Accounts(ctx, service, 0, 1)
	_, _ = s.Consent(ctx, service, "a", 1)
	_, _ = s.Consents(ctx, service, "a", 1)
	s.catchUp()
}

// The budget of the design: a token with a grant of its own takes at most
// 200 bytes on disk, indexes and slack included, and the thumbprint of the key
// that it may be bound to.
func TestBytesPerToken(t *testing.T) {
	for bound, most := range map[bool]int64{false: 200, true: 200 + int64(len(model.Thumbprint{}))} {
		s, service := openAt(t, dbPath(t), nil)
		const tokens, each = 20_000, 100
		for i := range int64(tokens / each) {
			var steps []store.Step
			for j := range int64(each) {
				id := firstID + i*each + j
				token := benchToken(service, model.ID(id), id)
				if bound {
					token.Confirmation.JKT = token.Hash
				}
				steps = append(steps, store.InsertGrant{Grant: benchGrant(service, id)}, store.InsertAccessToken{Token: token})
			}
			if err := s.Write(context.Background(), steps...); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		info, err := os.Stat(s.opts.Path)
		if err != nil {
			t.Fatal(err)
		}
		size := info.Size() / tokens
		t.Logf("a token with its grant takes %d bytes, bound: %v", size, bound)
		if size > most {
			t.Errorf("that is more than %d", most)
		}
	}
}

// What the sweeper does by itself: it removes what has expired and tokens
// whose grant is gone, and forgets the feed after an hour.
func TestBackgroundSweep(t *testing.T) {
	ctx := context.Background()
	clock := time.Unix(1_000_000, 0)
	s, service := openAt(t, dbPath(t), func(o *Options) {
		o.Now = func() time.Time { return clock }
		o.SweepInterval = -1
	})
	expired, revoked, kept := benchGrant(service, 1), benchGrant(service, 2), benchGrant(service, 3)
	expired.ExpiresAt = clock.Unix() + 1
	for _, g := range []model.Grant{expired, revoked, kept} {
		err := s.Write(ctx, store.InsertGrant{Grant: g}, store.InsertAccessToken{Token: benchToken(service, g.ID, int64(g.ID))})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Write(ctx, store.RevokeGrant{Service: service, ID: revoked.ID}); err != nil {
		t.Fatal(err)
	}
	path := s.opts.Path
	s.Close()

	s, _ = openAt(t, path, func(o *Options) {
		o.Now = func() time.Time { return clock.Add(2 * time.Hour) }
		o.SweepInterval = time.Millisecond
	})
	want := "1 grants, 1 tokens, 0 changes"
	got := ""
	for deadline := time.Now().Add(time.Minute); got != want && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		err := s.reads.one(ctx, func(r row) error {
			got = fmt.Sprintf("%d grants, %d tokens, %d changes", r.int(0), r.int(1), r.int(2))
			return nil
		}, `SELECT (SELECT count(*) FROM grants), (SELECT count(*) FROM access_tokens), (SELECT count(*) FROM changes)`)
		if err != nil {
			t.Fatal(err)
		}
	}
	if got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
}
