"""The page in a real browser: Chromium by Playwright, where both are there."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from derain_cli.media.photo import write_rgb
from tests.conftest import make_picture
from tests.sample_clips import write_clip
from tests.serve.conftest import Running

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
    pytest.mark.limits(max_upload=8 << 20, idle=20.0),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def page(browser: Any, running: Running, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, opened; at the end nothing was asked of anybody else, and no script failed."""
    width, height = getattr(request, "param", (1280, 800))
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=width < 500)
    one = context.new_page()
    one.set_default_timeout(60_000)
    asked, failed = [], []
    one.on("request", lambda each: asked.append(each.url))
    one.on("pageerror", lambda error: failed.append(str(error)))
    one.goto(running.address)
    one.locator("#accepts", has_text="each").wait_for()
    yield one
    context.close()
    assert failed == []
    assert [url for url in asked if not url.startswith((running.address, "about:"))] == []


def add(page: Any, *files: Path) -> None:
    page.set_input_files("#files", [str(file) for file in files])


def card(page: Any, name: str) -> Any:
    return page.get_by_role("article", name=name, exact=True)


def done(page: Any, name: str) -> Any:
    """The card, once its result can be downloaded."""
    one = card(page, name)
    one.locator("a.button[aria-disabled=false]").wait_for()
    return one


def downloaded(page: Any, one: Any) -> bytes:
    with page.expect_download() as download:
        one.locator("a.button").click()
    return Path(download.value.path()).read_bytes()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    write_rgb(tmp_path / "garden.png", make_picture(96, 128))
    return tmp_path / "garden.png"


def test_a_photo_is_added_compared_made_weaker_and_downloaded(page: Any, photo: Path) -> None:
    add(page, photo)
    one = done(page, "garden.png")
    full = downloaded(page, one)
    assert Image.open(io.BytesIO(full)).size == (128, 96)

    compare = page.get_by_role("slider", name="Position of the divider between before and after of garden.png")
    compare.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert float(compare.input_value()) == 40
    page.keyboard.press("Home")
    assert float(compare.input_value()) == 0

    strength = page.get_by_role("slider", name="Strength for garden.png")
    strength.fill("50")
    assert one.locator(".compare").evaluate("each => each.style.getPropertyValue('--strength')") == "0.5"
    half = downloaded(page, done(page, "garden.png"))
    before, weak, strong = (
        np.asarray(Image.open(each), np.float64) for each in (photo, io.BytesIO(half), io.BytesIO(full))
    )
    inside = (strong > 1) & (strong < 254)
    assert np.abs(weak - (before + strong) / 2)[inside].max() <= 1

    model = page.get_by_role("combobox", name="Model for garden.png")
    assert [each.split(":")[0] for each in model.locator("option").all_inner_texts()] == ["one", "two"]
    model.select_option("two")
    assert downloaded(page, done(page, "garden.png")) != half


def coarse(picture: Any) -> Any:
    """Mean colours of 6 x 8 parts."""
    return np.asarray(Image.open(picture).convert("RGB").resize((8, 6), Image.Resampling.BOX), np.float64)


def test_what_is_shown_is_what_is_downloaded_blended_by_strength(page: Any, photo: Path) -> None:
    add(page, photo)
    one = done(page, "garden.png")
    one.locator(".compare.both").wait_for()
    before, after = coarse(photo), coarse(io.BytesIO(downloaded(page, one)))
    one.locator(".handle, .tag").evaluate_all("all => all.forEach(each => each.hidden = true)")
    page.locator(".stage-tools").evaluate("each => each.hidden = true")
    for strength, divider, expected in ((100, 0, after), (30, 0, 0.7 * before + 0.3 * after), (30, 100, before)):
        page.get_by_role("slider", name="Strength for").fill(str(strength))
        page.get_by_role("slider", name="Position of the divider").fill(str(divider))
        shown = coarse(io.BytesIO(one.locator(".compare").screenshot()))
        assert np.abs(shown - expected).mean() < 2, (strength, divider)
    assert np.abs(before - after).mean() > 10  # or it would not matter


