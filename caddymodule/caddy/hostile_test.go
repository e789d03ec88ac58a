package main_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestHostileCredentials (promise 9, threat 26, RFC 6750 §2 and §3.1): whatever
// stands where a token should be is refused with RFC 6750's answer, or by
// the HTTP server's own 400 or 431 where it is no HTTP, and never comes to the API.
func TestHostileCredentials(t *testing.T) {
	api := startUpstream(t, func(http.ResponseWriter, *http.Request) {})
	s := startGateway(t, api.address)
	good := s.serviceToken("orders:read")
	const (
		missing    = `Bearer scope="orders:read"`
		notHTTP    = ""
		badToken   = `error="invalid_token"`
		badRequest = `error="invalid_request"`
	)
	pad := strings.Repeat("p", 1000)
	for _, test := range []struct {
		name      string
		headers   string
		status    int
		challenge string // what it holds
	}{
		{"two headers, one empty", "Authorization:\r\nAuthorization: Bearer " + good, 400, badRequest},
		{"two headers, Bearer and DPoP", "Authorization: Bearer " + good + "\r\nAUTHORIZATION: DPoP " + good, 400, badRequest},
		{"Bearer and DPoP in one value", "Authorization: Bearer " + good + ", DPoP " + good, 400, badRequest},
		{"DPoP where it is not accepted", "Authorization: DPoP " + good, 401, missing},
		{"no token", "Authorization: Bearer", 400, badRequest},
		{"no token but a space", "Authorization: Bearer ", 400, badRequest},
		{"no scheme", "Authorization: " + good, 401, missing},
		{"quoted", `Authorization: Bearer "` + good + `"`, 400, badRequest},
		{"a parameter", "Authorization: Bearer token=" + good + ", realm=x", 400, badRequest},
		{"folded in the token", "Authorization: Bearer " + good[:9] + "\r\n " + good[9:], 400, badRequest},
		{"a line feed by itself, folding", "Authorization: Bearer " + good[:9] + "\n\t" + good[9:], 400, badRequest},
		{"not ASCII", "Authorization: Bearer " + good + "\xc3\xa9", 400, badRequest},
		{"padding alone", "Authorization: Bearer ====", 400, badRequest},
		{"a character more", "Authorization: Bearer " + good + "A", 401, badToken},
		{"a character less", "Authorization: Bearer " + good[:len(good)-1], 401, badToken},
		{"another case", "Authorization: Bearer " + strings.ToUpper(good), 401, badToken},
		{"8 KiB", "Authorization: Bearer " + strings.Repeat("a", 8<<10), 401, badToken},
		{"8 KiB and a byte", "Authorization: Bearer " + strings.Repeat("a", 8<<10+1), 400, badRequest},
		{"16 KiB", "Authorization: Bearer " + strings.Repeat("a", 16<<10), 400, badRequest},
		{"16 KiB of other headers", strings.Repeat("X-Pad: "+pad+"\r\n", 16) + "Authorization: Bearer unknown", 401, badToken},
		{"64 KiB of other headers", strings.Repeat("X-Pad: "+pad+"\r\n", 64) + "Authorization: Bearer " + good, 431, notHTTP},
		{"a scheme's prefix", "Authorization: Bear " + good, 401, missing},
		{"a longer scheme", "Authorization: Bearers " + good, 401, missing},
		{"in other headers", "Proxy-Authorization: Bearer " + good + "\r\nX-Authorization: Bearer " + good + "\r\nCookie: access_token=" + good, 401, missing},
		{"NUL", "Authorization: Bearer " + good + "\x00", 400, notHTTP},
		{"a control character", "Authorization: Bearer " + good + "\x01", 400, notHTTP},
		{"DEL", "Authorization: Bearer " + good + "\x7f", 400, notHTTP},
		{"a carriage return by itself", "Authorization: Bearer unknown\rAuthorization: Bearer " + good, 400, notHTTP},
		{"a space before the colon", "Authorization : Bearer " + good, 400, notHTTP},
		{"NUL in the name", "Authorization\x00: Bearer " + good, 400, notHTTP},
		{"a letter that is not ASCII", "Author\xc4\xb1zation: Bearer " + good, 400, notHTTP},
		{"an underscore", "Authorization_: Bearer " + good, 401, missing},
		{"in a trailer", "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n1\r\nx\r\n0\r\nAuthorization: Bearer " + good, 401, missing},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := api.arrived.Load()
			got := answers(t, s.api, http.MethodPost, "POST /orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"+test.headers+"\r\n\r\n")
			if len(got) == 0 || len(got) > 1 {
				t.Fatalf("%d answers", len(got))
			}
			if challenge := got[0].header.Get("WWW-Authenticate"); got[0].status != test.status || !strings.Contains(challenge, test.challenge) || test.challenge == notHTTP && challenge != "" {
				t.Errorf("%d %q %s", got[0].status, challenge, got[0].body)
			}
			api.unreached(t, before)
		})
	}
	s.call(good).want(t, http.StatusOK)
}

