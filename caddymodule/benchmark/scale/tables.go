package main

import "fmt"

// Table is one of the database's at the peak.
type Table struct {
	Name, Kept  string
	Rows, Bytes float64
	instead     bool // of the one before: it does not count
}

// Tables are those that have sizes to speak of.
func (m *Model) Tables() []Table {
	replaced := m.table("refresh_tokens", "if replaced at every use", m.Refreshes()/m.Peak*held(m.RefreshLife, refreshPartition))
	replaced.instead = true
	return []Table{
		m.table("accounts", "one a user", m.Users),
		m.table("consents", "one a user", m.Users),
		m.table("grants", "one a user", m.Users),
		m.table("refresh_tokens", "one a grant, if kept when used", m.Users),
		replaced,
		m.table("sessions", fmt.Sprintf("%.0f hours", m.SessionLife/3600), m.SignIns()*m.SessionLife),
		m.accessTokens(),
		m.table("handles", "codes, until the partition goes", m.SignIns()*held(60, tokenPartition)),
	}
}

func (m *Model) accessTokens() Table {
	return m.table("access_tokens", "their life, and until the partition goes", m.Issued()*held(m.TokenLife, tokenPartition))
}

func (m *Model) table(name, kept string, rows float64) Table {
	return Table{Name: name, Kept: kept, Rows: rows, Bytes: rows * m.Of("bytes", name)}
}

// held is for how long rows are there that live so long in partitions of that
// width, in seconds: the first of a partition waits for the last.
func held(life, width float64) float64 { return life + width*(1+partitionStays) }

// Disk is what the tables take together.
func (m *Model) Disk() (sum float64) {
	for _, t := range m.Tables() {
		if !t.instead {
			sum += t.Bytes
		}
	}
	return sum
}

// Hour is an hour's partition of access tokens.
func (m *Model) Hour() Table { return m.table("access_tokens", "", m.Issued()*tokenPartition) }

// Day is a day's partition of refresh tokens that are replaced at every use.
func (m *Model) Day() Table {
	return m.table("refresh_tokens", "", m.Refreshes()/m.Peak*refreshPartition)
}

// Hot is what should be in the database's memory: the access tokens, and the
// grants and refresh tokens of the users who are there.
func (m *Model) Hot() float64 {
	return m.accessTokens().Bytes + m.Tokens()*(m.Of("bytes", "grants")+m.Of("bytes", "refresh_tokens"))
}
