"""The map: drawn once and kept, served to those who may see it, and moved in a real Chromium."""

import io
import json
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from retrieval import settings
from retrieval.atlas import CELLS, SHEET, Atlas, draw_atlas, open_atlas
from retrieval.background import Once
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.pages.map_page import describe, folder_of, show_map
from tests.browser import open_browser, running_app, turn_to, wait_for_rest, watch
from tests.made import save_patterns

HOSTILE = '<img src=x onerror=alert(1)>".png'


def change(path: Path, statement: str, *values: str) -> None:
    """Change a file of a collection behind its back."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement, values)


@pytest.fixture
def atlas(indexed: Collection) -> Atlas:
    return draw_atlas(indexed, indexed.folder)


def test_each_picture_has_a_cell_of_its_own_on_a_map_that_fits(
    atlas: Atlas, indexed: Collection
) -> None:
    assert sorted(atlas.ids) == sorted(picture.id for picture in indexed.listing.pictures())
    assert len({tuple(cell) for cell in atlas.cells.tolist()}) == len(atlas.ids)
    assert atlas.cells.min(axis=0).tolist() == [0, 0]
    assert tuple(atlas.cells.max(axis=0) + 1) == atlas.size


@pytest.mark.parametrize("level", [0, 1], ids=["from afar", "near"])
def test_a_sheet_shows_each_picture_in_its_cell_and_nothing_beside(
    atlas: Atlas, indexed: Collection, level: int
) -> None:
    webp = atlas.sheet(level, 0, 0)
    assert webp is not None
    sheet = np.asarray(Image.open(io.BytesIO(webp)))
    assert sheet.shape == (SHEET, SHEET, 4)
    side = CELLS[level]
    red = next(
        picture.id for picture in indexed.listing.pictures() if picture.path == "warm/red.png"
    )
    column, row = atlas.cells[list(atlas.ids).index(red)]
    pixel = sheet[row * side + side // 2, column * side + side // 2].astype(int)
    assert abs(pixel - (255, 0, 0, 255))[:3].max() < 60
    assert pixel[3] > 150
    filled = {tuple(cell) for cell in atlas.cells.tolist()}
    for column in range(atlas.size[0]):
        for row in range(atlas.size[1]):
            alpha = sheet[row * side + side // 2, column * side + side // 2, 3]
            assert (alpha > 0) == ((column, row) in filled)


def test_a_map_is_drawn_once_and_opened_from_then_on(atlas: Atlas, indexed: Collection) -> None:
    written = atlas.path.stat().st_mtime_ns
    again = draw_atlas(indexed, indexed.folder)
    assert again.path == atlas.path
    assert again.path.stat().st_mtime_ns == written
    indexed.rename("another name")  # changes nothing of what the map shows
    assert draw_atlas(indexed, indexed.folder).path.stat().st_mtime_ns == written


def test_a_changed_collection_gets_another_map_and_the_old_one_goes(
    atlas: Atlas, indexed: Collection
) -> None:
    indexed.exclude(["warm/red.png"])
    changed = draw_atlas(indexed, indexed.folder)
    assert changed.name != atlas.name
    assert len(changed.ids) == len(atlas.ids) - 1
    assert [path.name for path in indexed.folder.glob("map-*")] == [changed.path.name]
    with pytest.raises(LookalikeError, match="not here any more"):
        open_atlas(atlas.path)


def test_a_damaged_map_is_drawn_anew(atlas: Atlas, indexed: Collection) -> None:
    atlas.path.write_bytes(b"PK\x03\x04 nothing")
    assert draw_atlas(indexed, indexed.folder).sheet(1, 0, 0) is not None


def test_a_picture_without_a_thumbnail_is_a_grey_cell(indexed: Collection, tmp_path: Path) -> None:
    change(indexed.folder / "thumbnails.sqlite", "DELETE FROM thumbnails")
    webp = draw_atlas(indexed, tmp_path / "maps").sheet(1, 0, 0)
    sheet = np.asarray(Image.open(io.BytesIO(webp or b"")))
    assert abs(sheet[sheet[..., 3] == 255][:, :3].astype(int) - 150).max() < 12


def test_the_map_of_a_shipped_collection_is_kept_elsewhere(
    indexed: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "HOME", tmp_path / "home")
    with Collection(indexed.folder, read_only=True) as shipped:
        atlas = draw_atlas(shipped, folder_of(shipped))
    assert atlas.path.is_relative_to(tmp_path / "home")
    assert not list(indexed.folder.glob("map-*"))
    assert folder_of(indexed) == indexed.folder


def test_what_a_browser_gets_says_where_everything_lies_and_no_place_on_the_disk(
    atlas: Atlas, indexed: Collection
) -> None:
    pictures = indexed.listing.pictures()
    data = describe(atlas, pictures[1:])  # one was taken out since
    assert len(data["ids"]) == len(data["hashes"]) == len(data["label"]) == len(pictures) - 1
    assert len(data["cells"]) == 2 * len(data["ids"])
    blue = data["names"].index("blue.png")
    assert data["labels"][data["label"][blue]] == "cold"
    assert str(indexed.folder) not in json.dumps(data)


def test_the_map_is_told_in_words_too_and_names_are_no_markup(
    atlas: Atlas, indexed: Collection
) -> None:
    assert "cold (" in show_map("key", indexed, atlas)
    change(
        indexed.folder / "collection.sqlite",
        "UPDATE pictures SET path = ?, label = ? WHERE path = 'cold/blue.png'",
        HOSTILE,
        HOSTILE,
    )
    html = show_map("key", indexed, atlas)
    assert "<img src=x" not in html
    assert html.count("data-map-id") == len(atlas.ids)


def test_a_picture_that_is_alone_on_the_map_lies_in_its_middle(
    atlas: Atlas, indexed: Collection
) -> None:
    alone = replace(atlas, ids=atlas.ids[:1], cells=atlas.cells[:1] * 0, size=(1, 1))
    assert f"<b>{words.MAP_PARTS[4]}: 1 picture" in show_map("key", indexed, alone)
    beside = replace(atlas, ids=atlas.ids[:2], cells=np.array([[0, 0], [1, 0]]), size=(2, 1))
    html = show_map("key", indexed, beside)
    assert all(f"<b>{words.MAP_PARTS[part]}: 1 picture" in html for part in (3, 5))


def wait_for(once: Once[int], collection: Collection) -> int | None:
    return once.ask(collection, patience=60).result


def test_what_takes_long_is_computed_once_for_each_revision(indexed: Collection) -> None:
    calls: list[int] = []

    def compute(collection: Collection) -> int:
        calls.append(collection.revision)
        return len(calls)

    once = Once(compute)
    assert [wait_for(once, indexed) for _ in range(3)] == [1, 1, 1]
    indexed.exclude(["warm/red.png"])
    assert wait_for(once, indexed) == 2


def test_a_failure_is_told_and_tried_again_only_when_asked(indexed: Collection) -> None:
    sentences = iter(["The disk is full."])

    def compute(collection: Collection) -> int:
        for sentence in sentences:
            raise LookalikeError(sentence)
        return 1

    once = Once(compute)
    assert once.ask(indexed, patience=60).problem == "The disk is full."
    assert once.ask(indexed, patience=60).problem == "The disk is full."
    assert once.ask(indexed, patience=60, again=True).result == 1


def test_two_are_not_computed_at_one_time(indexed: Collection, tmp_path: Path) -> None:
    running: list[int] = []

    def compute(collection: Collection) -> int:
        running.append(1)
        time.sleep(0.05)
        assert running == [1]
        running.pop()
        return 1

    once = Once(compute)
    other = Collection(indexed.folder)
    tasks = [once.ask(indexed), once.ask(other)]
    assert all(task.done.wait(60) for task in tasks)
    assert [task.result for task in tasks] == [1, 1]
    other.close()


# In a browser.


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, str]]:
    """The map of a few patterns, opened, and the app's address; script errors fail."""
    folder = save_patterns(tmp_path_factory.mktemp("patterns"), 4)
    home = tmp_path_factory.mktemp("home")
    with running_app(home, "--pictures", str(folder)) as address, open_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        wrong = watch(page, address)
        page.goto(address)
        expect(page.locator("#results .lk-tile")).to_have_count(16, timeout=60_000)
        page.get_by_role("tab", name="Map").click()
        page.wait_for_selector(".lk-map[data-ready]", timeout=60_000)
        yield page, address
        assert wrong == []


