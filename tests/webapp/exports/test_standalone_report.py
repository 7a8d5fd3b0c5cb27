"""A run as one page that needs no lab, no script and no network."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx

from tests.support.api_steps import LONG, script_run
from tests.support.servers import wait_until
from tests.webapp.exports.test_import import hostile
from webapp.exports.standalone_report import prefix_ids

SCRIPT_BY_ATTRIBUTE = re.compile(r"^on")
LOADS = {"src", "srcset", "data", "action", "formaction", "poster", "background"}


class _Watch(HTMLParser):
    """Collects ids, and everything that loads from elsewhere or runs as script."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "form", "base", "img"):
            self.found.append(tag)
        for name, value in attrs:
            text = value or ""
            if name in LOADS or SCRIPT_BY_ATTRIBUTE.match(name):
                self.found.append(f"{tag} {name}")
            if name.endswith("href") and not text.startswith(("#", "data:,")):
                self.found.append(f"{tag} {name}={text}")
            if "url(" in text and "url(#" not in text:
                self.found.append(f"{tag} {name}={text}")
            if name == "id":
                self.ids.append(text)


def watched(page: str) -> _Watch:
    watch = _Watch()
    watch.feed(page)
    return watch


def test_page_is_rendered_between_runs_only(api: httpx.Client) -> None:
    load = {
        "clients": [{"kind": "closed", "count": 2, "duration_s": 0.2}],
        "label": "take me",
        "note": "a\nof two lines",
    }
    run = api.post("/api/v1/runs?wait_s=30", json={"server": {"model": "asyncio"}, **load}).json()
    path = f"{run['links']['self']}/report.html"
    busy = api.post("/api/v1/runs", json=script_run({"model": "sequential"}, LONG)).json()
    refused = api.get(path)
    assert (refused.status_code, refused.headers["retry-after"].isdigit()) == (503, True)
    assert api.get(f"{busy['links']['self']}/report.html").status_code == 409
    api.post(busy["links"]["cancel"])
    wait_until(lambda: api.get(path).status_code == 200, "the charts can be drawn again")
    answer = api.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="run-{run["id"]}-report.html"'
    page = answer.text
    watch = watched(page)
    assert watch.found == []
    assert len(watch.ids) == len(set(watch.ids))
    assert "default-src 'none'" in page
    assert not re.search(r"@import|url\((?!#)", page)
    for said in (run["sentence"], "take me", "of two lines", "Latency by percentile", "Environment", "curl"):
        assert said in page, said
    assert page.count("<svg") > 3


def test_imported_text_is_never_markup(api: httpx.Client) -> None:
    run = api.post("/api/v1/runs/import", json=hostile()).json()
    answer = api.get(f"{run['links']['self']}/report.html")
    assert answer.status_code == 200
    assert watched(answer.text).found == []
    assert "imported" in answer.text
    assert "<script" not in answer.text
    assert api.get("/api/v1/runs/99999/report.html").status_code == 404


def test_ids_of_images_are_unique() -> None:
    svg = '<svg><clipPath id="a"/><g clip-path="url(#a)"><use xlink:href="#a"/></g><text>#a</text></svg>'
    own = '<svg><clipPath id="one-a"/><g clip-path="url(#one-a)"><use xlink:href="#one-a"/></g><text>#a</text></svg>'
    assert prefix_ids(svg, "one") == own
