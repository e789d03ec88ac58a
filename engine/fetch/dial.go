package fetch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

const (
	// attemptDelay is how long one address may keep the next one waiting
	// (RFC 8305 §5).
	attemptDelay = 250 * time.Millisecond
	// maxAttempts bounds the addresses of one name that are tried: a name may
	// have hundreds, and none need be its owner's.
	maxAttempts = 6
)

// dialer connects to what the rules permit for one scheme.
type dialer struct {
	rules   rules
	scheme  string
	resolve func(context.Context, string) ([]netip.Addr, error)
	timeout time.Duration
	net     net.Dialer
}

func newDialer(scheme string, r rules, o Options) *dialer {
	d := &dialer{rules: r, scheme: scheme, resolve: o.Resolve, timeout: o.Timeout}
	d.net.Control = d.control
	return d
}

// control judges the address that a socket is about to connect to. Nothing
// comes after it that could choose another one.
func (d *dialer) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fail(ErrForbidden, "not an address to connect to")
	}
	return d.rules.check(target.Addr(), d.scheme)
}

// dial is the DialContext of a transport. It has a time limit of its own, since
// transports let connections outlive the requests that they were begun for.
func (d *dialer) dial(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	targets := make([]netip.AddrPort, 0, maxAttempts)
	for _, addr := range addrs[:min(len(addrs), maxAttempts)] {
		targets = append(targets, netip.AddrPortFrom(addr.Unmap(), uint16(number)))
	}
	return d.race(ctx, targets)
}

func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := d.resolve(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return addrs, err
}

// attempt is how a connection attempt ended.
type attempt struct {
	conn net.Conn
	err  error
}

// race tries the targets one after the other, the next one as soon as one
// failed or [attemptDelay] passed, and returns the first connection. An error
// of the network goes before a refusal: then some address was permitted.
func (d *dialer) race(ctx context.Context, targets []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		ended   = make(chan attempt)
		next    <-chan time.Time
		running int
		failed  error
	)
	start := func() {
		next = nil
		if len(targets) > 0 {
			go d.try(ctx, targets[0], ended)
			targets = targets[1:]
			next = time.After(attemptDelay)
			running++
		}
	}
	for start(); running > 0; {
		select {
		case a := <-ended:
			if a.err == nil {
				return a.conn, nil
			}
			running--
			if failed == nil || errors.Is(failed, ErrForbidden) {
				failed = a.err
			}
			start()
		case <-next:
			start()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, failed
}

// try hands over a connection, or closes it when nobody waits any more.
func (d *dialer) try(ctx context.Context, target netip.AddrPort, ended chan<- attempt) {
	conn, err := d.net.DialContext(ctx, "tcp", target.String())
	select {
	case ended <- attempt{conn, err}:
	case <-ctx.Done():
		if conn != nil {
			_ = conn.Close() // unused
		}
	}
}
