-- What a bot executes on its own file.

-- name: get
SELECT value FROM entries WHERE key = ?

-- name: put
INSERT INTO entries (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: drop
DELETE FROM entries WHERE key = ?

-- name: list
SELECT key, value FROM entries WHERE key >= ? AND key < ? ORDER BY key LIMIT ?