PAINTED = """() => {
  const canvas = document.querySelector(".lk-map canvas");
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let n = 0;
  for (let i = 3; i < data.length; i += 4) n += data[i] > 0;
  return n;
}"""


def painted(page: Page) -> int:
    """Return how many pixels of the canvas show something, once it changes no more."""
    before, now = -1, int(page.evaluate(PAINTED))
    while now != before:
        page.wait_for_timeout(500)
        before, now = now, int(page.evaluate(PAINTED))
    return now


def wait_until_painted(page: Page, least: float, most: float) -> None:
    """Wait until so many pixels of the canvas show something."""
    page.wait_for_function(
        f"([least, most]) => {{ const n = ({PAINTED})(); return least <= n && n <= most; }}",
        arg=[least, most],
    )


def test_it_is_moved_and_zoomed_and_a_click_searches(opened: tuple[Page, str]) -> None:
    page, _ = opened
    whole = painted(page)
    assert whole > 20_000
    canvas = page.locator(".lk-map canvas")
    canvas.hover()
    page.mouse.wheel(0, 900)
    wait_until_painted(page, 0, whole - 1)
    page.get_by_role("button", name="The whole map").click()
    wait_until_painted(page, 0.98 * whole, 1.02 * whole)
    # As Safari tells of two fingers on a trackpad.
    for kind, scale in (("gesturestart", 1), ("gesturechange", 0.8), ("gestureend", 0.8)):
        canvas.evaluate(
            """(canvas, [kind, scale]) => {
              const { left, top, width, height } = canvas.getBoundingClientRect();
              const event = new Event(kind, { bubbles: true, cancelable: true });
              const [clientX, clientY] = [left + width / 2, top + height / 2];
              canvas.dispatchEvent(Object.assign(event, { scale, clientX, clientY }));
              if (!event.defaultPrevented) throw new Error("the page would be zoomed");
            }""",
            [kind, scale],
        )
    wait_until_painted(page, 0, 0.9 * whole)
    page.get_by_role("button", name="The whole map").click()
    # By keyboard: what lies in the middle is told, and Enter searches with it.
    page.keyboard.press("Shift+Tab")
    for _ in range(3):
        if canvas.evaluate("(one) => one === document.activeElement"):
            break
        page.keyboard.press("Shift+Tab")
    for key in ("+", "ArrowLeft", "ArrowUp", "-"):
        page.keyboard.press(key)
    wait_for_rest(page, ".lk-map [aria-live]", 1_000)  # it speaks when the map has come to rest
    expect(page.locator(".lk-map [aria-live]")).not_to_be_empty()
    name = page.locator(".lk-map [aria-live]").inner_text().split(",")[0]
    page.keyboard.press("Enter")
    expect(page.locator("#results .lk-head h2")).to_be_visible(timeout=60_000)
    expect(page.locator("#results .lk-head h2")).to_have_text(f"Most similar to {name}")
    page.wait_for_url("**like=*")
    # In words, for those who do not see it.
    page.get_by_role("tab", name="Map").click()
    page.get_by_text("The map in words").click()
    link = page.locator(".lk-map-words button").first
    name = link.inner_text()
    link.click()
    expect(page.locator("#results .lk-head h2")).to_have_text(
        f"Most similar to {name}", timeout=60_000
    )


