-- No question uses it: a name is asked as itself or a range below it, and lines come newest first.
DROP INDEX lines_of_source;
