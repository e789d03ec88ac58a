package sqlite

import (
	"slices"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/column"
)

func (t *tx) insertSession(s *model.Session) error {
	amr, err := column.List(s.AMR)
	if err != nil {
		return err
	}
	return t.insert(s.ID, `INSERT INTO sessions (service, id, subject, auth_time, expires_at, hash, amr)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)`,
		int64(s.Service), int64(s.ID), s.Subject, s.AuthTime, s.ExpiresAt, s.Hash[:], amr)
}

func (t *tx) renewSession(s *model.Session) error {
	amr, err := column.List(s.AMR)
	if err != nil {
		return err
	}
	return t.require(store.ErrNotFound, `UPDATE sessions SET auth_time = ?4, expires_at = ?5, hash = ?6, amr = ?7
		WHERE id = ?2 AND service = ?1 AND subject = ?3`,
		int64(s.Service), int64(s.ID), s.Subject, s.AuthTime, s.ExpiresAt, s.Hash[:], amr)
}

// joinSession changes a row that is there to what it is, so that joining
// twice is told from joining a session that is gone.
func (t *tx) joinSession(s store.JoinSession) error {
	return t.require(store.ErrNotFound, `INSERT INTO session_clients (service, session, client)
		SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM sessions WHERE id = ?2 AND service = ?1)
		ON CONFLICT (service, session, client) DO UPDATE SET client = excluded.client`,
		int64(s.Service), int64(s.Session), int64(s.Client))
}

func (t *tx) expectClients(s store.ExpectClients) error {
	var clients []model.ID
	found := false
	err := t.query(func(r row) error {
		found = true
		if client := model.ID(r.int(0)); client != 0 {
			clients = append(clients, client)
		}
		return nil
	}, `SELECT coalesce(c.client, 0) FROM sessions s LEFT JOIN session_clients c ON c.service = s.service AND c.session = s.id
		WHERE s.id = ?2 AND s.service = ?1 ORDER BY c.client`, int64(s.Service), int64(s.Session))
	if err != nil {
		return err
	}
	if !found || !slices.Equal(clients, s.Clients) {
		return store.ErrConflict
	}
	return nil
}

// endSession ends grants although the session has been swept: logging out of
// one that has expired ends what came of it. Scopes are compared as words,
// with their case (RFC 6749 §3.3).
func (t *tx) endSession(s store.EndSession) error {
	_, err := t.exec(`DELETE FROM session_clients WHERE service = ?1 AND session = ?2`, int64(s.Service), int64(s.ID))
	if err != nil {
		return err
	}
	_, err = t.exec(`DELETE FROM sessions WHERE id = ?2 AND service = ?1`, int64(s.Service), int64(s.ID))
	if err != nil {
		return err
	}
	return t.tellGrants(s.Service, `DELETE FROM grants WHERE service = ?1 AND session = ?2 AND session <> 0
		AND instr(' ' || scopes || ' ', ' openid ') > 0 AND instr(' ' || scopes || ' ', ' offline_access ') = 0
		RETURNING id`, int64(s.Service), int64(s.ID))
}

func (t *tx) deleteSessions(s store.DeleteSessions) error {
	_, err := t.exec(`DELETE FROM session_clients WHERE service = ?1
		AND session IN (SELECT id FROM sessions WHERE service = ?1 AND subject = ?2)`, int64(s.Service), s.Subject)
	if err != nil {
		return err
	}
	_, err = t.exec(`DELETE FROM sessions WHERE service = ?1 AND subject = ?2`, int64(s.Service), s.Subject)
	return err
}
