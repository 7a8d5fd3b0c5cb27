"""Pages show all stored text as text; it creates no elements, attributes or scripts."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from coreserver.clock import now_ns
from coreserver.records.server import Event
from coreserver.reports.schema.verdict_shape import Verdict, VerdictReason
from tests.support.fake_lab import FakeLab, article_connections, in_service
from tests.support.page_reader import Element, read
from webapp.schemas.resources import Reason

PAYLOADS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "<!--<script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "\u2028<script>alert(1)</script>\u2029",
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "\x1b]8;;evil\x07<b>",
]
HARMLESS = "harmless"


Shape = list[tuple[str, tuple[str, ...]]]


def shape(page: Element) -> Shape:
    """Return every element with the names of its attributes."""
    return [(element.tag, tuple(sorted(element.attributes))) for element in page.all()]


def without_drawings(page: Element) -> Element:
    """Remove drawings, which contain only labels that are short enough."""
    for element in [page, *page.all()]:
        element.children = [child for child in element.children if isinstance(child, str) or child.tag != "svg"]
    return page


def filled(lab: FakeLab, text: str) -> None:
    """Store `text` in every field that a user, a peer or an older version can set."""
    lab.add_server()
    server = lab.add_server()
    changes = {"name": text, "reason": Reason(code=text, detail=text), "config": {"model": text, text: text}}
    lab.all_servers[server.id] = server.model_copy(update=changes)
    lab.open = [in_service(1, text)]
    lab.happened = [Event(now_ns(), text, text)]
    verdict = Verdict(status="invalid", reasons=[VerdictReason(code=text, severity="invalid", detail=text)])
    run = lab.add_run(label="told", connections=article_connections(name=text), verdict=verdict)
    words = {"label": text, "note": text, "sentence": text, "model": text, "reason": Reason(code="x", detail=text)}
    lab.all_runs[run.id] = run.model_copy(update=words)
    lab.all_runs[run.id].config["label"] = text
    lab.logs[run.id] = text
    lab.add_run(label=text, connections=article_connections())
    lab.add_run("running", label=text, server_id=server.id)


@pytest.mark.parametrize(
    "path", ["/", "/runs", "/runs/1", "/servers/2", "/compare?run=1&run=2", "/runs/delete?run=1&run=3"]
)
def test_text_is_escaped(visitor: TestClient, lab: FakeLab, path: str) -> None:
    def page(text: str) -> Element:
        lab.__init__()  # type: ignore[misc]
        filled(lab, text)
        return read(visitor.get(path).text)

    harmless = page(HARMLESS)
    names = set(shape(harmless))
    rest = shape(without_drawings(harmless))
    for payload in PAYLOADS:
        shown = page(payload)
        assert set(shape(shown)) <= names, payload
        assert shape(without_drawings(shown)) == rest, payload


@pytest.mark.parametrize("form", ["/servers", "/runs"])
def test_typed_value_is_escaped(visitor: TestClient, form: str) -> None:
    names = (
        "name",
        "workers",
        "port",
        "clients.0.count",
        "clients.0.steps",
        "run.label",
        "work.kind",
        "clients.0.script",
        "kinds",
    )

    def page(text: str) -> Element:
        typed = {"model": "bounded_pool", "server": "new", **dict.fromkeys(names, text)}
        return read(visitor.post(form, data=typed).text)

    refused = shape(page("<"))
    for payload in PAYLOADS:
        assert shape(page(payload)) == refused, payload


@pytest.mark.parametrize("path", ["/?run.label={}&steps={}&model={}&server={}&workers={}", "/runs?label={}&model={}"])
def test_address_is_escaped(visitor: TestClient, path: str) -> None:
    address, query = path.split("?")
    names = [pair.split("=")[0] for pair in query.split("&")]

    def page(text: str) -> Element:
        return read(visitor.get(address, params=dict.fromkeys(names, text)).text)

    refused = set(shape(page("<")))
    for payload in PAYLOADS:
        assert set(shape(page(payload))) == refused, payload
