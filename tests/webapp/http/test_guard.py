"""Request guard: pages of other sites can neither control nor read the lab; scripts can do both."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.routing import APIRoute

from tests.support.api_steps import raw, status_of
from webapp.routes import api_runs, api_servers, files, pages, system


@pytest.fixture(scope="module")
def url(shared_url: str) -> str:
    return shared_url.rstrip("/")


def get(url: str, *lines: str) -> bytes:
    return raw(url, "\r\n".join(["GET /healthz HTTP/1.1", *lines, "Connection: close", "", ""]).encode())


# --- Host ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_own_host_names_are_accepted(url: str, name: str) -> None:
    assert status_of(get(url, f"Host: {name}:{urlsplit(url).port}")) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.com:{port}",
        "127.0.0.1.evil.com:{port}",
        "127.0.0.1:{port}.evil.com",
        "localhost.:{port}",
        "LOCALHOST:{port}",
        "127.1:{port}",
        "0.0.0.0:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1:0{port}",
        "user@127.0.0.1:{port}",
        "127.0.0.1:{port}/admin?x=",
        "::1:{port}",
        "",
    ],
)
def test_other_host_is_refused(url: str, host: str) -> None:
    assert status_of(get(url, f"Host: {host.format(port=urlsplit(url).port)}")) == 400


def test_missing_or_double_host_is_refused(url: str) -> None:
    own = f"Host: 127.0.0.1:{urlsplit(url).port}"
    assert status_of(get(url)) == 400
    assert status_of(get(url, own, own)) == 400
    assert status_of(raw(url, b"GET /healthz HTTP/1.0\r\n\r\n")) == 400


def test_host_is_checked_on_every_path(url: str) -> None:
    for path in ("/", "/static/css/base.css", "/api/v1/events", "/openapi.json", "/nowhere"):
        assert httpx.get(f"{url}{path}", headers={"Host": "evil.com"}).status_code == 400


# --- who asks --------------------------------------------------------------------------------------------------------

FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},  # another port of this machine
    {"Sec-Fetch-Site": "nonsense"},
    {"Origin": "null"},
    {"Origin": "http://evil.com"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1.evil.com:{port}"},
    {"Origin": "http://127.0.0.1:{port}.evil.com"},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Origin": "http://localhost:{port}"},  # a name of the lab, but not the one of the request
    {"Origin": "http://evil.com", "Sec-Fetch-Site": "none"},
]

CHANGING = [
    (method, route.path.replace("{server_id}", "1").replace("{run_id}", "1"))
    for router in (system.router, api_servers.router, files.router, api_runs.router, pages.router)
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in (route.methods or set()) - {"GET", "HEAD"}
]


def test_every_changing_route_is_tested() -> None:
    assert {
        ("POST", "/api/v1/runs"),
        ("DELETE", "/api/v1/servers/1"),
        ("PATCH", "/api/v1/runs/1"),
        ("POST", "/runs"),
    } <= set(CHANGING)


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_other_origin_changes_nothing(url: str, headers: dict[str, str]) -> None:
    sent = {name: value.format(port=urlsplit(url).port) for name, value in headers.items()}
    with httpx.Client(base_url=url, headers=sent) as page:
        for method, path in [*CHANGING, ("PUT", "/api/v1/runs/1"), ("POST", "/nowhere"), ("OPTIONS", "/api/v1/runs")]:
            kind = "application/json" if path.startswith("/api/") else "application/x-www-form-urlencoded"
            assert page.request(method, path, headers={"Content-Type": kind}).status_code == 403, (method, path)


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/xml", "text/json"])
def test_other_media_types_are_refused(url: str, kind: str) -> None:
    own = {"Origin": url, "Content-Type": kind}
    for method, path in CHANGING:
        answer = httpx.request(method, f"{url}{path}", headers=own, content=b'{"model": "sequential"}')
        assert answer.status_code == 415, (method, path)


def test_api_takes_json_and_pages_take_forms(url: str) -> None:
    form, document = "application/x-www-form-urlencoded", "application/json"
    own = {"Origin": url}
    assert httpx.post(f"{url}/api/v1/servers", headers=own | {"Content-Type": form}).status_code == 415
    assert httpx.post(f"{url}/servers", headers=own | {"Content-Type": document}).status_code == 415
    assert httpx.post(f"{url}/api/v1/servers", content=b"{}").status_code == 415  # a body without a media type
    latin = "application/json; charset=latin-1"
    assert httpx.post(f"{url}/api/v1/servers", content=b"{}", headers={"Content-Type": latin}).status_code == 415


def test_form_needs_own_origin(url: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert httpx.post(f"{url}/servers", headers=form, content="model=nothing").status_code == 403
    assert httpx.post(f"{url}/servers", headers=form | {"Origin": url}, content="model=nothing").status_code == 422
    assert httpx.post(f"{url}/servers", headers=form | {"Sec-Fetch-Site": "same-origin"}, content="").status_code == 422


def test_script_and_own_page_use_api(url: str) -> None:
    for headers in ({}, {"Origin": url}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        answer = httpx.post(f"{url}/api/v1/servers", json={"model": "nothing"}, headers=headers)
        assert answer.status_code == 422


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_origin_cannot_read_api(url: str, site: str) -> None:
    for path in ("/api/v1/servers", "/api/v1/events", "/api/v1/runs/1/report"):
        assert httpx.get(f"{url}{path}", headers={"Sec-Fetch-Site": site}).status_code == 403
    assert httpx.get(f"{url}/", headers={"Sec-Fetch-Site": site}).status_code == 200  # links to pages are allowed


# --- what every answer carries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/servers", "/nowhere", "/docs", "/static/css/base.css"])
def test_every_response_has_security_headers(url: str, path: str) -> None:
    headers = httpx.get(f"{url}{path}").headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == {
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
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")
    assert "server" not in headers
    assert not [name for name in headers if name.startswith("access-control-")]


def test_static_files_are_revalidated(url: str) -> None:
    first = httpx.get(f"{url}/static/css/base.css")
    again = httpx.get(f"{url}/static/css/base.css", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path", ["/static/../pyproject.toml", "/static/%2e%2e/pyproject.toml", "/static/..%5cx", "/static/%00"]
)
def test_static_path_stays_in_its_folder(url: str, path: str) -> None:
    host = f"127.0.0.1:{urlsplit(url).port}"
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert status_of(raw(url, request.encode())) == 404


# --- bodies ----------------------------------------------------------------------------------------------------------

LIMIT = 64 * 1024


def post(url: str, *lines: str, body: bytes) -> bytes:
    head = ["POST /api/v1/servers HTTP/1.1", f"Host: 127.0.0.1:{urlsplit(url).port}", "Content-Type: application/json"]
    return raw(url, "\r\n".join([*head, "Connection: close", *lines, "", ""]).encode() + body)


def test_body_at_limit_is_accepted(url: str) -> None:
    body = b'{"model": "sequential", "x": "' + b"a" * LIMIT
    body = body[: LIMIT - 2] + b'"}'
    assert status_of(post(url, f"Content-Length: {len(body)}", body=body)) == 422


def test_body_over_limit_is_refused(url: str) -> None:
    assert status_of(post(url, f"Content-Length: {LIMIT + 1}", body=b"a" * (LIMIT + 1))) == 413


def test_large_content_length_is_refused_unread(url: str) -> None:
    answer = post(url, "Content-Length: 200000000", body=b"")
    assert status_of(answer) == 413
    assert b"max_body_bytes" in answer


def test_chunked_body_is_limited(url: str) -> None:
    chunk = b"8000\r\n" + b"a" * 0x8000 + b"\r\n"
    assert status_of(post(url, "Transfer-Encoding: chunked", body=chunk * 3)) == 413


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: five"],
        ["Content-Length: -5"],
    ],
)
def test_ambiguous_lengths_are_refused(url: str, lines: list[str]) -> None:
    assert status_of(post(url, *lines, body=b"0\r\n\r\n")) == 400


def test_huge_head_is_refused(url: str) -> None:
    answer = get(url, f"X-Large: {'a' * 200_000}")
    assert not answer or status_of(answer) == 400  # the close may reset the connection before the response is read


# --- the one shape of errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/runs/999", 404),
        ("GET", "/api/v1/runs/0", 422),
        ("GET", "/api/v1/runs/-1", 422),
        ("GET", "/api/v1/runs/" + "9" * 10_000, 422),
        ("GET", "/api/v1/runs/%00", 422),
        ("GET", "/api/v1/runs/1%0d%0aX-Evil:%201", 422),
        ("GET", "/api/v1/runs?limit=0", 422),
        ("GET", "/api/v1/runs?limit=1e400", 422),
        ("GET", "/api/v1/runs?nonsense=1", 422),
        ("GET", "/api/v1/runs?state=lost", 422),
        ("POST", "/api/v1/runs?wait_s=nan", 422),
        ("PUT", "/api/v1/runs", 405),
        ("DELETE", "/api/v1/servers", 405),
    ],
)
def test_api_errors_are_problems(url: str, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, f"{url}{path}", json={} if method == "POST" else None)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "x-evil" not in answer.headers
    problem: dict[str, Any] = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "errors"}
    assert problem["status"] == status
    assert (status == 422) == bool(problem["errors"])
    if status == 405:
        assert answer.headers["allow"]


def test_input_is_never_repeated(url: str) -> None:
    marker = "zzmarkerzz<script>"
    for body in (
        {marker: 1},
        {"model": marker},
        {"model": "sequential", "name": marker},
        {"model": "sequential", "port": marker},
    ):
        answer = httpx.post(f"{url}/api/v1/servers", json=body)
        assert answer.status_code == 422
        assert "zzmarkerzz" not in answer.text


def test_errors_are_pages_or_problems(url: str) -> None:
    page = httpx.get(f"{url}/nowhere", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "There is nothing" in page.text or "there is nothing" in page.text
    assert httpx.get(f"{url}/nowhere").headers["content-type"] == "application/problem+json"
