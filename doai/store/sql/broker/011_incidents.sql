-- What an operator must know of (doai/changes/incidents.py says what each column means).

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

-- One at a time of a type and subject; and what is open is found without looking at what is over.
CREATE UNIQUE INDEX incidents_open ON incidents (type, subject) WHERE state IN ('open', 'acknowledged');
