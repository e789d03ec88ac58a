package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"
)

// client does what clients do, one after the other: those that act for
// themselves, and those that users sign in to. It also does what clients must
// not: it redeems codes and refreshes twice, at once and late.
type client struct {
	run    *run
	random *rand.Rand
}

// work goes on until it is enough, and ends what it has begun.
func (c *client) work(ctx context.Context, enough <-chan struct{}) error {
	for {
		select {
		case <-enough:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		if err := c.act(ctx); err != nil {
			return err
		}
	}
}

// act does something, often that for which a kill waits.
func (c *client) act(ctx context.Context) error {
	n := c.random.IntN(24)
	switch g := c.run.gate.Load(); {
	case !c.run.whole:
	case n == 0 || g != nil && n%2 == 0 && g.lacks(SignIn, Allow, SignOut):
		return c.visit(ctx)
	case n == 1 || g != nil && n%4 == 1 && g.lacks(Register):
		return c.enroll(ctx)
	}
	switch n % 6 {
	case 0, 1:
		return c.actForItself(ctx)
	case 2, 3:
		return c.actForUser(ctx, app)
	case 4:
		return c.actForUser(ctx, web)
	}
	return c.watch(ctx)
}

// chance is true in one of n cases.
func (c *client) chance(n int) bool { return c.random.IntN(n) == 0 }

// try asks any node, and another one while it cannot be reached.
func (c *client) try(ctx context.Context, ask func(*node) (Op, error)) (o Op, err error) {
	for {
		o, err = ask(c.run.nodes[c.random.IntN(len(c.run.nodes))])
		if err == nil && o.Answered {
			return o, pause(ctx, 20*time.Millisecond) // who is told to come later does
		}
		if err != errNotSent {
			return o, err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return o, err
		}
	}
}

// insist asks again until it knows.
func (c *client) insist(ctx context.Context, ask func(*node) (Op, error)) error {
	for {
		o, err := c.try(ctx, ask)
		if err != nil || o.Outcome != Unknown {
			return err
		}
	}
}

// pause waits. The error is the cause for which ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func (c *client) actForItself(ctx context.Context) error {
	var token string
	_, err := c.try(ctx, func(n *node) (o Op, err error) {
		var g granted
		o, g, err = c.run.issue(n)
		token = g.access
		return o, err
	})
	if err != nil || token == "" {
		return err
	}
	if c.chance(2) {
		if err := c.look(ctx, token); err != nil {
			return err
		}
	}
	if c.chance(3) {
		return c.revoke(ctx, service, token)
	}
	return nil
}

// watch asks what some tokens are worth that were given to anyone.
func (c *client) watch(ctx context.Context) error {
	for range 4 {
		token, ok := c.run.anyOf(c.random)
		if !ok {
			return nil
		}
		if err := c.look(ctx, token); err != nil {
			return err
		}
	}
	return nil
}

// look asks what a token is worth: the engine, or every other time a gateway.
func (c *client) look(ctx context.Context, token string) error {
	ask := c.run.introspect
	if c.run.opens(token) && c.chance(2) {
		ask = c.run.call
	}
	_, err := c.try(ctx, func(n *node) (Op, error) { return ask(n, token) })
	return err
}

// revoke insists, as a client must, and looks whether it has happened.
func (c *client) revoke(ctx context.Context, by party, token string) error {
	if err := c.insist(ctx, func(n *node) (Op, error) { return c.run.revoke(n, by, token) }); err != nil {
		return err
	}
	return c.look(ctx, token)
}

// actForUser gets a code for a user who has signed in and has consented before.
func (c *client) actForUser(ctx context.Context, by party) error {
	code, err := c.authorize(ctx, c.run.user, authorizeForm(by.id, lasting))
	if err != nil || code == "" {
		return err
	}
	have, err := c.redeem(ctx, by, code)
	if err != nil || have.refresh == "" {
		return err
	}
	if c.chance(12) { // the code again, late
		if _, err := c.redeem(ctx, by, code); err != nil {
			return err
		}
		return c.look(ctx, have.access)
	}
	return c.useGrant(ctx, by, have)
}

func (c *client) authorize(ctx context.Context, b *browser, form url.Values) (next string, err error) {
	_, err = c.try(ctx, func(n *node) (o Op, err error) {
		o, next, err = c.run.authorize(n, b, form)
		return o, err
	})
	return next, err
}

func (c *client) redeem(ctx context.Context, by party, code string) (granted, error) {
	return ask(ctx, c, func(n *node) (Op, granted, error) { return c.run.redeem(n, by, code) })
}

// useGrant refreshes some times, and may end what it has.
func (c *client) useGrant(ctx context.Context, by party, have granted) error {
	for range 1 + c.random.IntN(4) {
		if c.chance(3) {
			if err := c.look(ctx, have.access); err != nil {
				return err
			}
		}
		before := have.refresh
		next, err := ask(ctx, c, func(n *node) (Op, granted, error) { return c.run.refresh(n, by, before) })
		if err != nil || next.refresh == "" {
			return err
		}
		have = next
		switch c.random.IntN(12) {
		case 0:
			return c.revoke(ctx, by, have.refresh)
		case 1:
			if err := c.revoke(ctx, by, have.access); err != nil {
				return err
			}
		case 2: // the same pair again, or reuse when the next step has come before it
			if _, err := ask(ctx, c, func(n *node) (Op, granted, error) { return c.run.refresh(n, by, before) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask presents what can be used once until the answer is known, sometimes twice
// or three times at once, and returns what came of it.
func ask[T any](ctx context.Context, c *client, present func(*node) (Op, T, error)) (have T, err error) {
	var mu sync.Mutex
	once := func(one *client) error {
		return one.insist(ctx, func(n *node) (Op, error) {
			o, given, err := present(n)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && o.Outcome == Acknowledged {
				have = given
			}
			return o, err
		})
	}
	var group sync.WaitGroup
	errs := make([]error, 3)
	if c.chance(4) {
		for i := range 1 + c.random.IntN(2) {
			twin := &client{run: c.run, random: rand.New(rand.NewPCG(c.random.Uint64(), 0))}
			group.Go(func() { errs[i] = once(twin) })
		}
	}
	errs[2] = once(c)
	group.Wait()
	return have, errors.Join(errs...)
}
