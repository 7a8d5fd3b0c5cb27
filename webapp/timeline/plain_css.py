"""Drawings for converters with little CSS support: no variables, no media queries, no `:not`."""

from __future__ import annotations

import re

_MEDIA = re.compile(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")
_VARIABLE = re.compile(r"var\(--[\w-]+,\s*([^()]*(?:\([^()]*\)[^()]*)*)\)")
_GROUP = re.compile(r'<g(?! class="tl-dense")( class=")?(?=[ >\w])')
_LOOSE = "tl-loose"


def on_paper(svg: str) -> str:
    """Return the drawing in the colours of the light scheme, with plain selectors.

    Args:
        svg: a file as `webapp.timeline.drawing.draw` and `draw_lanes` return it.
    """
    head, style, rest = svg.partition("<style>")
    rules, end, body = rest.partition("</style>")
    rules = _VARIABLE.sub(r"\1", _MEDIA.sub("", rules)).replace(":not(.tl-dense)", f".{_LOOSE}")
    body = _GROUP.sub(lambda found: f'<g class="{_LOOSE}' + (" " if found[1] else '"'), body)
    return head + style + rules + end + body
