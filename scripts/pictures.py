"""Takes the pictures of Studio that README shows, and, with `--all FOLDER`, one of every page to be looked at.

The home is furnished by `tests/support/furnished.py` in times that are always the same, and the browser's clock stands
still, so that a picture changes only when Studio does.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from support.furnished import PAGES, finish, furnish, known
from support.played import NOW
from support.server import Server
from support.studio import sign_in_link

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SHOWN = {
    "execution": "/pipelines/PoseYOLOv8/executions/{good}?step=PoseTrain&panel=output",
    "approval": "/models/PoseYOLOv8/3",
    "deployment": "/deployments/pose-deploy",
}
FLAGS = ["--no-sandbox", "--headless", "--disable-gpu", "--hide-scrollbars", "--font-render-hinting=none"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", metavar="FOLDER", type=Path, help="every page, into this folder")
    parser.add_argument("--only", default="", help="with --all: pages whose name has this regular expression in it")
    arguments = parser.parse_args()
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("Chromium is missing: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="modelwright-pictures-") as folder, sync_playwright() as playwright:
        server = Server(Path(folder) / "home")
        furnish(server.settings)
        server.start()
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            finish(server)
            places = {name: path.format(**known(server)) for name, path in {**PAGES, **SHOWN}.items()}
            if arguments.all:
                everything(browser, server, places, arguments.all, arguments.only)
            else:
                shown(browser, server, places)
        finally:
            browser.close()
            server.stop()


def shown(browser: Browser, server: Server, places: dict[str, str]) -> None:
    IMAGES.mkdir(exist_ok=True)
    page = visitor(browser, server, "en-US", "light", 1280, 940)
    for name in SHOWN:
        take(page, server, places[name], IMAGES / f"studio-{name}.png")


def everything(browser: Browser, server: Server, places: dict[str, str], folder: Path, only: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for locale, theme, width in (("en-US", "light", 1280), ("ko-KR", "dark", 1280), ("ko-KR", "light", 1024)):
        page = visitor(browser, server, locale, theme, width, 900)
        for name, path in places.items():
            if re.search(only, name):
                take(page, server, path, folder / f"{name}-{locale[:2]}-{theme}-{width}.png", whole=True)
        page.context.close()


def visitor(browser: Browser, server: Server, locale: str, theme: Any, width: int, height: int) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": height}, locale=locale, timezone_id="Asia/Seoul", color_scheme=theme,
        reduced_motion="reduce",
    )  # fmt: skip
    page = context.new_page()
    page.goto(sign_in_link(server))
    page.wait_for_url("**/studio/")
    page.clock.set_fixed_time(datetime.fromtimestamp(NOW, UTC))
    return page


def take(page: Page, server: Server, path: str, target: Path, *, whole: bool = False) -> None:
    page.goto(f"{server.url}/studio{path}")
    page.wait_for_load_state()
    page.evaluate("document.fonts.ready")
    if page.locator("#live-state").count() and page.evaluate("Boolean(document.body.dataset.live)"):
        page.locator("#live-state:not([hidden])").wait_for()
    page.screenshot(path=target, full_page=whole)
    print(f"{target} {target.stat().st_size // 1024} KiB {page.evaluate('document.documentElement.scrollWidth')}")


if __name__ == "__main__":
    main()
