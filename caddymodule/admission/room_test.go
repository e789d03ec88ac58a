package admission

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// guest is one who arrives, and notes whether it was told to make way.
type guest struct {
	Arrival
	told int
}

func enter(t *testing.T, r *Room, bytes int64) *guest {
	t.Helper()
	g := new(guest)
	r.Begin(&g.Arrival, func() { g.told++ })
	if err := r.Take(&g.Arrival, bytes); err != nil {
		t.Fatal(err)
	}
	return g
}

// Threat: slow clients fill the room in which bodies arrive. Who has been arriving
// longest makes way, as many as are in the way and no more, whatever came when.
func TestOldestMakesWay(t *testing.T) {
	r := NewRoom(100)
	guests := []*guest{enter(t, r, 30), enter(t, r, 30), enter(t, r, 30)}
	if err := r.Take(&guests[0].Arrival, 10); err != nil {
		t.Fatal(err)
	}
	told := func() (list []int) {
		for _, g := range guests {
			list = append(list, g.told)
		}
		return list
	}
	for _, step := range []struct {
		bytes int64
		want  []int
	}{
		{1, []int{1, 0, 0, 0}},
		{39, []int{1, 0, 0, 0, 0}},
		{31, []int{1, 1, 1, 0, 0, 0}}, // one would have been too few
		{100, []int{1, 1, 1, 1, 1, 1, 0}},
	} {
		guests = append(guests, enter(t, r, step.bytes))
		if got := told(); !slices.Equal(got, step.want) {
			t.Fatalf("%d bytes more: %v, want %v", step.bytes, got, step.want)
		}
	}
	for i, g := range guests {
		last := i == len(guests)-1
		if err := r.Take(&g.Arrival, 0); errors.Is(err, ErrFull) == last {
			t.Errorf("%d goes on: %v", i, err)
		}
		if r.End(&g.Arrival) == last {
			t.Errorf("%d: it is told the opposite", i)
		}
	}
	defer r.End(&enter(t, r, 100).Arrival)
}

// Who wants more than the room has makes way itself, last.
func TestTooMuchForTheRoom(t *testing.T) {
	r := NewRoom(100)
	other, g := enter(t, r, 10), enter(t, r, 10)
	if err := r.Take(&g.Arrival, 91); !errors.Is(err, ErrFull) || g.told != 1 || other.told != 1 {
		t.Errorf("%v; told %d, %d times", err, g.told, other.told)
	}
	if !r.End(&g.Arrival) || !r.End(&other.Arrival) || r.Load() != 0 || r.free != 100 {
		t.Errorf("afterwards %d arrive, %d bytes are free", r.Load(), r.free)
	}
}

// Whatever comes and goes at once, no byte is given out twice, none is lost, and
// nobody is told anything once it has gone.
func TestRoomAtOnce(t *testing.T) {
	const bytes = 1000
	r := NewRoom(bytes)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 500 {
				var g guest
				var mu sync.Mutex
				ended := false
				r.Begin(&g.Arrival, func() {
					mu.Lock()
					defer mu.Unlock()
					if g.told++; ended {
						t.Error("it is told when it has gone")
					}
				})
				for range 3 {
					if err := r.Take(&g.Arrival, rand.Int64N(bytes/4)); err != nil {
						break
					}
				}
				evicted := r.End(&g.Arrival)
				mu.Lock()
				if ended = true; evicted != (g.told == 1) {
					t.Errorf("evicted is %v, told %d times", evicted, g.told)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if r.Load() != 0 || r.free != bytes {
		t.Errorf("afterwards %d arrive, %d bytes are free", r.Load(), r.free)
	}
}
