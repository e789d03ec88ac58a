package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
	"github.com/gatehouse-auth/gatehouse/engine/store/storetest"
)

// manyRows fills a store with more rows than one batch takes.
func manyRows(t testing.TB, s store.Archive) {
	t.Helper()
	rows := storetest.EveryRow(1001)
	for i := range int64(700) {
		rows = append(rows, store.GrantRow{Grant: benchGrant(1001, 1<<40+i)})
	}
	if err := s.PutRows(context.Background(), rows); err != nil {
		t.Fatal(err)
	}
}

// A move whose other store fails at any call leaves this one serving, and the
// next one begins anew and ends well. Only from the very last call on there is
// no way back: then the next one ends it.
func TestMoveFailsAtEachCall(t *testing.T) {
	ctx := context.Background()
	s, service := patient(t)
	manyRows(t, s)
	to := target(t)
	broken := errors.New("broken")
	refusing := 0
	for at := 1; ; at++ {
		if at > 100 {
			t.Fatal("the move never succeeds")
		}
		to.calls, to.hook = 0, func(_ context.Context, call int) error {
			if call >= at {
				return broken
			}
			return nil
		}
		_, err := s.Move(ctx, MoveOptions{To: to})
		if err == nil {
			t.Logf("the move takes %d calls, the last %d of them without a way back", at-1, refusing)
			break
		}
		if !errors.Is(err, broken) {
			t.Fatalf("call %d: %v", at, err)
		}
		if err := s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, int64(at))}); err != nil {
			refusing++
			continue
		}
		if refusing > 0 {
			t.Errorf("call %d: the store refused, and serves again", at)
		}
		serves(t, s, service, 1<<30+int64(at))
	}
	if refusing == 0 {
		t.Error("no call came after the refusal")
	}
	to.hook = nil
	hasMovedTo(t, s, service, to)
}

// killAt is the variable that makes a child process of this test binary move a
// store and kill itself when the stage that it names has ended.
const killAt = "GATEHOUSE_SQLITE_MOVE"

// moveInChild is that process.
func moveInChild(what string) error {
	stage, paths, _ := strings.Cut(what, " ")
	from, to, _ := strings.Cut(paths, " ")
	s, err := Open(context.Background(), Options{Path: from, SweepInterval: -1})
	if err != nil {
		return err
	}
	other, err := Open(context.Background(), Options{Path: to, SweepInterval: -1})
	if err != nil {
		return err
	}
	_, err = s.Move(context.Background(), MoveOptions{To: other, Report: func(ended MoveStage, _ int64) {
		if string(ended) == stage {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}})
	return fmt.Errorf("it was not killed: %v", err)
}

// A move that is killed after any stage leaves this store serving, or, when all
// is over there, to be ended by the next one. The store is open meanwhile, as in
// a server.
func TestMoveKilled(t *testing.T) {
	ctx := context.Background()
	for _, stage := range []MoveStage{MoveJournal, MoveCopy, MoveFollow, MoveHold, MoveCompare, MoveRefuse, MoveName} {
		t.Run(string(stage), func(t *testing.T) {
			s, service := patient(t)
			manyRows(t, s)
			to := target(t)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), killAt+"="+strings.Join([]string{string(stage), s.opts.Path, to.Store.(*Store).opts.Path}, " "))
			out, err := cmd.CombinedOutput()
			if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the child was not killed: %v\n%s", err, out)
			}
			over := stage == MoveRefuse || stage == MoveName
			err = s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, 1)})
			if over != errors.Is(err, store.ErrUnavailable) || !over && err != nil {
				t.Errorf("a write after the kill: %v", err)
			}
			// The other store's lease outlives the one who was killed.
			if _, err := to.Store.(*Store).writerExec("DELETE FROM leases"); err != nil {
				t.Fatal(err)
			}
			if !over && stage == MoveCopy {
				if err := s.CancelMove(ctx); err != nil {
					t.Fatal(err)
				}
				serves(t, s, service, 2)
			}
			_, err = s.Move(ctx, MoveOptions{To: to})
			if stage == MoveName && !errors.Is(err, ErrMoved) || stage != MoveName && err != nil {
				t.Errorf("moving again: %v", err)
			}
			hasMovedTo(t, s, service, to)
		})
	}
}

