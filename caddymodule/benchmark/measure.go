package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// warmUp is how long each side of a row works before anything is measured.
const warmUp = time.Second

// side is something that can be kept busy for a while.
type side struct {
	run func(context.Context, time.Duration) (sample, error)
	// server is the processor time that the server has used so far; nil: there is none.
	server func() time.Duration
}

// sample is one measurement.
type sample struct {
	operations int64
	elapsed    time.Duration
	cpu        time.Duration // the server's and ours; 0: unknown
	others     float64       // the machine's share that other programs took
}

// rate is the operations per second.
func (s sample) rate() float64 { return float64(s.operations) / s.elapsed.Seconds() }

// cost is the processor time for one operation, on both ends.
func (s sample) cost() time.Duration {
	if s.operations == 0 {
		return 0
	}
	return s.cpu / time.Duration(s.operations)
}

func (s side) measure(ctx context.Context, d time.Duration) (sample, error) {
	meter := readMeter(s.server)
	m, err := s.run(ctx, d)
	if err != nil {
		return m, err
	}
	if m.operations == 0 {
		return m, fmt.Errorf("nothing was done within %s", d)
	}
	m.cpu, m.others = meter.since()
	return m, nil
}

// comparison is the samples of two sides, taken in turn: what the machine does
// besides changes slowly, and so meets both.
type comparison struct{ what, against []sample }

func compare(ctx context.Context, rounds int, d time.Duration, what, against side) (*comparison, error) {
	for _, s := range []side{what, against} {
		if _, err := s.measure(ctx, warmUp); err != nil {
			return nil, fmt.Errorf("warming up: %w", err)
		}
	}
	c := new(comparison)
	for range rounds {
		a, err := what.measure(ctx, d)
		if err != nil {
			return nil, err
		}
		b, err := against.measure(ctx, d)
		if err != nil {
			return nil, err
		}
		c.what, c.against = append(c.what, a), append(c.against, b)
	}
	return c, nil
}

// ratios are the rounds' own: each compares neighbours in time.
func (c *comparison) ratios() []float64 {
	ratios := make([]float64, len(c.what))
	for i := range ratios {
		ratios[i] = c.what[i].rate() / c.against[i].rate()
	}
	return ratios
}

// ratio is the median of the rounds' ratios.
func (c *comparison) ratio() float64 { return median(c.ratios()) }

func rates(samples []sample) []float64 {
	list := make([]float64, len(samples))
	for i, s := range samples {
		list[i] = s.rate()
	}
	return list
}

// cost is the median of the samples' costs, in microseconds.
func cost(samples []sample) float64 {
	list := make([]float64, len(samples))
	for i, s := range samples {
		list[i] = float64(s.cost()) / float64(time.Microsecond)
	}
	return median(list)
}

// others is the median of the share that other programs took of the machine.
func (c *comparison) others() float64 {
	var list []float64
	for _, s := range slices.Concat(c.what, c.against) {
		list = append(list, s.others)
	}
	return median(list)
}

// quantile returns the smallest of the values that a share q of them does not
// exceed, 0 if there are none.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// median returns the middle of the values, 0 if there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
