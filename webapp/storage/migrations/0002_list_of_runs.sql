-- The list of runs can be sorted by figures of the report, so each of these has a column and an index.

ALTER TABLE runs ADD COLUMN duration_s REAL;
ALTER TABLE runs ADD COLUMN throughput_messages_per_s REAL;
ALTER TABLE runs ADD COLUMN response_p50_ms REAL;        -- NULL: too few samples, or no report
ALTER TABLE runs ADD COLUMN response_p99_ms REAL;

UPDATE runs SET
    duration_s = json_extract(outline, '$.totals.duration_s'),
    throughput_messages_per_s = json_extract(outline, '$.totals.throughput_messages_per_s');

UPDATE runs SET
    response_p50_ms = json_extract(found.report, '$.latency.response_ms.p50'),
    response_p99_ms = json_extract(found.report, '$.latency.response_ms.p99')
FROM (SELECT run_id, inflated(report) AS report FROM results) AS found
WHERE runs.id = found.run_id;

-- Every index has the columns of the filters too, so that a search for rare runs reads no rows of other runs.
DROP INDEX runs_by_label;
CREATE INDEX runs_by_created_at ON runs (created_at, id, state, model, verdict_status, server_id, label);
CREATE INDEX runs_by_label ON runs (label COLLATE NOCASE, id, state, model, verdict_status, server_id, label);
CREATE INDEX runs_by_model ON runs (model, id, state, verdict_status, server_id, label);
CREATE INDEX runs_by_verdict ON runs (verdict_status, id, state, model, server_id, label);
CREATE INDEX runs_by_duration ON runs (duration_s, id, state, model, verdict_status, server_id, label);
CREATE INDEX runs_by_throughput ON runs (throughput_messages_per_s, id, state, model, verdict_status, server_id, label);
CREATE INDEX runs_by_response_p50 ON runs (response_p50_ms, id, state, model, verdict_status, server_id, label);
CREATE INDEX runs_by_response_p99 ON runs (response_p99_ms, id, state, model, verdict_status, server_id, label);
