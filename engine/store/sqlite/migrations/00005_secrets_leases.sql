-- +goose Up

-- Values sealed under the master key, by name; service 0 is the whole store.
CREATE TABLE secrets (
	service INTEGER NOT NULL,
	name    TEXT NOT NULL,
	sealed  BLOB NOT NULL,
	PRIMARY KEY (service, name)
) WITHOUT ROWID;

-- Who does a job that one process alone should do. Times are Unix milliseconds.
CREATE TABLE leases (
	name   TEXT PRIMARY KEY,
	holder TEXT NOT NULL,
	until  INTEGER NOT NULL
) WITHOUT ROWID;
