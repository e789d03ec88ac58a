// Package faults breaks nodes and databases under load and holds the answers
// that clients got against what the design promises: every acknowledged token
// is good, every acknowledged revocation holds, no single-use object was used
// twice, and no error was taken for success.
//
// The package itself is the history of what was asked and answered, and Check,
// which judges it. Its tests are the faults: they run the real Caddy with
// Gatehouse as child processes, each with a gateway, and speak to it as clients
// do. The faulty storage among them breaks one promise at a time, to show that
// Check finds it.
//
// In .ci/run kills and cuts come 100 times, elsewhere 20 times, with -short 5
// times, or as GATEHOUSE_FAULTS says; slower faults less often. -seed moves the
// moments.
package faults
