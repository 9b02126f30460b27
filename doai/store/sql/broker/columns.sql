-- Columns of each row in the order of doai/store/columns.py; other files name them in {braces}.

-- name: workflow_columns
name, version, content_hash, body, created_at_ms, created_by, state

-- name: run_columns
run_id, workflow, version, recipe_hash, params_body, targets_body, step_timeouts_body, queue, priority,
attempts_max, tasks, created_at_ms, actor, interface, trace_id, state, outcome, ended_at_ms, files_body,
bounds_body, stopped, campaign, project

-- name: task_columns
task_id, run_id, target_kind, selector_body, queue, priority, created_at_ms, expires_at_ms, timeout_s, state,
fifo_order, device_serial, attempt, token_generation, token_n, node_id, not_before_ms, dispatched_at_ms,
started_at_ms, ended_at_ms, failure, outputs_body, reason

-- name: attempt_columns
task_id, token_generation, token_n, attempt, node_id, device_serial, dispatched_at_ms, started_at_ms,
ended_at_ms, outcome, failure

-- name: device_columns
serial, node_id, state, reason, driver, connection, model, manufacturer, sdk, android, screen_width,
screen_height, tags, first_seen_at_ms, changed_at_ms, quarantine, usb_path, description, hold

-- name: node_columns
node_id, host, version, slots, capabilities, started_at_ms, first_seen_at_ms, connected_at_ms, state,
state_reason, changed_at_ms, quarantine, plugins

-- name: artifact_columns
path, sha256, size_bytes, media_type, node_id, device_serial, run_id, task_id, step_id, stored_at_ms

-- name: file_columns
name, version, sha256, size_bytes, media_type, position, created_at_ms, created_by

-- name: key_columns
name, role, public_key, secret_sha256, created_at_ms, created_by, revoked_at_ms, next_public_key,
next_secret_sha256

-- name: token_columns
name, token_sha256, role, created_at_ms, created_by, revoked_at_ms, expires_at_ms, scopes

-- name: incident_columns
incident_id, type, subject, severity, state, message, affected, opened_at_ms, seen_at_ms, acknowledged_at_ms,
acknowledged_by, resolved_at_ms, resolved_by, note

-- name: enrolment_columns
name, token_sha256, created_at_ms, created_by, expires_at_ms, used_at_ms, revoked_at_ms

-- name: secret_columns
name, ciphertext, created_at_ms, created_by, changed_at_ms, changed_by

-- name: user_columns
name, role, password_hash, created_at_ms, created_by, password_at_ms, removed_at_ms

-- name: session_columns
token_sha256, user, created_at_ms, expires_at_ms, address

-- name: queue_columns
name, priority, state, reason, degraded_above, changed_at_ms, changed_by, degraded, waiting, delayed, held,
rate_per_min, discard_to, discard_reason

-- name: command_columns
idempotency_key, payload_sha256, reply_body, created_at_ms, expires_at_ms

-- name: audit_columns
at_ms, actor, role, token, address, interface, process, action, subject, outcome, code, reason, before, after,
    command_id, idempotency_key, trace_id, position

-- name: statistics_columns
row_id, queue, period, at_ms, position, observed_ms, waiting, running, delayed, unproven, nodes_online, nodes_total,
    passed, failed, cancelled, expired, unknown, wait, duration


-- name: campaign_columns
name, campaign_id, state, reason, plan_body, decided_to_ms, runs, created_at_ms, created_by, changed_at_ms, changed_by

-- name: fire_columns
campaign_id, fire_at_ms, hand, state, recorded_at_ms, run_id, reason, actor, times, last_at_ms

-- name: dead_letter_head
letter_id, kind, reason, state, created_at_ms, position, code, error_class, message, node_id, device_serial, task_id,
run_id, workflow, queue, attempts, type, incarnation, seq

-- name: dead_letter_tail
data_bytes, settled_at_ms, settled_by, settled_why, retried_as, subscription
-- name: pass_columns
pass_id, began_at_ms, ended_at_ms, actor, tasks, runs, events, artifacts, audit, freed_bytes, problem, queue

-- name: removable_task
-- What retention may take of `tasks`; what must be kept for another reason is a further condition here.
state IN ('passed', 'failed', 'cancelled', 'expired', 'unknown') AND NOT EXISTS (
    SELECT 1 FROM runs WHERE runs.run_id = tasks.run_id AND runs.state IN ('active', 'cancelling')
) AND NOT EXISTS (
    SELECT 1 FROM dead_letters WHERE dead_letters.task_id = tasks.task_id AND dead_letters.state = 'open'
)

-- name: bot_columns
name, declared_body, status, status_reason, config_body, revision, state, state_reason, proven_at_ms, processes_body,
registered_at_ms, changed_at_ms

-- name: subscription_columns
bot, name, topics_body, position, open_body, again_body, since_ms, done_to_ms, moved_at_ms

-- name: condition_columns
serial, bot, body, changed_at_ms
