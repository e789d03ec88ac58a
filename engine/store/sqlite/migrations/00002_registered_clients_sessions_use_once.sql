-- +goose Up

-- What a previous version inserts while it goes on serving has the defaults.

-- only_access is the one access token that counts in a grant, 0: any. Setting
-- it ends all the others without looking for them: tokens have no index that
-- leads from a grant to them.
ALTER TABLE grants ADD COLUMN only_access INTEGER NOT NULL DEFAULT 0;

-- Grants that came from a sign-in session, for its end.
CREATE INDEX grants_session ON grants (service, session) WHERE session <> 0;

-- resources is NULL when they are the grant's.
ALTER TABLE access_tokens ADD COLUMN resources TEXT;

-- Values that others made and may use once. The id is there for the sweeper.
CREATE TABLE used_values (
	id         INTEGER PRIMARY KEY,
	service    INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	digest     BLOB NOT NULL,
	UNIQUE (service, digest)
);

-- The clients that were told of a session. The id is there for the sweeper.
CREATE TABLE session_clients (
	id      INTEGER PRIMARY KEY,
	service INTEGER NOT NULL,
	session INTEGER NOT NULL,
	client  INTEGER NOT NULL,
	UNIQUE (service, session, client)
);

-- Logout tokens that have not been delivered (handles of the kind HandleLogout).
CREATE INDEX handles_logout ON handles (service, id) WHERE kind = 5 AND redeemed = 0;

-- Clients that were registered at run time. The id is that of the row in
-- clients, which stays when this one goes: it holds the alias for ever.
CREATE TABLE stored_clients (
	id          INTEGER PRIMARY KEY,
	service     INTEGER NOT NULL,
	developer   TEXT NOT NULL,
	settings    BLOB NOT NULL,
	sealed      BLOB,
	token_hash  BLOB NOT NULL,
	created_at  INTEGER NOT NULL,
	modified_at INTEGER NOT NULL,
	version     INTEGER NOT NULL
);
CREATE INDEX stored_clients_developer ON stored_clients (service, developer);
