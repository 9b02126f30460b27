-- A bot's own file: what its handlers keep. First version.

CREATE TABLE entries (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL                -- msgpack
) STRICT, WITHOUT ROWID;
