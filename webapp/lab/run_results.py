"""Results of ended runs: reports, connections, logs, and the parts of an exported file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coreserver.records.joined import JoinedConnection
from coreserver.reports.article_log import article_log
from coreserver.reports.connection_rows import connections_rows
from coreserver.reports.schema.report import Report
from webapp.lab.runs import Runs
from webapp.problems import Conflict, NoResult, NotFound
from webapp.storage.run_files import Records, stored_records
from webapp.storage.store import Result, Store, StoredRun
from webapp.storage.timeline_cache import read_connections


class RunResults:
    """Read access to the results of ended runs.

    Any thread may call any method. Every call reads the database and decodes what it returns; nothing is written.

    Raises:
        NotFound: there is no such run.
        Conflict: the run has not ended.
        NoResult: the run ended without a result.
        UnreadableReport: the report is damaged, or a newer program wrote it.
    """

    def __init__(self, store: Store, runs: Runs) -> None:
        self._store, self._runs = store, runs

    def report(self, run_id: int) -> Report:
        """Return the report, with the id that the run has in this lab."""
        return _with_run(self.original_report(run_id), id=run_id)

    def original_report(self, run_id: int) -> Report:
        """Return the report with the run id of the lab that wrote it. Label and note are the current ones."""
        row = self._store.get_run(run_id)
        return _with_run(self._result(row).report, label=row.label, note=row.note)

    def reports(self, run_ids: Sequence[int]) -> list[Report]:
        """Return the reports of runs to compare, as `report` does; Conflict if one of them has none."""
        try:
            return [self.report(run_id) for run_id in run_ids]
        except NoResult as problem:
            raise Conflict(f"{problem.detail}; leave it out of the comparison") from None

    def connections(self, run_id: int) -> list[dict[str, Any]]:
        """Return one row per connection, with the fields of `schemas.ConnectionRow`."""
        joined, started_ns = self.joined_connections(run_id)
        return connections_rows(joined, started_ns)

    def joined_connections(self, run_id: int) -> tuple[list[JoinedConnection], int]:
        """Return the records of both sides of every connection, and the run's start on their clock.

        Raises:
            NotFound: also for a run that was imported without its records.
            UnreadableRecords: the records are damaged, or a newer program wrote them.
        """
        result = self._result_with_records(run_id)
        return read_connections(run_id, result.connections), result.started_ns

    def log(self, run_id: int) -> str:
        """Return the clients' log in the article's format; raises as `joined_connections` does."""
        result = self._result_with_records(run_id)
        rows, _ = self._runs.timeline(run_id)
        clients = (row.connection.client for row in rows if row.connection)
        return article_log(clients, started_ns=result.started_ns, started_wall_s=result.started_wall_s)

    def export(self, run_id: int) -> tuple[Report, Records | None]:
        """Return the report and, if they can be read, the records: together they restore the run in another lab."""
        return self.original_report(run_id), stored_records(self._result(self._store.get_run(run_id)))

    def _result_with_records(self, run_id: int) -> Result:
        result = self._result(self._store.get_run(run_id))
        if not result.connections:
            raise NotFound(f"run {run_id} was imported from a report alone: its connections are not in the file")
        return result

    def _result(self, row: StoredRun) -> Result:
        if self._runs.is_live(row.id):
            raise Conflict(f"run {row.id} is {row.state}; its result is available when it has ended")
        result = self._store.load_result(row.id)
        if result is None:
            raise NoResult(f"run {row.id} ended as {row.state} without a result")
        return result


def _with_run(report: Report, **changes: Any) -> Report:
    """Return the report with other facts about its run."""
    return report.model_copy(update={"run": report.run.model_copy(update=changes)})
