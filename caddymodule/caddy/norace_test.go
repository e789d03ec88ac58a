//go:build !race

package main_test

// raceDetector: the binary is built with the race detector, as the tests are.
const raceDetector = false
