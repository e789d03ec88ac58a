package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// The environment of a child process that writes until it is killed.
const (
	crashAddress = "GATEHOUSE_STORETEST_ADDRESS"
	crashFirstID = "GATEHOUSE_STORETEST_FIRST_ID"
	crashIssuer  = "https://crash.example"
)

// Main runs the tests of a package that runs the suite. In the child process
// of the crash test, which executes the test binary again, it writes instead.
func Main(m *testing.M, f Factory) {
	if address := os.Getenv(crashAddress); address != "" {
		err := crashWriter(f, address)
		fmt.Fprintln(os.Stderr, "the writer ended:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// crashWriter issues grants with a token, a code and a session, redeems the
// codes, and ends some of the sessions, from many goroutines, and prints every
// attempt before it is made and again once it has been acknowledged. It ends
// with its parent.
func crashWriter(f Factory, address string) error {
	ctx := context.Background()
	first, err := strconv.ParseInt(os.Getenv(crashFirstID), 10, 64)
	if err != nil {
		return err
	}
	s, err := f.Open(ctx, address)
	if err != nil {
		return err
	}
	e := &env{Store: s}
	if e.service, err = s.EnsureService(ctx, crashIssuer); err != nil {
		return err
	}
	var out sync.Mutex
	say := func(verb string, id model.ID) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(verb, int64(id))
	}
	ended := make(chan error)
	var ids atomic.Int64
	for range 16 {
		go func() {
			for {
				id := model.ID(first + ids.Add(1))
				say("try", id)
				if err := s.Write(ctx, e.crashUnit(id)...); err != nil {
					ended <- err
				}
				say("issued", id)
				if err := s.Write(ctx, e.crashRedeem(id)...); err != nil {
					ended <- err
				}
				say("redeemed", id)
				if id%4 != 0 {
					continue
				}
				say("end", id)
				if err := s.Write(ctx, store.EndSession{Service: e.service, ID: id}); err != nil {
					ended <- err
				}
				say("ended", id)
			}
		}()
	}
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- errors.Join(errors.New("the parent is gone"), err)
	}()
	return <-ended
}

// crashUnit is one write of four rows with the same id, and a client that joins.
func (e *env) crashUnit(id model.ID) []store.Step {
	g, a, h, s := e.grant(), e.accessToken(id), e.handle(model.HandleCode), e.session(fmt.Sprint("user", id))
	g.ID, a.ID, h.ID, h.Grant, s.ID = id, id, id, id, id
	g.Subject, g.Session = s.Subject, s.ID
	return []store.Step{store.InsertGrant{Grant: g}, store.InsertAccessToken{Token: a}, store.InsertHandle{Handle: h},
		store.InsertSession{Session: s}, e.join(id, 1)}
}

// crashSecond is the id of the access token that the code of a unit is redeemed for.
func crashSecond(id model.ID) model.ID { return id + 1<<61 }

// crashRedeem redeems the code for the one access token that counts from then on.
func (e *env) crashRedeem(id model.ID) []store.Step {
	a := e.accessToken(id)
	a.ID = crashSecond(id)
	return []store.Step{
		store.RedeemHandle{Service: e.service, Kind: model.HandleCode, ID: id, Now: now}, e.crashUse(id),
		store.KeepAccessToken{Service: e.service, Subject: fmt.Sprint("user", id), Client: 1, Access: a.ID},
		store.InsertAccessToken{Token: a},
	}
}

func (e *env) crashUse(id model.ID) store.UseOnce {
	return store.UseOnce{Service: e.service, Digest: hashOf(id), Now: now, ExpiresAt: future}
}

// heard is what a child said about an id.
type heard struct{ issued, redeemed, end, ended bool }

func testCrash(t *testing.T, e *env) {
	rounds := 4
	if testing.Short() || e.factory.Brief {
		rounds = 2
	}
	service, err := e.EnsureService(context.Background(), crashIssuer)
	if err != nil {
		t.Fatal(err)
	}
	e.service = service
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	all := map[model.ID]heard{}
	for round := range rounds {
		runUntilKilled(t, e.address, int64(newID())+int64(round+1)<<40, 1500*(round+1), all)
		if e.factory.Settle != nil {
			e.factory.Settle(t, e.address)
		}
		e.Store = e.open(t)
		e.afterCrash(t, all)
		if err := e.Close(); err != nil { // the next writer is alone
			t.Fatal(err)
		}
	}
	redeemed := 0
	for _, h := range all {
		if h.redeemed {
			redeemed++
		}
	}
	t.Logf("%d attempts in %d crashes, %d redemptions acknowledged", len(all), rounds, redeemed)
}

// runUntilKilled runs a writer, kills it after some acknowledgements, and
// notes what it had said by then.
func runUntilKilled(t *testing.T, address string, firstID int64, acks int, all map[model.ID]heard) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashAddress+"="+address, fmt.Sprintf("%s=%d", crashFirstID, firstID))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	count := 0
	for lines.Scan() {
		verb, number, _ := strings.Cut(lines.Text(), " ")
		id, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			continue // the line that the kill cut off, or the test binary's own
		}
		h := all[model.ID(id)]
		switch verb {
		case "issued":
			h.issued = true
		case "redeemed":
			h.redeemed = true
		case "end":
			h.end = true
		case "ended":
			h.ended = true
		}
		all[model.ID(id)] = h
		if count++; count == acks {
			if err := cmd.Process.Kill(); err != nil { // SIGKILL
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if count < acks {
		t.Fatalf("the writer ended by itself after %d lines", count)
	}
}

// afterCrash checks everything that the children of all rounds said.
func (e *env) afterCrash(t *testing.T, all map[model.ID]heard) {
	t.Helper()
	var wg sync.WaitGroup
	ids := make(chan model.ID)
	for range 16 {
		wg.Go(func() {
			for id := range ids {
				e.checkAfterCrash(t, id, all[id])
			}
		})
	}
	for id := range all {
		ids <- id
	}
	close(ids)
	wg.Wait()
}

func (e *env) checkAfterCrash(t *testing.T, id model.ID, said heard) {
	ctx := context.Background()
	grant, session := e.grantErr(e.service, id), e.sessionErr(e.service, id)
	first, second := e.accessErr(e.service, id), e.accessErr(e.service, crashSecond(id))
	handle, code := e.Handle(ctx, e.service, model.HandleCode, id)
	joined, err := e.SessionClients(ctx, e.service, id)
	fails(t, "reading the session's clients", nil, err)
	if (grant == nil) != (session == nil) || (grant == nil) != (len(joined) == 1) || (grant == nil) != (code == nil) {
		t.Errorf("half a write: grant: %v, session: %v with the clients %v, code: %v", grant, session, joined, code)
	}
	if said.issued && grant != nil && !said.end {
		t.Errorf("an acknowledged grant is lost: %v", grant)
	}
	if said.ended && grant == nil {
		t.Error("an acknowledged end of a session is lost")
	}
	if grant != nil { // never written, or ended
		fails(t, "a token without its grant", store.ErrNotFound, first)
		fails(t, "a token without its grant", store.ErrNotFound, second)
		return
	}
	if (first == nil) == handle.Redeemed || (second == nil) != handle.Redeemed {
		t.Errorf("half a write: redeemed: %v, the first token: %v, the one that is kept: %v", handle.Redeemed, first, second)
	}
	if said.redeemed && !handle.Redeemed {
		t.Error("an acknowledged redemption is lost")
	}
	// Whether or not the child heard of it: once redeemed, never again.
	want := error(nil)
	if handle.Redeemed {
		want = store.ErrSpent
	}
	fails(t, "redeeming", want, e.Write(ctx, e.crashRedeem(id)...))
	fails(t, "redeeming again", store.ErrSpent, e.Write(ctx, e.crashRedeem(id)...))
	fails(t, "using the value again", store.ErrSpent, e.Write(ctx, e.crashUse(id)))
}
