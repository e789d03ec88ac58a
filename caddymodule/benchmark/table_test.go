package main

import (
	"errors"
	"strings"
	"testing"
	"text/template"
	"time"
)

func sampleResults() []result {
	second := func(n int64) sample { return sample{operations: n, elapsed: time.Second, cpu: time.Second} }
	return []result{
		{
			row:        row{name: "gateway", what: "gateway", against: "reverse_proxy", atLeast: 0.97},
			comparison: &comparison{what: []sample{second(98)}, against: []sample{second(100)}}, good: true,
		},
		{row: row{name: "disk", what: "disk", wanted: "≤ 200 bytes"}, figure: "250 bytes", note: "a while"},
		{row: row{name: "peer", what: "peer", against: "a peer"}, skipped: "not installed"},
		{row: row{name: "broken", what: "broken", against: "x", atLeast: 1}, err: errors.New("status 503")},
	}
}

func TestReportAsText(t *testing.T) {
	var b strings.Builder
	writeReport(&b, options{rounds: 1, duration: time.Second, connections: 64}, "a machine", sampleResults())
	want := `a machine
64 connections, 1 rounds of 1s, in turn; medians.

row      what     against        measured       against it  ratio  rounds' ratios  wanted       result  CPU each                ratio by CPU  others
gateway  gateway  reverse_proxy  98/s           100/s       0.980  0.980–0.980     ≥ 0.97       ok      10204.1 µs, 10000.0 µs  0.980         0 %
disk     disk     –              250 bytes      –           –      –               ≤ 200 bytes  SHORT   –                       –             –
peer     peer     a peer         not installed  –           –      –               –            –       –                       –             –
broken   broken   x              –              –           –      –               ≥ 1.00       FAILED  –                       –             –

disk: each took a while

broken: status 503
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestReportAsMarkdown(t *testing.T) {
	var b strings.Builder
	writeReport(&b, options{markdown: true}, "a machine", sampleResults()[:1])
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "| gateway | gateway | reverse_proxy | 98/s | 100/s | 0.980 |") {
		t.Errorf("last line %s", last)
	}
	if rule := lines[len(lines)-2]; strings.Count(rule, "---") != len(headings) {
		t.Errorf("rule %s", rule)
	}
}

func TestChooseRows(t *testing.T) {
	for _, test := range []struct {
		name string
		o    options
		want int
	}{
		{"all", options{}, len(rows)},
		{"some", options{only: "gateway,disk"}, 2},
		{"at stores", options{only: "postgres,growth-sqlite,feed"}, 3},
		{"the one to profile", options{profile: "es256"}, 1},
		{"unknown", options{only: "gateway,nonsense"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			chosen, err := chooseRows(test.o)
			if len(chosen) != test.want || (err != nil) != (test.want == 0) {
				t.Errorf("%d rows, error %v", len(chosen), err)
			}
		})
	}
}

func TestCaddyfile(t *testing.T) {
	l, err := newLayout("/tmp/x", 9000, false)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := template.Must(template.New("").Parse(caddyfile)).Execute(&b, l); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"admin off", "access_token_sign_alg EdDSA", "issuer " + l.Services[es256].URL(), "reverse_proxy 127.0.0.1:9000",
		"storage sqlite /tmp/x/gatehouse.db", "keys /tmp/x/keys.json", "introspector authority jwt " + authorityIssuer + " {",
		l.JWT.URL() + " {\n\tgatehouse_bearer {\n\t\tintrospectors authority", l.Phantom.URL() + " {",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestGatewayfile(t *testing.T) {
	for _, test := range []struct {
		name      string
		layout    gatewayLayout
		want, not []string
	}{
		{"plain", gatewayLayout{Site: 9001, Endpoint: "http://127.0.0.1:9002/introspect", CacheSize: 5},
			[]string{"http://localhost:9001 {", "remote http://127.0.0.1:9002/introspect {", "cache_size 5"}, []string{"revocations", "trust"}},
		{"with a stream and a certificate", gatewayLayout{Revocations: "http://localhost:9003/revocations", Trust: "/tmp/x.pem"},
			[]string{"revocations http://localhost:9003/revocations\n", "trust /tmp/x.pem\n"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b strings.Builder
			if err := template.Must(template.New("").Parse(gatewayfile)).Execute(&b, test.layout); err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(b.String(), want) {
					t.Errorf("no %q in\n%s", want, b.String())
				}
			}
			for _, not := range test.not {
				if strings.Contains(b.String(), not) {
					t.Errorf("%q in\n%s", not, b.String())
				}
			}
		})
	}
}
