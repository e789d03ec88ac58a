package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

var headings = []string{"row", "what", "against", "measured", "against it", "ratio", "rounds' ratios", "wanted", "result", "CPU each", "ratio by CPU", "others"}

// writeReport prints the machine and the table.
func writeReport(out io.Writer, o options, machine string, results []result) {
	lines := [][]string{headings}
	for _, r := range results {
		lines = append(lines, r.cells())
	}
	fmt.Fprintf(out, "%s\n%d connections, %d rounds of %s, in turn; medians.\n\n", machine, o.connections, o.rounds, o.duration)
	if o.markdown {
		writeMarkdown(out, lines)
	} else {
		writeText(out, lines)
	}
	for _, r := range results {
		if r.note != "" {
			fmt.Fprintf(out, "\n%s: each took %s\n", r.name, r.note)
		}
		if r.err != nil {
			fmt.Fprintf(out, "\n%s: %v\n", r.name, r.err)
		}
	}
}

// cells are the row's cells under the headings.
func (r result) cells() []string {
	cells := []string{r.name, r.what, orDash(r.against), "–", "–", "–", "–", orDash(r.wanted), r.verdict(), "–", "–", "–"}
	if r.atLeast > 0 {
		cells[7] = fmt.Sprintf("≥ %.2f", r.atLeast)
	}
	switch {
	case r.comparison != nil:
		c := r.comparison
		ratios := c.ratios()
		cells[3] = fmt.Sprintf("%.0f/s", median(rates(c.what)))
		cells[4] = fmt.Sprintf("%.0f/s", median(rates(c.against)))
		cells[5] = fmt.Sprintf("%.3f", c.ratio())
		cells[6] = fmt.Sprintf("%.3f–%.3f", slices.Min(ratios), slices.Max(ratios))
		if what, against := cost(c.what), cost(c.against); what > 0 {
			cells[9] = fmt.Sprintf("%.1f µs, %.1f µs", what, against)
			cells[10] = fmt.Sprintf("%.3f", against/what)
			cells[11] = fmt.Sprintf("%.0f %%", 100*c.others())
		}
	case r.figure != "":
		cells[3] = r.figure
	case r.skipped != "":
		cells[3] = r.skipped
	}
	return cells
}

func (r result) verdict() string {
	switch {
	case r.err != nil:
		return "FAILED"
	case r.skipped != "", r.atLeast == 0 && r.wanted == "":
		return "–"
	case r.good:
		return "ok"
	default:
		return "SHORT"
	}
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

func writeMarkdown(out io.Writer, lines [][]string) {
	for i, cells := range lines {
		fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			fmt.Fprintf(out, "|%s\n", strings.Repeat(" --- |", len(cells)))
		}
	}
}

func writeText(out io.Writer, lines [][]string) {
	widths := make([]int, len(headings))
	for _, cells := range lines {
		for i, cell := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, cells := range lines {
		var line strings.Builder
		for i, cell := range cells {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		fmt.Fprintln(out, strings.TrimRight(line.String(), " "))
	}
}
