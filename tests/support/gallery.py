"""Lab with content on every page, for the tests that visit all pages: appearance, keyboard, texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from tests.support.lab_process import LabProcess

STEPS = [{"send": "^abc$"}, {"expect": "bcd"}]
UNLIMITED = [{"send": "^a$"}, {"expect": "b"}, {"wait_s": 60}]


@dataclass(frozen=True)
class Gallery:
    """Ids of the servers and runs in the lab."""

    standing: int
    stopped: int
    completed: int
    loaded: int
    failed: int
    cancelled: int
    imported: int

    def address(self, what: str) -> str:
        """Return the path of a page of `PLACES`."""
        return PLACES[what].format(**asdict(self))


PLACES = {
    "the dashboard": "/",
    "the dashboard, set up for another experiment": "/?model=elastic_pool&kinds=closed,open,slow_reader",
    "a server that listens": "/servers/{standing}",
    "a stopped server": "/servers/{stopped}",
    "a completed run": "/runs/{completed}",
    "a run with groups": "/runs/{loaded}",
    "a failed run": "/runs/{failed}",
    "a cancelled run": "/runs/{cancelled}",
    "an imported run": "/runs/{imported}",
    "runs": "/runs",
    "runs that were filtered": "/runs?state=completed",
    "no run that matches": "/runs?label=nothing+is+called+so",
    "a filter that is wrong": "/runs?state=x",
    "a comparison": "/compare?run={completed}&run={loaded}",
    "a comparison that is not possible": "/compare?run={completed}&run={failed}",
    "too few runs to compare": "/compare?run={completed}",
    "no such run": "/runs/999999",
    "runs about to be deleted": "/runs/delete?run={completed}&run={failed}&run=999999",
    "the documentation": "/docs",
}


def fill(rest: httpx.Client) -> Gallery:
    """Create servers and runs for every page, in about two seconds."""
    standing = _server(rest, name="standing", workers=2)
    stopped = _server(rest, name="stopped", workers=2)
    rest.post(f"/servers/{stopped['id']}/stop").raise_for_status()
    own = {"model": "bounded_pool", "workers": 2}
    script = {"kind": "script", "count": 3, "script": STEPS}
    groups = [
        {"kind": "closed", "name": "steady", "count": 4, "duration_s": 0.4, "think_s": 0.005},
        {"kind": "open", "name": "arriving", "rate_per_s": 150.0, "duration_s": 0.4},
    ]
    taken = {"model": "sequential", "port": standing["address"]["port"]}
    cancelled = _ask(rest, "to be cancelled", own, {"kind": "script", "count": 3, "script": UNLIMITED})
    _cancel(rest, cancelled["id"])
    completed = _ask(rest, "shown everywhere", own, script, wait_s=20)["id"]
    return Gallery(
        standing["id"],
        stopped["id"],
        completed,
        _ask(rest, "two groups", own, *groups, wait_s=20)["id"],
        _ask(rest, "a port that is taken", taken, script, wait_s=20)["id"],
        cancelled["id"],
        _import(rest, completed),
    )


@contextmanager
def endless(lab: LabProcess) -> Iterator[int]:
    """Keep a run in progress or queued while the block runs; yield its id."""
    with httpx.Client(base_url=f"{lab.url}/api/v1", timeout=30) as rest:
        script = {"kind": "script", "count": 3, "script": UNLIMITED}
        run = _ask(rest, "goes on", {"model": "bounded_pool", "workers": 2}, script)
        while not [other for other in rest.get("/runs?state=running").json()["runs"] if other["progress"]]:
            pass
        try:
            yield run["id"]
        finally:
            _cancel(rest, run["id"])


def _cancel(rest: httpx.Client, run_id: int) -> None:
    rest.post(f"/runs/{run_id}/cancel").raise_for_status()


def _import(rest: httpx.Client, run_id: int) -> int:
    file = rest.get(f"/runs/{run_id}/report.json").raise_for_status()
    headers = {"Content-Type": "application/json"}
    return int(rest.post("/runs/import", content=file.content, headers=headers).raise_for_status().json()["id"])


def _server(rest: httpx.Client, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = rest.post("/servers", json={"model": "bounded_pool", **options}).raise_for_status().json()
    return found


def _ask(
    rest: httpx.Client, label: str, server: dict[str, Any], *clients: dict[str, Any], wait_s: float = 0.0
) -> dict[str, Any]:
    body = {"label": label, "server": server, "clients": clients}
    found: dict[str, Any] = rest.post("/runs", params={"wait_s": wait_s}, json=body).raise_for_status().json()
    return found
