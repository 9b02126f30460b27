-- What the reader asks. Pages are completed in doai/store/reader.py with conditions, order and limit.

-- name: runs
SELECT {run_columns} FROM runs

-- name: run_counts
SELECT state, count(*) FROM tasks WHERE run_id = ? GROUP BY state

-- name: tasks
SELECT {task_columns} FROM tasks

-- name: tasks_of_device
-- CROSS JOIN: by the ids of the device's tasks, not by all tasks.
SELECT {task_columns} FROM (SELECT task_id AS filed_id FROM device_tasks WHERE device_serial = ?)
CROSS JOIN tasks ON task_id = filed_id

-- name: tasks_ended_lately
SELECT {task_columns} FROM (SELECT task_id AS filed_id FROM ended_lately WHERE device_serial = ?)
CROSS JOIN tasks ON task_id = filed_id

-- name: oldest_of_walk
-- How far a page goes whose filter no index has; likewise the next three.
SELECT task_id FROM tasks ORDER BY task_id DESC LIMIT 1 OFFSET ?

-- name: oldest_of_walk_before
SELECT task_id FROM tasks WHERE task_id < ? ORDER BY task_id DESC LIMIT 1 OFFSET ?

-- name: oldest_of_walk_of_queue
SELECT task_id FROM tasks WHERE queue = ? ORDER BY task_id DESC LIMIT 1 OFFSET ?

-- name: oldest_of_walk_of_queue_before
SELECT task_id FROM tasks WHERE queue = ? AND task_id < ? ORDER BY task_id DESC LIMIT 1 OFFSET ?

-- name: ahead_on_device
-- What is given out before it: of queues that are not paused, by the priority of queue and run, then by age.
SELECT count(*) FROM tasks LEFT JOIN queues AS q ON q.name = tasks.queue
WHERE tasks.state <> 'passed' AND tasks.state = 'queued' AND device_serial = :device
    AND (tasks.queue = :queue OR coalesce(q.state, '') <> 'paused')
    AND (coalesce(q.priority, 0), tasks.priority, -fifo_order) > (
        coalesce((SELECT priority FROM queues WHERE name = :queue), 0), :priority, -:fifo_order
    )

-- name: ahead_in_run
SELECT count(*) FROM tasks WHERE run_id = :run_id AND +state = 'queued' AND device_serial IS NULL
    AND fifo_order < :fifo_order

-- name: held_on_device
SELECT {task_columns} FROM tasks WHERE state <> 'passed'
    AND state IN ('dispatched', 'running', 'unproven', 'cancelling') AND device_serial = :device AND task_id <> :task_id
ORDER BY dispatched_at_ms, task_id

-- name: held_by_node_of_device
SELECT count(*) FROM tasks WHERE state <> 'passed'
    AND state IN ('dispatched', 'running', 'unproven', 'cancelling')
    AND node_id = (SELECT node_id FROM devices WHERE serial = :device)

-- name: attempts_of_task
SELECT {attempt_columns} FROM attempts WHERE task_id = ? ORDER BY token_generation, token_n

-- name: events
SELECT position, recorded_at_ms, envelope FROM events

-- name: story_of_run
-- Positions come from the index alone; only the page's own envelopes are read.
SELECT e.position, e.recorded_at_ms, e.envelope
FROM (
    SELECT position FROM events WHERE position > :after AND subject IN (
        SELECT 'run/' || :run_id UNION ALL SELECT 'task/' || task_id FROM tasks WHERE run_id = :run_id
    )
    ORDER BY position LIMIT :limit
) AS page
JOIN events AS e ON e.position = page.position
ORDER BY e.position

-- name: steps_of_tasks
-- Of a page of tasks; :subjects is a JSON array.
SELECT position, recorded_at_ms, envelope FROM events
WHERE subject IN (SELECT value FROM json_each(:subjects))
    AND type IN ('task.started', 'step.started', 'step.completed', 'step.failed')
ORDER BY position

-- name: last_position
SELECT coalesce(max(position), 0) FROM events

