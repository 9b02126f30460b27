-- Made from the migrations; a test keeps it current.

CREATE TABLE lines (
    n INTEGER PRIMARY KEY,
    received_at_ms INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    level INTEGER NOT NULL,
    program TEXT NOT NULL,
    source TEXT NOT NULL,
    logger TEXT NOT NULL,
    message TEXT NOT NULL,
    run_id TEXT,
    task_id TEXT,
    device_serial TEXT,
    fields TEXT NOT NULL,
    exception TEXT NOT NULL
) STRICT;

CREATE INDEX lines_of_run ON lines (run_id) WHERE run_id IS NOT NULL;

CREATE INDEX lines_of_task ON lines (task_id) WHERE task_id IS NOT NULL;

CREATE INDEX lines_of_device ON lines (device_serial) WHERE device_serial IS NOT NULL;

CREATE INDEX severe_lines ON lines (n) WHERE level >= 30;
