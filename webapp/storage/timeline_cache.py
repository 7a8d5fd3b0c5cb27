"""Cache of the timeline rows of ended runs, because exploring a timeline requests the same rows repeatedly."""

from __future__ import annotations

import threading
from collections import OrderedDict
from weakref import WeakValueDictionary

from coreserver.errors import RecordsIncomplete
from coreserver.records.codec import decode_connections
from coreserver.records.joined import JoinedConnection
from coreserver.reports.timeline_rows import TimelineRow, timeline_rows
from webapp.problems import UnreadableRecords
from webapp.storage.store import Store

MAX_ROWS = 50_000  # cached rows, about 1 kB each


class Rows(list[TimelineRow]):
    """The rows of a run; a list that can be referenced weakly."""

    __slots__ = ("__weakref__",)


def read_connections(run_id: int, data: bytes, *, messages: bool = True) -> list[JoinedConnection]:
    """Return the decoded records of a run.

    Raises:
        UnreadableRecords: they are damaged, or a newer program wrote them.
    """
    try:
        return decode_connections(data, messages=messages)
    except RecordsIncomplete as error:
        raise UnreadableRecords(f"the records of run {run_id} cannot be read: {error}") from error


class RunRows:
    """Reads the rows of runs from the store and caches those of the runs requested last. Any thread may call it.

    The rows of a run that is too large for the cache are read once for as long as a caller holds them, such as a page
    while it is rendered.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()  # guards the attributes below
        self._kept: OrderedDict[int, Rows] = OrderedDict()
        self._held: WeakValueDictionary[int, Rows] = WeakValueDictionary()

    def of(self, run_id: int) -> list[TimelineRow]:
        """Return the rows of an ended run; empty if it has no result, or was imported without its records.

        Raises:
            UnreadableReport, UnreadableRecords: the stored data are damaged, or a newer program wrote them.
        """
        with self._lock:
            rows = self._held.get(run_id)
            if rows is not None:
                if run_id in self._kept:
                    self._kept.move_to_end(run_id)
                return rows
        result = self._store.load_result(run_id)
        if result is None or not result.connections:
            return []
        joined = read_connections(run_id, result.connections, messages=False)
        rows = Rows(timeline_rows(joined, result.started_ns))
        with self._lock:
            self._held[run_id] = self._kept[run_id] = rows
            while sum(map(len, self._kept.values())) > MAX_ROWS:
                self._kept.popitem(last=False)
        return rows
