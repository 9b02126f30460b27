-- Campaigns: runs that are made again and again by a schedule, and what came of each of their times.

CREATE TABLE campaigns (
    name TEXT PRIMARY KEY,
    campaign_id TEXT NOT NULL,
    state TEXT NOT NULL,               -- active -> paused -> active; -> ended
    reason TEXT NOT NULL,
    plan_body BLOB NOT NULL,
    decided_to_ms INTEGER NOT NULL,    -- never goes back
    runs INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT;

CREATE TABLE fires (
    -- The key is what keeps a time from firing twice, whatever is replayed.
    campaign_id TEXT NOT NULL,
    fire_at_ms INTEGER NOT NULL,
    hand TEXT NOT NULL,                -- '' = by the schedule
    state TEXT NOT NULL,               -- waiting -> fired | skipped; missed
    recorded_at_ms INTEGER NOT NULL,
    run_id TEXT,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    times INTEGER NOT NULL,            -- of those missed in a row: fire_at_ms to last_at_ms
    last_at_ms INTEGER,
    PRIMARY KEY (campaign_id, fire_at_ms, hand)
) STRICT, WITHOUT ROWID;

CREATE INDEX fires_waiting ON fires (campaign_id) WHERE state = 'waiting';

CREATE INDEX fires_of_run ON fires (run_id) WHERE run_id IS NOT NULL;
