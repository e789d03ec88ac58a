package main_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
)

// TestMoveNotTold: everything is in the new storage, which could not be told so. A
// server that is given the new configuration too early is refused and goes on with
// the old one, doctor says what to do, and moving again ends it. Of a move that is
// over, what was written before can be taken back.
func TestMoveNotTold(t *testing.T) {
	pg := pgtest.Start(t)
	s := startOwn(t, caddyfile(t))
	to := s.configured("new.caddyfile", s.onPostgres(pg.Address("postgres")))
	old := s.serviceToken("orders:read")
	if f := s.doctor(t)["move"]; f.Severity != "ok" {
		t.Errorf("before the move: %+v", f)
	}
	s.killMove(to, "copied") // the tables are there
	if f := s.doctor(t)["move"]; f.Severity != "warning" || !strings.Contains(f.Advice, "--cancel") {
		t.Errorf("after a move that was killed: %+v", f)
	}
	pg.Exec(t, "postgres", "DELETE FROM gatehouse.leases",
		`CREATE FUNCTION gatehouse.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no names today'; END $$`,
		`CREATE TRIGGER refuse BEFORE INSERT ON gatehouse.services FOR EACH ROW WHEN (NEW.issuer NOT LIKE 'unfinished: %') EXECUTE FUNCTION gatehouse.refuse()`)
	s.fails("could not be told so", "-c", s.config, "move", "--to", to)

	if f := s.doctor(t)["move"]; f.Severity != "fails" || !strings.Contains(f.Advice, "--take-back") {
		t.Errorf("after the move: %+v", f)
	}
	s.fails("there is nothing to cancel", "-c", s.config, "move", "--cancel")
	s.post("/token", demo, demoSecret, "grant_type", "client_credentials", "scope", "orders:read").want(t, http.StatusServiceUnavailable)
	_, errs, err := s.command("", "reload", "--config", to, "--address", strings.TrimPrefix(s.admin, "http://"))
	if err == nil || !strings.Contains(errs, "is being loaded") {
		t.Errorf("a reload before the end: %v %s", err, errs)
	}
	s.call(old).want(t, http.StatusOK)

	pg.Exec(t, "postgres", "DROP FUNCTION gatehouse.refuse CASCADE")
	s.gatehouse("", "move", "--to", to, "--reload")
	s.call(old).want(t, http.StatusOK)
	late := s.serviceToken("orders:read")

	s.fails("with --take-back the old database takes writes again", "-c", s.config, "move", "--to", to)
	s.fails("none of the others can be", "-c", s.config, "move", "--to", to, "--take-back")
	s.gatehouse("", "move", "--take-back")
	s.fails("takes writes", "-c", s.config, "move", "--take-back")
	s.stop()
	s.start() // with the old configuration
	s.call(old).want(t, http.StatusOK)
	s.call(late).want(t, http.StatusUnauthorized)
	s.call(s.serviceToken("orders:read")).want(t, http.StatusOK)
}
