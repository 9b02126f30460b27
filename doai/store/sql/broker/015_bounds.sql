-- How fast a queue gives out its tasks; how many tasks of a run go at once, and why it was stopped.

ALTER TABLE queues ADD COLUMN rate_per_min INTEGER NOT NULL DEFAULT 0;

-- JSON of doai.changes.runs.Bounds; x'7b7d' is {}.
ALTER TABLE runs ADD COLUMN bounds_body BLOB NOT NULL DEFAULT x'7b7d';

-- Empty = it goes on.
ALTER TABLE runs ADD COLUMN stopped TEXT NOT NULL DEFAULT '';
