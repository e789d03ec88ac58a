package logout

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

const (
	// maxUnderWay bounds the notices that are being delivered; others wait in
	// the store. The fetcher bounds the connections.
	maxUnderWay = 256
	// attemptTimeout bounds one attempt, whatever the fetcher's own limit.
	attemptTimeout = 10 * time.Second
	// closeTimeout is how long attempts under way have when the engine closes.
	closeTimeout = 5 * time.Second
	// storeTimeout bounds one look at the store, or one change of it.
	storeTimeout = 10 * time.Second
	// abandonedAfter is the age at which nobody can be delivering a notice any
	// more: all attempts of a process lie within a minute.
	abandonedAfter = 2 * time.Minute
	// lookInterval is how often the store is asked for abandoned notices.
	lookInterval = time.Minute
	// leaseName is the lease under which one process at a time looks, so that no
	// client is told by several.
	leaseName = "logout notices"
	// leaseTime is how long after its last look a process that died stands in
	// the way of another.
	leaseTime = 90 * time.Second
	// lookLimit is how many are read at once.
	lookLimit = 100
)

// pauses are the longest times between attempts; a pause is at least half as
// long, drawn so that clients that were down are not all told at once.
var pauses = []time.Duration{4 * time.Second, 16 * time.Second}

// Sender tells clients that sessions have ended, in the background. It is safe
// for concurrent use.
type Sender struct {
	store   store.Store
	holder  string // of the lease: another for each sender
	now     func() time.Time
	after   func(time.Duration) <-chan time.Time
	realms  []*realm.Realm
	closing chan struct{} // closed: no attempt begins any more
	ctx     context.Context
	cancel  context.CancelFunc // ends the attempts under way

	mu       sync.Mutex
	closed   bool
	underWay map[model.ID]bool
	running  sync.WaitGroup

	looking bool // has the lease; look's own until it has ended
}

// NewSender starts to look for notices that nobody has delivered. after is
// time.After, but in tests. Close it after use.
func NewSender(h *realm.House, realms []*realm.Realm, after func(time.Duration) <-chan time.Time) *Sender {
	s := &Sender{
		store: h.Store, holder: strconv.FormatInt(int64(h.IDs.Next()), 10), now: h.Now, after: after, realms: realms,
		closing: make(chan struct{}), underWay: map[model.ID]bool{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.running.Go(s.look)
	return s
}

// Close lets attempts under way end, for a while, and begins no others. What
// has not been delivered stays in the store.
func (s *Sender) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	close(s.closing)
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-s.after(closeTimeout):
	}
	s.cancel()
	<-done
	if s.looking {
		s.lease(context.Background(), 0) // or it ends by itself
	}
}

// lease takes the lease for that long, and reports whether it is held.
func (s *Sender) lease(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	held, err := s.store.Lease(ctx, leaseName, s.holder, d)
	return held && err == nil
}

// send delivers a notice in the background. One for which there is no room
// waits in the store.
func (s *Sender) send(n notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.underWay[n.id] || len(s.underWay) >= maxUnderWay {
		return
	}
	s.underWay[n.id] = true
	s.running.Go(func() {
		if !n.found || s.waits(n) {
			s.deliver(n)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.underWay, n.id)
	})
}

// waits reports whether a notice that was found in the store is still there to be
// delivered: what was under way when it was found may have been settled since.
func (s *Sender) waits(n notice) bool {
	ctx, cancel := context.WithTimeout(s.ctx, storeTimeout)
	defer cancel()
	h, err := s.store.Handle(ctx, n.realm.Service.ID, model.HandleLogout, n.id)
	return err == nil && !h.Redeemed
}

// deliver tries until the client has been told, or will not be told.
func (s *Sender) deliver(n notice) {
	for attempt := 0; ; attempt++ {
		client, failed, err := s.attempt(n)
		switch {
		case err != nil:
			return // the store is not there, or the engine closes: another time
		case failed != nil && failed.again && attempt < len(pauses):
			pause := pauses[attempt]/2 + rand.N(pauses[attempt]/2)
			select {
			case <-s.closing:
				return
			case <-s.after(pause):
			}
		default:
			s.settle(n, client, failed)
			return
		}
	}
}

// attempt tells a client once, by its settings as they are now. A client that
// is gone, or does not want to be told any more, is none.
func (s *Sender) attempt(n notice) (*model.Client, *failure, error) {
	ctx, cancel := context.WithTimeout(s.ctx, attemptTimeout)
	defer cancel()
	client, err := n.realm.Client(ctx, n.Client)
	if errors.Is(err, store.ErrNotFound) || err == nil && client.BackchannelLogoutURI == "" {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	failed := n.post(ctx, client)
	if failed != nil && s.ctx.Err() != nil {
		return nil, nil, s.ctx.Err()
	}
	return client, failed, nil
}

// settle redeems a notice's handle, and reports what came of it.
func (s *Sender) settle(n notice, c *model.Client, failed *failure) {
	// Not s.ctx: what has arrived is worth noting while the engine closes.
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	err := s.store.Write(ctx, store.RedeemHandle{
		Service: n.realm.Service.ID, Kind: model.HandleLogout, ID: n.id, Now: s.now().Unix(),
	})
	if err != nil || c == nil {
		return // told by another process too, or to be told again
	}
	event := model.Event{Kind: model.EventLoggedOut, Operation: "backchannel_logout", Client: c.Alias, Subject: n.Subject}
	if failed != nil {
		event.Kind, event.Code, event.Description = model.EventLogoutFailed, failed.code, failed.cause.Error()
	}
	n.realm.Report(event)
}

// look picks up what no process is delivering any more, now and then, while no
// other process does.
func (s *Sender) look() {
	for {
		if s.looking = s.lease(s.ctx, leaseTime); s.looking {
			for _, r := range s.realms {
				s.pickUp(r)
			}
		}
		select {
		case <-s.closing:
			return
		case <-s.after(lookInterval):
		}
	}
}

// pickUp delivers the abandoned notices of a service, oldest first. A store
// that does not answer is asked again at the next look.
func (s *Sender) pickUp(r *realm.Realm) {
	now := s.now()
	for last, more := model.ID(0), true; more; {
		ctx, cancel := context.WithTimeout(s.ctx, storeTimeout)
		waiting, err := s.store.LogoutHandles(ctx, r.Service.ID, last, lookLimit)
		cancel()
		if err != nil {
			return
		}
		for _, h := range waiting {
			if now.Sub(handle.Time(h.ID)) < abandonedAfter {
				return
			}
			n := notice{realm: r, id: h.ID, found: true}
			if h.ExpiresAt > now.Unix() && json.Unmarshal(h.Payload, &n) == nil {
				s.send(n)
			}
			last = h.ID
		}
		more = len(waiting) == lookLimit
	}
}