def test_the_whole_map_stays_whole_when_the_window_changes_its_size(
    opened: tuple[Page, str],
) -> None:
    page, address = opened
    assert page.context.browser is not None
    other = page.context.browser.new_page(viewport={"width": 1280, "height": 800})
    other.goto(address)
    other.get_by_role("tab", name="Map").click()
    other.wait_for_selector(".lk-map[data-ready]", timeout=60_000)
    other.set_viewport_size({"width": 800, "height": 420})
    small = painted(other)
    other.reload()
    other.wait_for_selector(".lk-map[data-ready]", timeout=60_000)
    assert painted(other) == pytest.approx(small, rel=0.02)
    # What was gone to stays as it is.
    other.get_by_role("button", name="Farther").click()
    far = painted(other)
    assert far < 0.7 * small
    other.set_viewport_size({"width": 800, "height": 440})
    assert painted(other) < 1.2 * far
    other.close()


def test_it_comes_also_when_the_connection_was_lost_for_a_moment(opened: tuple[Page, str]) -> None:
    page, address = opened
    assert page.context.browser is not None
    other = page.context.browser.new_page()
    other.route("**/maps/**/*.json", lambda route: route.abort(), times=1)
    other.goto(address)
    other.get_by_role("tab", name="Map").click()
    other.wait_for_selector(".lk-map[data-ready]", timeout=60_000)
    other.close()


