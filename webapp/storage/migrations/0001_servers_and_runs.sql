-- Servers, runs and results. Times of day are ISO 8601 in UTC, documents are JSON, blobs are deflated.

CREATE TABLE servers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    config TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'completed', 'failed', 'cancelled', 'interrupted')),
    label TEXT NOT NULL,
    note TEXT NOT NULL,
    model TEXT NOT NULL,
    server_id INTEGER,                -- NULL: a server for this run alone; no foreign key, because a run outlives its server
    config TEXT NOT NULL,
    created_at TEXT NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    reason_code TEXT,
    reason_detail TEXT,
    verdict_status TEXT,
    outline TEXT                      -- verdict, sentence and totals of the report, for lists
) STRICT;

CREATE INDEX runs_by_label ON runs (label, id);

CREATE TABLE results (
    run_id INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    started_ns INTEGER NOT NULL,      -- start of the run on the monotonic clock of its records
    started_wall_s REAL NOT NULL,     -- the wall clock at that instant
    report BLOB NOT NULL,
    connections BLOB NOT NULL
) STRICT;
