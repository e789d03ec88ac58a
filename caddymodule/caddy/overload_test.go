package main_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// traffic is clients that want tokens as fast as they can.
const traffic = 100

// size is how much of something a test uses: less where the race detector makes
// everything ten times as slow.
func size(usual, racing int) int {
	if raceDetector {
		return racing
	}
	return usual
}

// narrowServer has fewer places than there are clients. A crowd of slow ones comes
// in less time than it gives a body, also where everything takes long.
const narrowServer = `	gatehouse_server {
		people 20 40
		machines 20 40
		body_timeout 12s
	}`

// startNarrow is a server with few places, and with metrics.
func startNarrow(t *testing.T) *server {
	t.Helper()
	text := caddyfile(t, "global", "metrics")
	wide := "\tgatehouse_server\n"
	if strings.Count(text, wide) != 1 {
		t.Fatal("the Caddyfile has another gatehouse_server")
	}
	return startOwn(t, strings.Replace(text, wide, narrowServer+"\n", 1))
}

// metric is the sum of a metric's values, of those whose labels have this text.
func (s *server) metric(name, labels string) (sum float64) {
	s.t.Helper()
	text := get(s.t, s.admin+"/metrics").want(s.t, 200).body
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(\{.*\})? (\S+)$`).FindAllStringSubmatch(text, -1) {
		if value, err := strconv.ParseFloat(m[2], 64); err == nil && strings.Contains(m[1], labels) {
			sum += value
		}
	}
	return sum
}

// tokenTraffic is clients that want tokens as fast as they can.
type tokenTraffic struct {
	*server
	client  *http.Client
	over    chan struct{}
	once    sync.Once
	workers sync.WaitGroup

	mu     sync.Mutex
	tokens []string // acknowledged
	away   int
}

func (s *server) startTraffic() *tokenTraffic {
	l := &tokenTraffic{server: s, over: make(chan struct{}), client: &http.Client{
		Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: traffic},
	}}
	s.t.Cleanup(l.end)
	for range traffic {
		l.workers.Go(func() {
			for {
				select {
				case <-l.over:
					return
				default:
				}
				if !l.ask() {
					time.Sleep(5 * time.Millisecond) // which is much sooner than they are told
				}
			}
		})
	}
	return l
}

// ask asks for a token, notes what is answered, and reports whether it got one.
func (l *tokenTraffic) ask() bool {
	r, err := try(l.client, http.MethodPost, l.as+"/token", "grant_type=client_credentials&scope=orders:read", "Authorization", basic(demo, demoSecret))
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && r.status == 200:
		l.tokens = append(l.tokens, r.text(l.t, "access_token"))
		return true
	case err == nil && r.status == 503 && r.header.Get("Retry-After") != "" && strings.Contains(r.body, "temporarily_unavailable"):
		l.away++
	default:
		l.t.Errorf("token traffic: %v %+v", err, r)
	}
	return false
}

func (l *tokenTraffic) counts() (tokens, away int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.tokens), l.away
}

func (l *tokenTraffic) end() {
	l.once.Do(func() { close(l.over) })
	l.workers.Wait()
	l.client.CloseIdleConnections()
}

// slowly is how a crowd withholds its requests' bodies: all of them comes but the
// last byte. Together that is more than a server keeps of what arrives.
var slowly = []struct {
	path  string
	bytes int
}{{"/login", 16<<10 - 1}, {"/token", 32<<10 - 1}}

const crowd = 2000

// withhold opens a crowd's connections, half of them for each of these, and
// returns how often each status was answered. All have sent what they send when
// sent is closed.
func (s *server) withhold(sent chan<- struct{}) (statuses map[int]int) {
	s.t.Helper()
	var all, sending sync.WaitGroup
	var mu sync.Mutex
	statuses = map[int]int{}
	sending.Add(crowd)
	go func() { sending.Wait(); close(sent) }()
	for i := range crowd {
		how := slowly[i%len(slowly)]
		all.Go(func() {
			conn, err := net.Dial("tcp", strings.Replace(strings.TrimPrefix(s.as, "http://"), "localhost", "127.0.0.1", 1))
			if err != nil {
				sending.Done()
				s.t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(2 * patience))
			_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
				how.path, how.bytes+1, strings.Repeat("a", how.bytes))
			sending.Done()
			r, err := readAnswer(bufio.NewReader(conn), http.MethodPost)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.t.Errorf("a slow client: %v", err)
				return
			}
			statuses[r.status]++
		})
	}
	all.Wait()
	return statuses
}

// TestOverload: beyond its places the server answers 503 with Retry-After, and
// soon; its memory does not grow with those who ask; people sign in, up to their
// tokens, while token traffic saturates it, while a crowd that is larger than the
// room withholds the bodies of sign-ins and of token requests, and after the
// database was locked; machines get tokens beside the crowd, too; nothing that was
// acknowledged is lost.
func TestOverload(t *testing.T) {
	s := startNarrow(t)
	p := s.person(t)
	p.signIn("openid orders:read")
	goroutines, before := s.metric("go_goroutines", ""), s.peakMemory()
	signIn := func(when string) {
		t.Helper()
		start := time.Now()
		s.person(t).signIn("openid orders:read")
		took := time.Since(start)
		if took > time.Duration(size(5, 60))*time.Second {
			t.Errorf("signing in %s took %s", when, took)
		}
		t.Logf("signing in %s took %s", when, took.Round(time.Millisecond))
	}

	l := s.startTraffic()
	saturated := func() {
		t.Helper()
		tokens, away := l.counts()
		wait(t, "saturation", func() error {
			if t, a := l.counts(); t < tokens+100 || a < away+100 {
				return fmt.Errorf("%d tokens, %d turned away", t-tokens, a-away)
			}
			return nil
		})
	}
	saturated()
	for range 3 {
		signIn("beside token traffic")
	}
	crowded, sent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(crowded)
		statuses := s.withhold(sent)
		t.Logf("slow clients: %v", statuses)
		if statuses[503] == 0 || statuses[503]+statuses[408] != crowd {
			t.Errorf("slow clients: %v", statuses)
		}
	}()
	signIn("while a crowd of slow clients comes")
	<-sent
	signIn("beside a crowd of slow clients")
	saturated()
	<-crowded

	_, before503 := l.counts()
	release := s.lock()
	wait(t, "refusals while the database is locked", func() error {
		if _, away := l.counts(); away < before503+1000 {
			return fmt.Errorf("%d turned away", away-before503)
		}
		return nil
	})
	release()
	signIn("after the database was locked")
	l.end()

	grown, limit := s.peakMemory()-before, int64(size(256, 1024))<<20
	tokens, away := l.counts()
	t.Logf("%d tokens, %d turned away; the memory grew by %d MiB at most", tokens, away, grown>>20)
	if grown > limit {
		t.Errorf("the memory grew by %d MiB", grown>>20)
	}
	for lane, want := range map[string]bool{"machines": true, "arriving": true, "people": false, "finishing": false} {
		if n := s.metric("gatehouse_turned_away_total", `lane="`+lane+`"`); n > 0 != want {
			t.Errorf("the metrics tell of %v of %s who were turned away", n, lane)
		}
	}
	wait(t, "everything to be as before", func() error {
		if n := s.metric("go_goroutines", ""); n > goroutines+20 {
			return fmt.Errorf("%v goroutines, %v before", n, goroutines)
		}
		if n := s.metric("gatehouse_requests", "lane"); n != 0 {
			return fmt.Errorf("%v requests are still there", n)
		}
		return nil
	})
	for i, token := range l.tokens[:min(len(l.tokens), 2000)] {
		if r := s.call(token); r.status != 200 {
			t.Fatalf("acknowledged token %d: %d", i, r.status)
		}
	}
}

// lock has another program write to the database, until release is called.
func (s *server) lock() (release func()) {
	s.t.Helper()
	db, err := sql.Open("sqlite", s.database())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	// The server hardly rests: the gaps in its writes are short, and SQLite's own
	// pauses of up to 100 ms rarely meet one.
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Microsecond) {
		_, err := db.Exec("BEGIN IMMEDIATE")
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "SQLITE_BUSY") || time.Now().After(deadline) {
			s.t.Fatal(err)
		}
	}
	return func() {
		if _, err := db.Exec("ROLLBACK"); err != nil {
			s.t.Error(err)
		}
	}
}
