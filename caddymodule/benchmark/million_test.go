package main

import (
	"runtime"
	"testing"
	"time"
)

// What is measured are hits: each token that is asked for is there, and nothing
// is asked again.
func TestFilledCache(t *testing.T) {
	const tokens = 2000
	c, err := newFilledCache(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if fetches := c.Stats().Fetches; fetches != tokens {
		t.Errorf("%d introspections of %d tokens", fetches, tokens)
	}
	share, err := c.count(t.Context())
	if err != nil || share < 0.99 || share != float64(len(c.known))/tokens {
		t.Fatalf("share %v, %d known, error %v", share, len(c.known), err)
	}
	before := c.Stats()
	s, err := c.hits(t.Context(), 10*time.Millisecond)
	if err != nil || s.operations == 0 || s.elapsed <= 0 {
		t.Fatalf("%+v, error %v", s, err)
	}
	after := c.Stats()
	if hits := after.Hits - before.Hits; hits != uint64(s.operations) || after.Misses != before.Misses {
		t.Errorf("%d hits and %d misses in %d operations", hits, after.Misses-before.Misses, s.operations)
	}
	if n, err := c.allocations(t.Context()); err != nil || n > 1 {
		t.Errorf("%v allocations, error %v", n, err)
	}
	c.Purge()
	if _, err := c.hits(t.Context(), time.Second); err == nil {
		t.Error("what is gone was hit")
	}
}

// The heap's growth is that of what is held.
func TestHeap(t *testing.T) {
	before := heap()
	held := make([]byte, 10<<20)
	// What tests before this one have left may go meanwhile.
	if grown := heap() - before; grown < int64(len(held))-1<<20 || grown > int64(len(held))+1<<20 {
		t.Errorf("grown by %d bytes", grown)
	}
	runtime.KeepAlive(held)
}
