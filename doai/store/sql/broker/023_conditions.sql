-- What bots find wrong with devices: the newest that each told of each.

CREATE TABLE device_conditions (
    serial TEXT NOT NULL,
    bot TEXT NOT NULL,
    body BLOB NOT NULL,                -- JSON: a list of conditions; empty = it is well
    changed_at_ms INTEGER NOT NULL,
    PRIMARY KEY (serial, bot)
) STRICT, WITHOUT ROWID;
