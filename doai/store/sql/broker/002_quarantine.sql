-- Devices and nodes that are given no tasks for a while. NULL = in service; else JSON of doai.changes.rows.Quarantine.

ALTER TABLE devices ADD COLUMN quarantine TEXT;

ALTER TABLE nodes ADD COLUMN quarantine TEXT;
