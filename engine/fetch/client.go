package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Defaults of [Options].
const (
	DefaultTimeout  = 5 * time.Second
	DefaultMaxBytes = 256 << 10
	DefaultParallel = 32
	DefaultPerHost  = 4
)

const (
	maxRedirects   = 3
	maxHeaderBytes = 32 << 10
	idleTimeout    = 30 * time.Second
	userAgent      = "Gatehouse"
)

// Options configure a [Client]. Zero and negative numbers stand for defaults.
type Options struct {
	// Allow are addresses that may be reached although they are special:
	// a service in the operator's own network, or 127.0.0.0/8 in development.
	// Allowed loopback addresses, and only they, may be reached over http.
	Allow []netip.Prefix

	// Roots verify certificates; nil means the system's.
	Roots *x509.CertPool

	// Timeout ends a request, from waiting for its turn to the body's last byte
	// with all redirects in between.
	Timeout time.Duration
	// MaxBytes bounds a response's body.
	MaxBytes int64

	// Parallel bounds the requests under way over all hosts, PerHost those to
	// one host, whatever the port. What exceeds them waits.
	Parallel int
	PerHost  int

	// Resolve finds the addresses of a host name; nil means the system's
	// resolver. It may be called concurrently.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	orDefault(&o.Timeout, DefaultTimeout)
	orDefault(&o.MaxBytes, DefaultMaxBytes)
	orDefault(&o.Parallel, DefaultParallel)
	orDefault(&o.PerHost, DefaultPerHost)
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func orDefault[T ~int | ~int64](value *T, otherwise T) {
	if *value <= 0 {
		*value = otherwise
	}
}

// Client makes requests to addresses that somebody else chose. It is safe for
// concurrent use; there should be one for all, since it bounds their number.
type Client struct {
	options Options
	rules   rules
	gate    *gate
	// https and http have transports of their own, since only the one for http
	// may know that nothing but allowed loopback is good enough.
	secure, plain *http.Transport
}

// New makes a client. It starts nothing.
func New(options Options) *Client {
	o := options.withDefaults()
	r := newRules(o.Allow)
	return &Client{
		options: o,
		rules:   r,
		gate:    newGate(o.Parallel, o.PerHost),
		secure:  newTransport(newDialer("https", r, o), o),
		plain:   newTransport(newDialer("http", r, o), o),
	}
}

// newTransport makes a transport without a proxy, which would do the resolving
// and connecting out of sight, and without TLS sessions: a session ticket is
// bytes of a server's choice that go to its name's next address.
func newTransport(d *dialer, o Options) *http.Transport {
	return &http.Transport{
		DialContext:            d.dial,
		TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12, Time: o.Now},
		TLSHandshakeTimeout:    o.Timeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConns:           o.Parallel,
		MaxIdleConnsPerHost:    o.PerHost,
		IdleConnTimeout:        idleTimeout,
	}
}

// Close closes the connections that no request uses. Requests under way end as
// they would have, and the client remains usable.
func (c *Client) Close() {
	c.secure.CloseIdleConnections()
	c.plain.CloseIdleConnections()
}

// Request is what to send, and what may come back.
type Request struct {
	Method  string // GET or POST; empty means GET
	Address string // an absolute URL; a fragment is not sent

	// ContentType and Body are for POST.
	ContentType string
	Body        []byte

	// Username and Password are sent as Basic credentials (RFC 7617) unless
	// both are empty.
	Username, Password string

	// Accept lists the media types that the answer may have, in lower case and
	// without parameters. Empty means any, or none at all.
	Accept []string
}

// Get fetches a document: status 200, and one of the media types when any is
// given. Up to 3 redirects are followed, to addresses that would have been
// permitted in the first place, and never from https to http. The errors are
// those of [Client.Do].
func (c *Client) Get(ctx context.Context, address string, accept ...string) (Document, error) {
	response, err := c.Do(ctx, Request{Address: address, Accept: accept})
	return response.Document, err
}

