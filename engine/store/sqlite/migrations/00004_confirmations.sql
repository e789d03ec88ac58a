-- +goose Up

-- What a token is bound to: SHA-256 thumbprints of a DPoP key (RFC 9449 §6.1)
-- and of a client certificate (RFC 8705 §3.1), NULL for none, as in what a
-- previous version inserts.
ALTER TABLE access_tokens ADD COLUMN jkt BLOB;
ALTER TABLE access_tokens ADD COLUMN x5t BLOB;
ALTER TABLE refresh_tokens ADD COLUMN jkt BLOB;
ALTER TABLE refresh_tokens ADD COLUMN x5t BLOB;