-- name: device_seen
-- What a node that is not heard said last is no knowledge of now.
(CASE WHEN coalesce((SELECT n.state FROM nodes AS n WHERE n.node_id = d.node_id), 'offline') = 'offline'
    THEN 'silent' ELSE d.state END)

-- name: devices_seen
SELECT {device_columns} FROM devices AS d

-- name: count_devices_seen
SELECT count(*) FROM devices AS d

-- name: device_serials
SELECT serial FROM devices AS d

-- name: device_service
-- The parameter is the next millisecond: a quarantine ends with the one of its term.
(CASE WHEN d.hold IS NOT NULL THEN 'held' WHEN d.quarantine IS NULL THEN 'in_service'
    WHEN json_extract(d.quarantine, '$.until_ms') < ? THEN 'probing' ELSE 'quarantined' END)

-- name: device_squares
SELECT serial, json_extract(description, '$.label'), {device_seen}, node_id, {device_service},
    coalesce(json_extract(hold, '$.by'), json_extract(quarantine, '$.by')),
    coalesce(json_extract(hold, '$.reason'), json_extract(quarantine, '$.reason')) FROM devices AS d

-- name: device_tallies
SELECT {device_seen} AS seen, {device_service} AS service, count(*) FROM devices AS d

-- name: devices_of_nodes
SELECT node_id, count(*) FROM devices GROUP BY node_id ORDER BY node_id

-- name: device_groups
SELECT DISTINCT g.value FROM devices AS d, json_each(d.description, '$.groups') AS g ORDER BY 1

-- name: tasks_of_held_devices
SELECT device_serial, count(*) FROM tasks WHERE state <> 'passed'
    AND state IN ('dispatched', 'running', 'unproven', 'cancelling')
    AND device_serial IN (SELECT serial FROM devices WHERE hold IS NOT NULL) GROUP BY device_serial

-- name: nodes
SELECT {node_columns} FROM nodes

-- name: samples
SELECT name, instance, received_at_ms, body FROM samples ORDER BY received_at_ms

-- name: node_states
SELECT node_id, state FROM nodes

-- name: campaigns
SELECT {campaign_columns} FROM campaigns ORDER BY name

-- name: came_of
(SELECT coalesce(runs.outcome, runs.state) FROM runs WHERE runs.run_id = fires.run_id)

-- name: newest_fires
SELECT {fire_columns}, {came_of} FROM fires WHERE (campaign_id, fire_at_ms) IN (
    SELECT c.campaign_id, (SELECT max(f.fire_at_ms) FROM fires AS f WHERE f.campaign_id = c.campaign_id)
    FROM campaigns AS c
)

-- name: fires_going_on
SELECT {fire_columns}, {came_of} FROM fires WHERE state = 'waiting'
UNION ALL
SELECT {fire_columns}, {came_of} FROM fires INDEXED BY fires_of_run
WHERE run_id IN (SELECT run_id FROM runs WHERE state IN ('active', 'cancelling'))
ORDER BY fire_at_ms, hand

-- name: fires
SELECT {fire_columns}, {came_of} FROM fires
WHERE campaign_id = :campaign_id AND (fire_at_ms < :at_ms OR (fire_at_ms = :at_ms AND hand < :hand))
ORDER BY fire_at_ms DESC, hand DESC LIMIT :limit

-- name: workflows
SELECT {workflow_columns} FROM workflows

-- name: artifacts
SELECT {artifact_columns} FROM artifacts

-- name: files
SELECT {file_columns} FROM files

-- name: key
SELECT {key_columns} FROM keys WHERE name = ?

-- name: keys
SELECT {key_columns} FROM keys ORDER BY name

-- name: token
SELECT {token_columns} FROM tokens WHERE token_sha256 = ? ORDER BY revoked_at_ms IS NOT NULL, name LIMIT 1

-- name: tokens
SELECT {token_columns} FROM tokens ORDER BY name

-- name: statistics
SELECT {statistics_columns} FROM statistics WHERE period = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms, queue, row_id

