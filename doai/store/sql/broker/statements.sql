-- What the writer of the broker's store executes. {braces} name another block of this file.

-- name: insert_meta
INSERT INTO meta (one, store_id, generation, token_reserved, created_at_ms) VALUES (1, ?, 1, 0, ?)

-- name: reserve_tokens
UPDATE meta SET token_reserved = max(token_reserved, ?)

-- name: insert_workflow
INSERT INTO workflows ({workflow_columns}) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: set_workflow_state
UPDATE workflows SET state = ? WHERE name = ? AND version = ?

-- name: insert_run
INSERT INTO runs ({run_columns})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: update_run
UPDATE runs SET state = ?, outcome = ?, ended_at_ms = ? WHERE run_id = ?

-- name: stop_run
UPDATE runs SET stopped = ? WHERE run_id = ?

-- name: insert_task
INSERT INTO tasks ({task_columns})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: update_task
UPDATE tasks SET state = ?, fifo_order = ?, device_serial = ?, attempt = ?, token_generation = ?, token_n = ?,
    node_id = ?, not_before_ms = ?, dispatched_at_ms = ?, started_at_ms = ?, ended_at_ms = ?, failure = ?,
    outputs_body = ?, reason = ?
WHERE task_id = ?

-- name: add_ended
INSERT INTO ended_lately (device_serial, task_id) VALUES (?, ?)

-- name: file_ended
INSERT OR IGNORE INTO device_tasks (device_serial, task_id)
SELECT device_serial, task_id FROM ended_lately ORDER BY device_serial, task_id

-- name: drop_ended
DELETE FROM ended_lately

-- name: count_ended_lately
SELECT count(*) FROM ended_lately

-- name: unfile_task
DELETE FROM device_tasks WHERE device_serial = ? AND task_id = ?

