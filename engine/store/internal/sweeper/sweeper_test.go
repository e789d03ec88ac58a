package sweeper

import (
	"context"
	"errors"
	"slices"
	"sort"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a table in memory: rows in the order of their keys.
type memory struct {
	rows    []memoryRow
	looked  int
	ordered bool
	failure error
}

type memoryRow struct{ key, expires int64 }

func (m *memory) table() Table {
	return Table{Ordered: m.ordered, Sweep: func(_ context.Context, now, from int64, n int) (seen Seen, err error) {
		if m.failure != nil || len(m.rows) == 0 {
			return seen, m.failure
		}
		i := sort.Search(len(m.rows), func(i int) bool { return m.rows[i].key > from })
		look := m.rows[i:min(i+n, len(m.rows))]
		seen.Looked, seen.End = len(look), m.rows[len(m.rows)-1].key
		m.looked += len(look)
		if len(look) > 0 {
			seen.Last = look[len(look)-1].key
		}
		goes := func(r memoryRow) bool { return r.expires <= now }
		if slices.ContainsFunc(look, goes) {
			kept := slices.DeleteFunc(slices.Clone(look), goes)
			seen.Removed = len(look) - len(kept)
			m.rows = slices.Concat(m.rows[:i], kept, m.rows[i+len(look):])
		}
		return seen, nil
	}}
}

// add adds rows that expire at a time.
func (m *memory) add(n int, expires int64) {
	next := int64(1)
	if len(m.rows) > 0 {
		next = m.rows[len(m.rows)-1].key + 1
	}
	for i := range n {
		m.rows = append(m.rows, memoryRow{next + int64(i), expires})
	}
}

func (m *memory) expired(now int64) (n int) {
	for _, r := range m.rows {
		if r.expires <= now {
			n++
		}
	}
	return n
}

// ticks has a sweeper do n ticks of a second, before each of which something
// happens.
func ticks(t *testing.T, s *Sweeper, n int, before func()) {
	t.Helper()
	for range n {
		before()
		begin := time.Now()
		for more := true; more; {
			var err error
			if more, err = s.Tick(t.Context(), time.Now, time.Second); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(max(0, time.Second-time.Since(begin)))
	}
}

// What expires as fast as it comes goes as fast, among rows that stay too: it is
// there for two rounds at most (DESIGN, Tokens and storage).
func TestKeepsUp(t *testing.T) {
	for name, test := range map[string]struct{ stay, rate, life int }{
		"rows of seconds":       {0, 3000, 5},
		"beside many that stay": {200_000, 3000, 5},
		"many at once":          {0, 10_000, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := new(memory)
				m.add(test.stay, 1<<50)
				s, most := New(m.table()), 0
				for range 18 {
					ticks(t, s, 5, func() { m.add(test.rate, time.Now().Unix()+int64(test.life)) })
					most = max(most, m.expired(time.Now().Unix()))
				}
				// What expires just behind the sweeper waits for the next round.
				bound := test.rate * (5 + 2*(test.stay+test.rate*test.life)/least)
				if most > bound {
					t.Errorf("%d rows had expired and were still there (at most %d)", most, bound)
				}
			})
		})
	}
}

// A large table keeps no other waiting, and is itself gone along in time,
// without looking at more than its share at once.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large, small := new(memory), new(memory)
		large.add(3_000_000, 1<<50)
		large.add(1, 1)
		small.add(700, 1)
		s := New(large.table(), small.table())
		ticks(t, s, 1, func() {})
		if len(small.rows) > 0 {
			t.Errorf("%d rows of the small table wait", len(small.rows))
		}
		rounds := int(round / time.Second)
		ticks(t, s, rounds, func() {})
		if n := large.expired(1); n > 0 {
			t.Errorf("after %s what has expired at the end of a large table is there", round)
		}
		large.looked = 0
		ticks(t, s, 10, func() {})
		if share := 3_000_000 / rounds; large.looked < 10*share || large.looked > 10*(share+step) {
			t.Errorf("looked at %d rows in ten seconds, of which %d are the share of each", large.looked, share)
		}
	})
}

