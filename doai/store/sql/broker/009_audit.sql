-- Who changed what (doai/changes/audit.py says what each column means). Rows are added; nothing changes one. One goes
-- only after `audit_floor` was raised above it, which is the way of retention.

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

-- What did this person do? What was done to this device? Who revokes keys? What was refused? Which rows since then?
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

INSERT INTO audit_floor (one, n, at_ms) VALUES (1, 0, 0);

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
