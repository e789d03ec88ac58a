package login

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// session is the sign-in of the browser that sent a request.
type session struct {
	model.Session
	secret handle.Secret
}

// current returns the sign-in of a request, nil if there is none that counts:
// it has not expired, and its account is active.
func (s *Server) current(r *http.Request) (*session, error) {
	for _, cookie := range r.CookiesNamed(s.cookies.session) {
		id, secret, err := handle.Parse(handle.Session, cookie.Value)
		if err != nil {
			continue
		}
		row, err := s.store.Session(r.Context(), s.service.ID, id)
		if errors.Is(err, store.ErrNotFound) || err == nil && (!secret.Matches(row.Hash) || row.ExpiresAt <= s.engine.Now().Unix()) {
			continue
		}
		if err != nil {
			return nil, err
		}
		active, err := s.accounts.Active(r.Context(), row.Subject)
		if err != nil {
			return nil, err
		}
		if active {
			return &session{Session: row, secret: secret}, nil
		}
	}
	return nil, nil
}

// accountName is how the user of a session is shown.
func (s *Server) accountName(r *http.Request, now *session) (string, error) {
	account, err := s.accounts.find(r.Context(), now.Subject)
	if account == nil || err != nil {
		return now.Subject, err
	}
	return account.Name, nil
}

// newSession draws a session for a subject who has just signed in by the methods
// that amr names (RFC 8176 §2; none when there is no name for it), and the
// value of its cookie. When the same user was signed in before, the session
// goes on, since clients know it by its id, under a new secret: a cookie from
// before the sign-in is worth nothing after it (CVE-2024-28197).
func (s *Server) newSession(subject string, amr []string, before *session) (row model.Session, cookie string, err error) {
	secret, err := s.engine.NewSecret()
	if err != nil {
		return row, "", err
	}
	now := s.engine.Now()
	row = model.Session{
		Service: s.service.ID, ID: s.engine.NewID(), Hash: secret.Hash(), Subject: subject,
		AuthTime: now.Unix(), AMR: amr, ExpiresAt: now.Add(s.lasts).Unix(),
	}
	if before != nil && before.Subject == subject {
		row.ID = before.ID
	}
	return row, handle.Format(handle.Session, row.ID, &secret), nil
}

// browserState is what a session has that a client's iframe may compare, and
// nobody can do anything with (OpenID Connect Session Management §3.2).
func (now *session) browserState() string {
	mac := hmac.New(sha256.New, now.Hash[:])
	mac.Write([]byte("gatehouse browser state"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// csrfToken proves that a form came from a page of ours: it follows from a
// secret that only a cookie of the same browser holds. The purpose keeps one
// form's token from serving another.
func csrfToken(secret *handle.Secret, purpose string) string {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("gatehouse form " + purpose))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// checkCSRF compares in constant time.
func checkCSRF(secret *handle.Secret, purpose, token string) bool {
	return hmac.Equal([]byte(csrfToken(secret, purpose)), []byte(token))
}
