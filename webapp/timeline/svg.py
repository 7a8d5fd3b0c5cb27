"""Small pieces of SVG: safe text, short numbers, and how wide a text will be about."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

# What XML 1.0 cannot hold even when escaped; a name with one of these must not break the picture.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_NARROW = re.compile(r"[ijlftrI.,:;'|!()\[\] ·\-]")
_WIDE = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\U0001f300-\U0001faff]"
)


def safe(text: str) -> str:
    """`text` as the content of an element or a quoted attribute."""
    return escape(_NOT_XML.sub("\ufffd", text), {'"': "&quot;"})


def num(value: float) -> str:
    """A coordinate to a hundredth of a pixel, without needless zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def text_width(text: str, size: float) -> float:
    """About how many pixels `text` takes at `size`: no font is at hand here, so generous rather than exact."""
    narrow, wide = len(_NARROW.findall(text)), len(_WIDE.findall(text))
    return size * (0.37 * narrow + 1.05 * wide + 0.63 * (len(text) - narrow - wide))


def shorten(text: str, size: float, room: float) -> str:
    """`text`, or as much of its beginning as fits `room` pixels and an ellipsis."""
    if text_width(text, size) <= room:
        return text
    kept = text
    while kept and text_width(kept + "…", size) > room:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def wrap(text: str, size: float, room: float) -> list[str]:
    """`text` in lines of at most `room` pixels, broken at spaces."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, size) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
