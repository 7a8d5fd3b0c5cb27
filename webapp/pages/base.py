"""The base of every page's context, and the environment that renders templates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from webapp.assets import asset_dir
from webapp.charts.rendering.vega_version import BUNDLE_PATH
from webapp.pages.time_breakdown import PARTS

_environment = Environment(
    loader=FileSystemLoader(asset_dir("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,  # otherwise every rendering of a live fragment checks the file's modification time
)
_environment.globals["vega_url"] = BUNDLE_PATH
_environment.globals["part_labels"] = PARTS
_environment.filters["json"] = json.dumps  # for attributes; autoescape escapes the quotes


def render(template: str, **context: Any) -> str:
    """Render a template with `context`; all pages and fragments are rendered by this function."""
    return _environment.get_template(template).render(context)


@dataclass(frozen=True)
class Page:
    """Base class of page contexts: the template, the title and the place in the navigation.

    Subclasses hold text that is ready to print. Templates arrange it and compute nothing.
    """

    template: ClassVar[str]
    place: ClassVar[str] = ""

    @property
    def title(self) -> str:
        """Title of the browser tab."""
        raise NotImplementedError

    def html(self) -> str:
        """Render the whole page."""
        return render(self.template, page=self)


@dataclass(frozen=True)
class ErrorPage(Page):
    """Page of an HTTP error: its status and reason, with links to other pages."""

    template = "error.html"

    status: int
    heading: str
    detail: str

    @property
    def title(self) -> str:
        """Title of the browser tab."""
        return self.heading
