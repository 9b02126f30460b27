-- Its condition is looked at whenever a task is written, and a list of states is made as a table of its own each time:
-- a quarter of what a task cost the store. A task has the time of its end when, and only when, it has ended.
DROP INDEX tasks_of_device;

CREATE INDEX tasks_of_device ON tasks (device_serial, task_id) WHERE ended_at_ms IS NOT NULL;
