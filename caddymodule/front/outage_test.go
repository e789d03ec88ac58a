package front

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/caddymodule/errorlog"
	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// failing is a store whose access tokens cannot be looked up.
type failing struct {
	store.Store
	err error
}

func (f failing) AccessToken(context.Context, model.ID, model.ID) (model.AccessToken, model.Grant, error) {
	return model.AccessToken{}, model.Grant{}, f.err
}

// watch has the front's log from the level of errors kept.
func (f *front) watch() *observer.ObservedLogs {
	core, lines := observer.New(zapcore.ErrorLevel)
	f.handler.logger = errorlog.New(zap.New(core))
	return lines
}

// During an outage the log says at once what is wrong, and does not grow with the
// load: the disk that it fills may be what is full.
func TestOutageDoesNotFillTheLog(t *testing.T) {
	for what, err := range map[string]error{
		"the store is unavailable": fmt.Errorf("%w: disk full", store.ErrUnavailable),
		"request failed":           errors.New("disk full"),
	} {
		t.Run(what, func(t *testing.T) {
			f := newFrontOn(t, model.Settings{}, Overload{}, func(s store.Store) store.Store { return failing{s, err} })
			lines := f.watch()
			const requests = 200
			start := time.Now()
			for range requests {
				a := f.do(direct(t, f.http.URL+"/introspect", url.Values{"token": {unknown(handle.AccessToken)}}), nil)
				if a.status < 500 {
					t.Fatalf("%d %v", a.status, a.body)
				}
			}
			most := 1 + int(time.Since(start)/time.Second)
			if lines.Len() == 0 || lines.Len() > most {
				t.Fatalf("%d lines of %d requests, want one to %d", lines.Len(), requests, most)
			}
			first := lines.All()[0]
			if fields := first.ContextMap(); first.Message != what || fields["error"] != err.Error() || fields["endpoint"] != "introspection" {
				t.Errorf("the first line: %s %v", first.Message, fields)
			}
		})
	}
}

// Who has no time left to wait for a place is turned away, and counted, like who
// has waited for long: nothing is wrong with the store.
func TestDeadlineInTheQueue(t *testing.T) {
	o := narrow
	o.QueueTimeout, o.RequestTimeout = caddy.Duration(time.Minute), caddy.Duration(50*time.Millisecond)
	f := newNarrow(t, o)
	lines := f.watch()
	lane := f.handler.entrance.Machines
	defer fill(t, lane, false)()
	a := f.do(direct(t, f.http.URL+"/introspect", url.Values{"token": {unknown(handle.AccessToken)}}), nil)
	if a.status != 503 || a.header.Get("Retry-After") == "" || a.body["error"] != "temporarily_unavailable" {
		t.Errorf("%d %v %v", a.status, a.header, a.body)
	}
	if n := f.turnedAway(lane.Name); n != 1 {
		t.Errorf("%d are counted", n)
	}
	for _, line := range lines.All() {
		t.Errorf("the log: %s %v", line.Message, line.ContextMap())
	}
}
