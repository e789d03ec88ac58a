package relyingparty

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	requestTimeout = 10 * time.Second // of one request to the provider, its answer's last byte included
	maxAnswer      = 256 << 10        // bytes
	maxHeader      = 32 << 10         // bytes
	maxConns       = 64               // to the provider, at once
	idleConns      = 8
	idleTimeout    = 30 * time.Second
)

// newClient makes the client that asks the provider. It follows no redirect: a
// provider's endpoints are where its metadata says, and a redirect would take
// codes and secrets elsewhere.
func newClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &boundedTransport{http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    requestTimeout,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxHeader,
			MaxConnsPerHost:        maxConns,
			MaxIdleConns:           idleConns,
			MaxIdleConnsPerHost:    idleConns,
			IdleConnTimeout:        idleTimeout,
		}},
	}
}

// boundedTransport ends answers that are too long with an error.
type boundedTransport struct{ http.Transport }

// RoundTrip is part of http.RoundTripper.
func (t *boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	return resp, nil
}

// readRoots reads certificates (PEM), which are trusted beside the system's.
// nil means the system's alone. The digest tells one content from another.
func readRoots(files []string) (roots *x509.CertPool, digest []byte, err error) {
	if len(files) == 0 {
		return nil, nil, nil
	}
	if roots, err = x509.SystemCertPool(); err != nil {
		roots = x509.NewCertPool()
	}
	sum := sha256.New()
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, fmt.Errorf("trust: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("trust: %s holds no certificate", file)
		}
		sum.Write(pem)
	}
	return roots, sum.Sum(nil), nil
}

// parseWeb reads an absolute URL on https, or on http if its host is this
// machine: no other travels unseen.
func parseWeb(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, fmt.Errorf("%q is not a URL such as https://example.com; http is for localhost alone", text)
	}
	return u, nil
}

func isLoopback(host string) bool {
	host = strings.ToLower(host)
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
