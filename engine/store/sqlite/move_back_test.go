package sqlite

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// A server that starts on the new storage before the move has ended there makes
// no second service beside the one that waits for its name, and the move ends.
func TestServerStartedBeforeName(t *testing.T) {
	ctx := context.Background()
	s, service := patient(t)
	manyRows(t, s)
	to := target(t)
	broken := errors.New("broken")
	refusing := false
	to.hook = func(context.Context, int) error {
		if refusing {
			return broken
		}
		return nil
	}
	_, err := s.Move(ctx, MoveOptions{To: to, Report: func(stage MoveStage, _ int64) { refusing = stage == MoveRefuse }})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	to.hook = nil
	if _, err := to.EnsureService(ctx, "https://archive1001.example"); !errors.Is(err, store.ErrUnfinished) {
		t.Errorf("EnsureService = %v", err)
	}
	if _, err := s.Move(ctx, MoveOptions{To: to}); err != nil {
		t.Errorf("moving again, as the error said: %v", err)
	}
	hasMovedTo(t, s, service, to)
	if id, err := to.EnsureService(ctx, "https://archive1001.example"); id != 1001 || err != nil {
		t.Errorf("EnsureService after the move = %d, %v", id, err)
	}
}

// A move that is over is not cancelled. It can be taken back, and begun anew,
// also when the other store is gone before it was told that it has everything.
func TestTakeBack(t *testing.T) {
	ctx := context.Background()
	s, service := patient(t)
	manyRows(t, s)
	if err := s.TakeBack(ctx); !errors.Is(err, ErrNotMoved) {
		t.Errorf("TakeBack before the move = %v", err)
	}
	to := target(t)
	refusing, broken := false, errors.New("broken")
	to.hook = func(context.Context, int) error {
		if refusing {
			return broken
		}
		return nil
	}
	if _, err := s.Move(ctx, MoveOptions{To: to, Report: func(stage MoveStage, _ int64) { refusing = stage == MoveRefuse }}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := s.CancelMove(ctx); !errors.Is(err, ErrMoved) {
		t.Errorf("CancelMove = %v", err)
	}
	if err := s.Write(ctx, store.InsertGrant{Grant: benchGrant(service, 1)}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a write after that: %v", err)
	}
	if found, err := s.Moved(ctx); err != nil || found == nil || !found.Failing || !strings.Contains(found.Advice, "--take-back") {
		t.Errorf("Moved = %+v, %v", found, err)
	}
	other := target(t)
	if _, err := s.Move(ctx, MoveOptions{To: other}); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "not whole") {
		t.Errorf("moving to a store that has nothing: %v", err)
	}
	succeed(t, s.TakeBack(ctx))
	if found, err := s.Moved(ctx); err != nil || found != nil {
		t.Errorf("after TakeBack, Moved = %+v, %v", found, err)
	}
	serves(t, s, service, 7)
	if _, err := s.Move(ctx, MoveOptions{To: other}); err != nil {
		t.Error(err)
	}
	hasMovedTo(t, s, service, other)
}
