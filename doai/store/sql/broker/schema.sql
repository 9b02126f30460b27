-- Made from the migrations; a test keeps it current.

CREATE TABLE meta (
    -- One row.
    one INTEGER PRIMARY KEY CHECK (one = 1),
    store_id TEXT NOT NULL,            -- one life of this store; a restore makes a new one
    generation INTEGER NOT NULL,       -- counts those lives; first half of every token
    token_reserved INTEGER NOT NULL,   -- tokens up to here may be in use
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE workflows (
    -- A row never changes once stored, but for `active`: 1 for the version that a bare name means.
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    body BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'active',
    PRIMARY KEY (name, version)
) STRICT;

CREATE TABLE runs (
    -- state: active -> cancelling -> completed, or active -> completed (doai/states.py, RUN_TABLE)
    run_id TEXT PRIMARY KEY,           -- sorts by creation
    workflow TEXT NOT NULL,
    version INTEGER NOT NULL,
    recipe_hash TEXT NOT NULL,
    params_body BLOB NOT NULL,
    targets_body BLOB NOT NULL,
    step_timeouts_body BLOB NOT NULL,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    attempts_max INTEGER NOT NULL,
    tasks INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    interface TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    ended_at_ms INTEGER
, files_body BLOB NOT NULL DEFAULT x'5b5d', bounds_body BLOB NOT NULL DEFAULT x'7b7d', stopped TEXT NOT NULL DEFAULT '', campaign TEXT NOT NULL DEFAULT '', project TEXT NOT NULL DEFAULT '') STRICT;

CREATE INDEX runs_open ON runs (run_id) WHERE state IN ('active', 'cancelling');

CREATE INDEX runs_of_workflow ON runs (workflow, run_id);

CREATE TABLE tasks (
    -- state: queued -> dispatched -> running -> passed | failed | cancelled | expired | unknown, with delayed,
    -- unproven and cancelling on the way (doai/states.py, TASK_TABLE). From `state` on, all is rewritten as a whole.
    task_id TEXT PRIMARY KEY,          -- sorts by creation
    run_id TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    selector_body BLOB,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    timeout_s REAL NOT NULL,
    state TEXT NOT NULL,
    fifo_order INTEGER NOT NULL,       -- position of the event with which it joined the end of its FIFO
    device_serial TEXT,
    attempt INTEGER NOT NULL,
    token_generation INTEGER,
    token_n INTEGER,
    node_id TEXT,
    not_before_ms INTEGER,
    dispatched_at_ms INTEGER,
    started_at_ms INTEGER,
    ended_at_ms INTEGER,
    failure TEXT,                      -- JSON of doai.errors.Failure
    outputs_body BLOB,
    reason TEXT NOT NULL
) STRICT;

CREATE INDEX tasks_by_state ON tasks (state, task_id) WHERE state <> 'passed';

CREATE INDEX tasks_of_run ON tasks (run_id, task_id);

CREATE TABLE attempts (
    -- Ended attempts; the open one lives in its task.
    task_id TEXT NOT NULL,
    token_generation INTEGER NOT NULL,
    token_n INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    node_id TEXT NOT NULL,
    device_serial TEXT NOT NULL,
    dispatched_at_ms INTEGER NOT NULL,
    started_at_ms INTEGER,
    ended_at_ms INTEGER NOT NULL,
    outcome TEXT,                      -- NULL = given back untouched
    failure TEXT,
    PRIMARY KEY (task_id, token_generation, token_n)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    -- The event log: rows are appended, never changed. The position is the cursor of every reader.
    position INTEGER PRIMARY KEY,      -- given by the core, contiguous, in commit order
    subject TEXT NOT NULL,
    type TEXT NOT NULL,
    recorded_at_ms INTEGER NOT NULL,
    envelope BLOB NOT NULL             -- msgpack of doai.envelope.Envelope
) STRICT;

CREATE INDEX events_of_subject ON events (subject, position);

CREATE TABLE devices (
    serial TEXT PRIMARY KEY,
    node_id TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    driver TEXT NOT NULL,
    connection TEXT NOT NULL,
    model TEXT NOT NULL,
    manufacturer TEXT NOT NULL,
    sdk INTEGER NOT NULL,
    android TEXT NOT NULL,
    screen_width INTEGER NOT NULL,
    screen_height INTEGER NOT NULL,
    tags TEXT NOT NULL,                -- JSON array
    first_seen_at_ms INTEGER NOT NULL,
    changed_at_ms INTEGER NOT NULL
, quarantine TEXT, usb_path TEXT NOT NULL DEFAULT '', description TEXT, hold TEXT) STRICT;

CREATE TABLE nodes (
    node_id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    slots INTEGER NOT NULL,
    capabilities TEXT NOT NULL,        -- JSON array
    started_at_ms INTEGER NOT NULL,
    first_seen_at_ms INTEGER NOT NULL,
    connected_at_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    state_reason TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL
, quarantine TEXT, plugins TEXT) STRICT;

CREATE TABLE samples (
    -- The newest heartbeat of each peer; no history.
    name TEXT NOT NULL,
    instance TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (name, instance)
) STRICT;

CREATE TABLE streams (
    -- How far a peer's stream was taken, one row a life of its outbox.
    name TEXT NOT NULL,
    instance TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    PRIMARY KEY (name, instance, incarnation)
) STRICT, WITHOUT ROWID;

CREATE TABLE stream_digests (
    -- 8 bytes of hash for each of the newest accepted records, one row a batch, ending at last_seq.
    name TEXT NOT NULL,
    instance TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    last_seq INTEGER NOT NULL,
    digests BLOB NOT NULL,
    PRIMARY KEY (name, instance, incarnation, last_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
    path TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    node_id TEXT NOT NULL,
    device_serial TEXT NOT NULL,
    run_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    step_id TEXT NOT NULL,
    stored_at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX artifacts_of_run ON artifacts (run_id, task_id);

CREATE TABLE keys (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    public_key TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    revoked_at_ms INTEGER
, next_public_key TEXT NOT NULL DEFAULT '', next_secret_sha256 TEXT NOT NULL DEFAULT '') STRICT;

CREATE TABLE tokens (
    -- API tokens, only as their hash.
    name TEXT PRIMARY KEY,
    token_sha256 TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    revoked_at_ms INTEGER
, expires_at_ms INTEGER, scopes TEXT NOT NULL DEFAULT '') STRICT;

CREATE TABLE commands (
    -- Commands that succeeded, remembered under their idempotency key until they expire.
    idempotency_key TEXT PRIMARY KEY,
    payload_sha256 TEXT NOT NULL,
    reply_body BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE files (
    -- A row never changes once stored; it may be removed.
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    position INTEGER NOT NULL,         -- of its file.stored in the event log: of a name the largest is the newest
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

CREATE INDEX files_of_bytes ON files (sha256);

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

CREATE TABLE enrolments (
    -- The newest enrolment of each node; its token only as its hash.
    name TEXT PRIMARY KEY,
    token_sha256 TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    used_at_ms INTEGER,
    revoked_at_ms INTEGER
) STRICT;

CREATE TABLE secrets (
    -- The key to the ciphertext is the admin's, in a file of its own.
    name TEXT PRIMARY KEY,
    ciphertext BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    n INTEGER PRIMARY KEY AUTOINCREMENT,   -- in the order of commits; never used again
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    role TEXT NOT NULL,
    token TEXT NOT NULL,
    address TEXT NOT NULL,
    interface TEXT NOT NULL,
    process TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL,                 -- done | refused | automatic
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    before TEXT,                           -- JSON
    after TEXT,                            -- JSON
    command_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    position INTEGER NOT NULL              -- of the event log
) STRICT;

CREATE TABLE sqlite_sequence(name,seq);

CREATE INDEX audit_of_actor ON audit (actor, n);

CREATE INDEX audit_of_subject ON audit (subject, n);

CREATE INDEX audit_of_action ON audit (action, n);

CREATE INDEX audit_refused ON audit (n) WHERE outcome = 'refused';

CREATE INDEX audit_by_time ON audit (at_ms);

CREATE TABLE audit_floor (
    -- One row: rows of the audit up to n may be removed.
    one INTEGER PRIMARY KEY CHECK (one = 1),
    n INTEGER NOT NULL,
    at_ms INTEGER NOT NULL                 -- when it was raised
) STRICT;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'a row of the audit is never changed');
END;

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit WHEN old.n > (SELECT n FROM audit_floor)
BEGIN
    SELECT RAISE(ABORT, 'a row of the audit goes only by retention');
END;

CREATE TRIGGER audit_floor_only_rises BEFORE UPDATE ON audit_floor WHEN new.n < old.n
BEGIN
    SELECT RAISE(ABORT, 'the floor of the audit only rises');
END;

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

CREATE TABLE incidents (
    incident_id TEXT PRIMARY KEY,
    type TEXT NOT NULL,                -- doai/incidents.py
    subject TEXT NOT NULL,
    severity TEXT NOT NULL,            -- low | medium | high | critical
    state TEXT NOT NULL,               -- open | acknowledged | resolved
    message TEXT NOT NULL,
    affected INTEGER NOT NULL,
    opened_at_ms INTEGER NOT NULL,
    seen_at_ms INTEGER NOT NULL,
    acknowledged_at_ms INTEGER,
    acknowledged_by TEXT NOT NULL,
    resolved_at_ms INTEGER,
    resolved_by TEXT NOT NULL,
    note TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX incidents_open ON incidents (type, subject) WHERE state IN ('open', 'acknowledged');

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
, subscription TEXT NOT NULL DEFAULT '') STRICT;

CREATE INDEX open_dead_letters ON dead_letters (letter_id) WHERE state = 'open';

CREATE INDEX dead_letters_of_task ON dead_letters (task_id) WHERE task_id <> '';

CREATE INDEX dead_letters_of_stream ON dead_letters (node_id, incarnation, seq) WHERE kind = 'message';

CREATE INDEX dead_letters_retried ON dead_letters (retried_as) WHERE retried_as <> '';

CREATE TABLE removals (
    -- One row a slice: an id between the first and the last was removed if its digest is among those of the slice.
    kind TEXT NOT NULL,                -- task | run
    first_id TEXT NOT NULL,
    last_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    digests BLOB NOT NULL,             -- 8 bytes an id
    PRIMARY KEY (kind, first_id, last_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE retention_passes (
    pass_id TEXT PRIMARY KEY,          -- sorts by time
    began_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    tasks INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    events INTEGER NOT NULL,
    artifacts INTEGER NOT NULL,
    audit INTEGER NOT NULL,
    freed_bytes INTEGER NOT NULL,
    problem TEXT NOT NULL
, queue TEXT NOT NULL DEFAULT '') STRICT;

CREATE TABLE usage (
    kind TEXT NOT NULL,                -- device | workflow | actor
    name TEXT NOT NULL,
    day INTEGER NOT NULL,              -- since 1970-01-01 (UTC)
    tasks INTEGER NOT NULL,
    passed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    device_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, day, name)
) STRICT, WITHOUT ROWID;

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
, rate_per_min INTEGER NOT NULL DEFAULT 0, discard_to INTEGER NOT NULL DEFAULT 0, discard_reason TEXT NOT NULL DEFAULT '') STRICT;

CREATE INDEX runs_of_campaign ON runs (campaign, run_id) WHERE campaign <> '';

CREATE INDEX runs_of_project ON runs (project, run_id) WHERE project <> '';

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,                -- viewer | operator | author | admin
    password_hash TEXT NOT NULL,       -- Argon2id (PHC); empty: removed
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    password_at_ms INTEGER NOT NULL,
    removed_at_ms INTEGER
) STRICT;

CREATE TABLE sessions (
    token_sha256 TEXT PRIMARY KEY,     -- of the cookie
    user TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    address TEXT NOT NULL
) STRICT;

CREATE TABLE bots (
    name TEXT PRIMARY KEY,
    declared_body BLOB NOT NULL,       -- JSON: what its newest process said of it
    status TEXT NOT NULL,              -- active | inactive | deprecated, by an operator
    status_reason TEXT NOT NULL,
    config_body BLOB NOT NULL,         -- JSON
    revision INTEGER NOT NULL,
    state TEXT NOT NULL,               -- online | late | offline
    state_reason TEXT NOT NULL,
    proven_at_ms INTEGER NOT NULL,
    processes_body BLOB NOT NULL,      -- JSON
    registered_at_ms INTEGER NOT NULL,
    changed_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE subscriptions (
    bot TEXT NOT NULL,
    name TEXT NOT NULL,
    topics_body BLOB NOT NULL,         -- JSON: patterns
    position INTEGER NOT NULL,         -- of the event log: what matches up to here is done, but for the next two
    open_body BLOB NOT NULL,           -- JSON: subject -> position of its first event that is not done
    again_body BLOB NOT NULL,          -- JSON: positions that a person gives again
    since_ms INTEGER NOT NULL,
    done_to_ms INTEGER NOT NULL,
    moved_at_ms INTEGER NOT NULL,
    PRIMARY KEY (bot, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE bot_uptime (
    bot TEXT NOT NULL,
    hour INTEGER NOT NULL,             -- since 1970-01-01 (UTC)
    seconds REAL NOT NULL,             -- in which one of its processes was heard
    PRIMARY KEY (bot, hour)
) STRICT, WITHOUT ROWID;

CREATE INDEX dead_letters_of_event ON dead_letters (seq) WHERE kind = 'event';

CREATE TABLE device_samples (
    serial TEXT NOT NULL,
    minute INTEGER NOT NULL,           -- since 1970-01-01 (UTC)
    body BLOB NOT NULL,                -- msgpack: the values of a DeviceHealth
    PRIMARY KEY (serial, minute)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_sample_hours (
    serial TEXT NOT NULL,
    hour INTEGER NOT NULL,             -- since 1970-01-01 (UTC)
    body BLOB NOT NULL,                -- JSON: number of samples; of each measure count, low, total, high
    PRIMARY KEY (serial, hour)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_conditions (
    serial TEXT NOT NULL,
    bot TEXT NOT NULL,
    body BLOB NOT NULL,                -- JSON: a list of conditions; empty = it is well
    changed_at_ms INTEGER NOT NULL,
    PRIMARY KEY (serial, bot)
) STRICT, WITHOUT ROWID;

CREATE INDEX tasks_ended ON tasks (state, ended_at_ms, task_id) WHERE ended_at_ms IS NOT NULL;

CREATE INDEX tasks_of_queue ON tasks (queue, task_id);

CREATE INDEX tasks_of_code ON tasks (json_extract(failure, '$.code'), task_id) WHERE failure IS NOT NULL;

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
