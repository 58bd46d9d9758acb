"""The studio in a real browser: a video is ordered, watched while it is made, steered, branched, extended and kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.house import KEY, House, until
from tests.support.processes import Process
from workers import media

WAIT_MS = 240_000  # the machine may be slow; nothing here waits for so long where it is not
GREEN = "a green star moving up on a navy background"

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900), pytest.mark.usefixtures("worker")]

Open = Callable[..., Page]


@pytest.fixture
def studio(house: House, browser: Browser) -> Iterator[Open]:
    """The page, behind the door; at the end it must have complained of nothing but of refusals that were expected."""
    complaints, refusals, contexts = list[str](), list[str](), []

    def open_page(*, refused: str = "", **options: object) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)  # type: ignore[arg-type]
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.goto(str(house.http.base_url))
        refusals.append(refused)
        return page

    yield open_page
    for context in contexts:
        context.close()
    expected = [refused for refused in refusals if refused]
    assert [said for said in complaints if not any(refused in said for refused in expected)] == []


def enter(page: Page) -> Page:
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#composer")).to_be_visible(timeout=WAIT_MS)
    return page


def order(page: Page, *, seconds: str = "6", steps: str = "40", size: str = "64x64", turbo: bool = False) -> str:
    """Order a video by the form; its id."""
    form = page.locator("#composer")
    form.get_by_label("Seconds").fill(seconds)
    form.get_by_label("Size").select_option(size)
    form.locator("summary").click()
    form.get_by_label("Steps").fill(steps)
    form.get_by_role("checkbox", name="Turbo").set_checked(turbo)
    form.get_by_role("button", name="Make it").click()
    return on_screen(page)


def on_screen(page: Page, before: str = "") -> str:
    """The video that the address names, when it is another one than before."""
    address = lambda: str(page.evaluate("location.hash")).lstrip("#")  # noqa: E731
    until(lambda: address().startswith("video_") and address() != before, "a video on the screen", 60.0)
    return address()


def played_s(page: Page) -> float:
    return float(page.evaluate("document.querySelector('.screen video').currentTime"))


def test_a_video_is_watched_steered_branched_and_kept_while_it_is_made(house: House, studio: Open) -> None:
    page = enter(studio())
    expect(page.locator("#gallery-empty:visible, #cards li:visible").first).to_be_visible()
    video = order(page, seconds="8")
    until(lambda: played_s(page) > 0.5, "the first frames")
    early = played_s(page)
    until(lambda: played_s(page) > early + 0.3, "the frames after them")
    now = house.video(video)
    assert now["status"] == "in_progress" and now["frames"] < 64, "it must play before it is complete"
    assert now["turbo"] is None
    expect(page.locator(".chunk")).to_have_count(7)
    expect(page.locator(".chunk[data-state=making]")).to_have_count(1)

    # Steered from a chunk that is to come, chosen on the timeline
    page.locator(".chunk").last.click()
    direct = page.locator("#direct")
    direct.get_by_label("Prompt").fill(GREEN)
    direct.get_by_role("button", name="Steer it").click()
    expect(page.locator("#direct-said")).to_contain_text("It takes effect at 7 s", timeout=WAIT_MS)
    assert house.video(video)["prompts"] == [{"at_seconds": 7.0, "prompt": GREEN}]
    expect(page.locator(".mark")).to_have_count(2)

    # Complete: the figures, the whole file
    expect(page.locator("#state")).to_contain_text("completed", timeout=WAIT_MS)
    expect(page.locator("#quality")).to_contain_text("Seam ratio")
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download").click()
    file = Path(saving.value.path())
    assert saving.value.suggested_filename == f"{video}.mp4"
    assert file.read_bytes() == house.content(video) and len(media.frame_hashes(file)) == 64

    # Branched from the second chunk, and extended
    page.locator(".chunk").nth(1).click()
    direct.get_by_label("Seed").fill("11")
    expect(page.locator("#direct-hint")).to_contain_text("the same to 2 s")
    direct.get_by_role("button", name="Branch it").click()
    child = on_screen(page, video)
    expect(page.locator("#origin")).to_contain_text("Branches off another video at 2 s")
    assert house.video(child)["ancestry"] == {"kind": "branch", "video": video, "at_seconds": 2.0}
    page.locator("#cancel").click()
    expect(page.locator("#state")).to_contain_text(re.compile("stopped|completed"), timeout=WAIT_MS)
    page.go_back()
    expect(page.locator("#state")).to_contain_text("completed", timeout=WAIT_MS)
    page.get_by_text("Extend", exact=True).click()
    direct.get_by_label("Seconds more").fill("1")
    direct.get_by_role("button", name="Extend it").click()
    longer = on_screen(page, video)
    assert house.video(longer)["seconds"] == "9"
    assert house.ended(longer)["status"] == "completed"


def test_a_refined_video_is_shown_as_its_preview_and_then_refined(house: House, studio: Open) -> None:
    page = enter(studio())
    video = order(page, seconds="4", steps="4", size="128x128", turbo=True)
    made = house.ended(video)
    assert made["status"] == "completed" and made["turbo"]["solver"] == "dpm++"
    width = "document.querySelector('.screen video').videoWidth"
    until(lambda: page.evaluate(width) == 128, "the refined picture")
    page.get_by_role("button", name="Show the preview").click()
    until(lambda: page.evaluate(width) == 64, "the preview")


def test_the_keyboard_alone_is_enough(house: House, studio: Open) -> None:
    page = studio()
    page.keyboard.press("Tab")  # the field of the key is reached by Tab from the top

    def reach(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
            page.keyboard.press("Tab")
        pytest.fail(f"Tab never comes to {selector}")

    reach("#key")
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#composer")).to_be_visible(timeout=WAIT_MS)
    reach("#prompt")
    page.keyboard.press("Control+a")
    page.keyboard.type(GREEN)
    reach("#composer [name=seconds]")
    page.keyboard.press("Control+a")
    page.keyboard.type("3")
    page.keyboard.press("Control+Enter")
    video = on_screen(page)
    assert house.video(video)["prompt"] == GREEN and house.video(video)["seconds"] == "3"
    expect(page.locator("#state")).to_contain_text("completed", timeout=WAIT_MS)
    reach(".chunks")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator(".chunk").last).to_have_attribute("aria-selected", "true")
    reach("#delete")
    page.keyboard.press("Enter")
    expect(page.locator("#keep")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#sure")).to_be_hidden()
    assert house.video(video)["status"] == "completed"
    page.keyboard.press("Enter")
    reach("#really")
    page.keyboard.press("Enter")
    expect(page.locator("#nothing")).to_be_visible(timeout=WAIT_MS)
    until(lambda: house.http.get(f"/v1/videos/{video}").status_code == 404, "the end of the record")


def test_what_is_refused_is_said_in_words_and_its_field_has_the_focus(studio: Open) -> None:
    page = studio(refused="Failed to load resource")  # the browser's own line for an answer of 4xx
    page.get_by_label("API key").fill("ltk_nobody")
    page.keyboard.press("Enter")
    expect(page.locator("#door .problem")).not_to_be_empty(timeout=WAIT_MS)
    expect(page.locator("#key")).to_be_focused()
    enter(page)
    form = page.locator("#composer")
    form.get_by_label("Seconds").fill("1000000")
    form.get_by_role("button", name="Make it").click()
    expect(form.locator(".problem")).to_contain_text("600 seconds", timeout=WAIT_MS)
    expect(form.get_by_label("Seconds")).to_be_focused()
    expect(form.get_by_label("Seconds")).to_have_attribute("aria-invalid", "true")
    form.get_by_label("Seconds").fill("8")
    form.get_by_role("button", name="Change the prompt on the way").click()
    page.keyboard.type("9")
    form.get_by_label("Then the prompt").fill(GREEN)
    form.get_by_role("button", name="Make it").click()
    expect(form.locator(".problem")).to_contain_text("at_seconds is 9", timeout=WAIT_MS)
    expect(form.get_by_label("From second")).to_be_focused()


def test_the_gallery_pages_and_filters(house: House, worker: Process, studio: Open) -> None:
    worker.pause()  # one picture will do
    reel = [house.submit(num_frames=8, steps=1, refine=False, metadata={"reel": "studio"}) for _ in range(26)]
    for video in reel[:-1]:
        house.http.post(f"/v1/videos/{video}/cancel").raise_for_status()
    worker.resume()
    assert house.ended(reel[-1])["status"] == "completed"
    page = enter(studio())
    page.locator("#filters").get_by_label("Label").fill("reel=studio")
    expect(page.locator("#gallery")).to_have_attribute("aria-busy", "false", timeout=WAIT_MS)
    expect(page.locator("#cards li")).to_have_count(24, timeout=WAIT_MS)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#cards li")).to_have_count(26, timeout=WAIT_MS)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    shown = [str(card.get_attribute("data-id")) for card in page.locator("#cards li").all()]
    assert shown == reel[::-1]
    expect(page.locator("#cards img").first).to_be_visible(timeout=WAIT_MS)
    page.locator("#filters").get_by_label("Status").select_option("failed")
    expect(page.locator("#gallery-empty")).to_have_text("No video of yours is like that.", timeout=WAIT_MS)


def test_whoever_types_while_the_gallery_loads_is_not_interrupted(studio: Open) -> None:
    page, held = studio(), list[Route]()
    page.route("**/v1/videos?*", lambda route: held.append(route))
    with page.expect_request("**/v1/videos?*"):
        enter(page)
    expect(page.locator("#prompt")).to_be_focused()
    label = page.locator("#filters").get_by_label("Label")
    label.focus()
    for route in held:
        route.continue_()
    expect(page.locator("#gallery")).to_have_attribute("aria-busy", "false", timeout=WAIT_MS)
    expect(label).to_be_focused()


def test_the_key_stays_in_this_tab_unless_it_is_to_be_remembered(studio: Open) -> None:
    stores = "[sessionStorage.getItem('longtake.key'), localStorage.getItem('longtake.key')]"
    page = enter(studio())
    assert page.evaluate(stores) == [KEY, None] and KEY not in page.url
    page.get_by_role("button", name="Forget the key").click()
    assert page.evaluate(stores) == [None, None]
    page.get_by_label("Remember on this device").check()
    enter(page)
    assert page.evaluate(stores) == [None, KEY]


def test_a_phone_has_no_sideways_scroll_and_the_theme_is_chosen(house: House, studio: Open) -> None:
    made = house.ended(house.submit(num_frames=400, steps=1, refine=False))
    page = enter(studio(has_touch=True, is_mobile=True, color_scheme="dark"))
    page.set_viewport_size({"width": 360, "height": 740})
    sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(sideways) == 0
    page.goto(f"{house.http.base_url}/#{made['id']}")
    expect(page.locator(".chunk")).to_have_count(49, timeout=WAIT_MS)
    assert page.evaluate(sideways) == 0
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(15, 16, 19)"
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(ground) == "rgb(246, 244, 240)"
