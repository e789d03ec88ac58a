-- +goose Up

-- Rows carry the integer key of their service and compare it in every
-- statement. Ids that callers draw are plain INTEGER PRIMARY KEY: the id is
-- the place in the table, so inserts append. Ids that the store gives, and
-- the sequence of the feed, are AUTOINCREMENT: never given twice.

CREATE TABLE services (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	issuer TEXT NOT NULL UNIQUE
);

CREATE TABLE clients (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	service INTEGER NOT NULL,
	alias   TEXT NOT NULL,
	UNIQUE (service, alias)
);

-- subject and claims are NULL when empty.
CREATE TABLE grants (
	id         INTEGER PRIMARY KEY,
	service    INTEGER NOT NULL,
	client     INTEGER NOT NULL,
	subject    TEXT,
	scopes     TEXT NOT NULL,
	session    INTEGER NOT NULL,
	auth_time  INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	claims     TEXT
);
CREATE INDEX grants_subject ON grants (service, subject, client) WHERE subject IS NOT NULL;
CREATE INDEX grants_client ON grants (service, client);

-- hash is NULL for a JWT, scopes when they are the grant's. No secondary
-- index: a grant that is revoked takes its row away, and a token without its
-- grant does not exist.
CREATE TABLE access_tokens (
	id         INTEGER PRIMARY KEY,
	service    INTEGER NOT NULL,
	grant_id   INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	hash       BLOB,
	scopes     TEXT
);

CREATE TABLE refresh_tokens (
	id         INTEGER PRIMARY KEY,
	service    INTEGER NOT NULL,
	grant_id   INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	access     INTEGER NOT NULL,
	successor  INTEGER NOT NULL,
	hash       BLOB NOT NULL
);

CREATE TABLE handles (
	id         INTEGER PRIMARY KEY,
	service    INTEGER NOT NULL,
	kind       INTEGER NOT NULL,
	grant_id   INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	redeemed   INTEGER NOT NULL,
	hash       BLOB NOT NULL,
	payload    BLOB
);

CREATE TABLE sessions (
	id         INTEGER PRIMARY KEY,
	service    INTEGER NOT NULL,
	subject    TEXT NOT NULL,
	auth_time  INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	hash       BLOB NOT NULL,
	amr        TEXT
);
CREATE INDEX sessions_subject ON sessions (service, subject);

CREATE TABLE consents (
	service    INTEGER NOT NULL,
	subject    TEXT NOT NULL,
	client     INTEGER NOT NULL,
	scopes     TEXT,
	claims     TEXT,
	granted_at INTEGER NOT NULL,
	PRIMARY KEY (service, subject, client)
) WITHOUT ROWID;

CREATE TABLE accounts (
	id            INTEGER PRIMARY KEY,
	service       INTEGER NOT NULL,
	name          TEXT NOT NULL,
	key           TEXT NOT NULL,
	subject       TEXT NOT NULL,
	password_hash TEXT NOT NULL,
	claims        TEXT,
	disabled      INTEGER NOT NULL,
	created_at    INTEGER NOT NULL,
	UNIQUE (service, key),
	UNIQUE (service, subject)
);
CREATE INDEX accounts_service ON accounts (service);

CREATE TABLE keys (
	service    INTEGER NOT NULL,
	kid        TEXT NOT NULL,
	alg        TEXT NOT NULL,
	sealed     BLOB NOT NULL,
	not_before INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	PRIMARY KEY (service, kid)
);

CREATE TABLE changes (
	seq     INTEGER PRIMARY KEY AUTOINCREMENT,
	service INTEGER NOT NULL,
	kind    INTEGER NOT NULL,
	ref     INTEGER NOT NULL,
	subject TEXT NOT NULL,
	at      INTEGER NOT NULL
);
