-- Which phone is this? Where it is plugged in, and what a person says of it.

ALTER TABLE devices ADD COLUMN usb_path TEXT NOT NULL DEFAULT '';

-- NULL = nobody has said anything; else JSON of doai.changes.rows.Description.
ALTER TABLE devices ADD COLUMN description TEXT;
