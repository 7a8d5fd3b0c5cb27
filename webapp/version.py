"""Version of the installed package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def lab_version() -> str:
    """Return the version of the installed package, or `0+unknown` in a source tree that was never installed."""
    try:
        return version("serverlab")
    except PackageNotFoundError:
        return "0+unknown"
