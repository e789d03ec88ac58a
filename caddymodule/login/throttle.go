package login

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"time"
)

const (
	freeFailures  = 5           // this many guesses cost nothing
	firstDelay    = time.Second // doubles with each failure after those
	longestDelay  = time.Minute
	forgetAfter   = time.Hour // without an attempt
	throttleSets  = 4096
	throttleSlots = 4 // a set
)

// ErrThrottled says that an account has seen too many wrong passwords.
type ErrThrottled struct{ RetryAfter time.Duration }

func (e *ErrThrottled) Error() string {
	return fmt.Sprintf("too many wrong passwords; try again in %d seconds", e.Seconds())
}

// Seconds is RetryAfter in whole seconds, rounded up.
func (e *ErrThrottled) Seconds() int { return int(math.Ceil(e.RetryAfter.Seconds())) }

// throttle slows down guessing at one account. It counts in fixed memory: a
// key's hash, under a seed that nobody outside can know, picks a set of slots,
// and the slot least in use gives way when a set is full.
type throttle struct {
	seed maphash.Seed
	mu   sync.Mutex
	sets [throttleSets][throttleSlots]slot
}

type slot struct {
	tag      uint64 // the key's hash; 0: free
	failures int
	last     time.Time // the last attempt
}

// attempt is a guess that has been counted and may be given back.
type attempt struct {
	tag      uint64
	at, last time.Time // when it was made, and the one before it
}

func newThrottle() *throttle { return &throttle{seed: maphash.MakeSeed()} }

func delay(failures int) time.Duration {
	if failures < freeFailures {
		return 0
	}
	return min(firstDelay<<min(failures-freeFailures, 30), longestDelay)
}

func (s *slot) free() time.Time { return s.last.Add(delay(s.failures)) }

// reserve counts an attempt before its password is looked at, so that guesses
// made at once do not slip past. It is a failure until told otherwise.
func (t *throttle) reserve(key string, now time.Time) (attempt, error) {
	tag := maphash.String(t.seed, key) | 1
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(tag, now)
	if s.tag != tag {
		*s = slot{tag: tag}
	}
	if wait := s.free().Sub(now); wait > 0 && s.failures >= freeFailures {
		return attempt{}, &ErrThrottled{RetryAfter: wait}
	}
	a := attempt{tag: tag, at: now, last: s.last}
	s.failures++
	s.last = now
	return a, nil
}

// count counts an attempt, and takes it back when look did not come to look at
// a password, or found it right. The error is *ErrThrottled or look's.
func (t *throttle) count(key string, now time.Time, look func() error) error {
	a, err := t.reserve(key, now)
	if err != nil {
		return err
	}
	err = look()
	switch {
	case err == nil:
		t.succeeded(a)
	case !errors.Is(err, ErrCredentials) && !errors.Is(err, errUnusable):
		t.release(a)
	}
	return err
}

// find returns the slot of a tag, or the one to give to it.
func (t *throttle) find(tag uint64, now time.Time) *slot {
	set := &t.sets[(tag>>1)%throttleSets]
	weakest := &set[0]
	for i := range set {
		s := &set[i]
		if s.tag != 0 && now.Sub(s.last) > forgetAfter {
			*s = slot{}
		}
		if s.tag == tag {
			return s
		}
		if s.tag == 0 || weakest.tag != 0 && s.free().Before(weakest.free()) {
			weakest = s
		}
	}
	return weakest
}

// succeeded forgets what was counted for the attempt's account.
func (t *throttle) succeeded(a attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.find(a.tag, a.at); s.tag == a.tag {
		*s = slot{}
	}
}

// release gives back an attempt whose password was never looked at.
func (t *throttle) release(a attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(a.tag, a.at)
	if s.tag != a.tag || s.failures == 0 {
		return
	}
	s.failures--
	if s.last.Equal(a.at) {
		s.last = a.last
	}
}
