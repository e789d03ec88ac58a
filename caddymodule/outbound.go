package caddymodule

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"github.com/gatehouse-auth/gatehouse/engine/fetch"
)

// Outbound bounds the requests that the server makes because a client's
// settings name an address: keys, request objects, sector identifiers, logout
// notices, callbacks. Addresses that are not on the public internet are refused.
type Outbound struct {
	// Allow are ranges of addresses, such as 10.1.0.0/16, that may be asked
	// although they are not public. http is accepted from loopback ones alone.
	Allow []string `json:"allow,omitempty"`
	// Trust are files of certificates (PEM) that are trusted beside the system's.
	Trust []string `json:"trust,omitempty"`
	// Timeout bounds each request as a whole. Default: 5 seconds.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// MaxSize bounds what is read of an answer, in bytes. Default: 256 KiB.
	MaxSize int64 `json:"max_size,omitempty"`
	// PerHost bounds the requests to one host at once. Default: 4.
	PerHost int `json:"per_host,omitempty"`
}

// unmarshal reads the block.
//
// Syntax:
//
//	outbound {
//		allow    <range...>
//		trust    <file...>
//		timeout  <duration>
//		max_size <size>
//		per_host <number>
//	}
func (o *Outbound) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("outbound: expected a block, not %q", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name, args := d.Val(), d.RemainingArgs()
		if len(args) == 0 {
			return d.Errf("outbound: %s: expected a value", name)
		}
		var err error
		switch name {
		case "allow":
			o.Allow = append(o.Allow, args...)
			_, err = o.prefixes()
		case "trust":
			o.Trust = append(o.Trust, args...)
		case "timeout":
			var timeout time.Duration
			timeout, err = caddy.ParseDuration(args[0])
			o.Timeout = caddy.Duration(timeout)
		case "max_size":
			var size uint64
			size, err = humanize.ParseBytes(args[0])
			o.MaxSize = int64(min(size, maxOutboundSize))
		case "per_host":
			o.PerHost, err = strconv.Atoi(args[0])
		default:
			return d.Errf("outbound: unknown option %q; expected allow, trust, timeout, max_size or per_host", name)
		}
		if err != nil {
			return d.Errf("outbound: %s: %v", name, err)
		}
	}
	return nil
}

const (
	maxOutboundSize = 16 << 20
	maxPerHost      = 1000
)

func (o *Outbound) prefixes() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range o.Allow {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a range such as 10.1.0.0/16 or ::1/128", text)
		}
		list = append(list, prefix)
	}
	return list, nil
}

// check finds mistakes without opening a file.
func (o *Outbound) check() error {
	if o == nil {
		return nil
	}
	if o.Timeout < 0 || o.MaxSize < 0 || o.MaxSize > maxOutboundSize || o.PerHost < 0 || o.PerHost > maxPerHost {
		return fmt.Errorf("outbound: timeout, max_size and per_host must be positive, max_size at most %d and per_host at most %d", maxOutboundSize, maxPerHost)
	}
	_, err := o.prefixes()
	if err != nil {
		return fmt.Errorf("outbound: allow: %w", err)
	}
	return nil
}

// client makes the guarded client.
func (o *Outbound) client() (*fetch.Client, error) {
	if o == nil {
		return fetch.New(fetch.Options{}), nil
	}
	allow, err := o.prefixes()
	if err != nil {
		return nil, err
	}
	options := fetch.Options{Allow: allow, Timeout: time.Duration(o.Timeout), MaxBytes: o.MaxSize, PerHost: o.PerHost, Parallel: max(fetch.DefaultParallel, o.PerHost)}
	if len(o.Trust) > 0 {
		if options.Roots, err = x509.SystemCertPool(); err != nil {
			options.Roots = x509.NewCertPool()
		}
	}
	for _, file := range o.Trust {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("outbound: trust: %w", err)
		}
		if !options.Roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("outbound: trust: %s holds no certificate", file)
		}
	}
	return fetch.New(options), nil
}
