package login

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-auth/gatehouse/engine/fetch"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// operator is the operator's own server, with an authentication callback.
type operator struct {
	t    *testing.T
	http *httptest.Server

	mu    sync.Mutex
	users map[string]string // by "name password", or "FACEBOOK id": the JSON of the answer
	asked []asked
	// instead answers in place of the callback, when it is set.
	instead http.HandlerFunc
}

// asked is what the callback got.
type asked struct {
	method, contentType, key, secret string
	basic                            bool
	members                          map[string]json.RawMessage
}

const rejected = `{"authenticated":false,"subject":null,"claims":null}`

func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{t: t, users: map[string]string{}}
	o.http = httptest.NewServer(o)
	t.Cleanup(o.http.Close)
	return o
}

func (o *operator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := asked{method: r.Method, contentType: r.Header.Get("Content-Type")}
	a.key, a.secret, a.basic = r.BasicAuth()
	body, _ := io.ReadAll(r.Body)
	var q struct{ ID, Password, SNS string }
	if json.Unmarshal(body, &a.members) != nil || json.Unmarshal(body, &q) != nil {
		o.t.Errorf("the callback got %s", body)
	}
	o.mu.Lock()
	o.asked = append(o.asked, a)
	instead, answer := o.instead, o.users[q.ID+" "+q.Password]
	if q.SNS != "" {
		answer = o.users[q.SNS+" "+q.ID]
	}
	o.mu.Unlock()
	if instead != nil {
		instead(w, r)
		return
	}
	if answer == "" {
		answer = rejected
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_, _ = io.WriteString(w, answer)
}

// knows lets a name and password, or a user of a social network, in.
func (o *operator) knows(who, subject, claims string) {
	text, _ := json.Marshal(map[string]any{"authenticated": true, "subject": subject, "claims": claims, "mock": false})
	o.answers(who, string(text))
}

func (o *operator) answers(who, answer string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.users[who] = answer
}

func (o *operator) instant(h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.instead = h
}

// last is what was asked last, and how often something was.
func (o *operator) last() (asked, int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.asked) == 0 {
		return asked{}, 0
	}
	return o.asked[len(o.asked)-1], len(o.asked)
}

func (o *operator) times() int {
	_, n := o.last()
	return n
}

// onLoopback is a guarded client that may ask servers on this machine.
func onLoopback() *fetch.Client {
	return fetch.New(fetch.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
}

// set lets a service ask this operator.
func (o *operator) set(s *model.Service) {
	s.APIKey = "4711"
	s.AuthenticationCallback = model.Callback{Endpoint: o.http.URL + "/authenticate", APIKey: "front", APISecret: "s:e c"}
}

// env is a server whose users this operator knows; the first has the password
// of all tests.
func (o *operator) env(s setting) *env {
	o.t.Helper()
	user := nextUser(o.t)
	o.knows(user+" "+password, user+"-subject", `{"email":"user@example.com"}`)
	change := s.service
	s.service = func(service *model.Service) {
		o.set(service)
		if change != nil {
			change(service)
		}
	}
	if s.fetch == nil {
		s.fetch = onLoopback()
	}
	return newEnvWith(o.t, user, s)
}

// log is a logger and what it has written.
type log struct {
	mu   sync.Mutex
	text []byte
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *log) Sync() error { return nil }

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

func (l *log) logger() *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), l, zap.DebugLevel))
}
