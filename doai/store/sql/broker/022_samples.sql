-- How devices are: one sample a minute, and what an hour of them comes to.

CREATE TABLE device_samples (
    serial TEXT NOT NULL,
    minute INTEGER NOT NULL,           -- since 1970-01-01 (UTC)
    body BLOB NOT NULL,                -- msgpack: the values of a DeviceHealth
    PRIMARY KEY (serial, minute)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_sample_hours (
    serial TEXT NOT NULL,
    hour INTEGER NOT NULL,             -- since 1970-01-01 (UTC)
    body BLOB NOT NULL,                -- JSON: number of samples; of each measure count, low, total, high
    PRIMARY KEY (serial, hour)
) STRICT, WITHOUT ROWID;
