package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/benchmark/scale/measured"
)

var update = flag.Bool("update", false, "write engine/store/SCALE.md anew")

const (
	pageFile     = "../../../engine/store/SCALE.md"
	measuredFile = "measured.json"
)

// The page says what was measured and what follows from it, and nothing else.
func TestPageIsCurrent(t *testing.T) {
	var b strings.Builder
	if err := run(measuredFile, assume(), &b); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(pageFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	current, err := os.ReadFile(pageFile)
	if err != nil || string(current) != b.String() {
		t.Errorf("SCALE.md is not current (%v): run go generate ./scale in caddymodule/benchmark", err)
	}
}

// A number that was not measured is no zero.
func TestMissingNumbersAreNamed(t *testing.T) {
	file, err := measured.Read(measuredFile)
	if err != nil {
		t.Fatal(err)
	}
	delete(file.Rows, "feed")
	delete(file.Rows["million"], "bytes")
	var b strings.Builder
	err = write(&b, file, assume())
	if err == nil || !strings.Contains(err.Error(), "feed.transactions") || !strings.Contains(err.Error(), "million.bytes") || b.Len() > 0 {
		t.Errorf("error %v, %d bytes", err, b.Len())
	}
}

func TestFormats(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{count(0), "0"}, {count(0.4567), "0.46"}, {count(12.3), "12"}, {count(4), "4"}, {count(100), "100"}, {count(12_345), "12,300"}, {count(99_950_000), "100,000,000"},
		{fixed(0.98765, 3), "0.988"}, {fixed(1.5, 3), "1.50"}, {fixed(1234, 3), "1234"},
		{bytes(132), "132 bytes"}, {bytes(13_400_000_000), "13.4 GB"}, {bytes(2e15), "2000 TB"},
		{percent(0.9723), "97.2 %"},
	} {
		if test.got != test.want {
			t.Errorf("got %s, want %s", test.got, test.want)
		}
	}
}
