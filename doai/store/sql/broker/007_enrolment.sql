-- Nodes that may join with a one-time token, secrets as ciphertext, and the key that a node changes to.

CREATE TABLE enrolments (
    -- The newest enrolment of each node; its token only as its hash.
    name TEXT PRIMARY KEY,
    token_sha256 TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    used_at_ms INTEGER,
    revoked_at_ms INTEGER
) STRICT;

CREATE TABLE secrets (
    -- The key to the ciphertext is the admin's, in a file of its own.
    name TEXT PRIMARY KEY,
    ciphertext BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT;

ALTER TABLE keys ADD COLUMN next_public_key TEXT NOT NULL DEFAULT '';

ALTER TABLE keys ADD COLUMN next_secret_sha256 TEXT NOT NULL DEFAULT '';
