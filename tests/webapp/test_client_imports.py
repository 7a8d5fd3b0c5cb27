"""Modules that `import webapp.client` loads, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

from tests.support.shell import ROOT

FORBIDDEN = (
    "numpy", "hdrh", "altair", "vl_convert", "fastapi", "starlette", "uvicorn",
    "coreserver.models", "coreserver.clients", "coreserver.hosting",
    "webapp.charts", "webapp.lab", "webapp.timeline",
)  # fmt: skip
LIST_MODULES = "import sys, webapp.client; print(*sys.modules)"


def test_client_imports_schemas_only() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LIST_MODULES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "webapp.schemas.resources" in loaded
    assert not [name for name in loaded if any(name == top or name.startswith(f"{top}.") for top in FORBIDDEN)]
