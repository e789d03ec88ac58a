package postgres

import (
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

func (p *planner) insertSession(s *model.Session) error {
	amr, err := column.List(s.AMR)
	if err != nil {
		return err
	}
	p.add(nil, `INSERT INTO sessions (service, id, subject, auth_time, expires_at, hash, amr) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		int64(s.Service), int64(s.ID), s.Subject, s.AuthTime, s.ExpiresAt, s.Hash[:], amr)
	return positive(s.ID)
}

func (p *planner) renewSession(s *model.Session) error {
	amr, err := column.List(s.AMR)
	if err != nil {
		return err
	}
	p.add(store.ErrNotFound, `UPDATE sessions SET auth_time = $4, expires_at = $5, hash = $6, amr = $7
		WHERE id = $2 AND service = $1 AND subject = $3`,
		int64(s.Service), int64(s.ID), s.Subject, s.AuthTime, s.ExpiresAt, s.Hash[:], amr)
	return nil
}

// joinSession holds a lock that the end of the session waits for.
func (p *planner) joinSession(s store.JoinSession) {
	p.add(store.ErrNotFound, `INSERT INTO session_clients (service, session, client)
		SELECT $1::bigint, $2::bigint, $3::bigint FROM sessions WHERE id = $2 AND service = $1 FOR KEY SHARE
		ON CONFLICT (session, client, service) DO UPDATE SET client = excluded.client`,
		int64(s.Service), int64(s.Session), int64(s.Client))
}

// lockSession lets those who join wait, and waits for those who are joining.
const lockSession = `SELECT id FROM sessions WHERE id = $2 AND service = $1 FOR UPDATE`

func (p *planner) expectClients(s store.ExpectClients) {
	clients := make([]int64, len(s.Clients))
	for i, id := range s.Clients {
		clients[i] = int64(id)
	}
	p.add(store.ErrConflict, lockSession, int64(s.Service), int64(s.Session))
	p.add(store.ErrConflict, `SELECT 1::bigint WHERE ARRAY(SELECT client FROM session_clients
		WHERE service = $1 AND session = $2 ORDER BY client) = $3::bigint[]`, int64(s.Service), int64(s.Session), clients)
}

// endSession ends grants although the session has been swept: logging out of
// one that has expired ends what came of it. Scopes are compared as words,
// with their case (RFC 6749 §3.3).
func (p *planner) endSession(s store.EndSession) {
	p.add(nil, lockSession, int64(s.Service), int64(s.ID))
	p.add(nil, `DELETE FROM session_clients WHERE service = $1 AND session = $2`, int64(s.Service), int64(s.ID))
	p.add(nil, `DELETE FROM sessions WHERE id = $2 AND service = $1`, int64(s.Service), int64(s.ID))
	p.each(nil, tellGrants(s.Service), `DELETE FROM grants WHERE service = $1 AND session = $2 AND session <> 0
		AND strpos(' ' || scopes || ' ', ' openid ') > 0 AND strpos(' ' || scopes || ' ', ' offline_access ') = 0
		RETURNING id`, int64(s.Service), int64(s.ID))
}

func (p *planner) deleteSessions(s store.DeleteSessions) {
	p.add(nil, `DELETE FROM session_clients WHERE service = $1
		AND session IN (SELECT id FROM sessions WHERE service = $1 AND subject = $2)`, int64(s.Service), s.Subject)
	p.add(nil, `DELETE FROM sessions WHERE service = $1 AND subject = $2`, int64(s.Service), s.Subject)
}
