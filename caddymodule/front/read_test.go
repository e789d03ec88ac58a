package front

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/caddymodule/admission"
)

// RFC 6749 §2.3.1: user and password are form-encoded before they are joined.
func TestBasicCredentials(t *testing.T) {
	header := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
	}
	got, err := basicCredentials([]string{header("a:b c", "s%+:é")})
	if err != nil || got.ClientID != "a:b c" || got.ClientSecret != "s%+:é" || !got.Present {
		t.Errorf("got %v %v", got, err)
	}
	if got, err := basicCredentials(nil); err != nil || got.Present {
		t.Errorf("nothing: %v %v", got, err)
	}
	for name, headers := range map[string][]string{
		"two headers":   {header("a", "b"), header("a", "b")},
		"Bearer":        {"Bearer x"},
		"no base64":     {"Basic %%%"},
		"no colon":      {"Basic " + base64.StdEncoding.EncodeToString([]byte("ab"))},
		"bad encoding":  {"Basic " + base64.StdEncoding.EncodeToString([]byte("a%zz:b"))},
		"broken UTF-8":  {"Basic " + base64.StdEncoding.EncodeToString([]byte("a%ff:b"))},
		"much too long": {"Basic " + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("a", 5000)+":b"))},
		"empty":         {""},
	} {
		if got, err := basicCredentials(headers); err == nil || got.Present {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzBasicHeader(f *testing.F) {
	f.Add("Basic " + base64.StdEncoding.EncodeToString([]byte("a:b")))
	f.Add("basic  YTpi")
	f.Add("Basic")
	f.Fuzz(func(t *testing.T, header string) {
		got, err := basicCredentials([]string{header})
		if err == nil && (!got.Present || !utf8.ValidString(got.ClientID) || !utf8.ValidString(got.ClientSecret)) {
			t.Errorf("%q gives %v", header, got)
		}
	})
}

const maxBody = 64 << 10

func FuzzForm(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", "a=1")
	f.Add("application/x-www-form-urlencoded; charset=utf-8", "a=%ff")
	f.Add("application/json", "{}")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(body))
		r.Header["Content-Type"] = []string{contentType}
		there := &arriving{limit: maxBody}
		if err := there.fill(r.Body, admission.NewRoom(1<<20), func() {}); err != nil {
			t.Fatal(err)
		}
		r.Body = there
		got, err := form(r, maxBody)
		if err == nil && got != body {
			t.Errorf("got %q, want %q", got, body)
		}
		if len(body) > maxBody && err == nil {
			t.Error("a bound is missing")
		}
	})
}
