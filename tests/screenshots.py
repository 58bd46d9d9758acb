"""`make screenshots`: pictures of the studio for docs/studio, from a real house with the bundled model.

Run as `python -m tests.screenshots`; needs Chromium.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.house.test_studio import CHROMIUM
from tests.support.house import KEY, House
from tests.support.processes import ROOT

FOLDER = ROOT / "docs" / "studio"
LIMIT_BYTES = 200_000
WAIT_MS = 300_000
DESKTOP, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 1400}
PROMPTS = [
    "a green star moving up on a navy background",
    "a large yellow square moving left on a brown background",
    "a blue triangle moving down and right on a grey background",
]


def main() -> int:
    if CHROMIUM is None:
        print("There is no Chromium here; on Debian `apt-get install chromium`.")
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        house = House(Path(folder), LONGTAKE_CHECKPOINTS="{}")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            house.worker("render")
            take_all(house, browser)
        finally:
            browser.close()
            house.close()
    return 0


def take_all(house: House, browser: Browser) -> None:
    take(enter(house, browser, DESKTOP, "light"), "empty")
    for seed, prompt in enumerate(PROMPTS):
        house.submit(prompt=prompt, num_frames=24, seed=seed, steps=None, refine=None)
    page = enter(house, browser, DESKTOP, "light")
    for prompt in PROMPTS:
        expect(page.locator("#cards li", has_text=prompt).locator("img")).to_be_visible(timeout=WAIT_MS)
    page.locator("#composer").get_by_label("Seconds").fill("10")
    page.locator("#composer").get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator(".chunk[data-state=made]")).to_have_count(4, timeout=WAIT_MS)
    page.locator("#direct").get_by_label("Prompt").fill("a red circle moving left on a black background")
    page.get_by_role("button", name="Steer it").click()
    expect(page.locator(".mark")).to_have_count(2, timeout=WAIT_MS)
    page.wait_for_timeout(500)
    take(page, "in-progress")
    expect(page.locator("#state")).to_contain_text("completed", timeout=WAIT_MS)
    video = page.evaluate("location.hash")
    page.wait_for_timeout(12_000)  # the whole of it is played: the slice is drawn
    take(page, "done")
    for name, size, scheme in (("done-dark", DESKTOP, "dark"), ("phone", PHONE, "dark")):
        page = enter(house, browser, size, scheme, video)
        expect(page.locator("#state")).to_contain_text("completed", timeout=WAIT_MS)
        page.wait_for_timeout(12_000)
        page.locator("#stage").scroll_into_view_if_needed()
        take(page, name)


def enter(house: House, browser: Browser, size: dict[str, int], scheme: str, where: str = "") -> Page:
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{house.http.base_url}/{where}")
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#composer")).to_be_visible(timeout=WAIT_MS)
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)
    return page


def take(page: Page, name: str) -> None:
    """What the window shows, in a palette of 256 colours; on a desktop from the top."""
    if page.viewport_size == DESKTOP:
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    target = FOLDER / f"{name}.png"
    picture.save(target, optimize=True)
    size = target.stat().st_size
    assert size < LIMIT_BYTES, f"{target} has {size} bytes"
    print(f"{target.relative_to(ROOT)}: {size} bytes")


if __name__ == "__main__":
    sys.exit(main())