// A round does not run after rows that are added meanwhile.
func TestRoundEnds(t *testing.T) {
	m := new(memory)
	m.add(2*step, 1<<50)
	w := &walk{Table: m.table(), from: start}
	for turn := 1; ; turn++ {
		_, ended, err := w.turn(t.Context(), 0, step)
		if err != nil || turn > 2 {
			t.Fatalf("turn %d: %v", turn, err)
		}
		if ended {
			return
		}
		m.add(10*step, 1<<50)
	}
}

// Where rows expire in the order of the key, those that stay are not looked at,
// but for a step of them.
func TestOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{ordered: true}
		m.add(5*step, 1)
		m.add(1_000_000, 1<<50)
		ticks(t, New(m.table()), 1, func() {})
		if m.expired(1) > 0 || m.looked > 6*step {
			t.Errorf("%d are left, %d were looked at", m.expired(1), m.looked)
		}
	})
}

// Sweep looks at no more than it may, and at every table: store.Store.
func TestSweepLimit(t *testing.T) {
	a, b := new(memory), new(memory)
	a.add(10_000, 1<<50)
	b.add(30, 1)
	s := New(a.table(), b.table())
	for range 10 {
		a.looked, b.looked = 0, 0
		if _, err := s.Sweep(t.Context(), time.Unix(9, 0), 7); err != nil || a.looked+b.looked > 7 {
			t.Fatalf("looked at %d and %d: %v", a.looked, b.looked, err)
		}
	}
	if len(b.rows) > 0 {
		t.Errorf("%d rows behind those of a large table have not gone", len(b.rows))
	}
	a.looked = 0
	if _, err := s.Sweep(t.Context(), time.Unix(9, 0), 1<<40); err != nil || a.looked > 2*10_000 {
		t.Errorf("a limit beyond all rows: looked at %d: %v", a.looked, err)
	}
}

// A table that cannot be swept does not keep the others from it, and is tried
// again.
func TestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken, well := &memory{failure: errors.New("broken")}, new(memory)
		broken.add(3, 1)
		well.add(3*step, 1)
		s := New(broken.table(), well.table())
		if more, err := s.Tick(t.Context(), time.Now, time.Second); more || !errors.Is(err, broken.failure) || len(well.rows) > 0 {
			t.Errorf("%v %v: %d rows wait", more, err, len(well.rows))
		}
		broken.failure = nil
		if _, err := s.Tick(t.Context(), time.Now, time.Second); err != nil || len(broken.rows) > 0 {
			t.Errorf("%v: %d rows wait", err, len(broken.rows))
		}
	})
}

// A tick gives its caller the time to do other things, and ends with its context.
func TestTickEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		m.add(2*turns*step, 1)
		s := New(m.table())
		if more, err := s.Tick(t.Context(), time.Now, time.Second); !more || err != nil || len(m.rows) != turns*step {
			t.Errorf("%v %v: %d rows", more, err, len(m.rows))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if more, err := s.Tick(ctx, time.Now, time.Second); more || !errors.Is(err, context.Canceled) {
			t.Errorf("%v %v", more, err)
		}
	})
}

// A table in which nothing expires is hardly looked at, and what expires in it
// after all goes within a minute.
func TestRests(t *testing.T) {
	for _, rows := range []int{3, 3000, 20_000} {
		synctest.Test(t, func(t *testing.T) {
			m := new(memory)
			m.add(rows, 1<<50)
			s := New(m.table())
			ticks(t, s, 60, func() {})
			m.looked = 0
			ticks(t, s, 600, func() {})
			if most := min(600*rows, 600*least/2); m.looked > most {
				t.Errorf("%d of %d rows were looked at in ten minutes, at most %d are worth it", m.looked, rows, most)
			}
			m.add(1, 1)
			ticks(t, s, 60, func() {})
			if m.expired(1) > 0 {
				t.Errorf("of %d rows, one that expired a minute ago is there", rows)
			}
		})
	}
}

// Many that have expired between others that stay do not wait for these to be
// looked at.
func TestAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		for range 200_000 / worth {
			m.add(1, 1)
			m.add(worth-1, 1<<50)
		}
		s := New(m.table())
		s.tables[0].before = 0
		ticks(t, s, 10, func() {})
		if n := m.expired(1); n > 0 {
			t.Errorf("%d of %d that have expired are there after ten seconds", n, 200_000/worth)
		}
	})
}
