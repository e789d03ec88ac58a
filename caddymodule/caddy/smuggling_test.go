package main_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestRequestSmuggling (RFC 9112 §6.3 and §11.2): a request whose length can be
// read in two ways never carries another, without a token, to the API: what
// the gateway takes for a body the API does too, and nothing is left over.
func TestRequestSmuggling(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	api := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.RequestURI)
	})
	s := startGateway(t, api.address)
	good := "Authorization: Bearer " + s.serviceToken("orders:read") + "\r\n"
	const inner = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	const chunked = "Transfer-Encoding: chunked\r\n"
	for name, test := range map[string]struct{ headers, body string }{
		"two lengths":                      {length(5) + length(5+len(inner)), "abcde" + inner},
		"two lengths, the long one first":  {length(5+len(inner)) + length(5), "abcde" + inner},
		"two equal lengths":                {length(5) + length(5), "abcde" + inner},
		"a list of lengths":                {"Content-Length: 5, 5\r\n", "abcde" + inner},
		"a signed length":                  {"Content-Length: +5\r\n", "abcde" + inner},
		"a negative length":                {"Content-Length: -5\r\n", inner},
		"a hexadecimal length":             {"Content-Length: 0x5\r\n", "abcde" + inner},
		"an enormous length":               {"Content-Length: 18446744073709551621\r\n", "abcde" + inner},
		"an empty length":                  {"Content-Length:\r\n", inner},
		"a length and chunks":              {length(5+len(inner)) + chunked, "0\r\n\r\n" + inner},
		"chunks and a length":              {chunked + length(5), "0\r\n\r\n" + inner},
		"chunks and no length":             {chunked + length(0), "0\r\n\r\n" + inner},
		"another coding":                   {"Transfer-Encoding: xchunked\r\n" + length(5), "0\r\n\r\n" + inner},
		"chunked, identity":                {"Transfer-Encoding: chunked, identity\r\n" + length(5), "0\r\n\r\n" + inner},
		"identity, chunked":                {"Transfer-Encoding: identity, chunked\r\n" + length(5), "0\r\n\r\n" + inner},
		"two codings":                      {chunked + "Transfer-Encoding: identity\r\n" + length(5), "0\r\n\r\n" + inner},
		"a vertical tab":                   {"Transfer-Encoding: \vchunked\r\n" + length(5), "0\r\n\r\n" + inner},
		"a space before the colon":         {"Transfer-Encoding : chunked\r\n" + length(5), "0\r\n\r\n" + inner},
		"folded":                           {"Transfer-Encoding:\r\n chunked\r\n" + length(5), "0\r\n\r\n" + inner},
		"an underscore":                    {"Transfer_Encoding: chunked\r\n" + length(5), "0\r\n\r\n" + inner},
		"a chunk of odd size":              {chunked, "0x5\r\nabcde\r\n0\r\n\r\n" + inner},
		"a chunk of enormous size":         {chunked, "10000000000000005\r\nabcde\r\n0\r\n\r\n" + inner},
		"a chunk of negative size":         {chunked, "-5\r\nabcde\r\n0\r\n\r\n" + inner},
		"a line feed after a chunk's size": {chunked, "5;\nabcde\r\n0\r\n\r\n" + inner},
		"a chunk that is longer":           {chunked, "5\r\nabcdefgh\r\n0\r\n\r\n" + inner},
		"a line feed at the end":           {chunked, "0\n\n" + inner},
		"Connection names the length":      {"Connection: content-length\r\n" + length(5+len(inner)), "abcde" + inner + inner},
		"Connection names the coding":      {"Connection: transfer-encoding\r\n" + chunked, "0\r\n\r\n" + inner},
		"a body that nobody expects":       {"", inner},
	} {
		for _, method := range []string{"POST", "GET"} {
			t.Run(name+", "+method, func(t *testing.T) {
				got := answers(t, s.api, method, method+" /orders HTTP/1.1\r\nHost: localhost\r\n"+test.headers+good+"\r\n"+test.body)
				for i, r := range got {
					if r.status < 400 && (i > 0 || r.status != http.StatusOK) {
						t.Errorf("answers %v", statuses(got))
					}
				}
				if len(got) == 0 {
					t.Error("no answer")
				}
			})
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if slices.ContainsFunc(seen, func(target string) bool { return target != "/orders" }) || len(seen) == 0 {
		t.Errorf("the API saw %s", strings.Join(seen, " "))
	}
}
