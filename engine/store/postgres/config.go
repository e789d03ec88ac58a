package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// schema is where the tables lie unless the connection string names a
	// search_path.
	schema = "gatehouse"
	// connectTimeout bounds the opening of a connection.
	connectTimeout = 5 * time.Second
	// statementTimeout bounds a statement on the server, and lockTimeout its
	// waiting for others.
	statementTimeout = 5 * time.Second
	lockTimeout      = 3 * time.Second
	// tripTimeout bounds a round trip; the server gives up before.
	tripTimeout = 8 * time.Second
	// pingTimeout bounds the question whether a connection that was idle for a
	// second is still one. To a machine that is gone there is no answer.
	pingTimeout = time.Second
	// idleTimeout is how long the server keeps a transaction whose node is
	// silent, and with it the end of the change feed.
	idleTimeout = 5 * time.Second
)

// otherConnections is how many there are beside those of the workers: two for
// what would keep others waiting, and for the sweeper and other jobs.
const otherConnections = 4

// poolConfig reads a connection string.
func poolConfig(dsn string, connections int) (*pgxpool.Config, error) {
	if dsn == "" {
		return nil, errors.New("no connection string given")
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the connection string cannot be read") // the error may quote the password
	}
	c := config.ConnConfig
	if config.PingTimeout == 0 {
		config.PingTimeout = pingTimeout
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	alive := net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3} // as in prepare
	c.DialFunc = (&net.Dialer{Timeout: c.ConnectTimeout, KeepAliveConfig: alive}).DialContext
	for name, value := range map[string]string{
		"search_path":                         schema,
		"application_name":                    "gatehouse",
		"statement_timeout":                   milliseconds(statementTimeout),
		"lock_timeout":                        milliseconds(lockTimeout),
		"idle_in_transaction_session_timeout": milliseconds(idleTimeout),
	} {
		if c.RuntimeParams[name] == "" {
			c.RuntimeParams[name] = value
		}
	}
	config.MaxConns = int32(connections)
	config.MinIdleConns = 1
	config.MaxConnLifetimeJitter = config.MaxConnLifetime / 10
	config.AfterConnect = prepare
	return config, nil
}

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// prepare settles three things for a connection. A setting under which a commit is
// acknowledged before it is on disk is undone; stronger ones, which wait for
// replicas, stay. And plans are made by index, whatever the statistics say: every
// statement here is about few rows, and one that was planned while its table was
// small must not walk all of it when it has grown. What a plan without an index
// seems to cost would have the server compile it first, for a tenth of a second.
// And the server finds out soon that a node's machine is gone, whose transaction
// may hold the end of the feed: in the middle of a round trip no other time limit
// runs.
func prepare(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', CASE v WHEN 'off' THEN 'on' ELSE v END, false)
		FROM current_setting('synchronous_commit', true) v WHERE v IS NOT NULL`) // the server may change its own later
	if err != nil {
		return err
	}
	for _, s := range []struct{ name, value string }{
		{"enable_seqscan", "off"}, {"enable_hashjoin", "off"}, {"enable_mergejoin", "off"}, {"enable_bitmapscan", "off"}, {"jit", "off"},
		{"tcp_keepalives_idle", "5"}, {"tcp_keepalives_interval", "2"}, {"tcp_keepalives_count", "3"}, {"tcp_user_timeout", "10000"},
	} {
		_, err := c.Exec(ctx, `SELECT set_config($1, $2, false)`, s.name, s.value)
		if err != nil && code(err) == "" {
			return err
		} // else this server has no such setting
	}
	return nil
}

// defaultConnections is how many read and how many write: two writers, so that
// one batch is gathered while another is committed.
func defaultConnections() (readers, writers int) {
	return max(4, runtime.GOMAXPROCS(0)), 2
}
