-- Passes that removed what had ended of one queue.

-- Empty = retention went through all of the store.
ALTER TABLE retention_passes ADD COLUMN queue TEXT NOT NULL DEFAULT '';
