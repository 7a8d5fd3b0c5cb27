"""Which Vega-Lite draws our charts, and where a page finds it."""

from __future__ import annotations

from importlib.metadata import version

VEGA_LITE = "6.4"  # what our version of Altair writes
CONVERTER = version("vl-convert-python")
BUNDLE = f"vega-{VEGA_LITE}-{CONVERTER}.js"
BUNDLE_PATH = f"/charts/{BUNDLE}"  # another version has another address, so an answer may be kept for ever
