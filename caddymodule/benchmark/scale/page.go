package main

import (
	_ "embed"
	"fmt"
	"io"
	"math"
	"strings"
	"text/template"

	"github.com/gatehouse-auth/gatehouse/caddymodule/benchmark/scale/measured"
)

//go:embed page.tmpl
var page string

var formats = template.FuncMap{
	"count": count, "bytes": bytes, "percent": percent, "ms": func(seconds float64) string { return fixed(1000*seconds, 3) + " ms" },
	"us": func(seconds float64) string { return count(1e6 * seconds) }, "fixed": func(v float64) string { return fixed(v, 3) },
	"rate": func(seconds float64) string { return count(1 / seconds) },
}

// write prints the page. A number that is missing is an error.
func write(out io.Writer, file measured.File, a Assumed) error {
	m := newModel(file, a)
	t, err := template.New("page").Funcs(formats).Parse(page)
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := t.Execute(&text, m); err != nil {
		return err
	}
	if err := m.err(); err != nil {
		return err
	}
	_, err = io.WriteString(out, text.String())
	return err
}

// count writes a number with three digits that count: 12,300.
func count(v float64) string {
	if v < 100 && v == math.Trunc(v) {
		return fmt.Sprintf("%.0f", v)
	}
	if v < 100 {
		return fixed(v, 2)
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-2)
	digits := fmt.Sprintf("%.0f", math.Round(v/unit)*unit)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// fixed writes a small number with that many digits that count.
func fixed(v float64, digits int) string {
	if v == 0 {
		return "0"
	}
	places := max(0, digits-1-int(math.Floor(math.Log10(math.Abs(v)))))
	return fmt.Sprintf("%.*f", places, v)
}

// bytes writes a size.
func bytes(v float64) string {
	for _, unit := range []string{"bytes", "kB", "MB", "GB"} {
		if v < 1000 {
			return fixed(v, 3) + " " + unit
		}
		v /= 1000
	}
	return fixed(v, 3) + " TB"
}

func percent(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }
