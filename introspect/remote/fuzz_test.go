package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

// FuzzAnswer: whatever an endpoint answers, there are facts or an error and
// never both; the facts are active only if a JSON object of status 200 says so
// and is about no other issuer; the error quotes none of the body (promise 13).
func FuzzAnswer(f *testing.F) {
	const marker = "c2VjcmV0"
	for _, body := range []string{
		active, `{"active":false}`, `{"active":true,"iss":"https://other.example.net"}`, `{"active":true,"active":false}`,
		`{"active":true,"nbf":99999999999}`, `{"active":true,"typ":"Refresh"}`, `{"active":1}`, `{"error":"invalid_client"}`, `{"error":"` + marker + `"}`,
		`{"active":true,"exp":"` + marker + `","gatehouse":{"token":"` + marker + `"}}`, `{"` + marker + `":`, `[[[[`, `null`, ``,
	} {
		f.Add(uint16(200), "application/json", []byte(body))
		f.Add(uint16(401), "application/json; charset=utf-8", []byte(body))
	}
	i := open(f, Options{Endpoint: "https://as.example.com/", Issuer: sampleIssuer})
	f.Fuzz(func(t *testing.T, status uint16, contentType string, body []byte) {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, i.options.Endpoint, nil)
		if err != nil {
			t.Fatal(err)
		}
		facts, failure := i.read(context.Background(), &http.Response{
			StatusCode: int(status), Header: http.Header{"Content-Type": {contentType}},
			Body: io.NopCloser(bytes.NewReader(body)), Request: request,
		})
		if (facts == nil) == (failure == nil) {
			t.Fatalf("facts %+v and failure %v", facts, failure)
		}
		if failure != nil {
			if text := failure.Error(); strings.Contains(text, marker) || len(text) > 300 || failure.outcome == unknown {
				t.Errorf("%d %q", failure.outcome, text)
			}
			return
		}
		var members map[string]any
		if err := json.Unmarshal(body, &members); err != nil || status != 200 || len(body) > introspect.MaxFactsBytes {
			t.Fatalf("facts %+v of status %d, %v", facts, status, err)
		}
		if facts.Active && (members["active"] != true || members["iss"] != nil && members["iss"] != sampleIssuer) {
			t.Errorf("active by %q", body)
		}
	})
}
