-- Versions of workflows are draft, active or archived; a bare name means the newest active one. A version that was
-- active until a newer one was, stays active; one that was stored without being active is a draft.

ALTER TABLE workflows ADD COLUMN state TEXT NOT NULL DEFAULT 'active';

UPDATE workflows SET state = 'draft' WHERE active = 0 AND version > coalesce(
    (SELECT max(other.version) FROM workflows AS other WHERE other.name = workflows.name AND other.active = 1), 0
);

ALTER TABLE workflows DROP COLUMN active;
