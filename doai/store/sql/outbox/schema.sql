-- Made from the migrations; a test keeps it current.

CREATE TABLE meta (
    -- One row.
    one INTEGER PRIMARY KEY CHECK (one = 1),
    incarnation TEXT NOT NULL,         -- one life of this file; a rollback begins a new one
    epoch INTEGER NOT NULL,            -- counts connections of it
    store_id TEXT NOT NULL,            -- the broker store it last spoke to; '' = none yet
    trimmed_seq INTEGER NOT NULL       -- facts up to here are acknowledged
) STRICT;

CREATE TABLE facts (
    -- seq > trimmed_seq: on its way, contiguous. seq <= trimmed_seq: an acknowledged result, kept for a broker
    -- that lost its past; in a new incarnation those are numbered downwards from 0.
    seq INTEGER PRIMARY KEY,
    envelope BLOB NOT NULL,
    is_result INTEGER NOT NULL
) STRICT;

CREATE TABLE held (
    -- Tasks that the node holds, by (task, token).
    task_id TEXT NOT NULL,
    token_generation INTEGER NOT NULL,
    token_n INTEGER NOT NULL,
    fifo_order INTEGER NOT NULL,
    dispatch_body BLOB NOT NULL,
    state TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL,
    step_begun TEXT NOT NULL,
    repeatable INTEGER NOT NULL,
    PRIMARY KEY (task_id, token_generation, token_n)
) STRICT, WITHOUT ROWID;

CREATE TABLE recipes (
    -- Resolved workflows that held tasks name by their hash.
    recipe_hash TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE progress (
    -- The newest word on a held task. No row = what its row in `held` says.
    task_id TEXT NOT NULL,
    token_generation INTEGER NOT NULL,
    token_n INTEGER NOT NULL,
    state TEXT NOT NULL,
    step_begun TEXT NOT NULL,
    repeatable INTEGER NOT NULL,
    PRIMARY KEY (task_id, token_generation, token_n)
) STRICT, WITHOUT ROWID;
