package introspectors

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/introspect"
	"github.com/gatehouse-auth/gatehouse/introspect/feed"
	"github.com/gatehouse-auth/gatehouse/introspect/jwt"
	"github.com/gatehouse-auth/gatehouse/introspect/remote"
)

// openRemote is an endpoint that is asked, with what belongs to it: the keys of
// its signed answers, and the stream of what is revoked there.
type openRemote struct {
	*remote.Introspector
	keys     *jwt.KeySet    // nil: answers are not signed
	follower *feed.Follower // nil: nothing is followed
	stop     context.CancelFunc
	stopped  chan struct{}
	lag      introspect.Stopwatch
}

// remoteStatus is what operators see of it.
type remoteStatus struct {
	remote.Status
	Keys        *jwt.Status   `json:",omitempty"`
	Revocations *streamStatus `json:",omitempty"`
}

// streamStatus is how the revocation stream stands. Lag is the last one's.
type streamStatus struct{ feed.Status }

// follow carries what is revoked to the cache, which trusts nothing that it
// has from before a gap.
func (o *openRemote) follow(endpoint string, cache *introspect.Cache) (err error) {
	o.follower, err = feed.New(feed.Options{
		Endpoint: endpoint, Client: o.Client(), Authorize: o.Authorize,
		Revoke: cache.Revoke, Gap: cache.Purge,
		Observe: func(e feed.Event) {
			if e.Kind == feed.Revoked {
				o.lag.Add(e.Lag)
			}
		},
	})
	if err != nil || cache == nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	o.stop, o.stopped = stop, make(chan struct{})
	go func() {
		defer close(o.stopped)
		o.follower.Run(ctx)
	}()
	return nil
}

// Status is part of serving.Authority.
func (o *openRemote) Status() any {
	s := remoteStatus{Status: o.Introspector.Status()}
	if o.keys != nil {
		keys := o.keys.Status()
		s.Keys = &keys
	}
	if o.follower != nil {
		s.Revocations = &streamStatus{o.follower.Status()}
	}
	return s
}

// Stream is part of serving.Follower.
func (o *openRemote) Stream() (connected bool, lag introspect.Times, follows bool) {
	if o.follower == nil {
		return false, lag, false
	}
	return o.follower.Status().Connected, o.lag.Times(), true
}

// Close is part of serving.Authority.
func (o *openRemote) Close() {
	if o.stop != nil {
		o.stop()
		<-o.stopped
	}
	o.Introspector.Close()
	o.closeKeys()
}

func (o *openRemote) closeKeys() {
	if o.keys != nil {
		o.keys.Close()
	}
}
