-- What ended on each device. As an index of `tasks` each task changed a page of its own there, half of all pages that a
-- commit writes; so those that ended lately gather in a table that only grows at its end, and are moved many at once.
CREATE TABLE device_tasks (
    device_serial TEXT NOT NULL,
    task_id TEXT NOT NULL,
    PRIMARY KEY (device_serial, task_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE ended_lately (
    -- Not yet in `device_tasks`; some thousand at most.
    device_serial TEXT NOT NULL,
    task_id TEXT NOT NULL
) STRICT;

INSERT INTO device_tasks SELECT device_serial, task_id FROM tasks
WHERE ended_at_ms IS NOT NULL AND device_serial IS NOT NULL ORDER BY device_serial, task_id;

DROP INDEX tasks_of_device;
