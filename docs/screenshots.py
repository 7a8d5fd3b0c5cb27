"""Makes the pictures of the README from real runs of the article's script: `make screenshots`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from playwright.sync_api import Browser, sync_playwright

from webapp.client import LabClient
from webapp.serve import embedded
from webapp.settings import Settings

IMAGES = Path(__file__).parent / "images"
SECOND_WAVE = "[data-outcomes] dd"  # somebody was served, so others have just begun
STORIES: tuple[dict[str, Any], ...] = (
    {"model": "sequential"},
    {"model": "thread_per_client"},
    {"model": "bounded_pool", "workers": 2},
)


def main() -> None:
    """Start a lab, play the three runs, and photograph their timelines and the dashboard."""
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded(Settings(port=0, data_dir=Path(folder))) as address,
        LabClient(address) as lab,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        server = lab.start_server(model="bounded_pool", workers=4, name="pool of four")
        for story in STORIES:
            run = lab.wait(lab.run(story, clients=3, label=story["model"].replace("_", " ")).id)
            picture = IMAGES / f"{story['model']}.png"
            photograph(browser, urljoin(address, f"runs/{run.id}"), picture, part="[data-timeline]", sharpness=1.5)
        run = lab.run({"id": server.id}, clients=12, label="twelve for a pool of four")
        photograph(
            browser, urljoin(address, f"servers/{server.id}"), IMAGES / "server.png", once=SECOND_WAVE, height=1300
        )
        lab.wait(run.id)
        photograph(browser, address, IMAGES / "dashboard.png", height=1080)
        browser.close()


def photograph(
    browser: Browser, url: str, target: Path, *, part: str = "", once: str = "", height: int = 760, sharpness: float = 1
) -> None:
    """Save a page, or one part of it, as a light screen of a laptop shows it once something is to be seen there."""
    page = browser.new_page(
        viewport={"width": 1120, "height": height}, device_scale_factor=sharpness, color_scheme="light"
    )
    page.goto(url)
    if once:
        page.locator(once).wait_for()
    if part:
        page.locator(part).screenshot(path=target, animations="disabled")
    else:
        page.screenshot(path=target, animations="disabled")
    page.close()


if __name__ == "__main__":
    main()