// TestHostileQueries (promise 9, RFC 6750 §2.3, RFC 9700 §4.3.2): however a
// token's parameter is written, it is a 400 even beside a good header.
func TestHostileQueries(t *testing.T) {
	api := startUpstream(t, func(http.ResponseWriter, *http.Request) {})
	s := startGateway(t, api.address)
	good := s.serviceToken("orders:read")
	for _, query := range []string{
		"access_token=" + good, "access_token", "access_token=", "a=b&access_token=" + good, "&&access_token=x",
		"%61ccess_token=" + good, "access%5Ftoken=" + good, "access%5ftoken=" + good, "%61%63%63%65%73%73%5f%74%6f%6b%65%6e=" + good,
		"a=b;access_token=" + good, ";access_token=" + good, "a;%61ccess_token=" + good, "a=?access_token=1&access_token=" + good,
	} {
		for _, header := range []string{"", "Authorization: Bearer " + good + "\r\n"} {
			got := answers(t, s.api, http.MethodGet, "GET /orders?"+query+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"+header+"\r\n")
			if len(got) != 1 || got[0].status != http.StatusBadRequest || !strings.Contains(got[0].header.Get("WWW-Authenticate"), `error="invalid_request"`) {
				t.Errorf("%s with %q: %v", query, header, statuses(got))
			}
		}
	}
	api.unreached(t, 0)
}

// TestSmuggledNames (promise 8, threat 23): with a good token, whatever is made
// to look like an identity header or to take one away leaves the token's own,
// and only those, or is net/http's 400.
func TestSmuggledNames(t *testing.T) {
	s := startGateway(t, startEcho(t))
	good := "Authorization: Bearer " + s.serviceToken("orders:read")
	const own = "[X-Client: " + demo + "]"
	for name, test := range map[string]struct {
		headers string
		want    string // "": 400
	}{
		"Connection: authorization":      {"Connection: close, authorization", own},
		"Connection: every spelling":     {"Connection: x_client, X.CLIENT, X-User\r\nConnection: close, X~Client,, x-client", own},
		"Connection: quoted":             {"Connection: close, \"X-Client\"", own},
		"Keep-Alive and Te name it":      {"Connection: close, keep-alive, te\r\nTe: trailers, X-Client\r\nKeep-Alive: X-Client", own},
		"Proxy-Connection names it":      {"Connection: close\r\nProxy-Connection: X-Client", own},
		"other bytes between":            {"Connection: close\r\nX!User: admin\r\nX'User: admin\r\nX*User: admin\r\nX+User: admin\r\nX^User: admin\r\nX`User: admin\r\nX|User: admin", own},
		"folded":                         {"Connection: close\r\nX-Pad: a\r\n X-User: admin", own + "[X-Pad: a X-User: admin]"},
		"a space before the colon":       {"Connection: close\r\nX-User : admin", ""},
		"a tab before the colon":         {"Connection: close\r\nX-User\t: admin", ""},
		"a space before the name":        {" X-User: admin\r\nConnection: close", ""},
		"NUL in the name":                {"Connection: close\r\nX-User\x00: admin", ""},
		"NUL in the value":               {"Connection: close\r\nX-User: admin\x00", ""},
		"not ASCII":                      {"Connection: close\r\nX-\xc3\x9cser: admin", ""},
		"a soft hyphen":                  {"Connection: close\r\nX\xc2\xadUser: admin", ""},
		"no name":                        {"Connection: close\r\n: admin", ""},
		"no colon":                       {"Connection: close\r\nX-User admin", ""},
		"a carriage return in the value": {"Connection: close\r\nX-Pad: a\rX-User: admin", ""},
		"a line feed by itself":          {"Connection: close\r\nX-Pad: a\nX-User: admin", own},
		"a value that is not ASCII":      {"Connection: close\r\nX-User: \xff\xfe admin", own},
	} {
		t.Run(name, func(t *testing.T) {
			got := answers(t, s.api, http.MethodGet, "GET /orders HTTP/1.1\r\nHost: localhost\r\n"+test.headers+"\r\n"+good+"\r\n\r\n")
			if len(got) != 1 {
				t.Fatalf("%v", statuses(got))
			}
			if test.want == "" && got[0].status != http.StatusBadRequest || test.want != "" && got[0].body != test.want {
				t.Errorf("%d %s", got[0].status, got[0].body)
			}
		})
	}
}
