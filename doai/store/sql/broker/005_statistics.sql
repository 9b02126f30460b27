-- What is counted a minute and an hour per queue (doai/changes/statistics.py says what each column means).

CREATE TABLE statistics (
    period TEXT NOT NULL,              -- minute | hour
    at_ms INTEGER NOT NULL,            -- its beginning; rows of the same time and queue add up
    queue TEXT NOT NULL,
    row_id TEXT NOT NULL,
    position INTEGER NOT NULL,         -- of the event log: the ends of tasks up to here are counted
    observed_ms INTEGER NOT NULL,
    waiting INTEGER,
    running INTEGER,
    delayed INTEGER,
    unproven INTEGER,
    nodes_online INTEGER,
    nodes_total INTEGER,
    passed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    wait BLOB NOT NULL,                -- doai/histogram.py
    duration BLOB NOT NULL,
    PRIMARY KEY (period, at_ms, queue, row_id)
) STRICT, WITHOUT ROWID;
