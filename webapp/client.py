"""Client of the REST API for scripts. Importing it loads neither the models nor the drawing code.

with LabClient("http://127.0.0.1:8000") as lab:
    server = lab.start_server(model="bounded_pool", workers=2)
    run = lab.wait(lab.run(server, clients=3).id)
    print(lab.report(run.id).totals)
    run = lab.wait(lab.run(server, [closed(8, name="probe"), open_loop(200, duration_s=5)]).id)
    print(lab.histogram(run.id))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import httpx
from pydantic import BaseModel

from coreserver.errors import ServerlabError
from webapp.problems import FieldError
from webapp.schemas.resources import ConnectionRow, ModelResource, RunList, RunResource, ServerResource, Version
from webapp.schemas.timeline_part import TimelinePicture

if TYPE_CHECKING:  # building these models takes 0.1 s, so they are imported when they are used
    from coreserver.config.load import ClosedGroup, OpenGroup
    from coreserver.reports.schema.report import Report
    from webapp.schemas.comparison import Comparison

POLL_S = (0.05, 0.5)  # interval of `wait`: first and longest


class LabError(ServerlabError):
    """The lab refused a request; `status`, `title`, `detail` and `errors` are those of the problem document."""

    def __init__(self, status: int, title: str, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(f"{detail} ({status} {title})")
        self.status, self.title, self.detail, self.errors = status, title, detail, tuple(errors)


class LabUnreachable(LabError):
    """No server responds at the address, or the server is not a lab; `status` is 0."""

    def __init__(self, detail: str) -> None:
        super().__init__(0, "Unreachable", detail)


class LabClient:
    """Blocking client of one lab. Use it as a context manager, or call `close`.

    One instance can be shared by threads. Requests are never repeated automatically.

    Args:
        base_url: address of the lab, as `serverlab serve` prints it.
        timeout_s: maximum time without progress of a request, to connect, to send or to receive.
    Raises:
        LabError: by every method that sends a request, if the lab refuses it.
        LabUnreachable: by the same methods, if the lab does not respond.
        pydantic.ValidationError: the response does not match the schemas of this version.
    """

    def __init__(self, base_url: str, *, timeout_s: float = 30.0) -> None:
        # The lab is on this machine, so the proxies of the environment do not apply.
        self._http = httpx.Client(base_url=base_url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> LabClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def version(self) -> Version:
        """Return the versions of the lab and of Python; LabUnreachable if the server is not a lab."""
        try:
            return Version.model_validate(self._ask("GET", "/version"))
        except ValueError:
            raise LabUnreachable(f"the server at {self._http.base_url} is not a Serverlab") from None

    # --- servers -------------------------------------------------------------------------------------------------

    def models(self) -> list[ModelResource]:
        """Return all server designs."""
        return [ModelResource.model_validate(model) for model in self._ask("GET", "/api/v1/models")["models"]]

    def start_server(self, config: Mapping[str, Any] | BaseModel | None = None, **options: Any) -> ServerResource:
        """Start a server from a config, from options such as `model="sequential"`, or from both."""
        return ServerResource.model_validate(self._ask("POST", "/api/v1/servers", {**_plain(config or {}), **options}))

    def servers(self) -> list[ServerResource]:
        """Return all servers, oldest first."""
        return [ServerResource.model_validate(server) for server in self._ask("GET", "/api/v1/servers")["servers"]]

    def server(self, server_id: int) -> ServerResource:
        """Return one server with its current figures."""
        return ServerResource.model_validate(self._ask("GET", f"/api/v1/servers/{server_id}"))

    def restart_server(self, server_id: int) -> ServerResource:
        """Start a stopped or failed server again."""
        return ServerResource.model_validate(self._ask("POST", f"/api/v1/servers/{server_id}/start"))

    def stop_server(self, server_id: int, *, drain_s: float = 0.0) -> ServerResource:
        """Stop a server. Connections in flight have `drain_s` seconds to finish."""
        return ServerResource.model_validate(
            self._ask("POST", f"/api/v1/servers/{server_id}/stop", {"drain_s": drain_s})
        )

    def delete_server(self, server_id: int) -> None:
        """Stop and delete a server."""
        self._ask("DELETE", f"/api/v1/servers/{server_id}")

    # --- runs ----------------------------------------------------------------------------------------------------

    def run(
        self,
        server: int | ServerResource | Mapping[str, Any] | BaseModel,
        clients: int | Sequence[Mapping[str, Any] | BaseModel] = 3,
        *,
        script: str | Sequence[Mapping[str, Any]] = "article",
        label: str = "",
        note: str = "",
        seed: int = 0,
        client_processes: int | None = None,
        client_cpus: Sequence[int] | None = None,
    ) -> RunResource:
        """Queue a run without waiting for it.

        Args:
            server: a server of the lab or its id; the config of a server for this run only; or
                `{"address": "host:port"}` of an external server within an `--allow-target` of the lab.
            clients: client groups, such as `closed` and `open_loop` return; or the number of clients that execute
                `script`.
            client_processes: number of client processes; None: all cores except one for the server.
            client_cpus: CPUs of the client processes; None: all.
        """
        groups = [{"kind": "script", "count": clients, "script": script}] if isinstance(clients, int) else clients
        body = {
            "label": label,
            "note": note,
            "seed": seed,
            "server": _server(server),
            "clients": [_plain(group) for group in groups],
            "client_processes": client_processes,
            "client_cpus": None if client_cpus is None else list(client_cpus),
        }
        return self.run_spec(body)

    def run_spec(self, body: Mapping[str, Any] | BaseModel) -> RunResource:
        """Queue a run from a request body; the `config` of an earlier run repeats that run."""
        return RunResource.model_validate(self._ask("POST", "/api/v1/runs", _plain(body)))

    def wait(
        self, run_id: int, timeout_s: float = 660.0, *, on_look: Callable[[RunResource], object] | None = None
    ) -> RunResource:
        """Wait for the end of a run and return it.

        Args:
            on_look: called with the run at every poll before the end.
        Raises:
            TimeoutError: the run has not ended after `timeout_s`. It continues in the lab.
        """
        deadline = time.monotonic() + timeout_s
        pause_s, longest_s = POLL_S
        while not (run := self.get_run(run_id)).is_over:
            if on_look is not None:
                on_look(run)
            if time.monotonic() > deadline:
                raise TimeoutError(f"run {run_id} is still {run.state} after {timeout_s:g} s")
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, longest_s)
        return run

    def get_run(self, run_id: int) -> RunResource:
        """Return one run as it is now."""
        return RunResource.model_validate(self._ask("GET", f"/api/v1/runs/{run_id}"))

    def runs(self, **which: Any) -> RunList:
        """Return one page of runs. `which`: state, label, model, verdict, server_id, sort, limit, cursor."""
        return RunList.model_validate(self._ask("GET", "/api/v1/runs", params=which))

    def cancel(self, run_id: int) -> RunResource:
        """Cancel a run and keep its records. A run in progress may still be running when this returns."""
        return RunResource.model_validate(self._ask("POST", f"/api/v1/runs/{run_id}/cancel"))

    def delete_run(self, run_id: int) -> None:
        """Delete a run that has ended."""
        self._ask("DELETE", f"/api/v1/runs/{run_id}")

    def report(self, run_id: int) -> Report:
        """Return the report of a run."""
        from coreserver.reports.schema.report import Report

        return Report.model_validate(self._ask("GET", f"/api/v1/runs/{run_id}/report"))

    def compare(self, *run_ids: int) -> Comparison:
        """Compare two to eight runs; the first is the baseline."""
        from webapp.schemas.comparison import Comparison

        return Comparison.model_validate(self._ask("GET", "/api/v1/compare", params={"run": run_ids}))

    def connections(self, run_id: int) -> list[ConnectionRow]:
        """Return all connections of a run."""
        rows = self._ask("GET", f"/api/v1/runs/{run_id}/connections")["connections"]
        return [ConnectionRow.model_validate(row) for row in rows]

    def log(self, run_id: int) -> str:
        """Return the clients' log in the article's format."""
        return self._send("GET", f"/api/v1/runs/{run_id}/log").text

    def histogram(self, run_id: int, of: Literal["response", "round_trip"] = "response") -> str:
        """Return the latencies in milliseconds as a percentile table in the format of HdrHistogram."""
        return self._send("GET", f"/api/v1/runs/{run_id}/histogram", params={"of": of}).text

    def chart(self, run_id: int, name: str = "timeline") -> str:
        """Return a chart as SVG; 503 while a run is queued or in progress, unless the chart is cached."""
        return self._send("GET", f"/api/v1/runs/{run_id}/charts/{name}.svg").text

    def timeline(self, run_id: int, *, lanes: bool = False, **part: float) -> TimelinePicture:
        """Return the timeline or the worker lanes with the connections; `part`: see `TimelineQuery`."""
        path = f"/api/v1/runs/{run_id}/{'lanes' if lanes else 'timeline'}"
        return TimelinePicture.model_validate(self._ask("GET", path, params=part))

    def chart_png(self, run_id: int, name: str = "timeline") -> bytes:
        """Return a chart as PNG; otherwise the same as `chart`."""
        return self._send("GET", f"/api/v1/runs/{run_id}/charts/{name}.png").content

    def chart_spec(self, run_id: int, name: str) -> dict[str, Any]:
        """Return a statistical chart as a Vega-Lite spec with its data."""
        spec: dict[str, Any] = self._ask("GET", f"/api/v1/runs/{run_id}/charts/{name}.json")
        return spec

    # --- runs as files -------------------------------------------------------------------------------------------

    def export(self, run_id: int, path: Path) -> Path:
        """Write a run to a file for `import_run`, and return the path."""
        path.write_bytes(self._send("GET", f"/api/v1/runs/{run_id}/report.json").content)
        return path

    def import_run(self, path: Path) -> RunResource:
        """Import a run from a file of `export`, under a new id; OSError if the file cannot be read."""
        answer = self._send("POST", "/api/v1/runs/import", content=path.read_bytes())
        return RunResource.model_validate(answer.json())

    def report_html(self, run_id: int) -> str:
        """Return the run as one self-contained page; 503 while a run is in progress, unless its charts are cached."""
        return self._send("GET", f"/api/v1/runs/{run_id}/report.html").text

    def trace(self, run_id: int) -> dict[str, Any]:
        """Return the run in the Trace Event Format, for Perfetto."""
        trace: dict[str, Any] = self._ask("GET", f"/api/v1/runs/{run_id}/trace")
        return trace

    # --- requests ------------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        answer = self._send(method, path, body, params)
        return answer.json() if answer.content else None

    def _send(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        *,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send a request and return the response. `content` is a JSON body that is already encoded."""
        headers = None if content is None else {"Content-Type": "application/json"}
        try:
            answer = self._http.request(method, path, json=body, params=params, content=content, headers=headers)
        except httpx.TransportError as error:
            raise LabUnreachable(f"no answer from {self._http.base_url}: {error or type(error).__name__}") from error
        if answer.is_error:
            raise _refusal(answer)
        return answer


