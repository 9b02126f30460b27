"""Every bound is a named constant with its reason; relations between bounds are asserted (all steps)."""

from __future__ import annotations

from typing import Final

# --- frames -----------------------------------------------------------------------------------------------
FRAME_BYTES_MAX: Final = 256 * 1024
"""Largest body that crosses the mesh; pictures, logs and large outputs are artifacts over HTTP."""
RECORD_BYTES_MAX: Final = 128 * 1024
"""Largest single fact: one record plus the frame around it must always fit a frame."""
RECORDS_PER_FRAME_MAX: Final = 512
RECEIVE_BATCH: Final = 200
"""Messages taken from a socket per wake-up: waking once a message costs four times as much."""
SEND_HWM: Final = 1000
"""ZeroMQ's own queue a peer; small, because the durable queue is the outbox or the tables."""
PEER_QUEUE_MAX: Final = 4096
"""Frames the shell holds for a peer whose socket is full, before the peer counts as stuck."""
PEER_QUEUE_BYTES_MAX: Final = 16 * 1024 * 1024
"""The same bound in body bytes: a few stuck peers must not fill the memory with large frames."""
PEER_REPOLL_S: Final = 0.01
"""While a peer's socket is full it is tried this often: ZeroMQ may take the news of room in with another call."""
LINKS_MAX: Final = 4096
"""Connections a router remembers for sure; of twice as many the longest silent half may be forgotten."""

# --- liveness ---------------------------------------------------------------------------------------------
HEARTBEAT_S: Final = 10.0
LATE_AFTER_S: Final = 15.0
"""Online = proven within 15 s, late until 30 s: one lost heartbeat is no absence."""
OFFLINE_AFTER_S: Final = 30.0
BOT_OFFLINE_AFTER_S: Final = 60.0
WELCOME_TIMEOUT_S: Final = 5.0
"""A HELLO without an answer for this long: new socket, next epoch."""
SILENCE_S: Final = 25.0
"""A peer that hears nothing from the broker for this long connects again; two heartbeats may be lost."""
ACK_TIMEOUT_S: Final = 5.0
"""Facts on a live connection without an ack for this long are sent again: a broker's slowest commit takes less. The
wait doubles each time; a connection on which nothing at all comes ends by `SILENCE_S`."""
ZMTP_HEARTBEAT_MS: Final = 10_000
HANDSHAKE_MS: Final = 10_000
RECONNECT_MS: Final = 100
"""First pause before ZeroMQ itself connects again; it doubles up to the longest."""
RECONNECT_MAX_MS: Final = 500
"""A broker that comes back is found within this; peers are spread by the backoff before they connect,
and a try that nobody accepts costs one packet each way."""
CONNECT_MS: Final = 3_000
"""For one try on the network: where packets vanish the system alone would wait two minutes."""
CONNECT_AGAIN_S: Final = 60.0
"""A socket that met nobody for this long is opened anew, should it have got stuck; it has tried all the time."""
GOODBYE_MS: Final = 250
"""How long closing waits for a goodbye to leave: a stop is never held up for longer."""

# --- stream -----------------------------------------------------------------------------------------------
FACTS_APART_S: Final = 0.05
"""Frames of facts of which none is a result leave a node so far apart at least, in time for the eye of a person who
looks on. The first after a quiet moment waits for nothing."""
RESULTS_TOGETHER: Final = 8
"""While every slot is in use results gather with the other facts, but no more of them than this: the broker is to
hear of them before the next tasks of their devices have ended too."""
CREDIT_RECORDS: Final = 4096
"""Records a node may have unacknowledged."""
CREDIT_BYTES: Final = 4 * 1024 * 1024
HASHES_KEPT: Final = 8192
"""Hashes of accepted records the receiver keeps, to tell a resend from a cloned outbox."""
RESULTS_KEPT: Final = 4096
"""Acknowledged results a node keeps for a broker that lost its past."""

OUTBOX_RECORDS_MAX: Final = 200_000
"""Facts that a node may have unacknowledged on its disk: some 60 MB, a night of work without a broker."""
OUTBOX_START_SHARE: Final = 0.8
"""Above this share of the outbox no task starts: the rest is room for what runs."""

