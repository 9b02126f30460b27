-- People who sign in, their browsers, and tokens that end and open a part of the API only.

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,                -- viewer | operator | author | admin
    password_hash TEXT NOT NULL,       -- Argon2id (PHC); empty: removed
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    password_at_ms INTEGER NOT NULL,
    removed_at_ms INTEGER
) STRICT;

CREATE TABLE sessions (
    token_sha256 TEXT PRIMARY KEY,     -- of the cookie
    user TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    address TEXT NOT NULL
) STRICT;

ALTER TABLE tokens ADD COLUMN expires_at_ms INTEGER;

-- Parts of the API, by spaces; empty = all of it.
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
