-- What of a queue is being thrown away: it goes on after a restart.

-- Position of the event log; 0 = nothing.
ALTER TABLE queues ADD COLUMN discard_to INTEGER NOT NULL DEFAULT 0;

ALTER TABLE queues ADD COLUMN discard_reason TEXT NOT NULL DEFAULT '';
