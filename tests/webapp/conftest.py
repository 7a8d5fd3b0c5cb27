"""Fixtures: a real lab on its own port with an empty data directory, and the application on top of a fake lab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.support.fake_lab import BROWSER, ORIGIN, FakeLab
from webapp.app import create_app
from webapp.charts.rendering.renderer import ChartRenderer
from webapp.serving import embedded
from webapp.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(port=0, data_dir=tmp_path / "data", push_interval_s=0.05)


@pytest.fixture
def lab_url(settings: Settings) -> Iterator[str]:
    with embedded(settings) as url:
        yield url


@pytest.fixture
def api(lab_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=lab_url, timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def shared_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one lab for all tests of a file that change nothing."""
    with embedded(Settings(port=0, data_dir=tmp_path_factory.mktemp("data"))) as url:
        yield url


@pytest.fixture
def lab() -> FakeLab:
    return FakeLab()


@pytest.fixture
def visitor(lab: FakeLab, tmp_path: Path) -> Iterator[TestClient]:
    """Client with the headers of a browser for the application on top of the fake lab; it does not follow redirects."""
    charts = ChartRenderer(tmp_path / "pictures", tmp_path / "bundles", lambda: False)
    app = create_app(Settings(data_dir=tmp_path), lab, charts)
    with closing(charts), TestClient(app, base_url=ORIGIN, headers=BROWSER, follow_redirects=False) as client:
        yield client