# --- scheduling -------------------------------------------------------------------------------------------
SLOTS: Final = 20
"""Tasks a node executes at once unless configured."""
DEVICES_PER_NODE_MAX: Final = 500
TASKS_PER_DEVICE_HELD: Final = 2
"""Dispatched tasks a node holds a device: one executing, one next, so that a slot is filled at once."""
DEVICE_SETTLE_S: Final = 20.0
"""Time a node's drivers have after a start to find devices, before those that are not found count as gone."""
LEASE_S: Final = 60.0
"""A lease lasts this long after the holder's last proof."""
TASK_TIMEOUT_S: Final = 600.0
STEP_TIMEOUT_S: Final = 90.0
UPLOAD_TIMEOUT_S: Final = 30.0
ALWAYS_GRACE_S: Final = 60.0
"""Time the `always` and `on_failure` steps have after the task's own time is over."""
LEASE_MARGIN_S: Final = 30.0
"""Added to the deadline after which a lost holder can no longer act: clocks drift, commands finish."""
ATTEMPTS: Final = 3
RETRY_FIRST_S: Final = 2.0
RETRY_FACTOR: Final = 2.0
RATE_LIMIT_DELAY_S: Final = 60.0
TARGETS_PER_RUN_MAX: Final = 20_000
PARAMS_BYTES_MAX: Final = 64 * 1024
OUTPUTS_BYTES_MAX: Final = 64 * 1024
STEP_OUTPUTS_BYTES_MAX: Final = 16 * 1024
"""Outputs of one step in its event; longer texts are cut there, later steps of the task see the whole."""
STEPS_MAX: Final = 200
STEPS_PLANNED_MAX: Final = 1000
"""Steps of a recipe together with those of the workflows it calls, as often as it calls them."""
CALL_DEPTH_MAX: Final = 5
LOOP_DEPTH_MAX: Final = 3
"""Loops within loops of one recipe. Deeper ones are nobody's intention, and their rounds multiply."""
LOOP_ROUNDS_MAX: Final = 1000
TRIES_PER_ATTEMPT_MAX: Final = 10_000
"""Steps that an attempt begins, rounds and tries counted: some 6 MB of facts, a tenth of the node's outbox."""
WORKFLOW_BYTES_MAX: Final = 128 * 1024

# --- campaigns --------------------------------------------------------------------------------------------
CAMPAIGNS_MAX: Final = 1000
"""Their next times are computed at a start: 35 us each."""
CAMPAIGN_LATE_S: Final = 60.0
"""A time that is found so long after it was due is a matter of catch-up: a broker that starts again takes less."""
CAMPAIGN_LOOK_S: Final = 30.0
"""Campaigns are looked at so often at least: a UTC that jumped ahead is found within it, and not taken for late."""
CAMPAIGN_TIMES_AT_ONCE: Final = 200
"""Times decided in one go: 10 ms. A minute's campaign is through a year away in half a minute, beside the rest."""
CAMPAIGN_CATCH_UP_MAX: Final = 100
CAMPAIGN_WAITING_MAX: Final = 100
"""Runs of a campaign that wait for the end of the run before."""
CAMPAIGN_TIMES_KEPT: Final = 1000
"""Times of a campaign kept in its history: an hourly one's of six weeks."""

# --- quarantine -------------------------------------------------------------------------------------------
QUARANTINE_IN_A_ROW: Final = 5
"""Failures one after the other, of classes that are not the recipe's: more than one task's three attempts, so that
a single task never does it."""
QUARANTINE_RECENT: Final = 10
"""Attempts looked back upon, for those that fail every other time ..."""
QUARANTINE_OF_RECENT: Final = 5
"""... when so many of them failed ..."""
QUARANTINE_WITHIN_S: Final = 600.0
"""... within this time: rarer failures are what retries are for."""
QUARANTINE_BURST_S: Final = 10.0
"""Failures of one node that begin within this time are one: an adb server that dies takes all its tasks with it."""
QUARANTINE_FIRST_S: Final = 60.0
"""First term: a phone that restarts is back by then."""
QUARANTINE_MAX_S: Final = 3600.0
"""It doubles with every probe that fails, up to here: one task an hour costs nobody much."""

