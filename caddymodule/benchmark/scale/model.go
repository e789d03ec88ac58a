package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/caddymodule/benchmark/scale/measured"
)

// Assumed is what nobody has measured: how many users there are and what they
// do, and what an operator buys.
type Assumed struct {
	Users, Checks  float64 // people; requests a second at the peak
	PerUser        float64 // requests a second of a user who is there
	SignInsADay    float64 // of a user
	Peak           float64 // the busiest hour by the mean one
	TokenLife      float64 // seconds
	RefreshLife    float64 // seconds
	SessionLife    float64 // seconds
	CacheTTL       float64 // seconds, of a gateway that follows no stream
	NodeCores, Use float64 // and the share of them that is busy at the peak
	Regions        float64
}

func assume() Assumed {
	return Assumed{
		Users: 100e6, Checks: 1e6, PerUser: 0.1, SignInsADay: 0.2, Peak: 3,
		TokenLife: 3600, RefreshLife: 30 * 86400, SessionLife: 12 * 3600, CacheTTL: 60,
		NodeCores: 16, Use: 0.5, Regions: 4,
	}
}

// err says which assumption is none.
func (a Assumed) err() error {
	for name, value := range map[string]float64{
		"users": a.Users, "checks": a.Checks, "per-user": a.PerUser, "sign-ins": a.SignInsADay, "token-life": a.TokenLife, "cores": a.NodeCores,
	} {
		if !(value > 0) || math.IsInf(value, 0) {
			return fmt.Errorf("-%s %v: it must be more than 0", name, value)
		}
	}
	return nil
}

// Partition widths of the store, and how long one that is over stays, in seconds.
const (
	tokenPartition   = 3600.0
	refreshPartition = 86400.0
	partitionStays   = 1.0 / 6 // of its width
	// mostTogether is how many writes of a node one transaction takes, and
	// writersANode how many transactions a node has under way.
	mostTogether, writersANode = 128.0, 2.0
)

// Model computes from both.
type Model struct {
	Assumed
	Machine string
	rows    map[string]map[string]float64
	missing []string
}

func newModel(file measured.File, a Assumed) *Model {
	return &Model{Assumed: a, Machine: file.Machine, rows: file.Rows}
}

// Of is a number that was measured.
func (m *Model) Of(row, name string) float64 {
	value, ok := m.rows[row][name]
	if !ok {
		m.missing = append(m.missing, row+"."+name)
	}
	return value
}

// err says which numbers are missing.
func (m *Model) err() error {
	if len(m.missing) == 0 {
		return nil
	}
	slices.Sort(m.missing)
	return fmt.Errorf("not measured: %s", strings.Join(slices.Compact(m.missing), ", "))
}

// Node is how many seconds of a node's processor an operation takes.
func (m *Model) Node(row string) float64 { return m.Of(row, "node_cpu_us") / 1e6 }

// Database is how many seconds of PostgreSQL's processor an operation takes.
func (m *Model) Database(row string) float64 { return m.Of(row, "postgres_cpu_us") / 1e6 }

// Wrote is how much of rows or WAL an operation writes. A share of a row is what
// nodes write by themselves now and then, and nobody's.
func (m *Model) Wrote(row, name string) float64 {
	if value := m.Of(row, name); value >= 0.1 {
		return value
	}
	return 0
}

// Tokens is how many access tokens are in use at the peak: one a user who is there.
func (m *Model) Tokens() float64 { return m.Checks / m.PerUser }

// Refreshes is how many there are a second at the peak.
func (m *Model) Refreshes() float64 { return m.Tokens() / m.TokenLife }

// SignIns is how many there are a second at the peak.
func (m *Model) SignIns() float64 { return m.Users * m.SignInsADay * m.Peak / 86400 }

// Issued is how many access tokens are issued a second at the peak.
func (m *Model) Issued() float64 { return m.Refreshes() + m.SignIns() }

// Gateways is how many nodes check the tokens of all requests.
func (m *Model) Gateways() float64 {
	return m.nodes(m.Checks * m.Node("postgres-introspection-cached"))
}

// nodes is how many nodes have that many cores to spare.
func (m *Model) nodes(cores float64) float64 { return math.Ceil(cores / (m.NodeCores * m.Use)) }

