package faults

import (
	"context"
	"errors"
	"net/url"
	"strings"
)

// led is where a page has led.
type led struct {
	to      string // a code, or the address of the next page
	session Ref
}

// visit is a user's way through the pages: sign-in, at times consent, another
// code by the same sign-in, and the sign-out, after which neither the cookie nor
// the tokens are worth anything.
func (c *client) visit(ctx context.Context) error {
	b, request := c.run.newBrowser("bob"), authorizeForm(app.id, passing)
	if c.chance(2) {
		request.Set("prompt", "consent")
	}
	code, err := c.authorize(ctx, b, request)
	for kind := SignIn; err == nil && strings.HasPrefix(code, "/"); kind = Allow {
		page, came := code, led{}
		came, err = ask(ctx, c, func(n *node) (Op, led, error) {
			o, to, err := c.run.answer(kind, n, b, page)
			return o, led{to, o.Session}, err
		})
		if code = came.to; kind == SignIn {
			b.session = came.session
		}
	}
	if err != nil || code == "" {
		return err
	}
	have, err := c.redeem(ctx, app, code)
	if err != nil || have.access == "" || c.chance(4) {
		return err
	}
	request.Del("prompt")
	return c.leave(ctx, b, request, have)
}

// leave signs out, and looks whether it has happened.
func (c *client) leave(ctx context.Context, b *browser, request url.Values, have granted) error {
	kept := c.run.copyOf(b)
	if _, err := c.authorize(ctx, kept, request); err != nil {
		return err
	}
	var form url.Values
	_, err := c.try(ctx, func(n *node) (o Op, err error) {
		form, _, err = read(n, b, signOutPage)
		return o, err
	})
	if err == nil && form == nil {
		err = errors.New("who is signed in cannot sign out")
	}
	if err != nil {
		return err
	}
	if err := c.insist(ctx, func(n *node) (Op, error) { return c.run.signOut(n, b, form) }); err != nil {
		return err
	}
	if _, err := c.authorize(ctx, kept, request); err != nil {
		return err
	}
	return c.look(ctx, have.access)
}

// enroll registers a client, which gets tokens from then on.
func (c *client) enroll(ctx context.Context) error {
	var by party
	_, err := c.try(ctx, func(n *node) (o Op, err error) {
		o, by, err = c.run.register(n)
		return o, err
	})
	if err != nil || by.id == "" {
		return err
	}
	c.run.know(by)
	_, err = c.try(ctx, func(n *node) (Op, error) {
		o, _, err := c.run.issueTo(n, by, RefOf(by.id))
		return o, err
	})
	return err
}
