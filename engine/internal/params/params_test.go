package params

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// most is the bound on a request's length, as a service has it by default.
const most = 32 << 10

func TestParse(t *testing.T) {
	v, err := Parse("a=1&b=x+y%20z&c=&d&&e=%E3%81%82", most)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "1", "b": "x y z", "c": "", "d": "", "e": "あ", "f": ""} {
		if got := v.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	// RFC 6749 §3.1: one without a value counts as absent.
	if !v.Has("a") || v.Has("c") || v.Has("d") || v.Has("f") {
		t.Error("Has is wrong")
	}
}

// threats.md 8: a parameter that is there twice is refused, and named.
func TestThreat08Repeated(t *testing.T) {
	for _, text := range []string{"a=1&a=1", "a=1&a=2", "a&a", "a=&b=1&%61=2"} {
		v, err := Parse(text, most)
		if err == nil || !v.Repeated("a") || v.Repeated("b") || !strings.Contains(err.Description, " a ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestBounds(t *testing.T) {
	for name, text := range map[string]string{
		"too long":        strings.Repeat("a", most+1),
		"too many":        strings.Repeat("&a", 1) + strings.Repeat("&b=1", MaxCount),
		"value too long":  "a=" + strings.Repeat("x", MaxValue+1),
		"broken encoding": "a=%",
		"broken name":     "%=1",
		"not UTF-8":       "a=%ff",
		"name not UTF-8":  "%ff=1",
		"NUL":             "a=%00",
	} {
		if _, err := Parse(text, most); err == nil || err.Code != "invalid_request" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSplit(t *testing.T) {
	if diff := cmp.Diff([]string{"b", "a"}, Split(" b  a b ")); diff != "" {
		t.Error(diff)
	}
	if Split("") != nil {
		t.Error("nothing splits into something")
	}
}

// What is accepted agrees with net/url, within the bounds.
func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{"a=1&b=2", "a=1&a=2", "%zz", "a=%ff", "a;b=1", "&&&", "=x", "a=1=2", "+=+"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Parse(text, most)
		if err != nil {
			return
		}
		if len(text) > most || len(v.pairs) > MaxCount {
			t.Fatal("a bound is missing")
		}
		for _, p := range v.pairs {
			if !utf8.ValidString(p.name) || !utf8.ValidString(p.value) || len(p.value) > MaxValue {
				t.Errorf("%q=%q was accepted", p.name, p.value)
			}
		}
		// net/url refuses semicolons, which mean nothing to a form.
		want, parseErr := url.ParseQuery(text)
		if parseErr != nil || strings.Contains(text, ";") {
			return
		}
		for _, p := range v.pairs {
			if len(want[p.name]) != 1 || want[p.name][0] != p.value {
				t.Errorf("%q: got %q, net/url has %q", p.name, p.value, want[p.name])
			}
		}
	})
}