# --- holds ------------------------------------------------------------------------------------------------
HOLD_S: Final = 3600.0
"""Unless a person says how long: whoever needs a phone for longer knows it, and a forgotten hold costs an hour."""
HOLD_MAX_S: Final = 7 * 24 * 3600.0
"""A phone that is away for longer is quarantined until it is released."""

# --- dead letters -----------------------------------------------------------------------------------------
DEAD_LETTERS_ALERT: Final = 10
"""With more of them that wait for a person an operator is told ..."""
DEAD_LETTERS_CALM: Final = 5
"""... once, until there are no more than so many."""
DEAD_LETTERS_AT_ONCE: Final = 5_000
"""Decided upon with one command: a retry writes four rows a letter, and the next command goes on with the rest."""
RETRY_FAILED_AT_ONCE: Final = 500
"""Tasks of a queue that are tried again with one command: they are many, and others wait for the loop meanwhile."""
MESSAGE_LETTERS_PER_NODE: Final = 100
"""Messages of one node that wait for a person, with their bytes: what is alike needs no more, and a node that is
hostile or of another version fills neither disk nor memory. What comes then is counted by an incident, not kept."""
DEAD_LETTER_BYTES_KEPT: Final = 16 * 1024
"""First bytes kept of a message that can not be handled: most are whole, and a broken node fills no disk."""

# --- statistics -------------------------------------------------------------------------------------------
STATISTICS_MINUTES_KEPT_S: Final = 24 * 3600.0
STATISTICS_HOURS_KEPT_S: Final = 90 * 24 * 3600.0

# --- incidents --------------------------------------------------------------------------------------------
INCIDENT_LOOK_S: Final = 15.0
"""How often conditions are measured."""
INCIDENT_QUIET_S: Final = 3600.0
"""What happens instead of lasting is over when it has not happened for so long."""
INCIDENT_REOPENS_S: Final = 600.0
"""One that a person resolved opens again only when it is still so after this time."""
BACKLOG_TASKS: Final = 200
FAILURE_RATE_WITHIN_MIN: Final = 15
"""Minutes looked back upon for failures and for how long tasks take."""
FAILURE_RATE_OF: Final = 20
"""With fewer tasks a share says nothing."""
TASK_LATE_S: Final = 3600.0
NO_PROGRESS_S: Final = 300.0
BOT_DOWN_S: Final = 60.0
"""A bot that is started anew is back by then."""
NODE_DOWN_S: Final = 300.0
DEVICE_DOWN_S: Final = 300.0
"""Longer than a phone that updates itself takes to start."""
FLAPS: Final = 6
"""Times that a device went within FLAPS_WITHIN_S: a reboot is one, a task with reboots a few."""
FLAPS_WITHIN_S: Final = 600.0
CLOCK_SKEW_S: Final = 30.0
"""More than a heartbeat may take over a bad network."""
# --- queues -----------------------------------------------------------------------------------------------
QUEUES_MAX: Final = 100
"""All of them are in the broker's memory, and each has rows of statistics a minute."""
QUEUE_DEGRADED_ABOVE: Final = 200
"""Tasks waiting with which a queue is shown as degraded, unless configured: ten for each of a node's slots."""