-- name: enrolments
SELECT {enrolment_columns} FROM enrolments ORDER BY name

-- name: secrets
SELECT {secret_columns} FROM secrets ORDER BY name

-- name: audit
SELECT n, {audit_columns} FROM audit

-- name: open_incidents
SELECT {incident_columns} FROM incidents WHERE state IN ('open', 'acknowledged')
    AND (? IS NULL OR type = ?) AND (? IS NULL OR subject = ?) AND (? IS NULL OR incident_id < ?)
ORDER BY incident_id DESC LIMIT ?

-- name: all_incidents
SELECT {incident_columns} FROM incidents
WHERE (? IS NULL OR type = ?) AND (? IS NULL OR subject = ?) AND (? IS NULL OR incident_id < ?)
ORDER BY incident_id DESC LIMIT ?

-- name: incident
SELECT {incident_columns} FROM incidents WHERE incident_id = ?


-- name: dead_letters
SELECT {dead_letter_head}, x'', {dead_letter_tail} FROM dead_letters

-- name: count_open_dead_letters
SELECT count(*) FROM dead_letters WHERE state = 'open'

-- name: count_open_event_letters
SELECT subscription, count(*) FROM dead_letters WHERE kind = 'event' AND state = 'open' GROUP BY subscription

-- name: dead_letter
-- By its own id, or the id of its task.
SELECT {dead_letter_head}, data, {dead_letter_tail} FROM dead_letters WHERE letter_id = ?
UNION ALL
SELECT {dead_letter_head}, data, {dead_letter_tail} FROM dead_letters WHERE task_id = ? AND task_id <> '' LIMIT 1

-- name: retried_as
SELECT retried_as FROM dead_letters WHERE task_id = ? AND task_id <> '' AND state = 'retried'

-- name: retry_of
SELECT task_id FROM dead_letters WHERE retried_as = ? AND retried_as <> ''
-- name: open_loads
SELECT tasks.run_id, runs.workflow, runs.version, tasks.device_serial, count(*),
    sum(tasks.state IN ('running', 'cancelling'))
FROM tasks JOIN runs ON runs.run_id = tasks.run_id
WHERE tasks.state <> 'passed'
    AND tasks.state IN ('queued', 'delayed', 'dispatched', 'running', 'unproven', 'cancelling')
GROUP BY tasks.run_id, tasks.device_serial ORDER BY tasks.run_id

-- name: recent_durations
-- Of the newest runs that passed tasks: CROSS JOIN, or SQLite walks all tasks that ever were.
SELECT t.ended_at_ms - t.started_at_ms FROM (
    SELECT run_id FROM runs WHERE workflow = ? AND version = ? ORDER BY run_id DESC LIMIT 20
) AS r CROSS JOIN tasks AS t ON t.run_id = r.run_id
WHERE t.state = 'passed' AND t.started_at_ms IS NOT NULL LIMIT 500


-- name: queues
SELECT {queue_columns} FROM queues ORDER BY name

-- name: users
SELECT {user_columns} FROM users ORDER BY name

-- name: user
SELECT {user_columns} FROM users WHERE name = ?

-- name: session
SELECT {session_columns} FROM sessions WHERE token_sha256 = ?

-- name: user_of_session
SELECT {user_columns} FROM users WHERE name = (SELECT user FROM sessions WHERE token_sha256 = ?)

-- name: count_open_tasks
SELECT state, count(*) FROM tasks WHERE state <> 'passed'
    AND state IN ('queued', 'delayed', 'dispatched', 'running', 'unproven', 'cancelling')
GROUP BY state

-- name: count_devices
-- What a node that is not heard said last is shown as that: silent.
SELECT CASE WHEN n.state IS NULL OR n.state = 'offline' THEN 'silent' ELSE d.state END, count(*)
FROM devices AS d LEFT JOIN nodes AS n ON n.node_id = d.node_id GROUP BY 1

-- name: count_nodes
SELECT state, count(*) FROM nodes GROUP BY state

-- name: count_open_incidents
SELECT count(*) FROM incidents WHERE state IN ('open', 'acknowledged')

