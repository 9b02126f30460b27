-- What nodes tell of their plug-ins: JSON, a list of offers with the schemas of their steps; NULL = none.

ALTER TABLE nodes ADD COLUMN plugins TEXT;
