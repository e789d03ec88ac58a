package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Inspect says how the database is, and the nodes that use it. What cannot be looked
// at is a finding.
func (s *Store) Inspect(ctx context.Context) ([]store.Finding, error) {
	schema, readable := s.inspectSchema(ctx)
	findings := []store.Finding{schema}
	if !readable {
		return findings, ctx.Err()
	}
	for _, look := range []struct {
		name string
		at   func(context.Context) ([]store.Finding, error)
	}{
		{"server", s.inspectServer}, {"writing", s.inspectWriting}, {"clock", s.inspectClock}, {"node", s.inspectNodes}, {"disk", s.inspectSize},
		{"partitions", s.inspectPartitions}, {"replica", s.inspectReplicas}, {"read replica", s.inspectReadReplica},
	} {
		found, err := look.at(ctx)
		if ctx.Err() != nil {
			return findings, ctx.Err()
		}
		if findings = append(findings, found...); err != nil {
			findings = append(findings, failed(look.name, err))
		}
	}
	return findings, nil
}

// failed is what could not be looked at.
func failed(name string, err error) store.Finding {
	return store.Finding{Name: name, Value: err.Error(), Advice: cmp.Or(Advice(err), "see the database's log"), Failing: true}
}

// inspectSchema reports too whether anything else can be read: not of the tables of
// another version, unless that says so.
func (s *Store) inspectSchema(ctx context.Context) (f store.Finding, readable bool) {
	r, err := s.reads.one(ctx, `SELECT max(version_id), (`+selectOldest+`) FROM goose_db_version WHERE is_applied`)
	if err != nil {
		return failed("schema", err), true
	}
	current, oldest := r.Int(0), r.Int(1)
	f = store.Finding{Name: "schema", Value: fmt.Sprintf("%d, this version knows %d", current, s.known)}
	if err := newer(current, oldest, s.known); err != nil {
		f.Value, f.Advice, f.Failing = err.Error(), "run the version that wrote it", true
		return f, false
	}
	switch {
	case current < s.known:
		f.Advice = "start this version: it migrates"
	case current > s.known:
		f.Advice = "a newer version has been started on this database: finish the upgrade"
	}
	return f, current >= s.known
}

// leastVersion is the lowest version of PostgreSQL, as server_version_num has it.
const leastVersion = 120000

// inspectServer looks at what a commit is worth on this server.
func (s *Store) inspectServer(ctx context.Context) ([]store.Finding, error) {
	r, err := s.reads.one(ctx, `SELECT version(), current_setting('fsync', true), current_setting('full_page_writes', true),
		current_setting('synchronous_commit', true), (SELECT count(*) FROM pg_stat_activity), current_setting('max_connections', true)::bigint,
		current_setting('server_encoding', true), current_setting('server_version_num', true)::bigint`)
	if err != nil {
		return nil, err
	}
	durable := store.Finding{Name: "durability", Value: fmt.Sprintf("fsync %s, full_page_writes %s, synchronous_commit %s", r.Text(1), r.Text(2), r.Text(3))}
	if r.Text(1) == "off" || r.Text(2) == "off" {
		durable.Advice, durable.Failing = "turn them on: what was acknowledged may be lost when the machine fails", true
	}
	connections := store.Finding{Name: "connections", Value: fmt.Sprintf("%d of %d", r.Int(4), r.Int(5))}
	if r.Int(5) > 0 && r.Int(4)*10 > r.Int(5)*9 {
		connections.Advice = "raise max_connections, or let nodes open fewer (readers, writers)"
	}
	server := store.Finding{Name: "server", Value: fmt.Sprintf("%s, encoding %s", r.Text(0), r.Text(6))}
	switch {
	case r.Text(6) != "UTF8":
		server.Advice, server.Failing = "make a database in UTF-8: in this one not every name can be kept", true
	case r.Int(7) < leastVersion:
		server.Advice = "use PostgreSQL 12 or later"
	}
	return []store.Finding{server, durable, connections}, nil
}

// inspectWriting looks whether nodes may write, and make and drop tables as they do
// all the time.
func (s *Store) inspectWriting(ctx context.Context) ([]store.Finding, error) {
	r, err := s.reads.one(ctx, `SELECT current_setting('transaction_read_only') = 'on', current_user::text, n.nspname::text,
		has_schema_privilege(n.oid, 'CREATE') AND pg_has_role(c.relowner, 'USAGE')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'access_tokens'::regclass`)
	if err != nil {
		return nil, err
	}
	if r.Bool(0) {
		return []store.Finding{failed("writing", errReadOnly)}, nil
	}
	if !r.Bool(3) {
		return []store.Finding{failed("writing", fmt.Errorf("%w: %s may not change the tables in the schema %s", errNoRight, r.Text(1), r.Text(2)))}, nil
	}
	return []store.Finding{{Name: "writing", Value: fmt.Sprintf("by %s, in the schema %s", r.Text(1), r.Text(2))}}, nil
}

