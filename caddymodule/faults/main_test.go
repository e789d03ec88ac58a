package faults

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
)

// nodeEnv makes this test binary a node: the real Caddy with Gatehouse, and
// the faulty storage beside the real ones.
const nodeEnv = "GATEHOUSE_FAULTS_NODE"

// nodeBinary is what nodes run.
var nodeBinary string

var seed = flag.Uint64("seed", 1, "of the moments at which faults come, and of what clients do")

func TestMain(m *testing.M) {
	if os.Getenv(nodeEnv) == "" {
		code, err := test(m)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the tests' process, however that ends
		os.Exit(1)
	}()
	caddycmd.Main()
}

// test runs the tests. Nodes are built without the race detector, under which
// they would take several times as long to start: other tests run them with it.
func test(m *testing.M) (code int, err error) {
	if nodeBinary, err = os.Executable(); err != nil || !raceDetector {
		return m.Run(), err
	}
	folder, err := os.MkdirTemp("", "gatehouse-faults")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	nodeBinary = filepath.Join(folder, "node")
	if output, err := exec.Command("go", "test", "-c", "-o", nodeBinary, ".").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go test -c: %w\n%s", err, output)
	}
	return m.Run(), nil
}

// times is how often each fault comes.
func times(t *testing.T) int {
	t.Helper()
	if testing.Short() {
		return 5
	}
	text := os.Getenv("GATEHOUSE_FAULTS")
	switch {
	case text == "" && os.Getenv("GATEHOUSE_REQUIRE") != "": // .ci/run
		return 100
	case text == "":
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("GATEHOUSE_FAULTS is %q, not a number of times", text)
	}
	return n
}

// few is a tenth of times, for faults that take a while.
func few(t *testing.T) int { return max(2, times(t)/10) }
