"""The real application over a hand-made lab, asked as a browser asks, without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.pages.fake_lab import FakeLab
from webapp.app import create_app
from webapp.settings import Settings

ORIGIN = "http://127.0.0.1:8000"
BROWSER = {"Accept": "text/html", "Origin": ORIGIN}


@pytest.fixture
def lab() -> FakeLab:
    return FakeLab()


@pytest.fixture
def visitor(lab: FakeLab, tmp_path: Path) -> Iterator[TestClient]:
    """A client that does not follow a 303 by itself, so that tests see it."""
    app = create_app(Settings(data_dir=tmp_path), lab)
    with TestClient(app, base_url=ORIGIN, headers=BROWSER, follow_redirects=False) as client:
        yield client