def test_a_pick_searches_as_the_options_stand(opened: tuple[Page, str]) -> None:
    page, address = opened
    assert page.context.browser is not None
    other = page.context.browser.new_page()
    other.goto(f"{address}?n=12&order=name&label=dots")
    expect(other.locator("#results .lk-head h2")).to_contain_text("A look around", timeout=60_000)
    other.get_by_role("tab", name="Map").click()
    other.get_by_text("The map in words").click(timeout=60_000)
    other.locator(".lk-map-words button").first.click()
    other.wait_for_url("**like=*", timeout=60_000)
    assert ("n=12" in other.url, "order=name" in other.url) == (True, True)
    assert "label=" not in other.url  # which would hide most of what the map shows
    other.close()


def test_after_a_pick_the_options_of_the_search_page_still_count(
    opened: tuple[Page, str],
) -> None:
    page, address = opened
    assert page.context.browser is not None
    other = page.context.browser.new_page()
    other.goto(address)
    other.get_by_role("tab", name="Map").click()
    other.get_by_text("The map in words").click(timeout=60_000)
    other.locator(".lk-map-words button").first.click()
    other.wait_for_url("**like=*", timeout=60_000)
    expect(other.locator("#results .lk-tile")).to_have_count(15)
    other.locator("#count label", has_text="12").click()
    expect(other.locator("#results .lk-tile")).to_have_count(12, timeout=60_000)
    other.close()


def test_on_a_phone_a_pick_brings_the_results_into_view(opened: tuple[Page, str]) -> None:
    page, address = opened
    assert page.context.browser is not None
    other = page.context.browser.new_page(viewport={"width": 390, "height": 844})
    other.goto(address)
    turn_to(other, "Map")
    other.get_by_text("The map in words").click(timeout=60_000)
    other.locator(".lk-map-words button").first.click()
    expect(other.locator("#results .lk-head h2")).to_contain_text("Most similar", timeout=60_000)
    expect(other.locator("#results .lk-tile .lk-pick").first).to_be_in_viewport(ratio=0.9)
    expect(other.locator("#query")).not_to_be_in_viewport()
    other.close()


@pytest.mark.parametrize("overtaken", [True, False], ids=["overtaken", "failed"])
def test_a_pick_that_brings_nothing_leaves_the_map_where_it_is(
    opened: tuple[Page, str], overtaken: bool
) -> None:
    page, address = opened
    assert page.context.browser is not None
    other = page.context.browser.new_page()
    other.goto(address)
    expect(other.locator("#results .lk-tile")).to_have_count(16, timeout=60_000)
    other.get_by_role("tab", name="Map").click()
    other.get_by_text("The map in words").click(timeout=60_000)
    other.wait_for_timeout(2500)  # in which the page has asked for all that it asks by itself
    picks = other.locator(".lk-map-words button")
    other.route("**/queue/join*", lambda route: route.fulfill(status=503, json={}), times=1)
    with other.expect_response("**/queue/join*"):
        picks.first.click()
    if overtaken:
        picks.nth(1).click()
        other.wait_for_url("**like=*", timeout=60_000)
        expect(other.locator("#results")).to_be_visible(timeout=60_000)
        other.get_by_role("tab", name="Map").click()
    other.wait_for_timeout(5500)
    expect(picks.first).to_be_visible()
    other.close()


@pytest.mark.parametrize(
    "path",
    [
        "{key}/{zeros}.json",
        "{key}/..%2f..%2fx.json",
        "nobody/{name}.json",
        "{key}/{name}/1-99-9.webp",
        "{key}/{name}/..%2fcollection.webp",
    ],
)
def test_only_maps_are_served(opened: tuple[Page, str], path: str) -> None:
    page, address = opened
    key = page.locator(".lk-map").get_attribute("data-key")
    name = str(page.locator(".lk-map").get_attribute("data-map")).split("/")[-1][:-5]
    with urllib.request.urlopen(f"{address}maps/{key}/{name}.json") as answer:
        assert len(json.load(answer)["ids"]) == 16
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address + "maps/" + path.format(key=key, name=name, zeros="0" * 32))
    with refused.value as answer:
        assert answer.code == 404