// writerExec runs a statement as the writer does.
func (s *Store) writerExec(query string) (n int64, err error) {
	err = s.writer.do(context.Background(), nil, func(t *tx) error {
		n, err = t.affected(query)
		return err
	})
	return n, err
}

// A move gives up when the moment in which nobody writes becomes too long, and
// when the other store is not empty or is somebody else's.
func TestMoveGivesUp(t *testing.T) {
	ctx := context.Background()
	s, service := patient(t)
	manyRows(t, s)
	held := false
	for why, prepare := range map[string]func(*hooked) MoveOptions{
		"it was not over within 50ms": func(to *hooked) MoveOptions {
			to.hook = func(ctx context.Context, _ int) error {
				if !held {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}
			return MoveOptions{To: to, ReadOnly: 50 * time.Millisecond, Report: func(stage MoveStage, _ int64) { held = stage == MoveHold }}
		},
		"others are loading rows": func(to *hooked) MoveOptions {
			return MoveOptions{To: to, Report: func(stage MoveStage, _ int64) {
				if stage == MoveHold { // there is no change left
					_, err := to.Store.(*Store).writerExec("UPDATE leases SET holder = 'somebody'")
					succeed(t, err)
				}
			}}
		},
		"it has the service https://other.example": func(to *hooked) MoveOptions {
			if _, err := to.EnsureService(ctx, "https://other.example"); err != nil {
				t.Fatal(err)
			}
			return MoveOptions{To: to}
		},
		"the move was cancelled": func(to *hooked) MoveOptions {
			return MoveOptions{To: to, Report: func(stage MoveStage, _ int64) {
				if stage == MoveCopy {
					if err := s.CancelMove(ctx); err != nil {
						t.Error(err)
					}
				}
			}}
		},
	} {
		t.Run(why, func(t *testing.T) {
			_, err := s.Move(ctx, prepare(target(t)))
			if !errors.Is(err, ErrNotMoved) && !errors.Is(err, archive.ErrLoading) || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), why) {
				t.Errorf("Move = %v", err)
			}
			serves(t, s, service, time.Now().UnixNano())
		})
	}
	t.Run("another move begins", func(t *testing.T) {
		_, err := s.Move(ctx, MoveOptions{To: target(t), Report: func(stage MoveStage, _ int64) {
			if stage == MoveCopy {
				if err := s.writer.do(ctx, nil, func(t *tx) error { return t.startJournal("another") }); err != nil {
					t.Error(err)
				}
			}
		}})
		if !errors.Is(err, ErrNotMoved) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Move = %v", err)
		}
		owner := ""
		if err := s.writer.do(ctx, nil, func(t *tx) error { owner, _, err = t.journal(); return err }); err != nil || owner != "another" {
			t.Errorf("the journal of the other move is %q's: %v", owner, err)
		}
		if err := s.CancelMove(ctx); err != nil {
			t.Error(err)
		}
		serves(t, s, service, time.Now().UnixNano())
	})
	t.Run("another move is under way", func(t *testing.T) {
		to := target(t)
		if _, err := to.Lease(ctx, "loading", "somebody", time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Move(ctx, MoveOptions{To: to}); err == nil || !strings.Contains(err.Error(), "others are loading") {
			t.Errorf("Move = %v", err)
		}
		serves(t, s, service, time.Now().UnixNano())
	})
	t.Run("the caller gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		_, err := s.Move(ctx, MoveOptions{To: target(t), Report: func(stage MoveStage, _ int64) {
			if stage == MoveCopy {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Move = %v", err)
		}
		serves(t, s, service, time.Now().UnixNano())
	})
}