def test_dropped_files_and_what_is_none(page: Any, photo: Path, running: Running) -> None:
    page.evaluate(
        """() => {
            const files = new DataTransfer();
            files.items.add(new File(["no picture"], "<b>notes</b>.jpg", { type: "image/jpeg" }));
            files.items.add(new File([new Uint8Array(9 * 2 ** 20)], "large.jpg", { type: "image/jpeg" }));
            dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
        }"""
    )
    bad = card(page, "<b>notes</b>.jpg")
    bad.get_by_role("alert").get_by_text("not a photo or video clip").wait_for()
    assert not bad.get_by_role("button", name="Try again").is_visible()
    card(page, "large.jpg").get_by_text("the limit is 8 MB").wait_for()
    add(page, photo)
    done(page, "garden.png")
    assert "1 of 3 done, 2 failed" in page.locator("#summary").inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all").click()
    assert download.value.suggested_filename == "derained.zip"
    page.get_by_role("button", name="Remove all").click()
    page.get_by_role("heading", name="Remove rain from your photos").wait_for()
    assert running.left() == []


def test_a_clip_shows_how_far_it_is_and_can_be_played(page: Any, tmp_path: Path) -> None:
    add(page, write_clip(tmp_path / "walk.mp4", frames=60, width=96, height=64))
    one = card(page, "walk.mp4")
    one.get_by_role("progressbar", name="Progress of walk.mp4").wait_for()
    done(page, "walk.mp4")
    moments = one.get_by_role("group", name="Moments of the clip").get_by_role("button")
    assert moments.count() == 5
    first = one.locator("img.after").get_attribute("src")
    moments.nth(3).click()
    page.wait_for_timeout(300)
    assert one.locator("img.after").get_attribute("src") != first
    one.get_by_role("button", name="Play result").click()
    assert one.locator("video").evaluate(
        "video => video.readyState > 1 || new Promise(done => video.onloadeddata = () => done(true))"
    )
    page.get_by_role("slider", name="Strength for walk.mp4").fill("40")
    one.get_by_role("button", name="Process again at 40 %").click()
    done(page, "walk.mp4")


def test_enlarged_it_takes_the_keyboard_and_gives_it_back(page: Any, photo: Path) -> None:
    add(page, photo)
    done(page, "garden.png")
    page.get_by_role("button", name="Enlarge garden.png").click()
    large = page.get_by_role("dialog", name="Enlarged")
    large.get_by_role("slider").press("ArrowRight")
    assert float(large.get_by_role("slider").input_value()) == 52
    page.keyboard.press("Escape")
    large.wait_for(state="hidden")


def test_nothing_is_left_when_the_page_is_left(page: Any, photo: Path, running: Running) -> None:
    add(page, photo)
    one = done(page, "garden.png")
    downloaded(page, one)
    assert running.left()
    page.goto("about:blank")
    deadline = time.monotonic() + 20
    while running.left():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_when_the_program_ends_the_page_says_so(page: Any, photo: Path, running: Running) -> None:
    add(page, photo)
    done(page, "garden.png")
    running.stop()
    page.wait_for_timeout(1500)
    page.get_by_role("slider", name="Strength for garden.png").fill("20")
    page.get_by_role("alert").get_by_text("does not respond").wait_for()


@pytest.mark.parametrize("page", [(1280, 800), (390, 844), (320, 568)], indirect=True)
def test_nothing_is_wider_than_the_screen(page: Any, photo: Path, tmp_path: Path) -> None:
    long = tmp_path / f"{'a very long name of a photo ' * 3}.png"
    shutil.copy(photo, long)
    write_rgb(tmp_path / "upright.png", make_picture(300, 60))
    add(page, photo, long, tmp_path / "upright.png")
    done(page, "upright.png")
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for each in page.locator("button, a.button, select").all():  # large enough for a finger
        box = each.bounding_box()
        assert box is None or min(box["width"], box["height"]) >= 24, each.inner_text()
