// Command benchmark measures Gatehouse against yardsticks on the machine that
// it runs on: a plain reverse_proxy and a static respond of the same Caddy, bare
// RSA signing and signature checks, and the same work done by ory/fosite and
// oidc-provider.
//
// It builds and starts everything itself, on loopback, and stops it again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	rounds      int
	duration    time.Duration
	connections int
	entries     int
	tokens      int
	only        string
	markdown    bool
	profile     string
	json        string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 15, "how often each side of a row is measured, in turn")
	flag.DurationVar(&o.duration, "duration", time.Second, "how long one measurement takes")
	flag.IntVar(&o.connections, "connections", 64, "how many connections ask at once")
	flag.IntVar(&o.entries, "entries", 1_000_000, "how many tokens the rows million and revocation-lag have remembered")
	flag.IntVar(&o.tokens, "tokens", 10_000_000, "how many live tokens the rows growth-sqlite and growth-postgres compare with 10,000; a tenth as many expire in the rows expiry-sqlite and expiry-postgres")
	flag.StringVar(&o.only, "only", "", "measure these `rows` alone, separated by commas: "+strings.Join(rowNames(), ", "))
	flag.BoolVar(&o.markdown, "markdown", false, "print the table as Markdown")
	flag.StringVar(&o.profile, "profile", "", "measure nothing, and write CPU profiles of this `row`'s two sides to ROW.prof and ROW-against.prof")
	flag.StringVar(&o.json, "json", "", "write what was measured into this `file` too, beside what it has of other rows on the same machine")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

// run measures and prints. Its error says that a row could not be measured;
// one that falls short is no error, since machines differ.
func run(ctx context.Context, o options, out io.Writer) error {
	if o.rounds < 1 || o.duration <= 0 || o.connections < 1 || o.entries < 1 || o.tokens < 1 || flag.NArg() > 0 {
		return errors.New("-rounds, -duration, -connections, -entries and -tokens must be positive, and there are no arguments")
	}
	chosen, err := chooseRows(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit(o, len(chosen)))
	defer cancel()
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	runtime.GOMAXPROCS(processors())
	if o.profile != "" {
		return b.writeProfiles(ctx, chosen[0])
	}
	var results []result
	failed := 0
	for _, row := range chosen {
		fmt.Fprintf(os.Stderr, "%s …\n", row.name)
		r := row.measure(ctx, b, row)
		r.row = row
		if r.err != nil {
			failed++
		}
		results = append(results, r)
	}
	writeReport(out, o, describeMachine(), results)
	if o.json != "" {
		if err := writeMeasurements(o.json, describeMachine(), results); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d rows could not be measured", failed, len(chosen))
	}
	return nil
}

func chooseRows(o options) ([]row, error) {
	names := o.only
	if o.profile != "" {
		names = o.profile
	}
	if names == "" {
		return rows, nil
	}
	var chosen []row
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no row %q; the rows are %s", name, strings.Join(rowNames(), ", "))
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}

// limit bounds everything: twice what the measurements take, the building, and
// what it takes to fill stores.
func limit(o options, rows int) time.Duration {
	measuring := 2*(time.Duration(o.rounds)*o.duration+warmUp) + 2*statsDelay
	return 10*time.Minute + 2*time.Duration(rows)*measuring + time.Duration(o.tokens)*200*time.Microsecond
}
