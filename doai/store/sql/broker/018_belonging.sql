-- To what a run belongs; empty = to nothing.

ALTER TABLE runs ADD COLUMN campaign TEXT NOT NULL DEFAULT '';

ALTER TABLE runs ADD COLUMN project TEXT NOT NULL DEFAULT '';

CREATE INDEX runs_of_campaign ON runs (campaign, run_id) WHERE campaign <> '';

CREATE INDEX runs_of_project ON runs (project, run_id) WHERE project <> '';
