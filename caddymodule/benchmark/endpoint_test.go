package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

func introspectAt(t *testing.T, client *http.Client, address, token string) (int, []byte) {
	t.Helper()
	resp, err := client.PostForm(address, url.Values{"token": {token}, "token_type_hint": {"access_token"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// The endpoint knows made-up tokens (RFC 7662 §2.2), counts the questions, and
// sends those about other tokens on as they came.
func TestEndpoint(t *testing.T) {
	engine := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "sent on: "+r.FormValue("token"))
	})
	e, err := startEndpoint(3, time.Millisecond, nil, engine)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	begin := time.Now()
	for _, i := range []int{0, 2, 2} {
		code, body := introspectAt(t, client, e.url, madeUpToken(i))
		facts, err := introspect.ParseFacts(body)
		if code != http.StatusOK || err != nil || !facts.Active || !facts.HasScope(scope) || facts.Ref.Token == 0 || facts.ExpiresAt == 0 {
			t.Errorf("token %d: %d, %+v, %v", i, code, facts, err)
		}
	}
	if took := time.Since(begin); took < 3*time.Millisecond {
		t.Errorf("three delays of a millisecond took %s", took)
	}
	if once, again := e.counts(); once != 2 || again != 1 || e.most.Load() != 1 {
		t.Errorf("%d tokens, %d of them again, at most %d at once", once, again, e.most.Load())
	}
	for _, token := range []string{"AT_xyz", madeUpToken(3)} {
		if _, body := introspectAt(t, client, e.url, token); string(body) != "sent on: "+token {
			t.Errorf("%s: %s", token, body)
		}
	}
	if n := e.sentOn.Load(); n != 2 {
		t.Errorf("%d were sent on", n)
	}
}

// With a certificate the endpoint speaks HTTP/2 and nothing else, so that a row
// cannot measure another protocol than it says.
func TestEndpointOverHTTP2(t *testing.T) {
	certificate, text, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	e, err := startEndpoint(1, 0, certificate, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("no certificate")
	}
	for _, http2 := range []bool{true, false} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetHTTP2(http2)
		client := &http.Client{Transport: transport}
		resp, err := client.PostForm(e.url, url.Values{"token": {madeUpToken(0)}})
		if (err == nil) != http2 {
			t.Errorf("HTTP/2 %t: %v", http2, err)
		}
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
				t.Errorf("%s over %s", resp.Status, resp.Proto)
			}
			if code, _ := introspectAt(t, client, e.url, "another"); code != http.StatusNotFound {
				t.Errorf("an unknown token without an engine: %d", code)
			}
		}
		client.CloseIdleConnections()
	}
}

func TestMadeUpNumber(t *testing.T) {
	for _, test := range []struct {
		name, form string
		want       int
		ok         bool
	}{
		{"a token", "token=" + madeUpToken(42) + "&token_type_hint=access_token", 42, true},
		{"the last one of a million", "token=" + madeUpToken(999_999), 999_999, true},
		{"after another parameter", "client_id=a&token=" + madeUpToken(7), 7, true},
		{"another token", "token=AT_abc", 0, false},
		{"cut off", "token=" + madeUpToken(7)[:20], 0, false},
		{"no number", "token=" + madeUpPrefix + "x" + madeUpToken(7)[len(madeUpPrefix)+1:], 0, false},
		{"nothing", "", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, ok := madeUpNumber(test.form); got != test.want || ok != test.ok {
				t.Errorf("%d, %t", got, ok)
			}
		})
	}
	if len(madeUpToken(1)) != 60 {
		t.Errorf("a token has %d characters", len(madeUpToken(1)))
	}
}
