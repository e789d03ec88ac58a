package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Inspect says how the database is, and the nodes that use it.
func (s *Store) Inspect(ctx context.Context) (findings []store.Finding, err error) {
	schema, older, err := s.inspectSchema(ctx)
	if err != nil || older {
		return []store.Finding{schema}, err
	}
	findings = append(findings, schema)
	for _, look := range []func(context.Context) ([]store.Finding, error){
		s.inspectServer, s.inspectClock, s.inspectNodes, s.inspectSize, s.inspectPartitions, s.inspectReplicas,
	} {
		found, err := look(ctx)
		if err != nil {
			return nil, err
		}
		findings = append(findings, found...)
	}
	return findings, nil
}

// inspectServer looks at what a commit is worth on this server.
func (s *Store) inspectServer(ctx context.Context) ([]store.Finding, error) {
	r, err := s.reads.one(ctx, `SELECT version(), current_setting('fsync', true), current_setting('full_page_writes', true),
		current_setting('synchronous_commit', true), (SELECT count(*) FROM pg_stat_activity), current_setting('max_connections', true)::bigint`)
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
	return []store.Finding{{Name: "server", Value: r.Text(0)}, durable, connections}, nil
}

// inspectSchema reports too whether the tables are those of an older version,
// of which nothing else can be read.
func (s *Store) inspectSchema(ctx context.Context) (f store.Finding, older bool, err error) {
	r, err := s.reads.one(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`)
	if err != nil {
		return f, false, err
	}
	f = store.Finding{Name: "schema", Value: fmt.Sprintf("%d, this version knows %d", r.Int(0), s.known)}
	switch older = r.Int(0) < s.known; {
	case older:
		f.Advice = "start this version: it migrates"
	case r.Int(0) > s.known:
		f.Advice = "a newer version has been started on this database: finish the upgrade"
	}
	return f, older, nil
}

func (s *Store) inspectClock(ctx context.Context) ([]store.Finding, error) {
	asked := s.opts.Now()
	r, err := s.reads.one(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint`)
	if err != nil {
		return nil, err
	}
	return []store.Finding{clockFinding(apart(asked, s.opts.Now(), r.Int(0)))}, nil
}

// inspectNodes looks at what the nodes have said within the last beats.
func (s *Store) inspectNodes(ctx context.Context) (findings []store.Finding, err error) {
	rows, err := s.reads.query(ctx, `SELECT name, schema, ahead, feed FROM nodes WHERE seen > `+databaseSeconds+` - $1::bigint ORDER BY name`,
		int64(3*beatInterval/time.Second))
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		ahead, lag := time.Duration(r.Int(2))*time.Millisecond, time.Duration(r.Int(3))*time.Millisecond
		f := store.Finding{Name: "node", Value: fmt.Sprintf("%s: schema %d, clock %s from the database's, had all changes %s before its last beat",
			r.Text(0), r.Int(1), ahead.Abs(), lag)}
		switch {
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
