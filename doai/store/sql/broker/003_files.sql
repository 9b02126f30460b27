-- Files that people put for phones: which bytes a name and version stand for. The bytes are the admin's, by sha256.

CREATE TABLE files (
    -- A row never changes once stored; it may be removed.
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    position INTEGER NOT NULL,         -- of its file.stored in the event log: of a name the largest is the newest
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

CREATE INDEX files_of_bytes ON files (sha256);

-- JSON array of doai.messages.work.FilePin: what the run's steps may ask for. x'5b5d' is [].
ALTER TABLE runs ADD COLUMN files_body BLOB NOT NULL DEFAULT x'5b5d';
