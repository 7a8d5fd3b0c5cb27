-- Runs that came from a file: when, and of which lab. Their `results.connections` is empty where the file had the report
-- alone. The index counts runs by state and verdict without reading them.

ALTER TABLE runs ADD COLUMN imported_at TEXT;
ALTER TABLE runs ADD COLUMN imported_from TEXT;  -- JSON: run_id, version, has_records

CREATE INDEX runs_by_state ON runs (state, verdict_status);
