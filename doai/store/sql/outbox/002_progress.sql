-- How far a held task is, apart from its Dispatch: this changes twice a step, and that never.

CREATE TABLE progress (
    -- The newest word on a held task. No row = what its row in `held` says.
    task_id TEXT NOT NULL,
    token_generation INTEGER NOT NULL,
    token_n INTEGER NOT NULL,
    state TEXT NOT NULL,
    step_begun TEXT NOT NULL,
    repeatable INTEGER NOT NULL,
    PRIMARY KEY (task_id, token_generation, token_n)
) STRICT, WITHOUT ROWID;
