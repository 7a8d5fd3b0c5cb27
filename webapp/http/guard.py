"""Checks of every request before the routes, and headers of every response.

    exact Host ─▶ not from another site ─▶ accepted media type ─▶ size of the body ─▶ application

The lab starts servers and load on the user's machine, so a page of another site in the same browser must not be able
to control it (cross-site requests) or to read it (DNS rebinding). The checks read the raw headers of the ASGI scope,
because `request.url` is built from values that the client sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.http.api_responses import problem_response
from webapp.problems import BadRequest, Forbidden, Problem, TooLarge, WrongMediaType

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
SAFE_METHODS = frozenset({"GET", "HEAD"})
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MULTIPART = "multipart/form-data"
IMPORT_API, IMPORT_PAGE = "/api/v1/runs/import", "/runs/import"  # bodies are files of runs

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "worker-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "font-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
_POLICY_LINE = "; ".join(f"{directive} {sources}" for directive, sources in _POLICY.items()).encode()

_COMMON = [
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"referrer-policy", b"same-origin"),  # with `no-referrer` browsers send `Origin: null` with forms
    (b"x-frame-options", b"DENY"),
]


@dataclass(frozen=True, slots=True)
class Guard:
    """ASGI middleware around the whole application, including its error pages.

    It refuses a request with a problem (400, 403, 413 or 415) before the routes, and adds the security headers to every
    response. The body of a changing request is read completely and then replayed to the application. The guard runs in
    the event loop, keeps no state between requests, and neither authenticates users nor reads cookies.

    Args:
        max_body_bytes: limit of a body; `max_import_bytes` applies to the two routes that import files.
        names: host names of the lab.
        cacheable: paths whose successful responses may be cached without limit, because the path contains the version
            of the content.
    """

    app: ASGIApp
    max_body_bytes: int
    max_import_bytes: int
    names: frozenset[str] = LOOPBACK_NAMES
    cacheable: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request, then call the application or respond with the problem."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send, scope["path"], is_cacheable=scope["path"] in self.cacheable)
        headers = Headers(scope["headers"])
        try:
            own_origin = check_host(headers, self.names, scope["server"][1])
            check_sender(headers, scope["method"], scope["path"], own_origin)
            if scope["method"] not in SAFE_METHODS:
                check_media_type(headers, scope["path"])
                body = await _read_body(headers, receive, *self._limit(scope["path"]))
                receive = _replay(body, receive)
        except Problem as problem:
            await problem_response(problem)(scope, receive, send)
        except ClientDisconnect:
            return
        else:
            await self.app(scope, receive, send)

    def _limit(self, path: str) -> tuple[str, int]:
        """Return the name of the setting and the maximum body size for this path."""
        if path in (IMPORT_API, IMPORT_PAGE):
            return "max_import_bytes", self.max_import_bytes
        return "max_body_bytes", self.max_body_bytes


class Headers:
    """Raw header lines of a request; names are lower case, as in ASGI."""

    def __init__(self, lines: Iterable[tuple[bytes, bytes]]) -> None:
        self._lines = list(lines)

    def all(self, name: str) -> list[str]:
        """Return all values of a header, in order."""
        return [value.decode("latin-1") for key, value in self._lines if key == name.encode()]

    def one(self, name: str) -> str | None:
        """Return the value of a header, or None; BadRequest if the header is repeated."""
        values = self.all(name)
        if len(values) > 1:
            raise BadRequest(f"the header {name} is given twice")
        return values[0] if values else None


def check_host(headers: Headers, names: frozenset[str], port: int) -> str:
    """Check that Host is a name of the lab with the listening port; return the origin that it names."""
    host = headers.one("host")
    allowed = {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())
    if host not in allowed:
        raise BadRequest("the Host header must be a name of this lab with its port, such as localhost:8000")
    return f"http://{host}"


def check_sender(headers: Headers, method: str, path: str, own_origin: str) -> None:
    """Refuse requests that a browser sends for a page of another site. Scripts send none of these headers."""
    site = headers.one("sec-fetch-site")
    if method in SAFE_METHODS:
        if path.startswith(("/api/", "/live/")) and site in ("cross-site", "same-site"):
            raise Forbidden("a page of another origin may not read the lab")
        return
    if site not in (None, "same-origin", "none"):
        raise Forbidden("a page of another origin may not change the lab")
    origin = headers.one("origin")
    if origin not in (None, own_origin):
        raise Forbidden("the Origin header names another origin")
    if not path.startswith("/api/") and site is None and origin is None:
        raise Forbidden("a form needs an Origin or Sec-Fetch-Site header; scripts use the API under /api/v1")


def check_media_type(headers: Headers, path: str) -> None:
    """Check the media type: JSON for the API, forms for pages. A request without a body needs none."""
    value = headers.one("content-type")
    if value is None:
        if headers.all("transfer-encoding") or headers.one("content-length") not in (None, "0"):
            raise WrongMediaType(f"the body needs a Content-Type: {_accepted(path)}")
        return
    essence, _, parameters = value.partition(";")
    if path == IMPORT_PAGE and essence.strip().lower() == MULTIPART:
        return  # the form parser checks its parameter, the boundary
    if essence.strip().lower() != _accepted(path):
        raise WrongMediaType(f"this address accepts only {_accepted(path)}")
    if parameters.strip().lower() not in ("", "charset=utf-8", 'charset="utf-8"'):
        raise WrongMediaType("the only accepted charset is utf-8")


def _accepted(path: str) -> str:
    if path == IMPORT_PAGE:
        return MULTIPART
    return JSON if path.startswith("/api/") else FORM


# --- bodies ----------------------------------------------------------------------------------------------------------


async def _read_body(headers: Headers, receive: Receive, setting: str, limit: int) -> bytes:
    """Read the whole body; TooLarge as soon as it exceeds `limit`, even if the Content-Length is smaller."""
    problem = TooLarge(f"{setting}: the body is longer than {limit} bytes")
    declared = headers.one("content-length")
    if declared is not None and headers.all("transfer-encoding"):
        raise BadRequest("a body has either a Content-Length or a Transfer-Encoding, not both")
    if declared is not None and declared.isdigit() and int(declared[:20]) > limit:
        raise problem
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += cast(bytes, message.get("body", b""))
        if len(body) > limit:
            raise problem
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that delivers `body` first and then waits for the client to disconnect."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


# --- responses -------------------------------------------------------------------------------------------------------


def _with_headers(send: Send, path: str, *, is_cacheable: bool) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            cache = _cache_control(path, is_cacheable=is_cacheable and message["status"] == 200)
            own = [*_COMMON, (b"content-security-policy", _POLICY_LINE), (b"cache-control", cache)]
            names = {name for name, _ in own}
            others = [(name, value) for name, value in message.get("headers", []) if name.lower() not in names]
            message = {**message, "headers": [*others, *own]}
        await send(message)

    return send_with_headers


def _cache_control(path: str, *, is_cacheable: bool) -> bytes:
    """Return the value of Cache-Control: no-cache for files that have an ETag, no-store for all pages and JSON."""
    if path.startswith("/static/"):
        return b"no-cache"
    return b"public, max-age=31536000, immutable" if is_cacheable else b"no-store"
