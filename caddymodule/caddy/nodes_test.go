package main_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// cluster is nodes that share a PostgreSQL database and nothing else. Their
// issuer is the address of the first; in front of it, a browser's requests go to
// whichever node is in turn, as behind a load balancer.
type cluster struct {
	*testing.T
	db    *pgtest.Server
	text  string // the Caddyfile of all
	nodes []*server
	turn  atomic.Int32
}

const nodesKey = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// prepareNodes makes a database, and nodes that are not started.
func prepareNodes(t *testing.T, n int, replacements ...string) *cluster {
	t.Helper()
	c := &cluster{T: t, db: pgtest.Start(t)}
	c.text = strings.Replace(caddyfile(t, append(replacements, "gatehouse", "storage postgres {env.DATABASE_URL}\n\t\tmaster_key {env.MASTER_KEY}")...),
		"issuer http://localhost:{$AS}", "issuer http://localhost:{$ISSUER}", 1)
	for range n {
		s := prepareOwn(t, c.text)
		if len(c.nodes) > 0 {
			s.app = c.nodes[0].app
		}
		c.nodes = append(c.nodes, s)
		s.env = append(s.env, "ISSUER="+port(t, c.nodes[0].as), "APP="+port(t, s.app),
			"DATABASE_URL="+c.db.Address("postgres"), "MASTER_KEY="+nodesKey)
	}
	return c
}

// startNodes starts nodes one after the other.
func startNodes(t *testing.T, n int, replacements ...string) *cluster {
	t.Helper()
	c := prepareNodes(t, n, replacements...)
	for _, s := range c.nodes {
		s.start()
	}
	return c
}

func port(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

// browser is a person whose requests go to the node that is in turn.
func (c *cluster) browser(t *testing.T) *person {
	t.Helper()
	p := c.nodes[0].person(t)
	issuer := "localhost:" + port(t, p.as)
	p.client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == issuer {
			address = strings.TrimPrefix(c.nodes[c.turn.Load()].as, "http://")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	return p
}

// everywhere waits until something holds on every node, as promise 5 says, counted
// from the call.
func (c *cluster) everywhere(t *testing.T, what string, ok func(s *server) error) {
	t.Helper()
	var all sync.WaitGroup
	for i, s := range c.nodes {
		all.Go(func() {
			start := time.Now()
			err := ok(s)
			for ; err != nil && time.Since(start) < promised; err = ok(s) {
				time.Sleep(5 * time.Millisecond)
			}
			if err != nil {
				t.Errorf("%s: not on node %d: %v", what, i, err)
			}
		})
	}
	all.Wait()
}

// refusedAt is for everywhere: the gateway refuses a token.
func refusedAt(token string) func(*server) error {
	return func(s *server) error {
		r, err := try(plain, http.MethodGet, s.api+"/orders", "", "Authorization", "Bearer "+token)
		if err == nil && r.status != http.StatusUnauthorized {
			err = &unexpected{r.status, http.StatusUnauthorized}
		}
		return err
	}
}

// ask reads a text from the database.
func (c *cluster) ask(t *testing.T, query string) (text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.db.Address("postgres")+"&search_path=gatehouse")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), query).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}
