// Command scale computes what many users need of nodes and databases, from what
// the benchmark has measured on one machine, and prints the page that says so:
// engine/store/SCALE.md.
//
//	go run . -only … -json scale/measured.json    # in caddymodule/benchmark: measure
//	go generate ./scale                           # write the page anew
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/gatehouse-auth/gatehouse/caddymodule/benchmark/scale/measured"
)

//go:generate go test -run TestPageIsCurrent -update

func main() {
	a := assume()
	path := flag.String("measured", "scale/measured.json", "the `file` that the benchmark wrote with -json")
	flag.Float64Var(&a.Users, "users", a.Users, "how many users there are")
	flag.Float64Var(&a.Checks, "checks", a.Checks, "how many requests a second with a token the gateways see at the peak")
	flag.Float64Var(&a.PerUser, "per-user", a.PerUser, "how many of them a second come from a user who is there")
	flag.Float64Var(&a.SignInsADay, "sign-ins", a.SignInsADay, "how often a user signs in a day")
	flag.Float64Var(&a.TokenLife, "token-life", a.TokenLife, "how many seconds an access token is good")
	flag.Float64Var(&a.NodeCores, "cores", a.NodeCores, "how many processor cores a node has")
	flag.Parse()
	if err := run(*path, a, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(path string, a Assumed, out io.Writer) error {
	if err := a.err(); err != nil {
		return err
	}
	file, err := measured.Read(path)
	if err != nil {
		return err
	}
	return write(out, file, a)
}
