-- name: columns
n, received_at_ms, at_ms, level, program, source, logger, message, fields, exception

-- name: insert
INSERT INTO lines (received_at_ms, at_ms, level, program, source, logger, message, run_id, task_id, device_serial, fields, exception)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: ends
SELECT coalesce(min(n), 0), coalesce(max(n), 0) FROM lines

-- name: first_from
-- The first line that arrived with this number or a later one.
SELECT n, received_at_ms FROM lines WHERE n >= ? ORDER BY n LIMIT 1

-- name: page
SELECT {columns} FROM lines

-- name: drop_up_to
DELETE FROM lines WHERE n <= ?
