package main_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// proxied is a gateway on sockets that it is given: a reload gives Caddy's own
// another socket, and the kernel resets what waits in the queue of the one
// before. The timeouts bound what Caddy keeps of a configuration by way of its
// connections: a minute by default, and two for idle ones to an API.
const proxied = `{
	admin localhost:{$ADMIN}
	servers {
		protocols h1 h2 h2c
		timeouts {
			read_body_idle 5s
			write_idle     5s
			idle           5s
		}
	}
	gatehouse {
		service {
			issuer http://localhost:{$AS}
			supported_scopes orders:read orders:write
			client demo-service {
				client_secret demo-service-secret
				grant_types client_credentials
			}
		}
		introspector own engine http://localhost:{$AS} {
			cache_ttl 1h # a slow machine takes longer than the default
		}
	}
}
http://localhost:{$AS} {
	bind fd/3
	gatehouse_server
}
http://localhost:{$API} {
	bind fd/4
	# route
	gatehouse_bearer {
		introspectors own
		# policy
		forward client_id X-Client
	}
	reverse_proxy {$UPSTREAM} {
		transport http {
			keepalive 5s
		}
	}
}
`

// TestReloadsUnderLoad (promise 12): while the configuration changes 100 times,
// no request to a proxied API fails, no stream is cut, new tokens are good at
// once, and none that is cached is asked about again. Afterwards goroutines,
// connections and memory are what they were.
//
// A client can be promised what HTTP lets a server do. On HTTP/2, GOAWAY says
// which requests were not looked at (RFC 9113 §6.8), so that Go's client sends
// even a POST again, elsewhere. On HTTP/1.1 a server closes connections on which
// a request is just arriving, and a client may send again what is idempotent
// (RFC 9110 §9.2.2). Here it does so once, and is never answered but with 200.
func TestReloadsUnderLoad(t *testing.T) {
	reloads := 100
	if testing.Short() {
		reloads = 20
	}
	api := startTicker(t)
	s := prepareOwn(t, proxied)
	s.env = append(s.env, "UPSTREAM="+api.address)
	s.startOnSockets(s.as, s.api)
	token := s.serviceToken("orders:read orders:write")
	s.remembers(token)
	s.reloads(token, 0, 5)
	before, cache := s.rest(), s.cacheStats()

	l := s.startLoad(token)
	s.reloads(token, 5, reloads)
	l.end()

	served, events, tokens := l.served.Load(), l.events.Load(), l.tokens.Load()
	t.Logf("%d requests (%d sent again), %d events and %d new tokens during %d reloads", served, l.again.Load(), events, tokens, reloads)
	if served < int64(5*reloads) || events < int64(reloads) || tokens < int64(reloads)/5 {
		t.Error("there was too little load")
	}
	now := s.cacheStats()
	if asked := int64(now.Fetches - cache.Fetches); asked != tokens {
		t.Errorf("the cache asked %d times about %d new tokens", asked, tokens)
	}
	if now.Hits < cache.Hits+int(served-tokens) || now.Entries < cache.Entries {
		t.Errorf("the cache was %+v and is %+v", cache, now)
	}
	wait(t, "what the reloads held to be given back", func() error {
		if after := s.use(); after.goroutines > before.goroutines+8 || after.files > before.files+8 || after.heap > before.heap+6<<20 {
			return fmt.Errorf("before %v, after %v", before, after)
		}
		return nil
	})
}

// reloads changes the route and its policy n times, and sees that each change
// has taken place.
func (s *server) reloads(token string, from, n int) {
	s.t.Helper()
	policies := []string{"scopes orders:read", "any_scope orders:read orders:write", "scopes orders:read orders:write"}
	for i := from; i < from+n; i++ {
		route := fmt.Sprintf("respond /generation%[1]d generation-%[1]d", i)
		s.load(strings.NewReplacer("# route", route, "# policy", policies[i%len(policies)]).Replace(proxied))
		// Both have the same sockets: the one before may take a connection more.
		wait(s.t, fmt.Sprint("reload ", i), func() error {
			r, err := persist(func() (*reply, error) {
				return try(plain, http.MethodGet, fmt.Sprintf("%s/generation%d", s.api, i), "", "Authorization", "Bearer "+token)
			})
			if err != nil || r.status != http.StatusOK || r.body != fmt.Sprint("generation-", i) {
				return fmt.Errorf("%+v %v", r, err)
			}
			return nil
		})
	}
}

// startOnSockets starts the server as a service manager does that holds its
// sockets, which are its file descriptors from 3 on.
func (s *server) startOnSockets(addresses ...string) {
	s.t.Helper()
	cmd := exec.Command(s.binary, "run", "--config", s.config)
	for _, address := range addresses {
		l, err := net.Listen("tcp", strings.Replace(address, "http://localhost", "127.0.0.1", 1))
		if err != nil {
			s.t.Fatal(err)
		}
		defer l.Close()
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			s.t.Fatal(err)
		}
		defer file.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	s.launch(cmd)
	wait(s.t, "the server to start", func() error {
		if log := s.output.String(); !strings.Contains(log, "serving initial configuration") {
			return errors.New(log)
		}
		return nil
	})
}

// usage is what a process holds.
type usage struct {
	goroutines, files int
	heap              int // bytes in use after a collection
}

var heapPattern = regexp.MustCompile(`# HeapAlloc = (\d+)`)

func (s *server) use() usage {
	s.t.Helper()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	text := get(s.t, s.admin+"/debug/pprof/heap?gc=1&debug=1").body
	heap, err := strconv.Atoi(heapPattern.FindStringSubmatch(text)[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return usage{s.goroutines(), s.openFiles(), heap}
}

// rest is what the server holds when it does nothing.
func (s *server) rest() (now usage) {
	s.t.Helper()
	wait(s.t, "the server to come to rest", func() error {
		last := now
		if now = s.use(); now.goroutines != last.goroutines || now.files != last.files {
			time.Sleep(time.Second) // what is being closed is closed by then
			return fmt.Errorf("from %v to %v", last, now)
		}
		return nil
	})
	return now
}
