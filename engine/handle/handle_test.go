package handle

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// Parse is the inverse of Format, and of nothing else.
func TestFormatAndParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := model.ID(rapid.Int64Range(1, 1<<63-1).Draw(t, "id"))
		var s Secret
		copy(s[:], rapid.SliceOfN(rapid.Byte(), secretLen, secretLen).Draw(t, "secret"))
		text := Format(AccessToken, id, &s)
		gotID, gotSecret, err := Parse(AccessToken, text)
		if err != nil || gotID != id || gotSecret != s || len(text) != Len {
			t.Fatalf("%s: %d %v", text, gotID, err)
		}
		if _, _, err := Parse(RefreshToken, text); !errors.Is(err, ErrMalformed) {
			t.Fatalf("%s passes for another type", text)
		}
	})
}

// threats.md 18: whatever Parse accepts is exactly what Format gives.
func FuzzParse(f *testing.F) {
	var s Secret
	f.Add(Format(AccessToken, 1, &s))
	f.Add("ga_")
	f.Add("ga_" + strings.Repeat("A", 54))
	f.Add("ga_" + strings.Repeat("\n", 54))
	f.Fuzz(func(t *testing.T, text string) {
		id, secret, err := Parse(AccessToken, text)
		if err == nil && Format(AccessToken, id, &secret) != text {
			t.Errorf("%q is accepted and is not canonical", text)
		}
		if err == nil && id <= 0 {
			t.Errorf("%q gives the id %d", text, id)
		}
	})
}

// Ids ascend, whatever the clock does and however many draw at once.
func TestIDsAscend(t *testing.T) {
	now := time.Now()
	ids := NewIDs(func() time.Time { return now }, rand.Reader)
	last := ids.Next()
	for i := range 1000 {
		if i == 500 {
			now = now.Add(-time.Hour)
		}
		next := ids.Next()
		if next <= last {
			t.Fatalf("%d after %d", next, last)
		}
		last = next
	}
	const drawers, draws = 16, 1000
	all := make([][]model.ID, drawers)
	var wg sync.WaitGroup
	for i := range drawers {
		wg.Go(func() {
			for range draws {
				all[i] = append(all[i], ids.Next())
			}
		})
	}
	wg.Wait()
	flat := slices.Concat(all...)
	slices.Sort(flat)
	if len(slices.Compact(flat)) != drawers*draws {
		t.Error("an id was drawn twice")
	}
}

// An id says when it was drawn.
func TestIDTime(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 123e6, time.UTC)
	id := NewIDs(func() time.Time { return now }, nil).Next()
	if got := Time(id).UTC(); !got.Equal(now) {
		t.Errorf("got %s, want %s", got, now)
	}
}

// Nodes that draw in the same millisecond start at different places.
func TestNodesRarelyCollide(t *testing.T) {
	now := time.Now()
	seen := map[model.ID]int{}
	for range 1000 {
		seen[NewIDs(func() time.Time { return now }, nil).Next()]++
	}
	if collisions := 1000 - len(seen); collisions > 20 {
		t.Errorf("%d of 1000 nodes collide", collisions)
	}
}

// threats.md 34: secrets come from the source given, which is crypto/rand in
// the engine; one that fails yields no secret.
func TestThreat34SecretsAreRandom(t *testing.T) {
	if _, err := NewSecret(bytes.NewReader(make([]byte, 10))); err == nil {
		t.Error("a short read gave a secret")
	}
	a, errA := NewSecret(rand.Reader)
	b, errB := NewSecret(rand.Reader)
	if errA != nil || errB != nil || a == b || a == (Secret{}) {
		t.Error("two secrets are alike")
	}
	if !a.Matches(a.Hash()) || a.Matches(b.Hash()) || a.Matches([32]byte{}) {
		t.Error("Matches is wrong")
	}
}

func BenchmarkFormat(b *testing.B) {
	s, _ := NewSecret(rand.Reader)
	b.ReportAllocs()
	for b.Loop() {
		Format(AccessToken, 12345, &s)
	}
}

func BenchmarkParse(b *testing.B) {
	s, _ := NewSecret(rand.Reader)
	text := Format(AccessToken, 12345, &s)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse(AccessToken, text); err != nil {
			b.Fatal(err)
		}
	}
}
