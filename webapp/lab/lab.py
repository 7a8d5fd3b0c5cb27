"""Root object of the control plane: servers, runs and results.

`lab.servers` starts and stops servers, `lab.runs` queues and stores runs, `lab.results` reads the results of runs.
Any thread may call any of their methods; those that start or stop a server, or wait, block. A refused request raises a
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

    Routes and streams call it from the threads of a pool; only `feed.wait` runs in the event loop. It has no lock,
    because each part guards its own state, and it does not depend on the web framework. Runs that an earlier process
    left queued or running are marked as interrupted when a Lab is created.

    Args:
        store: closed by `close`. No other process may use its data directory; see `lock_data_dir`.
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
        """End all background work and close the store. Bounded, because runs and servers have deadlines."""
        self.feed.close()
        self.runs.close()
        self.servers.close()
        self._store.close()
