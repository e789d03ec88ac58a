package introspect

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func userHeaders(t testing.TB) *Headers {
	t.Helper()
	s, err := NewHeaders(Forward{"sub", "X-User"}, Forward{"scope", "X-Scopes"}, Forward{"email", "X-Email"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNewHeadersRefuses(t *testing.T) {
	for _, test := range []struct {
		forwards []Forward
		want     string
	}{
		{[]Forward{{"sub", ""}}, "not a header name"},
		{[]Forward{{"sub", "X User"}}, "not a header name"},
		{[]Forward{{"sub", "X-Usér"}}, "not a header name"},
		{[]Forward{{"sub", "X-User:"}}, "not a header name"},
		{[]Forward{{"", "X-User"}}, "names no claim"},
		{[]Forward{{"sub", "connection"}}, "belongs to HTTP"},
		{[]Forward{{"sub", "Transfer_Encoding"}}, "belongs to HTTP"},
		{[]Forward{{"sub", "Authorization"}}, "belongs to HTTP"},
		{[]Forward{{"sub", "HOST"}}, "belongs to HTTP"},
		{[]Forward{{"sub", "Content-Length"}}, "belongs to HTTP"},
		{[]Forward{{"sub", "X-User"}, {"email", "x_user"}}, "twice"},
	} {
		if _, err := NewHeaders(test.forwards...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.forwards, err, test.want)
		}
	}
}

func TestPromise08Strip(t *testing.T) {
	s := userHeaders(t)
	for _, test := range []struct {
		name     string
		in, want http.Header
	}{
		{"every spelling (CVE-2026-30851)", http.Header{
			"X-User": {"a"}, "x-user": {"a"}, "X-USER": {"a"}, "X_User": {"a"}, "x_user": {"a"}, "X.User": {"a"}, "X~user": {"a"},
			"X-Scopes": {"a", "b"}, "X-Users": {"kept"}, "Xuser": {"kept"}, "Y-User": {"kept"}, "X-Use": {"kept"},
		}, http.Header{"X-Users": {"kept"}, "Xuser": {"kept"}, "Y-User": {"kept"}, "X-Use": {"kept"}}},
		{"Connection (CVE-2024-45410)", http.Header{"Connection": {"close, X-User , keep-alive", "x_email", "upgrade"}},
			http.Header{"Connection": {"close, keep-alive", "upgrade"}}},
		{"Connection, nothing else in it", http.Header{"Connection": {"X-User", "x.user,,X_USER"}}, http.Header{}},
		{"Connection as it was", http.Header{"Connection": {"close ,X-Users", ""}}, http.Header{"Connection": {"close ,X-Users", ""}}},
		{"connection in a raw key", http.Header{"connection": {"x-user"}}, http.Header{}},
		{"Trailer", http.Header{"Trailer": {"X-User, Digest"}}, http.Header{"Trailer": {"Digest"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := fmt.Sprint(test.in)
			shared := test.in.Clone()
			for key, values := range test.in { // the same slices in another map
				shared[key] = values
			}
			s.Strip(test.in)
			if diff := cmp.Diff(test.want, test.in); diff != "" {
				t.Error(diff)
			}
			if got := fmt.Sprint(shared); got != before {
				t.Errorf("another map's values changed: %s", got)
			}
		})
	}
	(*Headers)(nil).Strip(http.Header{"X-User": {"a"}})
}

func TestStripAllocatesNothingWhenNothingMatches(t *testing.T) {
	s, h := userHeaders(t), ordinaryHeader()
	if n := testing.AllocsPerRun(1000, func() { s.Strip(h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func ordinaryHeader() http.Header {
	return http.Header{
		"Accept": {"*/*"}, "Accept-Encoding": {"gzip"}, "Accept-Language": {"en"}, "Authorization": {"Bearer " + sampleToken},
		"Cache-Control": {"no-cache"}, "Connection": {"keep-alive"}, "User-Agent": {"test"}, "X-Request-Id": {"1"}, "Cookie": {"a=b"}, "Origin": {"x"},
	}
}

func TestPromise08Set(t *testing.T) {
	s := userHeaders(t)
	h := http.Header{}
	f := activeFacts()
	s.Set(h, f)
	if diff := cmp.Diff(http.Header{"X-User": {"alice"}, "X-Scopes": {"orders:read profile"}, "X-Email": {"alice@example.com"}}, h); diff != "" {
		t.Error(diff)
	}
	h = http.Header{}
	s.Set(h, &Facts{Active: true, Claims: map[string]any{"email": nil}})
	if len(h) != 0 {
		t.Errorf("absent claims sent %v", h)
	}
}

func TestHeaderValue(t *testing.T) {
	for _, test := range []struct {
		claim any
		want  string
	}{
		{"alice", "alice"}, {"a, b; c=\"d\"", `a, b; c="d"`}, {"", ""}, {nil, ""},
		{"é", "%C3%A9"}, {"%C3%A9", "%25C3%25A9"}, {" a b ", "%20a b%20"}, {"a\r\nX: b\x00\x7f", "a%0D%0AX: b%00%7F"}, {"\xff", "%FF"},
		{true, "true"}, {false, "false"}, {int64(-5), "-5"}, {7, "7"}, {1.5, "1.5"}, {1e6, "1000000"}, {json.Number("12.50"), "12.50"},
		{[]string{"a", "b,c", "d%"}, "a,b%2Cc,d%25"}, {[]any{"a", "é"}, "a,%C3%A9"}, {[]string{}, ""},
		{[]any{"a", 1.0}, `["a",1]`}, {map[string]any{"n": "é😀\n%"}, `{"n":"\u00e9\ud83d\ude00\n%"}`}, {map[string]any{"n": "\x7f"}, `{"n":"\u007f"}`},
		{json.RawMessage(`"bob"`), "bob"}, {json.RawMessage(`[1, 2]`), "[1,2]"}, {json.RawMessage(`{`), ""}, {json.RawMessage(`12345678901234567890`), "12345678901234567890"},
		{make(chan int), ""},
	} {
		if got := HeaderValue(test.claim); got != test.want {
			t.Errorf("%#v: got %q, want %q", test.claim, got, test.want)
		}
	}
}

func TestHeaderValueIsSafeAndReversible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "claim")
		value := HeaderValue(s)
		if back, err := url.PathUnescape(value); err != nil || back != s {
			t.Fatalf("%q became %q", s, value)
		}
		words := rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "words")
		if got := strings.Split(HeaderValue(words), ","); len(got) != len(words) {
			t.Fatalf("%q became %q", words, got)
		}
		for _, c := range []byte(value + HeaderValue(words) + HeaderValue(map[string]any{s: words})) {
			if c < ' ' || c > '~' {
				t.Fatalf("byte %x", c)
			}
		}
	})
}

// Over a real connection, since it is net/http that brings trailers and spellings.
func TestThreat23SpoofedIdentityHeaders(t *testing.T) {
	guard := &Guard{Introspector: engineWith(&Facts{Active: true}), Headers: userHeaders(t), Optional: true}
	seen := make(chan string, 1)
	server := httptest.NewServer(guard.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		seen <- fmt.Sprint(r.Header, r.Trailer)
	})))
	defer server.Close()
	for name, request := range map[string]string{
		"spellings":          "GET / HTTP/1.1\r\nHost: a\r\nX-USER: evil\r\nx_user: evil\r\nX.User: evil\r\nX-user: evil\r\nConnection: x-user, close\r\n\r\n",
		"with a token":       "DELETE /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer abc\r\nX-User: evil\r\nConnection: close\r\n\r\n",
		"announced trailer":  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-User, Foo\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\nX-User: evil\r\nFoo: kept\r\n\r\n",
		"other trailer":      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Foo\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\nX_User: evil\r\nFoo: kept\r\n\r\n",
		"unexpected trailer": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\nX-User: evil\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
			got := <-seen
			if strings.Contains(got, "evil") || strings.Contains(strings.ToLower(got), "x-user") {
				t.Errorf("the resource sees %s", got)
			}
			if strings.Contains(request, "Foo: kept") && !strings.Contains(got, "kept") {
				t.Errorf("the client's own trailer is gone: %s", got)
			}
		})
	}
}

func FuzzConnectionHeader(f *testing.F) {
	for _, seed := range []string{"close, X-User", "x_user", ",,X.USER ,", "X-Users\t,\tX-User", "upgrade"} {
		f.Add("X-User", seed)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		s := userHeaders(t)
		h := http.Header{key: {"evil"}, "Connection": {value, "close"}}
		h["Connection"] = []string{value, "close"}
		s.Strip(h)
		for name := range h {
			if s.manages(name) {
				t.Fatalf("%q is still there", name)
			}
		}
		var want, got []string
		for name := range strings.SplitSeq(value+",close", ",") {
			if name = strings.Trim(name, " \t\r\n"); name != "" && !s.manages(name) {
				want = append(want, name)
			}
		}
		for _, v := range h["Connection"] {
			for name := range strings.SplitSeq(v, ",") {
				if name = strings.Trim(name, " \t\r\n"); name != "" {
					got = append(got, name)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
