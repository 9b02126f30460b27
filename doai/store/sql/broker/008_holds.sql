-- Devices reserved for a person. NULL = not held; else JSON of doai.changes.rows.Hold.

ALTER TABLE devices ADD COLUMN hold TEXT;
