-- Events that a bot gave up are dead letters of its subscription; `seq` is their position, `data` the whole event.

ALTER TABLE dead_letters ADD COLUMN subscription TEXT NOT NULL DEFAULT '';

CREATE INDEX dead_letters_of_event ON dead_letters (seq) WHERE kind = 'event';