func (s *Store) inspectClock(ctx context.Context) ([]store.Finding, error) {
	asked := s.opts.Now()
	r, err := s.reads.one(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint`)
	if err != nil {
		return nil, err
	}
	return []store.Finding{clockFinding(apart(asked, s.opts.Now(), r.Int(0)))}, nil
}

// inspectNodes looks at what the nodes have said last. Those that ended well have
// taken their rows with them.
func (s *Store) inspectNodes(ctx context.Context) (findings []store.Finding, err error) {
	rows, err := s.reads.query(ctx, `SELECT name, schema, ahead, feed, `+databaseSeconds+` - seen FROM nodes WHERE seen > `+databaseSeconds+` - $1::bigint ORDER BY name`,
		int64(goneAfter/time.Second))
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		ahead, lag := time.Duration(r.Int(2))*time.Millisecond, time.Duration(r.Int(3))*time.Millisecond
		silent := time.Duration(r.Int(4)) * time.Second
		f := store.Finding{Name: "node", Value: fmt.Sprintf("%s: schema %d, clock %s from the database's, had all changes %s before its last beat",
			r.Text(0), r.Int(1), ahead.Abs(), lag)}
		switch {
		case silent > 3*beatInterval:
			f.Value = fmt.Sprintf("%s: has not been heard of for %s", r.Text(0), silent)
			f.Advice = "if it still runs, it does not follow what others change: restart it; else it is forgotten within an hour"
		case lag > maxFeedLag:
			f.Advice = "what others revoke may still hold there: is it overloaded? else restart it"
		case ahead.Abs() > maxSkew:
			f.Advice = "let it follow a time server"
		}
		findings = append(findings, f)
	}
	return findings, nil
}

func (s *Store) inspectSize(ctx context.Context) ([]store.Finding, error) {
	r, err := s.reads.one(ctx, `SELECT pg_database_size(current_database()), (SELECT f.last - l.floor FROM feed f, feed_floor l WHERE f.id = 1 AND l.id = 1),
		(SELECT count(*) FROM leases WHERE name = 'sweeper' AND until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint)`)
	if err != nil {
		return nil, err
	}
	findings := []store.Finding{
		{Name: "disk", Value: fmt.Sprintf("the database has %s", humanize.IBytes(uint64(r.Int(0))))},
		{Name: "change feed", Value: fmt.Sprintf("%d changes of the last hour", r.Int(1))},
	}
	if r.Int(2) == 0 {
		findings = append(findings, store.Finding{Name: "sweeper", Value: "no node sweeps at this moment", Advice: "expired rows stay until a node is started"})
	}
	return findings, nil
}

// inspectReplicas looks at the replicas that the server tells of.
func (s *Store) inspectReplicas(ctx context.Context) (findings []store.Finding, err error) {
	rows, err := s.reads.query(ctx, `SELECT application_name, state, sync_state, coalesce((extract(epoch FROM replay_lag) * 1000)::bigint, 0)
		FROM pg_stat_replication ORDER BY application_name`)
	if err != nil {
		return nil, ctx.Err() // other databases have no such view, and users may not see it
	}
	for _, r := range rows {
		findings = append(findings, store.Finding{Name: "replica", Value: fmt.Sprintf("%s: %s, %s, %s behind",
			r.Text(0), r.Text(1), r.Text(2), time.Duration(r.Int(3))*time.Millisecond)})
	}
	return findings, nil
}

// inspectReadReplica looks at the replica that introspection asks, without which
// nodes go on.
func (s *Store) inspectReadReplica(ctx context.Context) ([]store.Finding, error) {
	if s.replica == nil {
		return nil, nil
	}
	f := store.Finding{Name: "read replica"}
	there, err := s.replica.reads.one(ctx, `SELECT name, last FROM feed WHERE id = 1`)
	if err != nil {
		f.Value, f.Advice = err.Error(), cmp.Or(Advice(err), "see the replica's log")+": the primary is asked meanwhile"
		return []store.Finding{f}, nil
	}
	here, err := s.reads.one(ctx, `SELECT name, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, (SELECT at FROM changes WHERE seq = $1) FROM feed WHERE id = 1`,
		there.Int(1)+1)
	if err != nil {
		return nil, err
	}
	behind := time.Duration(0)
	if !here.Null(2) { // when the first change that it does not have was told
		behind = max(0, time.Duration(here.Int(1)-here.Int(2))*time.Millisecond)
	}
	switch f.Value = behind.String() + " behind"; {
	case here.Text(0) != there.Text(0):
		f.Value, f.Advice = "follows another database", "see its host and port in the connection string: the primary is asked meanwhile"
	case behind > maxSkew: // by the clock of the node that told the change
		f.Advice = "see why it does not keep up: the primary is asked meanwhile"
	}
	return []store.Finding{f}, nil
}
