package main

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []float64
		want   float64
	}{
		{"none", nil, 0},
		{"one", []float64{3}, 3},
		{"the middle one", []float64{9, 1, 5}, 5},
		{"between the two in the middle", []float64{4, 1, 2, 100}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := median(test.values); got != test.want {
				t.Errorf("median(%v) = %v, want %v", test.values, got, test.want)
			}
		})
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[len(hundred)-1-i] = time.Duration(i + 1)
	}
	for _, test := range []struct {
		name   string
		values []time.Duration
		q      float64
		want   time.Duration
	}{
		{"none", nil, 0.99, 0},
		{"one", []time.Duration{7}, 0.5, 7},
		{"half", hundred, 0.5, 50},
		{"all but one of a hundred", hundred, 0.99, 99},
		{"the largest of a few", hundred[:3], 0.99, 100},
		{"the largest", hundred, 1, 100},
		{"the smallest", hundred, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := quantile(test.values, test.q); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

func TestRatioIsTheMedianOfTheRounds(t *testing.T) {
	second := func(n int64) sample { return sample{operations: n, elapsed: time.Second} }
	c := &comparison{
		what:    []sample{second(90), second(10), second(80)},
		against: []sample{second(100), second(20), second(100)},
	}
	if got := c.ratio(); got != 0.8 {
		t.Errorf("ratio %v, want 0.8", got)
	}
}

// Sides are measured in turn, each after it has warmed up.
func TestCompareTakesTurns(t *testing.T) {
	var order string
	fake := func(name string) side {
		return side{run: func(_ context.Context, d time.Duration) (sample, error) {
			order += name
			return sample{operations: 1, elapsed: d}, nil
		}}
	}
	c, err := compare(context.Background(), 3, time.Second, fake("a"), fake("b"))
	if err != nil {
		t.Fatal(err)
	}
	if order != "abababab" || len(c.what) != 3 || len(c.against) != 3 {
		t.Errorf("order %s, %d and %d samples", order, len(c.what), len(c.against))
	}
}

func TestAnErrorEndsAComparison(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	failing := side{run: func(context.Context, time.Duration) (sample, error) {
		if calls++; calls > 2 {
			return sample{}, broken
		}
		return sample{operations: 1, elapsed: time.Second}, nil
	}}
	if _, err := compare(context.Background(), 5, time.Second, failing, failing); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	idle := side{run: func(context.Context, time.Duration) (sample, error) { return sample{elapsed: time.Second}, nil }}
	if _, err := compare(context.Background(), 1, time.Second, idle, idle); err == nil {
		t.Error("nothing was done, and that was no error")
	}
}

func TestCPUTime(t *testing.T) {
	stat := []byte("4242 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 9 0 100 1 1")
	if got, want := parseProcessCPU(stat), 1750*time.Millisecond; got != want {
		t.Errorf("the process: %s, want %s", got, want)
	}
	stat = []byte("cpu  266508 120 73374 572981 5617 0 6731 804 0 0\ncpu0 1 2 3 4 5\n")
	if got, want := parseMachineIdle(stat), (572981+5617)*10*time.Millisecond; got != want {
		t.Errorf("the machine's idle time: %s, want %s", got, want)
	}
	for _, nonsense := range []string{"", "nonsense", "cpu 1"} {
		if got := parseProcessCPU([]byte(nonsense)) + parseMachineIdle([]byte(nonsense)); got != 0 {
			t.Errorf("%q: %s, want 0", nonsense, got)
		}
	}
}

func TestParseBenchmark(t *testing.T) {
	ns, allocs, err := parseBenchmark([]byte("cpu: X\n" +
		"BenchmarkCacheHit/handle60-2  3315759  391.7 ns/op  5 B/op  0 allocs/op\n" +
		"BenchmarkCacheHit/handle60-2  4075626  322 ns/op  48 B/op  1 allocs/op\nPASS\n"))
	if err != nil || len(ns) != 2 || ns[0] != 391.7 || ns[1] != 322 || allocs[0] != 0 || allocs[1] != 1 {
		t.Errorf("%v, %v, %v", ns, allocs, err)
	}
	if _, _, err := parseBenchmark([]byte("PASS\n")); err == nil {
		t.Error("no benchmark ran, and that was no error")
	}
}
