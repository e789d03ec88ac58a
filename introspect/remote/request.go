package remote

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/introspect"
)

const userAgent = "Gatehouse"

// attempt makes one request, once there is room for it.
func (i *Introspector) attempt(ctx context.Context, token string, probe bool) (*introspect.Facts, *failure) {
	select {
	case i.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, stopped(ctx, "there was no room among the requests under way")
	}
	defer func() { <-i.slots }()
	if !probe && i.breaker.isOpen() { // since the call began
		return nil, errOpen
	}
	limited, cancel := context.WithTimeout(ctx, i.options.Timeout)
	defer cancel()
	request, err := i.request(limited, token)
	if err != nil {
		return nil, &failure{reason: "the request cannot be made: our own credentials are not to be had", cause: err}
	}
	i.requests.Add(1)
	response, err := i.client.Do(request)
	if err != nil {
		return nil, broken(ctx, err, i.options.Timeout)
	}
	defer func() { _ = response.Body.Close() }() // what matters was read
	return i.read(ctx, response)
}

// request is RFC 7662 §2.1. The token is in the body alone: addresses and
// headers end up in logs.
func (i *Introspector) request(ctx context.Context, token string) (*http.Request, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	header := http.Header{
		"Accept":       {i.mediaType()},
		"Content-Type": {"application/x-www-form-urlencoded"},
		"User-Agent":   {userAgent},
	}
	if err := i.Authorize(ctx, form, header); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, i.options.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header = header
	return request, nil
}
