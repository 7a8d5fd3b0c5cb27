"""Makes the pictures of the README and of the tour, from real runs: `make screenshots`, about two minutes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from playwright.sync_api import Browser, Page, sync_playwright

from docs.tour_by_script import body
from webapp.client import LabClient
from webapp.lab.demonstrations import demonstrations
from webapp.schemas.resources import RunResource
from webapp.serving import embedded
from webapp.settings import Settings

IMAGES = Path(__file__).parent / "images"
SECOND_WAVE = "[data-outcomes] dd"  # somebody was served, so others have just begun
TIMELINE = "[data-timeline] svg:visible"
WIDTH = 1120
STORIES: tuple[dict[str, Any], ...] = (
    {"model": "sequential"},
    {"model": "thread_per_client"},
    {"model": "bounded_pool", "workers": 2},
)


def main() -> None:
    """Start a lab, do what the README and the tour tell of, and photograph it."""
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded(Settings(port=0, data_dir=Path(folder))) as address,
        LabClient(address) as lab,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        camera = Camera(browser, address)
        the_article(lab, camera)
        the_tour(lab, camera)
        a_server_and_the_dashboard(lab, camera)
        browser.close()


class Camera:
    """Photographs pages as a light screen of a laptop shows them."""

    def __init__(self, browser: Browser, address: str) -> None:
        self._browser = browser
        self._address = address

    def page(self, path: str, name: str, *, height: int = 760, once: str = "") -> None:
        """The upper part of a page, once something is to be seen there."""
        with self._opened(path, height, 1) as page:
            if once:
                page.locator(once).first.wait_for()
            page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")

    def part(self, path: str, name: str, part: str, *, sharpness: float = 1, once: str = "") -> None:
        """One part of a page; a chart is drawn once it is near."""
        with self._opened(path, 760, sharpness) as page:
            page.locator(part).first.scroll_into_view_if_needed()
            if once:
                page.locator(f"{part} {once}").first.wait_for()
            page.locator(part).first.screenshot(path=IMAGES / f"{name}.png", animations="disabled")

    @contextmanager
    def _opened(self, path: str, height: int, sharpness: float) -> Iterator[Page]:
        page = self._browser.new_page(
            viewport={"width": WIDTH, "height": height}, device_scale_factor=sharpness, color_scheme="light"
        )
        page.goto(urljoin(self._address, path))
        yield page
        page.close()


def the_article(lab: LabClient, camera: Camera) -> None:
    """The three pictures of the article."""
    for story in STORIES:
        run = lab.wait(lab.run(story, clients=3, label=story["model"].replace("_", " ")).id)
        camera.part(f"runs/{run.id}", story["model"], TIMELINE, sharpness=1.5)


def the_tour(lab: LabClient, camera: Camera) -> None:
    """Three pools compared, the one that fell behind, and the two idle attacks."""
    pools = [played(lab, body(workers, 12.0)) for workers in (2, 4, 8)]
    camera.page("compare?" + "&".join(f"run={run.id}" for run in pools), "tour-pools", height=1400)
    camera.part(f"runs/{pools[0].id}", "tour-overload", TIMELINE)
    camera.part(f"runs/{pools[1].id}", "percentiles", "[aria-labelledby=chart-percentiles]", once="svg, canvas")
    for name, picture in (("6_idle_clients_pool", "tour-idle-pool"), ("7_idle_clients_loop", "tour-idle-loop")):
        run = played(lab, demonstrations()[name].model_dump(mode="json"))
        camera.part(f"runs/{run.id}", picture, TIMELINE)


def played(lab: LabClient, asked: dict[str, Any]) -> RunResource:
    """A run that has ended, and a line about it."""
    run = lab.wait(lab.run(asked["server"], asked["clients"], label=asked["label"]).id)
    response = lab.report(run.id)["latency"]["response_ms"]
    verdict = run.verdict.status if run.verdict else "none"
    figures = ", ".join(f"{name} {response[name]} ms" for name in ("p50", "p99", "max"))
    print(f"{run.label}: {verdict}; response time {figures}. {run.sentence}")
    return run


def a_server_and_the_dashboard(lab: LabClient, camera: Camera) -> None:
    """A pool from inside while twelve clients want it, then what the dashboard shows."""
    server = lab.start_server(model="bounded_pool", workers=4, name="pool of four")
    run = lab.run({"id": server.id}, clients=12, label="twelve for a pool of four")
    camera.page(f"servers/{server.id}", "server", height=1300, once=SECOND_WAVE)
    lab.wait(run.id)
    camera.page("", "dashboard", height=1080)


if __name__ == "__main__":
    main()
