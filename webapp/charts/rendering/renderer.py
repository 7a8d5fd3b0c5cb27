"""Images of charts and the script that draws charts in a browser, made by a helper process and cached on disk.

While a run is queued or in progress nothing is rendered: the helper is ended when a run begins, because its threads and
its memory would distort the figures of the lab. Cached images are available at any time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coreserver.errors import CannotStart
from webapp.charts.rendering.file_cache import FileCache, cache_key
from webapp.charts.rendering.vega_version import BUNDLE
from webapp.charts.rendering.worker_handle import COMMAND, ChartProcess, ProcessEnded, ProcessStuck, RenderFailed
from webapp.charts.theme import PAPER
from webapp.problems import Problem, Unavailable

log = logging.getLogger(__name__)

DEADLINE_S = 20.0  # per image; a heat map takes 0.3 s, the first image of a process 0.5 s more
IDLE_S = 30.0  # then the helper is ended, because it holds up to 300 MB
MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_BUNDLE_BYTES = 8 * 1024 * 1024
BUSY = "a run is queued or in progress: images are rendered after it, so that they do not disturb its figures"


class ChartRenderer:
    """Renders images and the script on demand and caches them.

    Any thread may call any method. Those that render wait at most `deadline_s` for other images, then at most
    `deadline_s` for their own. While a run is queued or in progress, they raise
    Unavailable for everything that is not cached.

    Args:
        images: the folder for images of this lab.
        bundles: the folder for the script, which does not depend on a run; labs may share it.
        is_busy: returns whether a run is queued or in progress.
    """

    def __init__(
        self,
        images: Path,
        bundles: Path,
        is_busy: Callable[[], bool],
        *,
        command: Sequence[str] = COMMAND,
        deadline_s: float = DEADLINE_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self._images = FileCache(images, MAX_IMAGE_BYTES)
        self._bundles = FileCache(bundles, MAX_BUNDLE_BYTES)
        self._is_busy, self._command = is_busy, command
        self._deadline_s, self._idle_s = deadline_s, idle_s
        self._turn = threading.Lock()  # held by the thread that renders
        self._guard = threading.Lock()  # guards the four below
        self._process: ChartProcess | None = None
        self._idle: threading.Timer | None = None
        self._preparation: threading.Thread | None = None
        self._closed = False

    # --- images: these methods raise Unavailable, or Problem if the chart cannot be rendered --------------------------

    def svg(self, spec: Mapping[str, Any]) -> str:
        """Render a Vega-Lite spec as an SVG file on a light background."""
        return self._render({"do": "svg", "spec": {**spec, "background": PAPER}}).decode()

    def png(self, spec: Mapping[str, Any]) -> bytes:
        """Render a Vega-Lite spec as a PNG file on a light background, two pixels per unit."""
        return self._render({"do": "png", "spec": {**spec, "background": PAPER}})

    def png_of_svg(self, svg: str) -> bytes:
        """Render an SVG drawing as a PNG file, two pixels per unit; the converter supports only plain CSS selectors."""
        return self._render({"do": "png_of_svg", "svg": svg})

    def bundle(self) -> bytes:
        """Return the gzipped script with which a browser draws specs; it is the same for all labs of this version."""
        kept = self._bundles.get(f"{BUNDLE}.gz")
        if kept is None:
            kept = self._ask({"do": "bundle"})
            self._bundles.put(f"{BUNDLE}.gz", kept)
        return kept

    def prepare(self) -> None:
        """Make the script in the background if it is not cached; a run that begins in the meantime stops this."""

        def make() -> None:
            try:
                self.bundle()
            except Problem as problem:
                log.info("the chart script is not ready: %s", problem.detail)

        with self._guard:
            if self._preparation is None and not self._closed:
                self._preparation = threading.Thread(target=make, name="chart bundle", daemon=True)
                self._preparation.start()

    # --- the helper ----------------------------------------------------------------------------------------------

    def end_process(self) -> None:
        """End the helper at once, even while it renders; the lab calls it when a run begins."""
        with self._guard:
            process, self._process = self._process, None
            self._cancel_idle_timer()
        if process is not None:
            process.end()

    def close(self) -> None:
        """End the helper and all threads; later calls raise Unavailable."""
        with self._guard:
            self._closed = True
            preparation, idle = self._preparation, self._idle
        self.end_process()
        for thread in (preparation, idle):
            if thread is not None:
                thread.join()

    def _render(self, request: Mapping[str, Any]) -> bytes:
        key = cache_key(request)
        kept = self._images.get(key)
        if kept is None:
            kept = self._ask(request)
            self._images.put(key, kept)
        return kept

    def _ask(self, request: Mapping[str, Any]) -> bytes:
        if not self._turn.acquire(timeout=self._deadline_s):
            raise Unavailable("other images are being rendered")
        try:
            return self._answer(request)
        except RenderFailed as error:
            log.error("cannot render a chart: %s", error)
            raise Problem("the chart could not be rendered; the log of the lab has the reason") from error
        except ProcessStuck as error:
            self.end_process()
            raise Unavailable(f"rendering took longer than {self._deadline_s:g} s and was ended") from error
        finally:
            self._start_idle_timer()
            self._turn.release()

    def _answer(self, request: Mapping[str, Any]) -> bytes:
        """Send the request to the helper, or to a new one if it has ended, except while a run is in progress."""
        for _ in range(2):
            process = self._running_process()
            try:
                return process.ask(request, self._deadline_s)
            except ProcessEnded:
                self.end_process()
        ending = process.end()
        log.error("the chart helper %s; its last output: %s", ending, " | ".join(ending.last_lines) or "none")
        raise Unavailable("the chart helper ended unexpectedly")

    def _running_process(self) -> ChartProcess:
        """Return the helper; start it if there is none.

        A run is in the queue before its thread ends the helper, so a request in between is refused here or ended.
        """
        with self._guard:
            if self._closed:
                raise Unavailable("the lab is closing")
            if self._is_busy():
                raise Unavailable(BUSY)
            self._cancel_idle_timer()
            if self._process is None:
                try:
                    self._process = ChartProcess(self._command)
                except CannotStart as error:
                    raise Unavailable(f"no chart can be rendered: {error}") from error
            return self._process

    def _cancel_idle_timer(self) -> None:
        """Cancel the timer; the caller holds the guard."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _start_idle_timer(self) -> None:
        with self._guard:
            self._cancel_idle_timer()
            if self._process is not None and not self._closed:
                self._idle = threading.Timer(self._idle_s, self.end_process)
                self._idle.name, self._idle.daemon = "charts idle", True
                self._idle.start()