CLEAN_AGE_MIN_S: Final = 300.0
"""What ended later stays when a queue is cleaned: statistics are counted by the minute, and people are looking."""
# --- bots -------------------------------------------------------------------------------------------------
BOT_CREDIT: Final = 512
"""Events of a subscription that a bot's process holds at most: what is done comes back every 0.1 s, so that a
thousand a second need a hundred, and what one process holds no other can take."""
BOT_CREDIT_BYTES: Final = 4 * FRAME_BYTES_MAX
BOT_CONCURRENT: Final = 5
"""Handlers of a bot that run at once unless configured."""
BOT_TASKS: Final = 1
"""Tasks that a process of a bot takes at once unless it says so."""
BOT_HANDLER_S: Final = 60.0
"""A handler that takes longer is named and cut off, unless it asks for more."""
BOT_TRIES: Final = 8
"""Calls for one event before it becomes a dead letter: with the backoff some minutes, as a service is away."""
BOT_DRAIN_S: Final = 20.0
"""Between SIGTERM and the end handlers have this long to return."""
BOT_COMMANDS_MAX: Final = 64
"""Commands of a process that wait for their answer; the next waits for room, so that no bot floods the broker."""
BOT_COMMAND_S: Final = 30.0
"""A command without an answer for this long fails; by then a broker that starts again is back."""
# --- bots at the broker ------------------------------------------------------------------------------------
BOTS_MAX: Final = 1000
"""Bots that may be registered: each is in the broker's memory with its declaration."""
PLUGINS_BYTES_MAX: Final = 96 * 1024
"""Schemas of all plug-ins of a node, as one fact: a step has 1 KB or two."""
BOT_DECLARED_BYTES_MAX: Final = 64 * 1024
"""What a bot says of itself and its configuration, as JSON each: a frame of either fits."""
SUBSCRIPTIONS_PER_BOT_MAX: Final = 32
TAIL_EVENTS_MAX: Final = 8192
"""Newest events kept in memory while somebody subscribes: seconds at full load. Who is further behind reads."""
TAIL_BYTES_MAX: Final = 16 * 1024 * 1024
PARTS_BYTES_MAX: Final = 32 * 1024 * 1024
"""What filters take of the tail, encoded, of all together; who is behind what is kept pays for it again."""
EVENTS_FLUSH_S: Final = 0.005
"""Events are gathered so long at most before they are sent to bots, a quarter of what they may take in all ..."""
EVENTS_FLUSH_BOT_S: Final = 0.000_15
"""... and so much longer for each further subscription: what its frame costs is paid for more events ..."""
EVENTS_FLUSH_MAX_S: Final = 0.0125
"""... but not longer than this."""
EVENTS_BATCH_MAX: Final = 64
"""Events that are given out together, encoded once a filter, at most: whoever takes events has room for some."""
EVENTS_PER_FRAME_MAX: Final = 256
EVENTS_FRAME_BYTES: Final = 120 * 1024
"""A frame of events ends before it is larger; one event alone may be."""
EVENTS_IN_FLIGHT_MAX: Final = 1024
"""Events of a subscription that its processes may hold, all together, whatever credit they give."""
SUBJECT_IN_FLIGHT_MAX: Final = 32
"""Of one subject: what follows waits in the log, so that a subject whose handler is tried again fills nothing."""
SUBJECTS_OPEN_MAX: Final = 1024
"""Subjects of a subscription with something not done below its position; with more of them it stands still."""
EVENTS_AGAIN_MAX: Final = 1000
"""Events of a subscription that a person gives again at once."""
LOG_READ_ROWS: Final = 500
"""Rows of the log looked through in one read transaction: some ms."""
LOG_READ_SUBJECTS: Final = 32
SAMPLES_PER_FRAME_MAX: Final = 200
"""Of a kilobyte at most each; what is more goes with the next frame."""
SAMPLE_EVERY_S: Final = 30.0
"""How often devices are read unless the bot that wants it says otherwise."""
SAMPLE_EVERY_MIN_S: Final = 2.0
"""Not more often: reading one takes some 0.1 s of a phone's processor, which is 5 % then."""
SAMPLE_EVERY_MAX_S: Final = 3600.0
SAMPLE_AT_ONCE: Final = 5
SAMPLE_AT_ONCE_MAX: Final = 50
"""More open connections than this make an adb server slow for everybody."""
SAMPLE_TIMEOUT_S: Final = 10.0
"""A phone that has not answered so long is told as one that does not."""
SAMPLE_WRITE_S: Final = 5.0
"""Samples that are stored are gathered so long: one commit for all, which those who wait for one do not feel."""
SAMPLE_ROWS_MAX: Final = 64
"""Of one commit: some ms. What is more goes with the next, a moment later."""
SAMPLE_BYTES_MAX: Final = 2048
"""Of one sample: five times what one usually has."""
SAMPLE_SERIALS_PRUNED_MAX: Final = 10
"""Devices of whose samples a slice of retention removes what is too old: some 5,000 rows, 10 ms."""
CURSOR_APART_S: Final = 0.1
"""Rows of one cursor are written so far apart at least: what a broker that dies had not written is given again."""
CURSOR_IDLE_S: Final = 5.0
"""Events that were only passed over move the row of a cursor so often."""
CURSOR_LAG_MAX: Final = 1_000_000
"""Events that a cursor may be behind: some hours at full load. Beyond, retention does not wait for it."""
BOT_LOOK_S: Final = 60.0
"""How often the time in which bots were heard is written."""
BOT_TASK_TIMEOUT_S: Final = 3600.0
"""For one attempt of a task of a bot."""

