-- What the planner of retention asks. Ids of runs sort by creation, so the oldest are found at the beginning.

-- name: held
SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM runs), (SELECT count(*) FROM events),
    (SELECT count(*) FROM artifacts), (SELECT sum(size_bytes) FROM artifacts), (SELECT count(*) FROM audit)

-- name: held_samples
-- As far as anybody wants to know: ten thousand phones have fourteen million of a day.
SELECT (SELECT count(*) FROM (SELECT 1 FROM device_samples LIMIT :most)),
    (SELECT count(*) FROM (SELECT 1 FROM device_sample_hours LIMIT :most))

-- name: going_run
state = 'completed' AND ended_at_ms < :youngest_ms AND (ended_at_ms < :ended_before_ms OR run_id <= :runs_up_to)

-- name: going_runs
-- A run that was gone through before and still stands is kept for a reason, so its tasks are counted as they are.
SELECT count(*), sum(tasks) FROM runs WHERE {going_run}

-- name: next_runs
SELECT run_id FROM runs WHERE {going_run} AND run_id > :after ORDER BY run_id LIMIT :limit

-- name: next_tasks
SELECT task_id FROM tasks WHERE run_id = :run_id AND {removable_task} ORDER BY task_id LIMIT :limit

-- name: artifacts_of_run
SELECT path, size_bytes FROM artifacts WHERE run_id = :run_id AND {not_of_a_dead_letter} LIMIT :limit

-- name: not_of_a_dead_letter
NOT EXISTS (
    SELECT 1 FROM dead_letters WHERE dead_letters.task_id = artifacts.task_id AND dead_letters.state = 'open'
)

-- name: going_artifact
-- Before their run goes; none of an open run.
stored_at_ms < :youngest_ms AND run_id < max(:stored_before_id, iif(:artifacts_up_to = '', '', :artifacts_up_to || '~'))
    AND (stored_at_ms < :stored_before_ms OR run_id <= :artifacts_up_to)
    AND NOT EXISTS (
        SELECT 1 FROM runs WHERE runs.run_id = artifacts.run_id AND runs.state IN ('active', 'cancelling')
    )
    AND NOT EXISTS (
        SELECT 1 FROM dead_letters WHERE dead_letters.task_id = artifacts.task_id AND dead_letters.state = 'open'
    )

-- name: going_artifacts
SELECT count(*), sum(size_bytes) FROM artifacts WHERE {going_artifact}

-- name: next_artifacts
SELECT path, size_bytes FROM artifacts WHERE {going_artifact} ORDER BY run_id LIMIT :limit

-- name: other_event
-- Those of tasks and runs go with them; `0` is the character after the slash.
(subject < 'run/' OR (subject >= 'run0' AND subject < 'task/') OR subject >= 'task0')

-- name: going_events
SELECT count(*) FROM events WHERE {other_event} AND position < :events_before
    AND position < (SELECT max(position) FROM events)

-- name: next_events
SELECT position FROM events WHERE {other_event} AND position < :events_before
    AND position < (SELECT max(position) FROM events) LIMIT :limit

-- name: events_beyond
SELECT position + 1 FROM events WHERE {other_event} ORDER BY position DESC LIMIT 1 OFFSET ?

-- name: positions
SELECT min(position), max(position) FROM events

-- name: event_from
SELECT position, recorded_at_ms FROM events WHERE position >= ? ORDER BY position LIMIT 1

-- name: audit_before
SELECT max(n) FROM audit WHERE at_ms < ?

-- name: audit_beyond
SELECT n FROM audit ORDER BY n DESC LIMIT 1 OFFSET ?

-- name: going_audit
SELECT count(*) FROM audit WHERE n <= :audit_up_to

-- name: next_audit
SELECT n FROM audit WHERE n <= :audit_up_to ORDER BY n LIMIT :limit

-- name: runs_up_to
-- As few of the oldest as free enough; all of them when that is too little.
SELECT coalesce(min(run_id) FILTER (WHERE so_far >= :excess), max(run_id)) FROM (
    SELECT run_id, sum(tasks) OVER (ORDER BY run_id) AS so_far FROM runs
    WHERE state = 'completed' AND ended_at_ms < :youngest_ms
)

-- name: artifacts_up_to
SELECT coalesce(min(run_id) FILTER (WHERE so_far >= :excess), max(run_id)) FROM (
    SELECT run_id, sum(sum(size_bytes)) OVER (ORDER BY run_id) AS so_far FROM artifacts
    WHERE run_id < :youngest_id AND NOT EXISTS (
        SELECT 1 FROM runs WHERE runs.run_id = artifacts.run_id AND runs.state IN ('active', 'cancelling')
    )
    GROUP BY run_id
)

-- name: removals
SELECT at_ms, digests FROM removals WHERE kind IN ('task', 'run') AND first_id <= ? AND last_id >= ?

-- name: passes
SELECT {pass_columns} FROM retention_passes ORDER BY pass_id DESC LIMIT ?

-- name: newest_pass
-- Through all of the store.
SELECT max(ended_at_ms) FROM retention_passes WHERE queue = ''

-- name: cleanable_run
-- One with a dead letter that is open stays as a whole, until a person has decided.
queue = :queue AND state = 'completed' AND ended_at_ms < :ended_before_ms
    AND (:outcomes = '[]' OR outcome IN (SELECT value FROM json_each(:outcomes)))
    AND run_id NOT IN (SELECT run_id FROM dead_letters WHERE state = 'open')

-- name: cleanable
WITH going AS MATERIALIZED (SELECT run_id FROM runs WHERE {cleanable_run})
SELECT count(*), (SELECT count(*) FROM going CROSS JOIN tasks USING (run_id)), min(run_id), max(run_id) FROM going

-- name: next_cleanable
SELECT run_id FROM runs WHERE {cleanable_run} AND run_id > :after ORDER BY run_id LIMIT :limit

-- name: usage
SELECT name, min(day), sum(tasks), sum(passed), sum(failed), sum(cancelled), sum(expired), sum(unknown),
    sum(attempts), sum(device_ms)
FROM usage WHERE kind = ? AND day >= ? GROUP BY name ORDER BY name

-- name: usage_daily
SELECT name, day, tasks, passed, failed, cancelled, expired, unknown, attempts, device_ms
FROM usage WHERE kind = ? AND day >= ? ORDER BY day, name

-- name: going_sample
-- Devices of whose samples something is too old.
EXISTS (SELECT 1 FROM device_samples AS s WHERE s.serial = devices.serial AND s.minute < :minute_before)
    OR EXISTS (SELECT 1 FROM device_sample_hours AS h WHERE h.serial = devices.serial AND h.hour < :hour_before)

-- name: going_samples
SELECT (
    SELECT count(*) FROM (
        SELECT 1 FROM devices CROSS JOIN device_samples AS s ON s.serial = devices.serial
        WHERE s.minute < :minute_before LIMIT :most
    )
), (
    SELECT count(*) FROM (
        SELECT 1 FROM devices CROSS JOIN device_sample_hours AS h ON h.serial = devices.serial
        WHERE h.hour < :hour_before LIMIT :most
    )
)

-- name: next_samples
SELECT serial FROM devices WHERE serial > :after AND ({going_sample}) ORDER BY serial LIMIT :limit