-- name: count_open_runs
SELECT count(*) FROM runs WHERE state IN ('active', 'cancelling')

-- name: count_runs_of_campaigns
SELECT campaign, count(*) FROM runs WHERE campaign <> '' GROUP BY campaign

-- name: count_running_of_nodes
SELECT node_id, count(*) FROM tasks WHERE state <> 'passed' AND state = 'running' GROUP BY node_id

-- name: causes_of_run
-- Beside min() SQLite takes the other columns of a group from the row that has it.
SELECT state, json_extract(failure, '$.errorClass'), json_extract(failure, '$.code'),
    coalesce(json_extract(failure, '$.message'), reason), count(*), min(task_id)
FROM tasks WHERE run_id = ? AND state IN ('failed', 'unknown') GROUP BY 1, 2, 3 ORDER BY 5 DESC, 3

-- name: count_open_letters_of_run
-- By the run's tasks: there may be many more letters than these.
SELECT count(*) FROM tasks CROSS JOIN dead_letters USING (task_id)
WHERE tasks.run_id = ? AND tasks.state NOT IN ('passed', 'cancelled') AND dead_letters.task_id <> ''
    AND dead_letters.state = 'open'

-- name: newest_events_of_subject
SELECT position, recorded_at_ms, envelope FROM events WHERE subject = ? ORDER BY position DESC LIMIT ?

-- name: bots
SELECT {bot_columns} FROM bots ORDER BY name

-- name: subscriptions
SELECT {subscription_columns} FROM subscriptions ORDER BY bot, name

-- name: bot_heard
SELECT bot, coalesce(sum(seconds) FILTER (WHERE hour > :day), 0.0), coalesce(sum(seconds) FILTER (WHERE hour > :week), 0.0)
FROM bot_uptime GROUP BY bot

-- name: bot_log_end
SELECT max(position) FROM events

-- name: store_identity
SELECT store_id, generation FROM meta

-- name: artifacts_missing
-- ?1 is a JSON array of paths.
SELECT value FROM json_each(?1) WHERE NOT EXISTS (SELECT 1 FROM artifacts WHERE path = value)

-- name: samples_of_minutes
SELECT minute, body FROM device_samples WHERE serial = ? AND minute >= ? AND minute < ? ORDER BY minute

-- name: samples_of_hours
SELECT hour, body FROM device_sample_hours WHERE serial = ? AND hour >= ? AND hour < ? ORDER BY hour

-- name: newest_sample
SELECT minute, body FROM device_samples WHERE serial = ? ORDER BY minute DESC LIMIT 1

-- name: plays
-- CROSS JOIN: from the runs of one workflow to their tasks, both by index; the picture is the last that was taken.
SELECT t.task_id, t.run_id, t.device_serial, t.state, t.ended_at_ms, t.reason, t.failure, t.outputs_body,
    r.params_body, d.model, (
        SELECT a.path FROM artifacts AS a WHERE a.run_id = t.run_id AND a.task_id = t.task_id
        AND a.media_type = 'image/png' ORDER BY a.stored_at_ms DESC LIMIT 1
    )
FROM runs AS r CROSS JOIN tasks AS t ON t.run_id = r.run_id LEFT JOIN devices AS d ON d.serial = t.device_serial
WHERE r.workflow = :workflow AND r.run_id >= :since_id AND r.run_id <= :before_run
    AND (r.run_id < :before_run OR t.task_id < :before_task)
    AND t.state IN ('passed', 'failed', 'cancelled', 'expired', 'unknown')
    AND (:run_id IS NULL OR r.run_id = :run_id)
    AND (:check IS NULL OR json_extract(CAST(r.params_body AS TEXT), '$.check') = :check)
    AND (:url IS NULL OR json_extract(CAST(r.params_body AS TEXT), '$.url') = :url)
    AND (:device IS NULL OR t.device_serial = :device)
    AND (:model IS NULL OR d.model = :model)
ORDER BY r.run_id DESC, t.task_id DESC LIMIT :limit
