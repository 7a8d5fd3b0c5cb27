"""A lab with something on every page: what the tests of looks, of keys and of words walk through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

STEPS = [{"send": "^abc$"}, {"expect": "bcd"}]
ENDLESS = [{"send": "^a$"}, {"expect": "b"}, {"wait_s": 60}]


@dataclass(frozen=True)
class Gallery:
    """Ids of what is there."""

    standing: int
    stopped: int
    completed: int
    loaded: int
    failed: int
    cancelled: int

    @property
    def places(self) -> dict[str, str]:
        """Every page that can simply be opened, by what it shows."""
        return {
            "the dashboard": "/",
            "the dashboard, set up for another experiment": "/?model=elastic_pool&kinds=closed,open,slow_reader",
            "a server that listens": f"/servers/{self.standing}",
            "a stopped server": f"/servers/{self.stopped}",
            "a completed run": f"/runs/{self.completed}",
            "a run with groups": f"/runs/{self.loaded}",
            "a failed run": f"/runs/{self.failed}",
            "a cancelled run": f"/runs/{self.cancelled}",
            "runs": "/runs",
            "runs that were filtered": "/runs?state=completed",
            "no run that matches": "/runs?label=nothing+is+called+so",
            "a filter that is wrong": "/runs?state=x",
            "no such run": "/runs/999999",
            "the documentation": "/docs",
        }


def fill(rest: httpx.Client) -> Gallery:
    """Servers and runs for every page, in about two seconds."""
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
    endless = _ask(rest, "to be cancelled", own, {"kind": "script", "count": 3, "script": ENDLESS})
    rest.post(f"/runs/{endless['id']}/cancel").raise_for_status()
    return Gallery(
        standing["id"],
        stopped["id"],
        _ask(rest, "shown everywhere", own, script, wait_s=20)["id"],
        _ask(rest, "two groups", own, *groups, wait_s=20)["id"],
        _ask(rest, "a port that is taken", taken, script, wait_s=20)["id"],
        endless["id"],
    )


def _server(rest: httpx.Client, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = rest.post("/servers", json={"model": "bounded_pool", **options}).raise_for_status().json()
    return found


def _ask(
    rest: httpx.Client, label: str, server: dict[str, Any], *clients: dict[str, Any], wait_s: float = 0.0
) -> dict[str, Any]:
    body = {"label": label, "server": server, "clients": clients}
    found: dict[str, Any] = rest.post("/runs", params={"wait_s": wait_s}, json=body).raise_for_status().json()
    return found