# --- store ------------------------------------------------------------------------------------------------
COMMIT_ROWS_MAX: Final = 1088
"""Store operations gathered into one commit at most: the lives of some 70 tasks, or two frames full of facts. Each
commit writes every page that it touched: with 256 a task cost 30 us more of CPU (of 170), with 2,048 it costs 2 us
less; where only one frame fits, a fact costs 0.2 us more."""
PIPELINE_ROOM: Final = 65_536
"""Ops and effects that wait for the disk before intake stops: some two seconds of commits, and the largest run."""
WAL_CHECKPOINT_BYTES: Final = 4 * 1024 * 1024
"""A write-ahead log of this size is copied into the database at the next idle moment."""
WAL_BYTES_MAX: Final = 16 * 1024 * 1024
"""At this size it is copied even while work waits: commits stand still for some 50 ms then, not for 200."""
CHECKPOINT_IDLE_S: Final = 0.5
"""Nothing to commit for this long is an idle moment."""
COMMIT_INLINE_S: Final = 0.001
"""While a commit waits less than this for the disk, it may run in the event loop: a thread costs 1 ms of CPU and
waiting a commit."""
COMMITS_APART_S: Final = 0.002
"""A node's commits begin so far apart at least: they take a seventh of a core at most, whatever its steps do. A
step that ends after a quiet moment waits for nothing."""
COMMITS_APART_FULL_S: Final = 0.005
"""The same while every slot is in use: then a commit, which costs what many facts cost, takes its time from other
tasks. With 20 ms a node took a tenth less CPU, and a run on idle cores a tenth longer: steps wait for commits."""
COMMIT_ENOUGH_OPS: Final = 32
"""With so many changes a node's commit waits for no more: steps that take no time end by the thousand a second."""
STORE_LOCK_WAIT_S: Final = 1.0
"""How long a start waits for the process before it, which may just be ending."""
DISK_RESERVE_MB: Final = 512
"""Below this much free disk nothing new is begun. What has begun still writes: on a broker some 1 KB an event, ten
a task, of the largest runs 200 MB, and the log; on a node a full outbox (60 MB) and the artifacts of its slots."""
DISK_LOOK_S: Final = 5.0
"""The disk is looked at this often: a store that writes 50 MB/s meanwhile takes half of the reserve."""
PRUNE_IDS_MAX: Final = 1000
"""Ids of one slice of retention: a command of them fits a frame, and its commit takes some ms."""
READ_MAX_S: Final = 0.25
"""Longest read transaction: a reader that stays keeps the write-ahead log from being used again."""
IDEMPOTENCY_KEPT_S: Final = 24 * 3600.0
EVENTS_PAGE_MAX: Final = 1000
DESCRIBED_DEVICES_MAX: Final = 500
"""By one command: the largest node's, and with the longest notes still one transaction of the log."""

FILES_PINNED_MAX: Final = 256
"""Stored files that one run may ask for: each is named in every Dispatch of the run."""

# --- artifacts --------------------------------------------------------------------------------------------
REQUEST_BYTES_MAX: Final = 1024 * 1024
"""Of any body over HTTP but a file's: more than a command may have: our own sentence says what is too large."""
ARTIFACT_BYTES_MAX: Final = 64 * 1024 * 1024

FILE_MAX_MB: Final = 2048
"""Largest file that people put for phones unless configured: an app with all its data, a picture of a system."""
FILE_CACHE_MB: Final = 4096
"""Disk for stored files on a node unless configured: two of the largest."""

