package relyingparty

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	endedFolder = "/ended"
	// endedLasts is after how long what other nodes noted is known here.
	endedLasts = 5 * time.Second
	// maxEnded bounds the list. What is too much raises its floor: no session
	// that has ended goes on, some that have not must sign in again.
	maxEnded = 100_000
)

// endedSessions is the list of sessions that have ended before their time,
// which Caddy's storage keeps until they would have ended anyway. A logout token
// that comes again (its jti, Back-Channel Logout §2.6) ends nothing more: what
// counts is when it was issued. It is safe for concurrent use.
type endedSessions struct {
	folder string // of the relying party in the storage
	now    func() time.Time
	listed kept[*endedList]
	own    *shelf[int64] // of this process, until it is listed
}

// endedList says until when the sessions of a key have ended, in Unix seconds.
type endedList struct {
	floor int64 // all sessions since before that
	at    map[string]int64
}

func newEndedSessions(folder string, in *background, now func() time.Time) *endedSessions {
	return &endedSessions{
		folder: folder + endedFolder, now: now, own: newShelf[int64](maxEnded),
		listed: kept[*endedList]{lasts: endedLasts, pause: endedLasts, now: now, in: in},
	}
}

// endedKey is the name of one session, of one of the provider's, or of all of a
// person's, without telling which.
func endedKey(kind, name string) string {
	digest := sha256.Sum256([]byte(kind + " " + name))
	return hex.EncodeToString(digest[:16])
}

func (s *session) endKey() string { return endedKey("id", s.ID) }

// endKeys are the names by which a session may have been ended. A session that
// the provider did not name is ended with any of the person's.
func (s *session) endKeys() [3]string {
	keys := [3]string{s.endKey(), endedKey("sub", s.Subject), endedKey("any", s.Subject)}
	if s.SID != "" {
		keys[2] = endedKey("sid", s.SID)
	}
	return keys
}

// loggedOutKeys are the names of what a logout token ends (Back-Channel Logout
// §2.7): one session of the provider's, or all of a person's.
func loggedOutKeys(sid, subject string) (keys []string) {
	switch {
	case sid == "":
		return []string{endedKey("sub", subject)}
	case subject == "":
		return []string{endedKey("sid", sid)}
	}
	return []string{endedKey("sid", sid), endedKey("any", subject)}
}

// add ends the sessions of a key that began at a time (Unix seconds, the
// provider's clock) or before, none of which lasts longer than that. The note is
// stored when add returns.
func (e *endedSessions) add(ctx context.Context, in storage, key string, at int64, lasts time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	day := endDay(max(at, e.now().Unix()) + seconds(lasts))
	name := e.folder + "/" + strconv.FormatInt(day, 36) + "/" + key + "-" + strconv.FormatInt(at, 36)
	if err := in.Store(ctx, name, []byte{'1'}); err != nil {
		return fmt.Errorf("storage: %w: %w", errUnavailable, err)
	}
	now := e.now()
	if known, ok := e.own.get(key, now); !ok || at > known {
		e.own.put(key, at, now, 4*endedLasts)
	}
	return nil
}

// has reports whether a session has ended.
func (e *endedSessions) has(ctx context.Context, in lister, s *session) (bool, error) {
	now := e.now()
	list, _, err := e.listed.get(ctx, func(ctx context.Context) (*endedList, error) { return e.list(ctx, in) })
	if err != nil {
		return false, unavailable("storage", err)
	}
	for _, key := range s.endKeys() {
		if at, ok := e.own.get(key, now); ok && s.SignedIn <= at {
			return true, nil
		}
		if at, ok := list.at[key]; ok && s.SignedIn <= at {
			return true, nil
		}
	}
	return s.SignedIn < list.floor, nil
}

// lister is what list needs of a storage.
type lister interface {
	List(ctx context.Context, path string, recursive bool) ([]string, error)
}

// list reads the storage. Names say everything.
func (e *endedSessions) list(ctx context.Context, in lister) (*endedList, error) {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	names, err := in.List(ctx, e.folder, true)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	type entry struct {
		key string
		at  int64
	}
	var entries []entry
	for _, name := range names {
		key, text, ok := strings.Cut(name[strings.LastIndexByte(name, '/')+1:], "-")
		at, err := strconv.ParseInt(text, 36, 64)
		if !ok || err != nil {
			continue // the folder of a day
		}
		entries = append(entries, entry{key, at})
	}
	l := &endedList{at: make(map[string]int64, min(len(entries), maxEnded))}
	if excess := len(entries) - maxEnded; excess > 0 {
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
		l.floor = entries[excess-1].at + 1
		entries = entries[excess:]
	}
	for _, one := range entries {
		l.at[one.key] = max(l.at[one.key], one.at)
	}
	return l, nil
}
