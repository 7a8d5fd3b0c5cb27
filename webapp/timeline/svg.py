"""Text and numbers in SVG: escaping, formatting, and an estimate of the width of a text."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

# Characters that XML 1.0 does not allow, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_NARROW = re.compile(r"[ijlftrI.,:;'|!()\[\] ·\-]")
_WIDE = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\U0001f300-\U0001faff]"
)


def safe(text: str) -> str:
    """Escape `text` for an element or a quoted attribute."""
    return escape(_NOT_XML.sub("\ufffd", text), {'"': "&quot;"})


def num(value: float) -> str:
    """Format a coordinate to a hundredth of a pixel, without trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def text_width(text: str, size: float) -> float:
    """Estimate the width of `text` in pixels at `size`. The font is not known here, so the estimate is generous."""
    narrow, wide = len(_NARROW.findall(text)), len(_WIDE.findall(text))
    return size * (0.37 * narrow + 1.05 * wide + 0.63 * (len(text) - narrow - wide))


def shorten(text: str, size: float, room: float) -> str:
    """Return `text`, or its beginning with an ellipsis, within `room` pixels."""
    if text_width(text, size) <= room:
        return text
    kept = text
    while kept and text_width(kept + "…", size) > room:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def wrap(text: str, size: float, room: float) -> list[str]:
    """Break `text` at spaces into lines of at most `room` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, size) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
