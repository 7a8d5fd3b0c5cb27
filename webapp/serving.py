"""Start a lab: check the settings, lock the data directory, listen, open the database, serve."""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from coreserver.errors import ServerlabError
from coreserver.models.c_threads import cache_dir
from coreserver.process_setup import raise_descriptor_limit
from webapp.app import create_app
from webapp.charts import CHARTS
from webapp.charts.rendering.renderer import ChartRenderer
from webapp.http.uvicorn_server import BACKLOG, LabServer
from webapp.lab.lab import Lab
from webapp.settings import Settings
from webapp.storage.data_dir import DataDirInUse, lock_data_dir, remove_address, write_address
from webapp.storage.database import DatabaseError
from webapp.storage.store import Store

START_DEADLINE_S = 20.0
SEND_BUFFER_BYTES = 32 * 1024


class CannotServe(ServerlabError):
    """The lab cannot start."""


class NotLoopback(CannotServe):
    """Other machines could reach the address."""


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `announce` is called with the address when the lab listens.

    Raises:
        CannotServe: nothing was started and nothing is left behind.
    """
    raise_descriptor_limit()
    with _prepare(settings, announce) as (charts, server, listener):
        charts.prepare()
        server.run(sockets=[listener])


@contextlib.contextmanager
def embedded(settings: Settings) -> Iterator[str]:
    """Run a lab in a thread of this process for the duration of the block; yields its address.

    Raises:
        CannotServe: as for `serve`.
    """
    addresses: queue.SimpleQueue[str] = queue.SimpleQueue()
    with _prepare(settings, addresses.put) as (_, server, listener):
        thread = threading.Thread(target=server.run, args=([listener],), name="embedded lab", daemon=True)
        thread.start()
        try:
            yield addresses.get(timeout=START_DEADLINE_S)
        finally:
            server.end()
            thread.join()


@contextlib.contextmanager
def _prepare(
    settings: Settings, announce: Callable[[str], None]
) -> Iterator[tuple[ChartRenderer, LabServer, socket.socket]]:
    """Open everything that a lab needs, and close it in reverse order."""
    host = loopback(settings.host)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_locked_data_dir(settings))
        listener = stack.enter_context(_listener(host, settings.port))
        settings = replace(settings, port=listener.getsockname()[1])  # runs must not target the lab itself
        lab, charts = stack.enter_context(_lab(settings))
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{settings.port}/"

        def on_listening() -> None:
            write_address(settings.data_dir, url)
            announce(url)

        app = create_app(settings, lab, charts)
        try:
            yield charts, LabServer(app, settings, on_listening=on_listening, on_shutdown=lab.begin_close), listener
        finally:
            remove_address(settings.data_dir)


def loopback(host: str) -> str:
    """Return `host` as an address that only this machine can reach.

    Raises:
        NotLoopback: other machines could reach it, and the lab has no login.
    """
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return "127.0.0.1" if host == "localhost" else host
    raise NotLoopback(
        f"--host {host!r} is refused: everyone who can reach the lab can start servers and load on this machine, so it "
        "listens on loopback addresses only, such as 127.0.0.1 or ::1"
    )


@contextlib.contextmanager
def _locked_data_dir(settings: Settings) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock_data_dir(settings.data_dir))
        except DataDirInUse as error:
            raise CannotServe(str(error)) from None
        except OSError as error:
            raise CannotServe(f"the data directory {settings.data_dir} cannot be used: {error.strerror}") from error
        yield


@contextlib.contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    """Listen; connections wait in the backlog until the application is ready."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit TCP_NODELAY. asyncio sets it only if the socket has an explicit protocol; without it
        # every response, written as head and body, waits 40 ms for a delayed acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A reader that stalls holds this much in the kernel, which doubles it; without a limit it grows to megabytes,
        # and filling them takes longer than the send deadline.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except (OSError, OverflowError) as error:
            raise CannotServe(f"cannot listen on {host} port {port}: {error}; choose another --port") from error
        yield listener


@contextlib.contextmanager
def _lab(settings: Settings) -> Iterator[tuple[Lab, ChartRenderer]]:
    """The lab and the chart renderer, which refuses to draw while a run is queued or in progress."""
    try:
        store = Store(settings.data_dir)
    except DatabaseError as error:
        raise CannotServe(str(error)) from error
    with contextlib.ExitStack() as stack:
        lab = Lab(settings, store, before_run=lambda: charts.end_process(), chart_names=tuple(CHARTS))
        stack.callback(lab.close)
        charts = ChartRenderer(settings.data_dir / "charts", cache_dir() / "charts", lab.runs.is_busy)
        stack.callback(charts.close)
        yield lab, charts
