package front

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// narrow is one place and one who waits in each lane.
var narrow = Overload{
	People: admission.Limits{AtOnce: 1, Waiting: 1}, Machines: admission.Limits{AtOnce: 1, Waiting: 1},
	QueueTimeout: caddy.Duration(time.Millisecond),
}

func newNarrow(t *testing.T, o Overload) *front {
	t.Helper()
	return newFrontOn(t, model.Settings{}, o, func(s store.Store) store.Store { return s })
}

// fill takes the place of a lane, and has somebody wait for it if nobody else is
// to, until empty is called.
func fill(t *testing.T, lane *admission.Lane, waits bool) (empty func()) {
	t.Helper()
	if err := lane.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !waits {
		return lane.Leave
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- lane.Enter(ctx) }()
	await(t, "one that waits", func() bool {
		_, waiting := lane.Load()
		return waiting == 1
	})
	return func() {
		cancel()
		if err := <-gone; err == nil {
			t.Error("there was a place")
		}
		lane.Leave()
	}
}

// await polls until something is so.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there never was %s", what)
		}
	}
}

func (f *front) get(path string) answered {
	f.t.Helper()
	return f.do(http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.http.URL+path, nil))
}

// RFC 9110 §10.2.3, RFC 6749 §5.2: who finds no place is told so in the form of
// the endpoint, and no lane is in another's way: people sign in while machines want
// tokens, a code is redeemed beside those, and made-up codes keep nobody out. The
// documents that everybody needs are there in any case.
func TestLanesAreApart(t *testing.T) {
	pages := []string{"/authorize", "/login", "/grants", "/end_session"}
	for name, waits := range map[string]bool{"no place": false, "nobody may wait": true} {
		o := narrow
		if waits {
			o.QueueTimeout = caddy.Duration(time.Minute)
		}
		f := newNarrow(t, o)
		e := f.handler.entrance
		for _, lane := range e.Lanes() {
			t.Run(name+" for "+lane.Name, func(t *testing.T) {
				defer fill(t, lane, waits)()
				refused := 0
				for _, path := range pages {
					a := f.get(path)
					if away := a.status == 503; away != (lane == e.People) {
						t.Errorf("%s: %d", path, a.status)
					} else if away {
						refused++
						if a.header.Get("Retry-After") == "" || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
							t.Errorf("%s: %v", path, a.header)
						}
					}
				}
				for grant, its := range map[string]*admission.Lane{"password": e.Machines, "authorization_code": e.Finishing} {
					a := f.do(direct(t, f.http.URL+"/token", url.Values{"grant_type": {grant}, "code": {"made-up"}}), nil)
					if away := a.status == 503; away != (lane == its) || !away && a.status != 400 {
						t.Errorf("%s: %d %v", grant, a.status, a.body)
					} else if away {
						refused++
						if a.header.Get("Retry-After") == "" || a.body["error"] != "temporarily_unavailable" {
							t.Errorf("%s: %v %v", grant, a.header, a.body)
						}
					}
				}
				for path, want := range map[string]int{"/jwks": 200, "/.well-known/oauth-authorization-server": 200, "/login/nothing": 418} {
					if a := f.get(path); a.status != want {
						t.Errorf("%s: %d, want %d", path, a.status, want)
					}
				}
				if got := f.turnedAway(lane.Name); got != refused || refused == 0 {
					t.Errorf("%d are counted, want %d", got, refused)
				}
			})
		}
	}
}

// The grant type alone tells who waits behind a token request.
func TestRedeemsCode(t *testing.T) {
	for form, want := range map[string]bool{
		"grant_type=authorization_code":                   true,
		"code=x&grant_type=authorization_code&client_id=": true,
		"grant_type=client_credentials":                   false,
		"x_grant_type=authorization_code":                 false,
		"grant_type=authorization_codes":                  false,
		"code=grant_type%3Dauthorization_code":            false,
		"":                                                false,
	} {
		if got := redeemsCode([]byte(form)); got != want {
			t.Errorf("%q: %v", form, got)
		}
	}
}

// unread is a connection whose other side does not read.
type unread struct {
	*httptest.ResponseRecorder
	writing, read chan struct{}
	deadline      time.Time
}

func (u *unread) SetWriteDeadline(at time.Time) error {
	u.deadline = at
	return nil
}

func (u *unread) Write(b []byte) (int, error) {
	close(u.writing)
	<-u.read
	return len(b), nil
}

// A client that does not read its answer holds no place either, and over HTTP/2
// is given up, also when it was turned away.
func TestUnreadAnswerHoldsNoPlace(t *testing.T) {
	for name, full := range map[string]bool{"served": false, "turned away": true} {
		t.Run(name, func(t *testing.T) {
			f := newNarrow(t, narrow)
			held := 0
			if full {
				held = 1
				defer fill(t, f.handler.entrance.People, false)()
			}
			f.unreadAnswer(t, held)
		})
	}
}

func (f *front) unreadAnswer(t *testing.T, held int) {
	u := &unread{ResponseRecorder: httptest.NewRecorder(), writing: make(chan struct{}), read: make(chan struct{})}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/authorize", nil)
	r.ProtoMajor, r.ProtoMinor = 2, 0
	done := make(chan error, 1)
	before := time.Now()
	go func() { done <- f.handler.ServeHTTP(u, r, caddyhttp.HandlerFunc(nil)) }()
	select {
	case <-u.writing:
	case err := <-done:
		t.Fatalf("nothing was written: %v", err)
	}
	if working, waiting := f.handler.entrance.People.Load(); working != held || waiting != 0 {
		t.Errorf("%d work, %d wait", working, waiting)
	}
	if u.deadline.Before(before.Add(stuck)) || u.deadline.After(time.Now().Add(stuck)) {
		t.Errorf("the deadline is %s", u.deadline)
	}
	close(u.read)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
