package remote

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	maxHeaderBytes = 32 << 10
	idleTimeout    = 90 * time.Second
)

// newClient makes the client of one endpoint. Its connections end with life. It
// follows no redirect: what is meant for one address, secrets among it, is not
// for another.
func newClient(life context.Context, o Options) *http.Client {
	return &http.Client{
		Transport:     newTransport(life, o),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newTransport keeps as many idle connections as may be in use at once, so that
// HTTP/1.1 connects no more often than HTTP/2. Pings find out about an HTTP/2
// connection that has died without a word, which all requests share. Nothing is
// inflated here: a bomb stays as small as it came.
func newTransport(life context.Context, o Options) *http.Transport {
	config := &tls.Config{}
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return &http.Transport{
		DialContext:            dialFor(life, &net.Dialer{Timeout: o.Timeout}),
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    o.Timeout,
		ResponseHeaderTimeout:  o.Timeout,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: o.Timeout, PingTimeout: o.Timeout},
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConns:           o.MaxParallel,
		MaxIdleConnsPerHost:    o.MaxParallel,
		IdleConnTimeout:        idleTimeout,
	}
}

// dialFor makes connections that are closed when life ends, whoever holds them:
// the pool of net/http gives up only those that it knows to be idle.
func dialFor(life context.Context, d *net.Dialer) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &connection{conn, context.AfterFunc(life, func() { _ = conn.Close() })}, nil // nobody is left to be told
	}
}

type connection struct {
	net.Conn
	forget func() bool
}

func (c *connection) Close() error {
	c.forget()
	return c.Conn.Close()
}
