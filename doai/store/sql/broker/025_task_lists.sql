-- What lists of tasks are walked by: each is written once or twice in a task's life, some 0.5 us of CPU each.

-- Those that ended within a time, as the rows of the statistics count them.
CREATE INDEX tasks_ended ON tasks (state, ended_at_ms, task_id) WHERE ended_at_ms IS NOT NULL;

CREATE INDEX tasks_of_queue ON tasks (queue, task_id);

CREATE INDEX tasks_of_code ON tasks (json_extract(failure, '$.code'), task_id) WHERE failure IS NOT NULL;
