-- What gave up: tasks whose last attempt failed or whose end nobody knows, messages that could not be handled.
-- Rows stay until a person decides, and after.

CREATE TABLE dead_letters (
    letter_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,                -- task | message
    reason TEXT NOT NULL,
    state TEXT NOT NULL,               -- open -> retried | discarded
    created_at_ms INTEGER NOT NULL,
    position INTEGER NOT NULL,         -- of its event in the log
    code TEXT NOT NULL,
    error_class TEXT NOT NULL,
    message TEXT NOT NULL,
    node_id TEXT NOT NULL,
    device_serial TEXT NOT NULL,
    task_id TEXT NOT NULL,             -- empty: a message
    run_id TEXT NOT NULL,
    workflow TEXT NOT NULL,
    queue TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    type TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    seq INTEGER NOT NULL,              -- its place in its node's stream
    data BLOB NOT NULL,                -- its first bytes
    data_bytes INTEGER NOT NULL,
    settled_at_ms INTEGER,
    settled_by TEXT NOT NULL,
    settled_why TEXT NOT NULL,
    retried_as TEXT NOT NULL           -- task that tries it again
) STRICT;

CREATE INDEX open_dead_letters ON dead_letters (letter_id) WHERE state = 'open';

CREATE INDEX dead_letters_of_task ON dead_letters (task_id) WHERE task_id <> '';

CREATE INDEX dead_letters_of_stream ON dead_letters (node_id, incarnation, seq) WHERE kind = 'message';

CREATE INDEX dead_letters_retried ON dead_letters (retried_as) WHERE retried_as <> '';
