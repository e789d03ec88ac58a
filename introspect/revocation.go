package introspect

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// Kind says what a [Revocation] ends.
type Kind uint8

// The kinds of revocations.
const (
	RevokeToken   Kind = 1 // the token whose id is ID
	RevokeGrant   Kind = 2 // the tokens of the grant whose id is ID
	RevokeClient  Kind = 3 // the tokens of the client whose id is ID
	RevokeSubject Kind = 4 // the tokens of Subject
	RevokeService Kind = 5 // the tokens of the service
)

// Revocation names the tokens whose facts are not to be believed any more:
// because they were revoked, or because what they say has changed. Service, ID
// and Subject are those of the facts' [Ref].
type Revocation struct {
	Kind    Kind
	Service int64
	ID      int64
	Subject string
}

const (
	slotCount = 1 << 16
	// noSlot is never written to; it stands for what a token does not have.
	noSlot = slotCount
)

// slots are the places in the table that concern one token.
type slots [5]uint32

// revocations remembers what was revoked, in constant space and without locks.
//
// A revocation draws the next number of a sequence and stores it in the slot
// that its kind and ids hash to. An entry holds the number that was current
// before its introspection began, asOf, and the slots of its token, grant,
// client, subject and service. If one of them holds a number above asOf, the
// answer may be older than the revocation, and the entry is stale.
//
//   - Nothing is deleted, so nothing depends on a delete being seen, on the
//     order of a cache's writes, or on knowing which tokens there are.
//   - An answer under way carries the asOf of its start. However late it
//     arrives, it is stale, and what was revoked does not come back.
//   - Whoever revokes commits first and calls revoke then; so an introspection
//     that starts above the number sees the revocation at the engine, unless
//     another node of it answers, which may read a replica or not have heard yet.
//     Numbers are nanoseconds as well, so that a slot tells when it was marked: an
//     answer that was asked for within [settling] of that is kept for [brief].
//   - Two things in one slot cost one introspection too many, never one too
//     few. The hash is seeded, so that nobody can aim at another's slot.
//   - floor is a slot that every entry has.
//
// The whole check is one load as long as nothing at all was revoked since.
type revocations struct {
	seed  maphash.Seed
	now   func() time.Time
	born  time.Time
	seq   atomic.Uint64
	floor atomic.Uint64
	table [slotCount + 1]atomic.Uint64
}

const (
	// settling is how long after a revocation a node of the engine may answer as
	// if it had not been; it has [brief] and a second.
	settling = time.Second - brief
	// brief is how long such an answer is kept: what is revoked is refused within
	// a second, and a token that many ask for costs ten questions in it.
	brief = time.Second / 10
)

func newRevocations(now func() time.Time) *revocations {
	return &revocations{seed: maphash.MakeSeed(), now: now, born: now()}
}

// draw returns the next number: the nanoseconds that have passed, unless so many
// were drawn already.
func (r *revocations) draw() uint64 {
	for {
		last := r.seq.Load()
		next := max(last+1, r.number(r.now()))
		if r.seq.CompareAndSwap(last, next) {
			return next
		}
	}
}

// number is the least that may be drawn at a moment.
func (r *revocations) number(at time.Time) uint64 { return uint64(max(0, at.Sub(r.born))) }

// current returns the number to remember before an introspection begins.
func (r *revocations) current() uint64 { return r.seq.Load() }

// revoke marks what the revocation names. A kind that this version does not
// know ends everything: the wrong side to err on would be the other one.
func (r *revocations) revoke(v Revocation) {
	switch v.Kind {
	case RevokeToken, RevokeGrant, RevokeClient:
		v.Subject = ""
	case RevokeSubject:
		v.ID = 0
	case RevokeService:
		v.ID, v.Subject = 0, ""
	default:
		r.purge()
		return
	}
	raise(&r.table[r.slot(v)], r.draw())
}

// purge makes every entry and every answer under way stale.
func (r *revocations) purge() { raise(&r.floor, r.draw()) }

// raise stores a number unless a later revocation was faster.
func raise(slot *atomic.Uint64, number uint64) {
	for {
		old := slot.Load()
		if old >= number || slot.CompareAndSwap(old, number) {
			return
		}
	}
}

func (r *revocations) slot(v Revocation) uint32 {
	return uint32(maphash.Comparable(r.seed, v) % slotCount)
}

// slotsOf returns the slots that concern a token.
func (r *revocations) slotsOf(f *Facts) slots {
	s := slots{noSlot, noSlot, noSlot, noSlot, noSlot}
	if !f.Active {
		return s
	}
	for i, v := range [...]Revocation{
		{Kind: RevokeToken, ID: f.Ref.Token},
		{Kind: RevokeGrant, ID: f.Ref.Grant},
		{Kind: RevokeClient, ID: f.Ref.Client},
		{Kind: RevokeSubject, Subject: f.Ref.Subject},
	} {
		if v.ID != 0 || v.Subject != "" {
			v.Service = f.Ref.Service
			s[i] = r.slot(v)
		}
	}
	if f.Ref.Service != 0 {
		s[4] = r.slot(Revocation{Kind: RevokeService, Service: f.Ref.Service})
	}
	return s
}

// stale reports whether one of the slots was marked after asOf.
func (r *revocations) stale(asOf uint64, s *slots) bool {
	return r.seq.Load() != asOf && r.marked(asOf, s)
}

// unsettled reports whether one of the slots was marked so shortly before an
// introspection began that the answer may be older all the same.
func (r *revocations) unsettled(start time.Time, s *slots) bool {
	return r.marked(r.number(start.Add(-settling)), s)
}

// marked reports whether one of the slots holds a number above another.
func (r *revocations) marked(above uint64, s *slots) bool {
	if r.floor.Load() > above {
		return true
	}
	for _, i := range s {
		if r.table[i].Load() > above {
			return true
		}
	}
	return false
}
