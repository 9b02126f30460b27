-- Made from the migrations; a test keeps it current.

CREATE TABLE entries (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL                -- msgpack
) STRICT, WITHOUT ROWID;
