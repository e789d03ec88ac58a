package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"time"
)

// everyCore does one thing and nothing else, on all cores: what the machine can
// do at most.
func everyCore(work worker) side {
	return side{run: onAllCores(repeat(runtime.NumCPU(), work))}
}

// onAllCores keeps workers busy that are all the work there is.
func onAllCores(workers []worker) func(context.Context, time.Duration) (sample, error) {
	run := busy(workers)
	return func(ctx context.Context, d time.Duration) (sample, error) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU()))
		return run(ctx, d)
	}
}

// rawRSA is what the machine can do at most for RS256.
func rawRSA() (side, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return side{}, err
	}
	digest := sha256.Sum256([]byte("what is signed makes no difference"))
	return everyCore(func(context.Context) error {
		_, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		return err
	}), nil
}

// measureCacheHit runs the benchmark of the package introspect: a handle of 60
// characters that the cache knows.
func measureCacheHit(ctx context.Context, b *bench, _ row) result {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkCacheHit$/^handle60$",
		"-benchmem", "-count", strconv.Itoa(b.rounds), "./introspect")
	cmd.Dir = b.root
	output, err := cmd.CombinedOutput()
	if err != nil {
		return result{err: fmt.Errorf("%w\n%s", err, output)}
	}
	nanoseconds, allocations, err := parseBenchmark(output)
	if err != nil {
		return result{err: err}
	}
	ns, allocs := median(nanoseconds), median(allocations)
	return result{figure: fmt.Sprintf("%.0f ns, %.0f allocations", ns, allocs), good: ns < 500 && allocs <= 1}
}

var benchmarkLine = regexp.MustCompile(`(?m)^Benchmark\S+\s+\d+\s+([\d.]+) ns/op\s.*?(\d+) allocs/op`)

// parseBenchmark reads the lines of go test -bench -benchmem.
func parseBenchmark(output []byte) (nanoseconds, allocations []float64, err error) {
	for _, m := range benchmarkLine.FindAllSubmatch(output, -1) {
		ns, nsErr := strconv.ParseFloat(string(m[1]), 64)
		allocs, allocsErr := strconv.ParseFloat(string(m[2]), 64)
		if err := errors.Join(nsErr, allocsErr); err != nil {
			return nil, nil, err
		}
		nanoseconds, allocations = append(nanoseconds, ns), append(allocations, allocs)
	}
	if len(nanoseconds) == 0 {
		return nil, nil, fmt.Errorf("no benchmark ran:\n%s", output)
	}
	return nanoseconds, allocations, nil
}

// diskTokens is how many tokens are issued to see what one takes on disk.
const diskTokens = 200_000

// measureDisk issues tokens on an empty database and weighs the file after
// the server has ended: by then the write-ahead log is in it.
func measureDisk(ctx context.Context, b *bench, _ row) result {
	folder, err := b.newFolder()
	if err != nil {
		return result{err: err}
	}
	caddy, err := b.startCaddy(ctx, folder)
	if err != nil {
		return result{err: err}
	}
	at := caddy.Services[opaque]
	l := &load{
		address: at.address(), request: post(at.host(), "/token", tokenForm), begin: []byte(`{"access_token":"`),
		connections: b.connections, most: diskTokens,
	}
	s, err := l.run(ctx, 3*time.Minute)
	caddy.stop()
	if err != nil {
		return result{err: err}
	}
	if _, err := os.Stat(caddy.Database + "-wal"); err == nil {
		return result{err: errors.New("the server left its write-ahead log behind")}
	}
	info, err := os.Stat(caddy.Database)
	if err != nil {
		return result{err: err}
	}
	bytes := float64(info.Size()) / float64(s.operations)
	return result{figure: fmt.Sprintf("%.0f bytes (%d tokens)", bytes, s.operations), good: bytes <= 200}
}
