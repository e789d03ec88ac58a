package faults

import (
	"context"
	"math/rand/v2"
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
		var err error
		switch c.random.IntN(6) {
		case 0, 1:
			err = c.actForItself(ctx)
		case 2, 3:
			err = c.actForUser(ctx, "app")
		case 4:
			err = c.actForUser(ctx, "web")
		default:
			err = c.watch(ctx)
		}
		if err != nil {
			return err
		}
	}
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
		if err := c.introspect(ctx, token); err != nil {
			return err
		}
	}
	if c.chance(3) {
		return c.revoke(ctx, "service", token)
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
		if err := c.introspect(ctx, token); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) introspect(ctx context.Context, token string) error {
	_, err := c.try(ctx, func(n *node) (Op, error) { return c.run.introspect(n, token) })
	return err
}

// revoke insists, as a client must, and looks whether it has happened.
func (c *client) revoke(ctx context.Context, client, token string) error {
	if err := c.insist(ctx, func(n *node) (Op, error) { return c.run.revoke(n, client, token) }); err != nil {
		return err
	}
	return c.introspect(ctx, token)
}

func (c *client) actForUser(ctx context.Context, client string) error {
	code := ""
	_, err := c.try(ctx, func(n *node) (o Op, err error) {
		o, code, err = c.run.authorize(n, client)
		return o, err
	})
	if err != nil || code == "" {
		return err
	}
	have, err := c.ask(ctx, func(n *node) (Op, granted, error) { return c.run.redeem(n, client, code) })
	if err != nil || have.refresh == "" {
		return err
	}
	if c.chance(12) { // the code again, late
		if _, err := c.ask(ctx, func(n *node) (Op, granted, error) { return c.run.redeem(n, client, code) }); err != nil {
			return err
		}
		return c.introspect(ctx, have.access)
	}
	return c.useGrant(ctx, client, have)
}

// useGrant refreshes some times, and may end what it has.
func (c *client) useGrant(ctx context.Context, client string, have granted) error {
	for range 1 + c.random.IntN(4) {
		if c.chance(3) {
			if err := c.introspect(ctx, have.access); err != nil {
				return err
			}
		}
		before := have.refresh
		next, err := c.ask(ctx, func(n *node) (Op, granted, error) { return c.run.refresh(n, client, before) })
		if err != nil || next.refresh == "" {
			return err
		}
		have = next
		switch c.random.IntN(12) {
		case 0:
			return c.revoke(ctx, client, have.refresh)
		case 1:
			if err := c.revoke(ctx, client, have.access); err != nil {
				return err
			}
		case 2: // the same pair again, or reuse when the next step has come before it
			if _, err := c.ask(ctx, func(n *node) (Op, granted, error) { return c.run.refresh(n, client, before) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask presents a code or a refresh token until the answer is known, sometimes
// twice or three times at once.
func (c *client) ask(ctx context.Context, present func(*node) (Op, granted, error)) (granted, error) {
	var mu sync.Mutex
	var have granted
	once := func(one *client) error {
		return one.insist(ctx, func(n *node) (Op, error) {
			o, g, err := present(n)
			mu.Lock()
			defer mu.Unlock()
			if g.refresh != "" {
				have = g
			}
			return o, err
		})
	}
	var group sync.WaitGroup
	errs := make(chan error, 2)
	if c.chance(4) {
		for range 1 + c.random.IntN(2) {
			twin := &client{run: c.run, random: rand.New(rand.NewPCG(c.random.Uint64(), 0))}
			group.Go(func() { errs <- once(twin) })
		}
	}
	err := once(c)
	group.Wait()
	close(errs)
	for e := range errs {
		if err == nil {
			err = e
		}
	}
	return have, err
}
