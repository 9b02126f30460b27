-- What a node executes on its own file.

-- name: insert_meta
INSERT INTO meta (one, incarnation, epoch, store_id, trimmed_seq) VALUES (1, ?, 0, '', 0)

-- name: load_meta
SELECT incarnation, epoch, store_id, trimmed_seq FROM meta

-- name: load_highest
SELECT coalesce(max(seq), 0) FROM facts

-- name: load_kept
SELECT count(*) FROM facts WHERE seq <= ?

-- name: load_held
SELECT held.task_id, held.token_generation, held.token_n, fifo_order, dispatch_body,
    coalesce(progress.state, held.state), received_at_ms,
    coalesce(progress.step_begun, held.step_begun), coalesce(progress.repeatable, held.repeatable)
FROM held LEFT JOIN progress USING (task_id, token_generation, token_n)
ORDER BY fifo_order, held.task_id, held.token_generation, held.token_n

-- name: load_progress
SELECT task_id, token_generation, token_n FROM progress

-- name: load_recipes
SELECT recipe_hash, body FROM recipes ORDER BY recipe_hash

-- name: read_facts
SELECT seq, envelope FROM facts WHERE seq > ? ORDER BY seq LIMIT ?

-- name: append_fact
INSERT INTO facts (seq, envelope, is_result) VALUES (?, ?, ?)

-- name: trim_facts
DELETE FROM facts WHERE seq > ? AND seq <= ? AND is_result = 0

-- name: put_trimmed
UPDATE meta SET trimmed_seq = ?

-- name: drop_oldest_kept
DELETE FROM facts WHERE seq IN (SELECT seq FROM facts WHERE seq <= ? ORDER BY seq LIMIT ?)

-- name: put_held
INSERT OR REPLACE INTO held (task_id, token_generation, token_n, fifo_order, dispatch_body, state, received_at_ms,
    step_begun, repeatable)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: drop_held
DELETE FROM held WHERE task_id = ? AND token_generation = ? AND token_n = ?

-- name: put_progress
INSERT OR REPLACE INTO progress (task_id, token_generation, token_n, state, step_begun, repeatable)
VALUES (?, ?, ?, ?, ?, ?)

-- name: drop_progress
DELETE FROM progress WHERE task_id = ? AND token_generation = ? AND token_n = ?

-- name: put_recipe
INSERT OR REPLACE INTO recipes (recipe_hash, body) VALUES (?, ?)

-- name: drop_recipe
DELETE FROM recipes WHERE recipe_hash = ?

-- name: put_epoch
UPDATE meta SET epoch = ?

-- name: put_store_id
UPDATE meta SET store_id = ?

-- name: renew_meta
UPDATE meta SET incarnation = ?, epoch = 0, trimmed_seq = 0

-- name: load_facts
SELECT seq, envelope, is_result FROM facts ORDER BY seq

-- name: drop_facts
DELETE FROM facts
