// Package measured reads the file in which the benchmark keeps its numbers.
package measured

import (
	"encoding/json"
	"fmt"
	"os"
)

// File is what was measured on one machine.
type File struct {
	// Machine describes it: processors, memory, system, Go.
	Machine string `json:"machine"`
	// Rows are numbers by the row's name and their own, which ends in the unit
	// where it has one.
	Rows map[string]map[string]float64 `json:"rows"`
}

// Read reads a file. It returns fs.ErrNotExist when there is none.
func Read(path string) (f File, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	if f.Rows == nil {
		f.Rows = map[string]map[string]float64{}
	}
	return f, nil
}