assert SAMPLE_EVERY_MIN_S <= SAMPLE_EVERY_S <= SAMPLE_EVERY_MAX_S
assert SAMPLE_TIMEOUT_S < SAMPLE_EVERY_S, "a phone that does not answer is not asked again meanwhile"
assert FILES_PINNED_MAX * 512 + PARAMS_BYTES_MAX <= FRAME_BYTES_MAX, "a Dispatch with all its files fits a frame"
assert FILE_MAX_MB < FILE_CACHE_MB, "any file that can be put fits a node"
assert PLUGINS_BYTES_MAX < RECORD_BYTES_MAX, "what a node tells of its plug-ins fits a record"
assert RECORD_BYTES_MAX * 2 <= FRAME_BYTES_MAX, "one record always fits a frame"
assert EVENTS_FRAME_BYTES + RECORD_BYTES_MAX <= FRAME_BYTES_MAX, "a frame of events takes the largest one too"
assert 2 * BOT_DECLARED_BYTES_MAX < FRAME_BYTES_MAX
assert SUBJECT_IN_FLIGHT_MAX * 4 <= EVENTS_IN_FLIGHT_MAX, "a few busy subjects leave room for others"
assert EVENTS_IN_FLIGHT_MAX < TAIL_EVENTS_MAX
assert PARTS_BYTES_MAX >= 2 * TAIL_BYTES_MAX, "what one filter takes of the whole tail is encoded once"
assert EVENTS_BATCH_MAX * 8 <= BOT_CREDIT, "a process that holds most of what it may still has room for a batch"
assert ATTEMPTS < QUARANTINE_IN_A_ROW <= QUARANTINE_RECENT, "one task alone quarantines nothing"
assert QUARANTINE_BURST_S * QUARANTINE_IN_A_ROW < QUARANTINE_WITHIN_S, "bursts that are told apart can add up"
assert QUARANTINE_FIRST_S <= QUARANTINE_MAX_S
assert HASHES_KEPT >= CREDIT_RECORDS, "every unacknowledged record can be checked against its hash"
assert CREDIT_BYTES >= RECORD_BYTES_MAX, "one record always fits the credit"
assert WELCOME_TIMEOUT_S < CONNECT_AGAIN_S
assert FACTS_APART_S < ACK_TIMEOUT_S
assert COMMIT_ENOUGH_OPS <= COMMIT_ROWS_MAX
assert 2 * (RECORDS_PER_FRAME_MAX + 1) <= COMMIT_ROWS_MAX, "each frame moves its stream besides"
assert SILENCE_S < LEASE_MARGIN_S, "no Dispatch is so old that its attempt could act after its last moment"
assert ACK_TIMEOUT_S < SILENCE_S, "a lost frame alone ends no connection"
assert RECONNECT_MAX_MS < LATE_AFTER_S * 1000, "a short absence of the broker is no absence of its peers"
assert HEARTBEAT_S < LATE_AFTER_S < OFFLINE_AFTER_S < BOT_OFFLINE_AFTER_S
assert HEARTBEAT_S * 2 < SILENCE_S < OFFLINE_AFTER_S
assert OFFLINE_AFTER_S < LEASE_S, "a node is shown offline before its leases end"
assert PARAMS_BYTES_MAX + WORKFLOW_BYTES_MAX <= FRAME_BYTES_MAX, "a Dispatch fits a frame"
assert 2 * TARGETS_PER_RUN_MAX < PIPELINE_ROOM, "the largest run (a task and an event a target) fits the pipeline"
assert WAL_CHECKPOINT_BYTES < WAL_BYTES_MAX
assert WAL_BYTES_MAX * 4 < DISK_RESERVE_MB * 1024 * 1024, "the reserve takes the log and its copy in the database"
assert DEAD_LETTERS_CALM < DEAD_LETTERS_ALERT
assert 4 * DEAD_LETTERS_AT_ONCE < PIPELINE_ROOM, "a retry of as many as can be fits the pipeline"
assert TRIES_PER_ATTEMPT_MAX * 2 < OUTBOX_RECORDS_MAX / 5, "a loop does not fill the outbox alone"
assert STEP_OUTPUTS_BYTES_MAX <= OUTPUTS_BYTES_MAX
assert OUTPUTS_BYTES_MAX < RECORD_BYTES_MAX, "a result with its outputs fits a record"
assert CAMPAIGN_CATCH_UP_MAX < CAMPAIGN_TIMES_AT_ONCE, "times that are missed are told from those made up for"
assert CAMPAIGN_LOOK_S < CAMPAIGN_LATE_S
assert CAMPAIGN_CATCH_UP_MAX <= CAMPAIGN_WAITING_MAX, "what is made up for can wait in line"
