package jwt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	maxRedirects   = 3
	maxHeaderBytes = 32 << 10
	idleTimeout    = 30 * time.Second
)

// failure is why a document could not be had, in words of this package: those
// of the network and of go-oidc quote what the other side sent.
type failure struct {
	text     string
	answered bool // the server answered, but has no such document
}

func (f *failure) Error() string { return f.text }

func fail(format string, args ...any) *failure { return &failure{text: fmt.Sprintf(format, args...)} }

// newClient makes a client whose every answer is a bounded JSON document from
// the host that was asked.
func newClient(s *Source) *http.Client {
	client := http.Client{}
	if s.Client != nil {
		client = *s.Client
	}
	base := client.Transport
	switch {
	case s.Client == nil:
		base = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,                     // the operator named the issuer
			DialContext:            (&net.Dialer{Timeout: s.Timeout}).DialContext, // a connection outlives the request that it was begun for
			TLSHandshakeTimeout:    s.Timeout,
			TLSClientConfig:        &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12, Time: s.Now},
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxHeaderBytes,
			IdleConnTimeout:        idleTimeout,
		}
	case base == nil:
		base = http.DefaultTransport
	}
	client.Transport = &guard{base: base, most: s.MaxBytes}
	client.CheckRedirect = checkRedirect
	client.Jar = nil
	return &client
}

// checkRedirect lets a host move a document within itself. Another host would
// speak for the one that was asked.
func checkRedirect(next *http.Request, before []*http.Request) error {
	switch first := before[0].URL; {
	case next.URL.Scheme != first.Scheme || next.URL.Host != first.Host:
		return fail("a redirect to another host")
	case len(before) > maxRedirects:
		return fail("more than %d redirects", maxRedirects)
	}
	return nil
}

// guard is a transport that refuses every answer but what was asked for. It does
// so here and not after, since go-oidc reads all of a body and quotes it.
type guard struct {
	base http.RoundTripper
	most int64
}

// RoundTrip is part of [http.RoundTripper].
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if !reachable(r.URL) {
		return nil, fail("not an https URL")
	}
	response, err := g.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body := response.Body
	response.Body = http.MaxBytesReader(nil, body, g.most)
	switch {
	case isRedirect(response):
		return response, nil // http.Client follows it, or fails
	case response.StatusCode != http.StatusOK:
		err = &failure{fmt.Sprintf("status %d", response.StatusCode), response.StatusCode/100 == 4}
	case !isJSON(response.Header.Get("Content-Type")):
		err = &failure{"the media type is not JSON's", true}
	default:
		return response, nil
	}
	_ = body.Close() // unread
	return nil, err
}

// isRedirect is for the redirects that name one other address (RFC 9110 §15.4).
func isRedirect(r *http.Response) bool {
	switch r.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return r.Header.Get("Location") != ""
	}
	return false
}

// CloseIdleConnections is for [http.Client.CloseIdleConnections].
func (g *guard) CloseIdleConnections() {
	if base, ok := g.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// isJSON takes application/json, and types that are built on it, as a JWK Set's
// is (RFC 6839 §3.1, RFC 7517 §8.5.2).
func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// reachable reports whether an address may be fetched: https, or this machine.
func reachable(u *url.URL) bool {
	if u.Host == "" || u.User != nil || u.Opaque != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || strings.EqualFold(host, "localhost")
}

// get fetches a document.
func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fail("not a URL")
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	response, err := client.Do(request)
	if err != nil {
		return nil, clean(ctx, err)
	}
	defer func() { _ = response.Body.Close() }() // what matters was read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, clean(ctx, err)
	}
	return body, nil
}

// clean turns any error into one of this package's.
func clean(ctx context.Context, err error) error {
	var (
		known   *failure
		other   *oidc.IssuerMismatchError
		large   *http.MaxBytesError
		name    *net.DNSError
		number  syscall.Errno
		certify *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &other):
		return errOtherIssuer
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &large):
		return fail("more than %d bytes", large.Limit)
	case errors.As(err, &name):
		return fail("the host name does not resolve")
	case errors.As(err, &number):
		return fail("%s", number.Error())
	case errors.As(err, &certify):
		return fail("the certificate is not valid, or its issuer is not trusted")
	}
	return fail("the answer is cut off, or no document")
}