// Do makes a request. It returns without an error when the answer has status
// 200 (GET) or any 2xx (POST), an accepted media type, and a body within
// bounds. Other errors than those that wrap [ErrForbidden], [ErrUnavailable],
// [ErrTooLarge] or [ErrUnexpected] are mistakes in the request. With an error,
// Response.Status is the status of the answer, if there was one, and the rest
// is empty; no error's text contains any of the answer's body.
//
// Redirects are those of [Client.Get], but none is followed with a POST or with
// credentials: what was meant for one address is not for another.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	if err := r.check(); err != nil {
		return Response{}, fmt.Errorf("fetch: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	target, err := c.rules.parse(r.Address)
	if err != nil {
		return Response{}, fmt.Errorf("fetch: %w", err)
	}
	for redirects := 0; ; redirects++ {
		response, next, err := c.once(ctx, r, target)
		if err == nil && next != nil && redirects == maxRedirects {
			err = fail(ErrUnexpected, "more than %d redirects", maxRedirects)
		}
		if err != nil {
			return response, fmt.Errorf("fetch from %s: %w", target.Host, err)
		}
		if next == nil {
			return response, nil
		}
		target = next
	}
}

// check finds mistakes in a request, and makes the method explicit.
func (r *Request) check() error {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		return errors.New("the method is neither GET nor POST")
	case r.Method == http.MethodGet && (len(r.Body) > 0 || r.ContentType != ""):
		return errors.New("GET has no body")
	case strings.Contains(r.Username, ":"):
		return errors.New("a user name with a colon") // RFC 7617 §2
	}
	return nil
}

// follows reports whether the request may be sent on to another address.
func (r *Request) follows() bool {
	return r.Method == http.MethodGet && r.Username == "" && r.Password == ""
}

// once sends a request to one address. next is where the answer redirects to;
// otherwise it is in response.
func (c *Client) once(ctx context.Context, r Request, target *url.URL) (response Response, next *url.URL, err error) {
	leave, err := c.gate.enter(ctx, target.Hostname())
	if err != nil {
		return response, nil, clean(ctx, err)
	}
	defer leave()
	request, err := newRequest(ctx, r, target)
	if err != nil {
		return response, nil, err
	}
	transport := c.secure
	if target.Scheme == "http" {
		transport = c.plain
	}
	// Not http.Client: it would keep a place at the first host while it is
	// redirected to others, and it adds a Referer.
	res, err := transport.RoundTrip(request)
	if err != nil {
		return response, nil, clean(ctx, err)
	}
	defer func() { _ = res.Body.Close() }() // what matters was read
	if r.follows() && isRedirect(res.StatusCode) {
		next, err = c.redirect(target, res)
		return Response{Status: res.StatusCode}, next, err
	}
	response, err = c.read(res, r)
	return response, nil, err
}

func newRequest(ctx context.Context, r Request, target *url.URL) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	h := request.Header
	h.Set("User-Agent", userAgent)
	h.Set("Accept-Encoding", "identity") // without it any would be acceptable (RFC 9110 §12.5.3)
	h.Set("Accept", "*/*")
	if len(r.Accept) > 0 {
		h.Set("Accept", strings.Join(r.Accept, ", "))
	}
	if r.ContentType != "" {
		h.Set("Content-Type", r.ContentType)
	}
	if r.Username != "" || r.Password != "" {
		request.SetBasicAuth(r.Username, r.Password)
	}
	return request, nil
}

// isRedirect is for the redirects that name one other address (RFC 9110 §15.4).
func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirect judges where an answer leads as if it had been asked for.
func (c *Client) redirect(from *url.URL, res *http.Response) (*url.URL, error) {
	location := res.Header["Location"]
	if len(location) != 1 {
		return nil, fail(ErrUnexpected, "status %d without one Location", res.StatusCode)
	}
	to, err := from.Parse(location[0])
	if err != nil {
		return nil, fail(ErrUnexpected, "status %d with a malformed Location", res.StatusCode)
	}
	if from.Scheme == "https" && to.Scheme != "https" {
		return nil, fail(ErrForbidden, "a redirect from https to another scheme")
	}
	if to, err = c.rules.parse(to.String()); err != nil {
		return nil, fmt.Errorf("redirect: %w", err)
	}
	return to, nil
}
