"""Read a page as its user does: text, controls and the messages next to them."""

from __future__ import annotations

from html.parser import HTMLParser

from fastapi.testclient import TestClient

VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})


class Element:
    """An element with its attributes, the text inside it and the elements below it."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Element | str] = []

    @property
    def text(self) -> str:
        """Text of the element and its descendants, with single spaces."""
        parts = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join(" ".join(parts).split())

    def all(self, tag: str | None = None, **attributes: str) -> list[Element]:
        """Return the descendants with this tag and these attributes (`for_`: for, `aria_x`: aria-x)."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if tag in (None, child.tag) and wanted.items() <= child.attributes.items():
                    found.append(child)
                found += child.all(tag, **attributes)
        return found

    def one(self, tag: str | None = None, **attributes: str) -> Element:
        """Return the only descendant with this tag and these attributes."""
        [found] = self.all(tag, **attributes)
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def read(html: str) -> Element:
    """Parse a page into a tree; AssertionError if its tags are not nested."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader._open == [reader.root], "an element was never closed"
    return reader.root


def see(visitor: TestClient, path: str, status: int = 200) -> Element:
    """Request `path` and return the parsed page."""
    response = visitor.get(path)
    assert response.status_code == status
    return read(response.text)


def problem_beside(page: Element, field: str) -> str:
    """Return the message next to an invalid field, found as assistive technology finds it."""
    [control] = [element for element in page.all(id=field) if element.attributes.get("aria-invalid") == "true"]
    named = control.attributes["aria-describedby"].split()
    return " ".join(page.one(id=name).text for name in named if name.endswith("-problem"))


def value_of(page: Element, field: str) -> str:
    """Return the value of a field."""
    control = page.one(id=field)
    if control.tag == "select":
        [chosen] = [option for option in control.all("option") if "selected" in option.attributes]
        return chosen.attributes["value"]
    return control.text if control.tag == "textarea" else control.attributes["value"]
