-- What retention removed, and when; what was done with devices, by workflow and by actor, which outlives it.

CREATE TABLE removals (
    -- One row a slice: an id between the first and the last was removed if its digest is among those of the slice.
    kind TEXT NOT NULL,                -- task | run
    first_id TEXT NOT NULL,
    last_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    digests BLOB NOT NULL,             -- 8 bytes an id
    PRIMARY KEY (kind, first_id, last_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE retention_passes (
    pass_id TEXT PRIMARY KEY,          -- sorts by time
    began_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    tasks INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    events INTEGER NOT NULL,
    artifacts INTEGER NOT NULL,
    audit INTEGER NOT NULL,
    freed_bytes INTEGER NOT NULL,
    problem TEXT NOT NULL
) STRICT;

CREATE TABLE usage (
    kind TEXT NOT NULL,                -- device | workflow | actor
    name TEXT NOT NULL,
    day INTEGER NOT NULL,              -- since 1970-01-01 (UTC)
    tasks INTEGER NOT NULL,
    passed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    device_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, day, name)
) STRICT, WITHOUT ROWID;
