"""The Vega-Lite version of the charts, and the address of its script."""

from __future__ import annotations

from importlib.metadata import version

VEGA_LITE = "6.4"  # the version that the installed Altair writes
CONVERTER = version("vl-convert-python")
BUNDLE = f"vega-{VEGA_LITE}-{CONVERTER}.js"
BUNDLE_PATH = f"/charts/{BUNDLE}"  # every version has its own address, so browsers may cache the script without limit
