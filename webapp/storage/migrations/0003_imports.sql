-- Imported runs: when, and from which lab. Their `results.connections` is empty if the file had only the report.
-- The index counts runs per state and verdict without reading their rows.

ALTER TABLE runs ADD COLUMN imported_at TEXT;
ALTER TABLE runs ADD COLUMN imported_from TEXT;  -- JSON: run_id, version, has_records

CREATE INDEX runs_by_state ON runs (state, verdict_status);
