package dpop

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/dpop"
)

// At returns a [Resource.Target] for a resource that clients know at one
// origin, such as https://api.example.com, with the path that the request came
// with. Host and Forwarded have no say. It fails on what is not an origin.
//
// The path is that of RequestURI, which http.StripPrefix leaves alone. Whoever
// changes that before the guard must write a Target of its own.
func At(origin string) (func(*http.Request) *url.URL, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, fmt.Errorf("dpop: origin: %w", err)
	}
	if _, err := dpop.Normalize(u); err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("dpop: an origin is scheme, host and port: https://api.example.com")
	}
	return func(r *http.Request) *url.URL {
		from := r.URL
		if sent, err := url.ParseRequestURI(r.RequestURI); err == nil {
			from = sent
		}
		return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: from.Path, RawPath: from.RawPath}
	}, nil
}