// Caching is one way to run the gateways.
type Caching struct {
	Name              string
	Asked, Hit        float64 // questions a second; the share that is answered from memory
	Entries, Memory   float64 // a gateway's, in bytes
	Engine, Databases float64 // cores that the questions take
}

// Cachings compares ways to run them.
func (m *Model) Cachings() []Caching {
	all, one := m.Gateways(), 1.0
	list := []Caching{
		m.caching("a minute, any gateway", all, m.CacheTTL),
		m.caching("a minute, one gateway a token", one, m.CacheTTL),
		m.caching("the token's life with the revocation stream, any gateway", all, m.TokenLife),
		m.caching("the same, one gateway a token", one, m.TokenLife),
	}
	return append(list, Caching{Name: "JWT access tokens", Hit: 1})
}

func (m *Model) caching(name string, gateways, ttl float64) Caching {
	asked := misses(m.Tokens(), m.PerUser, gateways, ttl)
	known := entries(m.Tokens(), m.PerUser, gateways, ttl) * gateways / m.Gateways()
	return Caching{
		Name: name, Asked: asked, Hit: 1 - asked/m.Checks, Entries: known, Memory: known * m.Of("million", "bytes"),
		Engine: asked * m.Node("postgres-introspection"), Databases: asked * m.Database("postgres-introspection"),
	}
}

// Planned is the way that the plan takes: the token's life, one gateway a token.
func (m *Model) Planned() Caching { return m.Cachings()[3] }

// Work is what one kind of operation takes at the peak.
type Work struct {
	Name           string
	Rate           float64 // a second
	Node, Database float64 // cores
	WAL, Written   float64 // bytes and rows a second
}

// Works are the operations of the plan, and their sum. What sign-ins take of
// PostgreSQL was measured without the hash, so with others beside them.
func (m *Model) Works() []Work {
	signIns := m.work("sign-ins", "postgres-quick-sign-in", m.SignIns())
	signIns.Node = m.SignIns() * m.Node("postgres-sign-in")
	list := []Work{
		signIns,
		m.work("refreshes", "postgres-refresh", m.Refreshes()),
		m.work("introspections that no gateway remembers", "postgres-introspection", m.Planned().Asked),
	}
	sum := Work{Name: "together"}
	for _, w := range list {
		sum.Node, sum.Database, sum.WAL, sum.Written = sum.Node+w.Node, sum.Database+w.Database, sum.WAL+w.WAL, sum.Written+w.Written
	}
	return append(list, sum)
}

func (m *Model) work(name, row string, rate float64) Work {
	return Work{
		Name: name, Rate: rate, Node: rate * m.Node(row), Database: rate * m.Database(row),
		WAL: rate * m.Wrote(row, "wal_bytes"), Written: rate * m.Wrote(row, "rows_written"),
	}
}

// Sum is what all operations take.
func (m *Model) Sum() Work { works := m.Works(); return works[len(works)-1] }

// BadDay is how many cores of engine nodes are busy on the day on which the
// gateways are run in the worst way.
func (m *Model) BadDay() float64 { return m.Sum().Node - m.Planned().Engine + m.Uncached().Engine }

// Engines is how many nodes do the work that is not the gateways', on that day too.
func (m *Model) Engines() float64 { return max(2, m.nodes(m.BadDay())) }

// Replicas is how many carry that day's introspections.
func (m *Model) Replicas() float64 { return max(1, m.nodes(m.Uncached().Databases)) }

// Argon2id is what a password's hash costs, in seconds of a processor.
func (m *Model) Argon2id() float64 {
	return m.Node("postgres-sign-in") - m.Node("postgres-quick-sign-in")
}

// Hold is how long a transaction that tells the feed keeps the others from it, in
// seconds.
func (m *Model) Hold() float64 { return 1 / m.Of("feed", "transactions") }

// FeedWait is how long one waits for the others when every writer of every node
// has one under way.
func (m *Model) FeedWait() float64 { return m.Engines() * writersANode * m.Hold() }

// FeedCeiling is how many writes a second can tell the feed, when transactions
// are as full as they get.
func (m *Model) FeedCeiling() float64 { return mostTogether / m.Hold() }

// FeedTold is how many do at the peak: a refresh ends the token before it.
func (m *Model) FeedTold() float64 { return m.Refreshes() }
