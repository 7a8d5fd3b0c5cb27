"""Pictures of charts, and the program that draws them in a browser: made by a process of their own, kept on disk.

While a run is queued or under way nothing is drawn: the process is ended the moment a run begins, because its threads
and its memory would show in the lab's figures. What is on disk is given out at any time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coreserver.errors import CannotStart
from webapp.charts.rendering.file_cache import FileCache, key_of
from webapp.charts.rendering.vega_version import BUNDLE
from webapp.charts.rendering.worker_handle import COMMAND, ChartProcess, CouldNotDraw, ProcessEnded, ProcessStuck
from webapp.charts.theme import PAPER
from webapp.problems import Problem, Unavailable

log = logging.getLogger(__name__)

DEADLINE_S = 20.0  # for one picture; a heat map takes 0.3 s, the first one of a process 0.5 s more
IDLE_S = 30.0  # then the process is ended: it holds up to 300 MB
PICTURES_BYTES = 64 * 1024 * 1024
BUNDLES_BYTES = 8 * 1024 * 1024
BUSY = "a run is queued or under way: no picture is drawn until it is over, so that its figures are not disturbed"


class ChartRenderer:
    """Draws on demand. Any thread may call any method; those that draw block, for `deadline_s` at most per turn.

    Args:
        pictures: a folder for this lab's pictures.
        bundles: a folder for what does not depend on any run; labs may share it.
        is_busy: whether a run is queued or under way.
    """

    def __init__(
        self,
        pictures: Path,
        bundles: Path,
        is_busy: Callable[[], bool],
        *,
        command: Sequence[str] = COMMAND,
        deadline_s: float = DEADLINE_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self._pictures = FileCache(pictures, PICTURES_BYTES)
        self._bundles = FileCache(bundles, BUNDLES_BYTES)
        self._is_busy, self._command = is_busy, command
        self._deadline_s, self._idle_s = deadline_s, idle_s
        self._turn = threading.Lock()  # held by the thread that draws
        self._guard = threading.Lock()  # guards all below
        self._process: ChartProcess | None = None
        self._idle: threading.Timer | None = None
        self._preparation: threading.Thread | None = None
        self._closed = False

    # --- pictures: any of these may raise Unavailable, or Problem where the chart cannot be drawn at all -----------

    def svg(self, spec: Mapping[str, Any]) -> str:
        """A Vega-Lite spec as an SVG file on light paper."""
        return self._drawn({"do": "svg", "spec": {**spec, "background": PAPER}}).decode()

    def png(self, spec: Mapping[str, Any]) -> bytes:
        """A Vega-Lite spec as a PNG file on light paper, two pixels a unit."""
        return self._drawn({"do": "png", "spec": {**spec, "background": PAPER}})

    def png_of_svg(self, svg: str) -> bytes:
        """A drawing of ours as a PNG file, two pixels a unit. Of styles the converter knows plain selectors only."""
        return self._drawn({"do": "png_of_svg", "svg": svg})

    def bundle(self) -> bytes:
        """The script with which a browser draws specs, gzipped; it is the same for all labs of this version."""
        kept = self._bundles.get(f"{BUNDLE}.gz")
        if kept is None:
            kept = self._asked({"do": "bundle"})
            self._bundles.put(f"{BUNDLE}.gz", kept)
        return kept

    def prepare(self) -> None:
        """Make the bundle in the background where it is missing; a run that begins meanwhile comes first."""

        def make() -> None:
            try:
                self.bundle()
            except Problem as problem:
                log.info("the script for charts is not made yet: %s", problem.detail)

        with self._guard:
            if self._preparation is None and not self._closed:
                self._preparation = threading.Thread(target=make, name="chart bundle", daemon=True)
                self._preparation.start()

    # --- the process ---------------------------------------------------------------------------------------------

    def end_process(self) -> None:
        """End what is being drawn, at once; the lab calls it when a run begins."""
        with self._guard:
            process, self._process = self._process, None
            self._forget_idleness()
        if process is not None:
            process.end()

    def close(self) -> None:
        """Draw nothing any more, and leave no process and no thread."""
        with self._guard:
            self._closed = True
            preparation, idle = self._preparation, self._idle
        self.end_process()
        for thread in (preparation, idle):
            if thread is not None:
                thread.join()

    def _drawn(self, request: Mapping[str, Any]) -> bytes:
        key = key_of(request)
        kept = self._pictures.get(key)
        if kept is None:
            kept = self._asked(request)
            self._pictures.put(key, kept)
        return kept

    def _asked(self, request: Mapping[str, Any]) -> bytes:
        if not self._turn.acquire(timeout=self._deadline_s):
            raise Unavailable("other pictures are being drawn")
        try:
            return self._answer(request)
        except CouldNotDraw as error:
            log.error("a chart could not be drawn: %s", error)
            raise Problem("the chart could not be drawn; the lab's own log says why") from error
        except ProcessStuck as error:
            self.end_process()
            raise Unavailable(f"drawing took longer than {self._deadline_s:g} s and was given up") from error
        finally:
            self._expect_idleness()
            self._turn.release()

    def _answer(self, request: Mapping[str, Any]) -> bytes:
        """Ask the process; a second time where it has ended meanwhile, which a run's beginning makes a refusal."""
        for _ in range(2):
            try:
                return self._at_work().ask(request, self._deadline_s)
            except ProcessEnded:
                self.end_process()
        raise Unavailable("the process that draws pictures ended unexpectedly")

    def _at_work(self) -> ChartProcess:
        """The process, started if need be.

        A run is in the queue before its thread ends this process, so whoever comes between is refused here or ended.
        """
        with self._guard:
            if self._closed:
                raise Unavailable("the lab is closing")
            if self._is_busy():
                raise Unavailable(BUSY)
            self._forget_idleness()
            if self._process is None:
                try:
                    self._process = ChartProcess(self._command)
                except CannotStart as error:
                    raise Unavailable(f"no chart can be rendered: {error}") from error
            return self._process

    def _forget_idleness(self) -> None:
        """With the guard held."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _expect_idleness(self) -> None:
        with self._guard:
            self._forget_idleness()
            if self._process is not None and not self._closed:
                self._idle = threading.Timer(self._idle_s, self.end_process)
                self._idle.name, self._idle.daemon = "charts idle", True
                self._idle.start()
