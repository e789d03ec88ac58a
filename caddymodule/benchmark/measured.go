package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/gatehouse-auth/gatehouse/caddymodule/benchmark/scale/measured"
)

// writeMeasurements puts the rows' numbers into a file, beside those of other
// rows that were measured on the same machine.
func writeMeasurements(path, machine string, results []result) error {
	file := measured.File{Machine: machine, Rows: map[string]map[string]float64{}}
	old, err := measured.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case old.Machine == machine:
		file = old
	}
	for _, r := range results {
		if len(r.numbers) > 0 {
			file.Rows[r.name] = r.numbers
		}
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "\t")
	if err := encoder.Encode(file); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text.String()), 0o644)
}
