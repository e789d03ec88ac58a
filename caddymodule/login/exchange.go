package login

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/fetch"
)

const maxTokenResponse = 16 << 10 // bytes

// errRefused says that a social network refuses the code, or the token, that it
// gave: the user can try again.
var errRefused = errors.New("the social network refuses")

// identify redeems a code, and asks whose it is. The error is errRefused or
// ErrUnavailable.
func (n *network) identify(ctx context.Context, fetcher engine.Fetcher, config *oauth2.Config, code, verifier string) (*traveller, error) {
	ctx, cancel := context.WithTimeout(ctx, callbackTime)
	defer cancel()
	over := &carrier{fetch: fetcher}
	token, err := config.Exchange(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: over}), code, oauth2.VerifierOption(verifier))
	var refused *oauth2.RetrieveError
	switch {
	case errors.Is(err, errRefused):
		return nil, err
	case errors.As(err, &refused): // not its text, which quotes the answer
		return nil, fmt.Errorf("%w the code: error %.50q", errRefused, refused.ErrorCode)
	case errors.Is(err, ErrUnavailable):
		return nil, err
	case err != nil:
		return nil, unusable("the social network's token response cannot be read")
	}
	resp, err := over.do(ctx, fetch.Request{
		Address: n.user + "?" + n.query(token.AccessToken, n.credentials.APISecret).Encode(), Accept: []string{"application/json", "text/javascript"},
	})
	if err != nil {
		return nil, err
	}
	var user struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(resp.Body, &user) != nil || checkSubject(user.ID) != nil {
		return nil, unusable("the social network does not say who its user is")
	}
	return &traveller{
		network: n.sns, id: user.ID, access: token.AccessToken, refresh: token.RefreshToken,
		expiresIn: lifetime(token), tokenResponse: over.tokenResponse,
	}, nil
}

// lifetime is expires_in, 0 if there is none, of a token response that may be a
// form instead of JSON.
func lifetime(t *oauth2.Token) int64 {
	if seconds, ok := t.Extra("expires_in").(int64); ok && t.ExpiresIn == 0 {
		return max(seconds, 0)
	}
	return max(t.ExpiresIn, 0)
}

// carrier makes the requests of an http.Client through the guarded client, and
// keeps the last answer to a POST.
type carrier struct {
	fetch         engine.Fetcher
	tokenResponse string
}

// RoundTrip is part of http.RoundTripper.
func (c *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	defer func() { _ = r.Body.Close() }() // it is in memory
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	resp, err := c.do(r.Context(), fetch.Request{Method: r.Method, Address: r.URL.String(), ContentType: r.Header.Get("Content-Type"), Body: body})
	if err != nil {
		return nil, err
	}
	c.tokenResponse = string(resp.Body)
	return &http.Response{
		StatusCode: resp.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {resp.ContentType}}, Body: io.NopCloser(bytes.NewReader(resp.Body)),
	}, nil
}

// do makes a request to a social network. An answer 4xx is a refusal.
func (c *carrier) do(ctx context.Context, r fetch.Request) (fetch.Response, error) {
	resp, err := c.fetch.Do(ctx, r)
	switch {
	case err != nil && resp.Status/100 == 4 && !errors.Is(err, fetch.ErrUnavailable):
		return resp, fmt.Errorf("%w: %w", errRefused, err)
	case err != nil:
		return resp, noAnswer(resp, err)
	case len(resp.Body) > maxTokenResponse:
		return resp, unusable("the social network's answer is too long")
	}
	return resp, nil
}
