-- Bots, how far each of their subscriptions is, and how long they were heard.

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
