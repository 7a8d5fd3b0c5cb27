"""Root of the control plane's background work.

`lab.servers` starts and stops servers, `lab.runs` queues and stores runs, `lab.results` reads what ended runs left.
Any thread may call any of their methods; those that start or stop a server, or wait, block. A refusal is a
`webapp.problems.Problem`: NotFound, Conflict, Invalid, Quota, Unavailable or StorageFull.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from webapp.lab.change_feed import Feed
from webapp.lab.run_results import RunResults
from webapp.lab.runs import Runs
from webapp.lab.servers import Servers
from webapp.settings import Settings
from webapp.storage.store import Store


def _do_nothing() -> None:
    pass


class Lab:
    """Servers, runs and results of one data directory, and the feed that announces their changes.

    Args:
        store: closed by `close`.
        before_run: called in the thread `runs` before each run, while `runs.is_busy()` is already true.
        chart_names: charts that the resource of a run links to.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        before_run: Callable[[], None] = _do_nothing,
        chart_names: Sequence[str] = (),
    ) -> None:
        store.interrupt_unfinished()  # runs that a killed lab left queued or running
        self.settings = settings
        self.feed = Feed()
        self.servers = Servers(settings, store, self.feed)
        self.runs = Runs(settings, store, self.servers, self.feed, before_run=before_run, chart_names=chart_names)
        self.results = RunResults(store, self.runs)
        self._store = store

    def begin_close(self) -> None:
        """End streams and cancel runs, without waiting."""
        self.feed.close()
        self.runs.begin_close()

    def close(self) -> None:
        """End all background work and close the store. Bounded, because stopping a server is bounded."""
        self.feed.close()
        self.runs.close()
        self.servers.close()
        self._store.close()