-- name: insert_attempt
INSERT INTO attempts ({attempt_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: append_event
INSERT INTO events (position, subject, type, recorded_at_ms, envelope) VALUES (?, ?, ?, ?, ?)

-- name: put_device
INSERT INTO devices ({device_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (serial) DO UPDATE SET node_id = excluded.node_id, state = excluded.state, reason = excluded.reason,
    driver = excluded.driver, connection = excluded.connection, model = excluded.model,
    manufacturer = excluded.manufacturer, sdk = excluded.sdk, android = excluded.android,
    screen_width = excluded.screen_width, screen_height = excluded.screen_height, tags = excluded.tags,
    changed_at_ms = excluded.changed_at_ms, quarantine = excluded.quarantine, usb_path = excluded.usb_path,
    description = excluded.description, hold = excluded.hold

-- name: put_node
INSERT INTO nodes ({node_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (node_id) DO UPDATE SET host = excluded.host, version = excluded.version, slots = excluded.slots,
    capabilities = excluded.capabilities, started_at_ms = excluded.started_at_ms,
    connected_at_ms = excluded.connected_at_ms, state = excluded.state, state_reason = excluded.state_reason,
    changed_at_ms = excluded.changed_at_ms, quarantine = excluded.quarantine, plugins = excluded.plugins

-- name: put_sample
INSERT INTO samples (name, instance, received_at_ms, body) VALUES (?, ?, ?, ?)
ON CONFLICT (name, instance) DO UPDATE SET received_at_ms = excluded.received_at_ms, body = excluded.body

-- name: put_stream
INSERT INTO streams (name, instance, incarnation, epoch, last_seq) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name, instance, incarnation) DO UPDATE SET epoch = excluded.epoch

-- name: advance_stream
UPDATE streams SET last_seq = ? WHERE name = ? AND instance = ? AND incarnation = ? AND last_seq = ?

-- name: insert_digests
INSERT INTO stream_digests (name, instance, incarnation, last_seq, digests) VALUES (?, ?, ?, ?, ?)

-- name: trim_digests
DELETE FROM stream_digests WHERE name = ? AND instance = ? AND incarnation = ? AND last_seq <= ?

-- name: insert_artifact
INSERT OR REPLACE INTO artifacts ({artifact_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_file
INSERT INTO files ({file_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: delete_file
DELETE FROM files WHERE name = ? AND version = ?

-- name: put_key
INSERT OR REPLACE INTO keys ({key_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: put_token
INSERT OR REPLACE INTO tokens ({token_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: put_incident
INSERT INTO incidents ({incident_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (incident_id) DO UPDATE SET type = excluded.type, subject = excluded.subject,
    severity = excluded.severity, opened_at_ms = excluded.opened_at_ms, state = excluded.state, message = excluded.message,
    affected = excluded.affected, seen_at_ms = excluded.seen_at_ms, acknowledged_at_ms = excluded.acknowledged_at_ms,
    acknowledged_by = excluded.acknowledged_by, resolved_at_ms = excluded.resolved_at_ms,
    resolved_by = excluded.resolved_by, note = excluded.note

-- name: put_enrolment
INSERT OR REPLACE INTO enrolments ({enrolment_columns}) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: put_secret
INSERT OR REPLACE INTO secrets ({secret_columns}) VALUES (?, ?, ?, ?, ?, ?)

-- name: drop_secret
DELETE FROM secrets WHERE name = ?

-- name: put_queue
INSERT OR REPLACE INTO queues ({queue_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: put_user
INSERT OR REPLACE INTO users ({user_columns}) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: put_session
INSERT OR REPLACE INTO sessions ({session_columns}) VALUES (?, ?, ?, ?, ?)

-- name: drop_session
DELETE FROM sessions WHERE token_sha256 = ?

-- name: remember_command
INSERT OR REPLACE INTO commands ({command_columns}) VALUES (?, ?, ?, ?, ?)

-- name: forget_commands
DELETE FROM commands WHERE expires_at_ms < ?

-- name: load_meta
SELECT store_id, generation, token_reserved FROM meta

-- name: load_last_position
SELECT coalesce(max(position), 0) FROM events

-- name: load_workflows
SELECT {workflow_columns} FROM workflows ORDER BY name, version

-- name: load_runs
SELECT {run_columns} FROM runs WHERE state IN ('active', 'cancelling') ORDER BY run_id

-- name: load_tasks
SELECT {task_columns} FROM tasks
WHERE state IN ('queued', 'delayed', 'dispatched', 'running', 'unproven', 'cancelling')
    AND run_id IN (SELECT run_id FROM runs WHERE state IN ('active', 'cancelling'))
ORDER BY fifo_order, task_id

-- name: load_ended_counts
-- CROSS JOIN: open runs first, or SQLite walks all tasks that ever were.
SELECT t.run_id, t.state, count(*) FROM runs AS r CROSS JOIN tasks AS t ON t.run_id = r.run_id
WHERE r.state IN ('active', 'cancelling') AND t.state IN ('passed', 'failed', 'cancelled', 'expired', 'unknown')
GROUP BY t.run_id, t.state

-- name: load_devices
SELECT {device_columns} FROM devices ORDER BY serial

-- name: load_nodes
SELECT {node_columns} FROM nodes ORDER BY node_id

-- name: load_streams
SELECT name, instance, incarnation, epoch, last_seq FROM streams ORDER BY name, instance, incarnation

-- name: load_digests
SELECT digests FROM stream_digests WHERE name = ? AND instance = ? AND incarnation = ? ORDER BY last_seq

-- name: load_files
SELECT {file_columns} FROM files ORDER BY position, name, version

-- name: load_keys
SELECT {key_columns} FROM keys ORDER BY name

-- name: load_tokens
SELECT {token_columns} FROM tokens ORDER BY name

-- name: load_incidents
SELECT {incident_columns} FROM incidents WHERE state IN ('open', 'acknowledged') ORDER BY incident_id

-- name: load_enrolments
SELECT {enrolment_columns} FROM enrolments ORDER BY name

-- name: load_secrets
SELECT {secret_columns} FROM secrets ORDER BY name

-- name: load_queues
SELECT {queue_columns} FROM queues ORDER BY name

-- name: load_users
SELECT {user_columns} FROM users ORDER BY name

-- name: load_sessions
SELECT {session_columns} FROM sessions ORDER BY token_sha256

-- name: load_commands
SELECT {command_columns} FROM commands ORDER BY created_at_ms, idempotency_key

-- name: insert_statistics
INSERT INTO statistics ({statistics_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: trim_statistics
DELETE FROM statistics WHERE period = ? AND at_ms < ?

-- name: load_statistics
SELECT {statistics_columns} FROM statistics
WHERE period = 'minute' AND at_ms >= (
    SELECT coalesce(max(at_ms) + 3600000, 0) FROM statistics WHERE period = 'hour'
)
ORDER BY at_ms, row_id

-- name: load_statistics_position
SELECT max(position) FROM statistics

-- name: load_ended_since
-- The end of a task is one event; what its row says now is what it was at the end.
SELECT tasks.queue, tasks.state, tasks.created_at_ms, tasks.started_at_ms, tasks.ended_at_ms, events.position
FROM events JOIN tasks ON tasks.task_id = substr(events.subject, 6)
WHERE events.position > ?
    AND events.type IN ('task.completed', 'task.failed', 'task.cancelled', 'task.expired', 'task.unknown')
    AND tasks.ended_at_ms IS NOT NULL
ORDER BY events.position

-- name: append_audit
INSERT INTO audit ({audit_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: put_campaign
INSERT OR REPLACE INTO campaigns ({campaign_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: drop_campaign
DELETE FROM campaigns WHERE campaign_id = ?

-- name: drop_fires
DELETE FROM fires WHERE campaign_id = ?

-- name: insert_fire
INSERT INTO fires ({fire_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: update_fire
UPDATE fires SET state = ?, run_id = ?, reason = ? WHERE campaign_id = ? AND fire_at_ms = ? AND hand = ?

-- name: trim_fires
DELETE FROM fires WHERE campaign_id = ?1 AND state <> 'waiting' AND fire_at_ms < (
    -- Nothing, and so no row is removed, where there are fewer.
    SELECT fire_at_ms FROM fires WHERE campaign_id = ?1 ORDER BY fire_at_ms DESC, hand DESC LIMIT 1 OFFSET ?2 - 1
)

-- name: load_campaigns
SELECT {campaign_columns} FROM campaigns ORDER BY name

-- name: load_fires
-- Those that the core goes on with: waiting, or with an open run. Each part by its index: the history is long.
SELECT {fire_columns} FROM fires WHERE state = 'waiting'
UNION ALL
SELECT {fire_columns} FROM fires INDEXED BY fires_of_run
WHERE run_id IN (SELECT run_id FROM runs WHERE state IN ('active', 'cancelling'))
ORDER BY campaign_id, fire_at_ms, hand

-- name: insert_dead_letter
INSERT INTO dead_letters ({dead_letter_head}, data, {dead_letter_tail}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: settle_dead_letter
UPDATE dead_letters SET state = ?, settled_at_ms = ?, settled_by = ?, settled_why = ?, retried_as = ?
WHERE letter_id = ? AND state = 'open'

-- name: load_dead_letters
-- Also those of messages that their streams have not passed: they come again and are known by this.
SELECT {dead_letter_head}, x'', {dead_letter_tail} FROM dead_letters AS d
WHERE state = 'open' OR (kind = 'message' AND EXISTS (
    SELECT 1 FROM streams AS s WHERE s.name = d.node_id AND s.incarnation = d.incarnation AND s.last_seq < d.seq
))
ORDER BY letter_id

-- name: load_dead_runs
SELECT {run_columns} FROM runs
WHERE run_id IN (SELECT run_id FROM dead_letters WHERE state = 'open') ORDER BY run_id
-- name: prune_task
DELETE FROM tasks WHERE task_id = ? AND {removable_task} RETURNING device_serial

-- name: prune_attempts
DELETE FROM attempts WHERE task_id = ?

-- name: prune_story
DELETE FROM events WHERE subject = ? AND position < (SELECT max(position) FROM events)

-- name: prune_run
DELETE FROM runs WHERE run_id = ? AND state = 'completed'
    AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.run_id = runs.run_id)

-- name: prune_event
DELETE FROM events WHERE position = ? AND position < (SELECT max(position) FROM events)

-- name: prune_artifact
DELETE FROM artifacts WHERE path = ?

-- name: raise_audit_floor
UPDATE audit_floor SET n = ?, at_ms = ? WHERE n < ?

-- name: prune_audit
DELETE FROM audit WHERE n <= ?

-- name: put_removal
INSERT OR REPLACE INTO removals (kind, first_id, last_id, at_ms, digests) VALUES (?, ?, ?, ?, ?)

-- name: put_retention_pass
INSERT INTO retention_passes ({pass_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: add_usage
INSERT INTO usage (kind, name, day, tasks, passed, failed, cancelled, expired, unknown, attempts, device_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, day, name) DO UPDATE SET tasks = tasks + excluded.tasks, passed = passed + excluded.passed,
    failed = failed + excluded.failed, cancelled = cancelled + excluded.cancelled,
    expired = expired + excluded.expired, unknown = unknown + excluded.unknown,
    attempts = attempts + excluded.attempts, device_ms = device_ms + excluded.device_ms

-- name: put_bot
INSERT OR REPLACE INTO bots ({bot_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: load_bots
SELECT {bot_columns} FROM bots ORDER BY name

-- name: put_subscription
INSERT OR REPLACE INTO subscriptions ({subscription_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: drop_subscription
DELETE FROM subscriptions WHERE bot = ? AND name = ?

-- name: load_subscriptions
SELECT {subscription_columns} FROM subscriptions ORDER BY bot, name

-- name: add_uptime
INSERT INTO bot_uptime (bot, hour, seconds) VALUES (?, ?, ?)
ON CONFLICT (bot, hour) DO UPDATE SET seconds = seconds + excluded.seconds

-- name: log_slice
SELECT position, type, subject, envelope FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?

-- name: log_of_subject
SELECT position, type, subject, envelope FROM events WHERE subject = ? AND position >= ? AND position <= ?
ORDER BY position LIMIT ?

-- name: log_at
SELECT position, type, subject, envelope FROM events WHERE position = ?

-- name: kept_event
SELECT seq, data FROM dead_letters WHERE kind = 'event' AND seq = ? AND length(data) > 0 LIMIT 1

-- name: keep_event
UPDATE dead_letters SET data = e.envelope FROM events AS e WHERE e.position = dead_letters.seq AND letter_id = ?

-- name: log_begin
SELECT position, recorded_at_ms FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT 1

-- name: trim_uptime
DELETE FROM bot_uptime WHERE bot = ? AND hour < ?

-- name: insert_device_sample
INSERT OR IGNORE INTO device_samples (serial, minute, body) VALUES (?, ?, ?)

-- name: sample_hour
SELECT body FROM device_sample_hours WHERE serial = ? AND hour = ?

-- name: put_sample_hour
INSERT INTO device_sample_hours (serial, hour, body) VALUES (?, ?, ?)
ON CONFLICT (serial, hour) DO UPDATE SET body = excluded.body

-- name: prune_samples
DELETE FROM device_samples WHERE serial = ? AND minute < ?

-- name: prune_sample_hours
DELETE FROM device_sample_hours WHERE serial = ? AND hour < ?

-- name: put_condition
INSERT INTO device_conditions ({condition_columns}) VALUES (?, ?, ?, ?)
ON CONFLICT (serial, bot) DO UPDATE SET body = excluded.body, changed_at_ms = excluded.changed_at_ms

-- name: load_conditions
SELECT {condition_columns} FROM device_conditions ORDER BY serial, bot
