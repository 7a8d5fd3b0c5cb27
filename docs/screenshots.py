"""Take the screenshots of the README and of the tour from real runs: `make screenshots`, about two minutes."""

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
SECOND_WAVE = "[data-outcomes] dd"  # the first clients were served, so others have just begun
TIMELINE = "[data-timeline] svg:visible"
WIDTH = 1120
SERVERS: tuple[dict[str, Any], ...] = (
    {"model": "sequential"},
    {"model": "thread_per_client"},
    {"model": "bounded_pool", "workers": 2},
)


def main() -> None:
    """Start a lab, execute the runs of the README and of the tour, and save the screenshots."""
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded(Settings(port=0, data_dir=Path(folder))) as address,
        LabClient(address) as lab,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        camera = Camera(browser, address)
        capture_article(lab, camera)
        capture_tour(lab, camera)
        capture_server_and_dashboard(lab, camera)
        browser.close()


class Camera:
    """Saves screenshots of pages in a laptop's width and light colours."""

    def __init__(self, browser: Browser, address: str) -> None:
        self._browser = browser
        self._address = address

    def capture_page(self, path: str, name: str, *, height: int = 760, once: str = "") -> None:
        """Save the upper part of a page, after the element `once` has appeared."""
        with self._open(path, height, 1) as page:
            if once:
                page.locator(once).first.wait_for()
            page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")

    def capture_part(self, path: str, name: str, part: str, *, sharpness: float = 1, once: str = "") -> None:
        """Save one part of a page; scroll to it first, because a chart is drawn when it is near the viewport."""
        with self._open(path, 760, sharpness) as page:
            page.locator(part).first.scroll_into_view_if_needed()
            if once:
                page.locator(f"{part} {once}").first.wait_for()
            page.locator(part).first.screenshot(path=IMAGES / f"{name}.png", animations="disabled")

    @contextmanager
    def _open(self, path: str, height: int, sharpness: float) -> Iterator[Page]:
        page = self._browser.new_page(
            viewport={"width": WIDTH, "height": height}, device_scale_factor=sharpness, color_scheme="light"
        )
        page.goto(urljoin(self._address, path))
        yield page
        page.close()


def capture_article(lab: LabClient, camera: Camera) -> None:
    """Save the timelines of the article's three demonstrations."""
    for server in SERVERS:
        run = lab.wait(lab.run(server, clients=3, label=server["model"].replace("_", " ")).id)
        camera.capture_part(f"runs/{run.id}", server["model"], TIMELINE, sharpness=1.5)


def capture_tour(lab: LabClient, camera: Camera) -> None:
    """Save the comparison of three pools, the pool that falls behind, and the two idle attacks."""
    pools = [execute_run(lab, body(workers, 12.0)) for workers in (2, 4, 8)]
    camera.capture_page("compare?" + "&".join(f"run={run.id}" for run in pools), "tour-pools", height=1400)
    camera.capture_part(f"runs/{pools[0].id}", "tour-overload", TIMELINE)
    camera.capture_part(f"runs/{pools[1].id}", "percentiles", "[aria-labelledby=chart-percentiles]", once="svg, canvas")
    for name, picture in (("6_idle_clients_pool", "tour-idle-pool"), ("7_idle_clients_loop", "tour-idle-loop")):
        run = execute_run(lab, demonstrations()[name].model_dump(mode="json"))
        camera.capture_part(f"runs/{run.id}", picture, TIMELINE)


def execute_run(lab: LabClient, spec: dict[str, Any]) -> RunResource:
    """Execute a run, print one line about it and return it."""
    run = lab.wait(lab.run(spec["server"], spec["clients"], label=spec["label"]).id)
    response = lab.report(run.id).latency.response_ms
    verdict = run.verdict.status if run.verdict else "none"
    figures = ", ".join(f"{name} {response.value(name)} ms" for name in ("p50", "p99", "max"))
    print(f"{run.label}: {verdict}; response time {figures}. {run.sentence}")
    return run


def capture_server_and_dashboard(lab: LabClient, camera: Camera) -> None:
    """Save the page of a pool while twelve clients use it, then the dashboard."""
    server = lab.start_server(model="bounded_pool", workers=4, name="pool of four")
    run = lab.run({"id": server.id}, clients=12, label="twelve for a pool of four")
    camera.capture_page(f"servers/{server.id}", "server", height=1300, once=SECOND_WAVE)
    lab.wait(run.id)
    camera.capture_page("", "dashboard", height=1080)


if __name__ == "__main__":
    main()
