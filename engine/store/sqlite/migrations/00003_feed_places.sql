-- +goose Up

-- ms are the milliseconds of at: 0 in what a previous version inserts.
ALTER TABLE changes ADD COLUMN ms INTEGER NOT NULL DEFAULT 0;

-- One row: the name of the sequence, and the last of the changes that were
-- swept. Those behind it are all there.
CREATE TABLE feed (
	name     TEXT NOT NULL,
	floor    INTEGER NOT NULL,
	floor_at INTEGER NOT NULL
);
INSERT INTO feed (name, floor, floor_at)
	SELECT lower(hex(randomblob(8))), last, coalesce((SELECT at * 1000 FROM changes WHERE seq = last), 0)
	FROM (SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0) AS last);

-- A trigger, so that it is noted too when a previous version sweeps.
-- +goose StatementBegin
CREATE TRIGGER changes_swept AFTER DELETE ON changes BEGIN
	UPDATE feed SET floor = OLD.seq, floor_at = OLD.at * 1000 + OLD.ms WHERE floor <= OLD.seq;
END;
-- +goose StatementEnd