def closed(
    count: int = 16,
    *,
    name: str = "closed",
    duration_s: float = 5.0,
    warm_up_s: float = 0.0,
    message_bytes: int = 14,
    think_s: float = 0.0,
    think: Literal["fixed", "exponential"] = "fixed",
    messages_per_connection: int | None = None,
    start_s: float = 0.0,
    timeout_s: float = 30.0,
) -> ClosedGroup:
    """Return a closed-loop group: each client waits for its reply before it sends the next message."""
    from coreserver.config.load import ClosedGroup

    return ClosedGroup(
        kind="closed",
        name=name,
        count=count,
        duration_s=duration_s,
        warm_up_s=warm_up_s,
        message_bytes=message_bytes,
        think_s=think_s,
        think=think,
        messages_per_connection=messages_per_connection,
        start_s=start_s,
        timeout_s=timeout_s,
    )


def open_loop(
    rate_per_s: float,
    *,
    name: str = "open",
    arrivals: Literal["poisson", "constant"] = "poisson",
    duration_s: float = 5.0,
    warm_up_s: float = 0.0,
    message_bytes: int = 14,
    messages_per_connection: int = 1,
    start_s: float = 0.0,
    timeout_s: float = 30.0,
) -> OpenGroup:
    """Return an open-loop group: clients arrive at a fixed rate. For stages, use `OpenGroup`."""
    from coreserver.config.load import OpenGroup

    return OpenGroup(
        kind="open",
        name=name,
        rate_per_s=rate_per_s,
        arrivals=arrivals,
        duration_s=duration_s,
        warm_up_s=warm_up_s,
        message_bytes=message_bytes,
        messages_per_connection=messages_per_connection,
        start_s=start_s,
        timeout_s=timeout_s,
    )


def _server(server: int | ServerResource | Mapping[str, Any] | BaseModel) -> dict[str, Any]:
    if isinstance(server, int):
        return {"id": server}
    return {"id": server.id} if isinstance(server, ServerResource) else _plain(server)


def _plain(document: Mapping[str, Any] | BaseModel) -> dict[str, Any]:
    return document.model_dump(mode="json") if isinstance(document, BaseModel) else dict(document)


def _refusal(answer: httpx.Response) -> LabError:
    try:
        problem = answer.json()
        errors = [FieldError(error["field"], error["message"]) for error in problem.get("errors", [])]
        return LabError(answer.status_code, problem["title"], problem["detail"], errors)
    except (ValueError, KeyError, TypeError):
        return LabError(answer.status_code, answer.reason_phrase, "the response is not a problem document")
