package relyingparty

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	// sessionLasts is how long a session from the storage is believed without
	// another look: another node may have ended or refreshed it.
	sessionLasts   = 5 * time.Second
	storageTimeout = 10 * time.Second
	storagePause   = 5 * time.Second
	secondsPerDay  = 24 * 60 * 60
)

// storage is what is used of Caddy's (certmagic.Storage).
type storage interface {
	Store(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) ([]byte, error) // fs.ErrNotExist: there is none
	Delete(ctx context.Context, key string) error
	lister
	Lock(ctx context.Context, name string) error
	Unlock(ctx context.Context, name string) error
}

// inStorage keeps sessions in Caddy's storage, sealed. The browser has the day
// of a session's end and its id; the storage has the id's digest, in a folder
// of that day, which goes as a whole when the day is over.
type inStorage struct{ h *Handler }

func (c inStorage) folder() string { return c.h.folder + "/sessions" }

// token is what the browser has.
func (c inStorage) token(s *session) string {
	return strconv.FormatInt(endDay(s.Ends), 36) + "." + s.ID
}

// key is where the session of a token is.
func (c inStorage) key(token string) (string, bool) {
	day, id, _ := strings.Cut(token, ".")
	n, err := strconv.ParseInt(day, 36, 64)
	if err != nil || strconv.FormatInt(n, 36) != day || len(id) != len(rand.Text()) {
		return "", false
	}
	digest := sha256.Sum256([]byte(id))
	return c.folder() + "/" + day + "/" + hex.EncodeToString(digest[:]), true
}

// endDay is the day on which nothing with this end is needed any more.
func endDay(unix int64) int64 { return unix/secondsPerDay + 1 }

func (c inStorage) read(ctx context.Context, r *http.Request) (*session, error) {
	cookie, err := r.Cookie(c.h.cookies.session)
	if err != nil {
		return nil, nil
	}
	key, ok := c.key(cookie.Value)
	if !ok {
		return nil, nil
	}
	if s, ok := c.h.shared.sessions.get(key, c.h.now()); ok {
		return s, nil
	}
	s, err := c.load(ctx, key)
	if s == nil || err != nil {
		return nil, err
	}
	c.h.shared.sessions.put(key, s, c.h.now(), sessionLasts)
	return s, nil
}

func (c inStorage) load(ctx context.Context, key string) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	sealed, err := c.h.storage.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("storage: %w: %w", errUnavailable, err)
	}
	seal, err := c.h.seal(ctx)
	if err != nil {
		return nil, err
	}
	plain, err := seal.open(sealed, key)
	if err != nil {
		return nil, nil // of a secret that is gone
	}
	s, err := unmarshalSession(plain, c.h.clientID)
	if err != nil {
		return nil, nil // of another version
	}
	return s, nil
}

func (c inStorage) store(ctx context.Context, key string, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	seal, err := c.h.seal(ctx)
	if err != nil {
		return err
	}
	plain, err := s.marshal()
	if err != nil {
		return err
	}
	if err := c.h.storage.Store(ctx, key, seal.seal(plain, key)); err != nil {
		return fmt.Errorf("storage: %w: %w", errUnavailable, err)
	}
	c.h.shared.sessions.put(key, s, c.h.now(), sessionLasts)
	return nil
}

func (c inStorage) begin(ctx context.Context, w http.ResponseWriter, _ *http.Request, s *session) error {
	token := c.token(s)
	key, _ := c.key(token)
	if err := c.store(ctx, key, s); err != nil {
		return err
	}
	c.h.cookies.set(w, c.h.cookies.session, token, 0)
	return nil
}

func (c inStorage) change(ctx context.Context, s *session, f func(context.Context, *session) (*session, error)) (*session, error) {
	key, _ := c.key(c.token(s))
	unlock, err := c.h.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	newest, err := c.load(ctx, key)
	if err != nil {
		return nil, err
	}
	if newest == nil {
		c.h.shared.sessions.remove(key)
		return nil, errOver
	}
	changed, err := f(ctx, newest)
	if err != nil {
		return nil, err
	}
	if err := changed.derive(c.h.clientID); err != nil {
		return nil, err
	}
	return changed, c.store(ctx, key, changed)
}

// give has nothing to tell: the browser's id stays the same.
func (inStorage) give(context.Context, http.ResponseWriter, *http.Request, *session) error {
	return nil
}

func (c inStorage) end(ctx context.Context, w http.ResponseWriter, r *http.Request, s *session) error {
	c.h.cookies.clearSession(w, r)
	key, _ := c.key(c.token(s))
	unlock, err := c.h.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	c.h.shared.sessions.remove(key)
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	if err := c.h.storage.Delete(ctx, key); err != nil {
		return fmt.Errorf("storage: %w: %w", errUnavailable, err)
	}
	return nil
}

// lock keeps other nodes and requests from changing what is under a key.
func (h *Handler) lock(ctx context.Context, key string) (unlock func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	if err := h.storage.Lock(waiting, key); err != nil {
		return nil, fmt.Errorf("storage: %w: %w", errUnavailable, err)
	}
	return func() {
		// Also when the request has been given up: nobody else could go on.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
		defer cancel()
		if err := h.storage.Unlock(ctx, key); err != nil {
			h.logger.Error("the storage does not unlock", zap.Error(err))
		}
	}, nil
}

// sweep deletes, once a day, what was kept for days that are over.
func (h *Handler) sweep() {
	today := h.now().Unix() / secondsPerDay
	if h.shared.sweptDay.Swap(today) == today {
		return
	}
	_ = h.shared.run(func(ctx context.Context) { // a configuration that ends leaves it to the next
		for _, folder := range []string{inStorage{h}.folder(), h.folder + endedFolder} {
			if err := sweepFolder(ctx, h.storage, folder, today); err != nil {
				h.logger.Warn("sessions that are over stay in the storage", zap.Error(err))
			}
		}
	})
}

func sweepFolder(ctx context.Context, in storage, folder string, today int64) error {
	days, err := in.List(ctx, folder, false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, key := range days {
		day, err := strconv.ParseInt(key[strings.LastIndexByte(key, '/')+1:], 36, 64)
		if err == nil && day < today {
			if err := in.Delete(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}
