"""First steps that several API tests share."""

from __future__ import annotations

import contextlib
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx

QUICK: list[dict[str, Any]] = [{"send": "^ab$"}, {"expect": "bc"}]
LONG: list[dict[str, Any]] = [{"send": "^ab$"}, {"wait_s": 60}]


def script_run(server: dict[str, Any], script: Any = None, *, count: int = 1, **more: Any) -> dict[str, Any]:
    """Return the body of a run whose clients execute one script."""
    return {"server": server, "clients": [{"kind": "script", "count": count, "script": script or QUICK}], **more}


def finished_run(api: httpx.Client, **more: Any) -> dict[str, Any]:
    """Execute a run against a new server and return it."""
    answer = api.post("/api/v1/runs?wait_s=30", json=script_run({"model": "sequential"}, **more))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def raw(url: str, request: bytes, *, timeout_s: float = 10.0) -> bytes:
    """Send `request` unchanged and return everything that the lab sends until it closes the connection."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    with socket.create_connection((host, port), timeout=timeout_s) as peer:
        answer = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # closed before everything was received
            peer.sendall(request)
            while chunk := peer.recv(65536):
                answer += chunk
        return answer


def status_of(answer: bytes) -> int:
    """Return the status code of a raw response."""
    return int(answer.split(b" ", 2)[1])
