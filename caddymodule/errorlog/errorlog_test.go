package errorlog

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// line is what is written of an error, and how many others it stands for.
type line struct {
	message string
	err     string
	skipped int64
}

func observed() (*Logger, func() []line) {
	core, lines := observer.New(zapcore.InfoLevel)
	return New(zap.New(core)), func() (list []line) {
		for _, l := range lines.TakeAll() {
			fields := l.ContextMap()
			err, _ := fields["error"].(string)
			skipped, _ := fields["skipped"].(int64)
			list = append(list, line{l.Message, err, skipped})
		}
		return list
	}
}

// An operator reads at once what is wrong, of each kind, and once a second that
// it still is and how often. Nothing but errors is left out.
func TestOneASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, lines := observed()
		disk, other := errors.New("disk full"), errors.New("refused")
		for range 1000 {
			l.Error("the store is unavailable", zap.Error(disk))
		}
		l.Error("request failed", zap.Error(other))
		time.Sleep(interval - time.Nanosecond)
		l.Error("the store is unavailable", zap.Error(disk))
		time.Sleep(time.Nanosecond)
		for range 3 {
			l.Error("the store is unavailable", zap.Error(other))
		}
		time.Sleep(time.Hour)
		l.Error("the store is unavailable", zap.Error(disk))
		time.Sleep(interval)
		l.Error("the store is unavailable", zap.Error(disk))
		l.Info("signed in")
		l.Info("signed in")
		want := []line{
			{"the store is unavailable", "disk full", 0}, {"request failed", "refused", 0},
			{"the store is unavailable", "refused", 1000}, {"the store is unavailable", "disk full", 2},
			{"the store is unavailable", "disk full", 0}, {"signed in", "", 0}, {"signed in", "", 0},
		}
		if diff := cmp.Diff(want, lines(), cmp.AllowUnexported(line{})); diff != "" {
			t.Error(diff)
		}
	})
}

// Of those that come at the same moment one is written, and each of the others
// is counted once.
func TestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, lines := observed()
		const rounds, callers = 20, 50
		written := 0
		for range rounds {
			var all sync.WaitGroup
			for range callers {
				all.Go(func() { l.Error("request failed") })
			}
			all.Wait()
			list := lines()
			if len(list) != 1 {
				t.Fatalf("%d lines at one moment", len(list))
			}
			written += 1 + int(list[0].skipped)
			time.Sleep(interval)
		}
		l.Error("request failed")
		if written += 1 + int(lines()[0].skipped); written != rounds*callers+1 {
			t.Errorf("%d are told of, want %d", written, rounds*callers+1)
		}
	})
}
