-- Queues as operators configure them: priority, paused or draining, and how each stood when last looked at.

CREATE TABLE queues (
    -- state: running, paused, draining (doai/states.py, QUEUE_TABLE)
    name TEXT PRIMARY KEY,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    degraded_above INTEGER NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    degraded INTEGER NOT NULL,         -- from here on: once a second at most, while it changes
    waiting INTEGER NOT NULL,
    delayed INTEGER NOT NULL,
    held INTEGER NOT NULL
) STRICT;
