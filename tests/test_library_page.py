"""The tab "My pictures" in a real browser: an owner's collections, and a visitor's own."""

import base64
import csv
import io
import json
import os
import re
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from retrieval.pages import words
from tests.browser import (
    PROJECT,
    note_what_is_read,
    place_of,
    running_app,
    turn_to,
    wait_for_rest,
    watch,
)
from tests.made import by_hue, encode, noise, save_hues

SLOW = 60_000  # milliseconds
LINE = 25  # pixels that one line of a sentence takes at most


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as people have them: subfolders, odd names, captions, a broken file."""
    folder = tmp_path_factory.mktemp("albums") / "Holiday &amp; 2024"
    save_hues(folder, {"sea/blue.png": 240, "sea/azure.png": 210, "日本 🐈/red 'x'.png": 0})
    (folder / "broken &lt;.jpg").write_bytes(b"no")
    save_hues(folder / "sea" / "@eaDir", {"SYNOPHOTO_THUMB_M.png": 240})
    save_hues(folder / "Old.photoslibrary" / "resources", {"small.png": 240})
    (folder / "captions.csv").write_text("filename,label\nsea/azure.png,sky\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def in_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_hues(tmp_path_factory.mktemp("disk") / "Garden", {"a.png": 100, "b.png": 130})


@pytest.fixture(scope="module")
def owned(in_place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app on the owner's computer."""
    with running_app(tmp_path_factory.mktemp("home"), "--pictures", str(in_place)) as address:
        yield address


@pytest.fixture(scope="module")
def hosted(in_place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app as it runs on a Space, with a password."""
    os.environ["SPACE_ID"] = "somebody/lookalike"
    try:
        home = tmp_path_factory.mktemp("space")
        with running_app(home, "--pictures", str(in_place), "--password", "open") as address:
            yield address
    finally:
        del os.environ["SPACE_ID"]


def open_library(browser: Browser, address: str) -> Page:
    """Open the tab as somebody whom the app has not seen before."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(address)
    expect(page.locator(".lk-tile").first).to_be_visible(timeout=SLOW)
    page.get_by_role("tab", name="My pictures").click()
    expect(page.locator(".lk-collection").first).to_be_visible()
    return page


def card(page: Page, name: str) -> Locator:
    return page.locator(".lk-collection", has=page.locator("h3", has_text=name))


def press(where: Locator, name: str) -> None:
    where.get_by_role("button", name=name, exact=True).click()


def drop_folder(page: Page, folder: Path) -> None:
    """Drop a folder of this disk, as from the file manager."""
    zone = page.locator("#add-pictures").bounding_box()
    assert zone is not None
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        place = {"type": kind, "x": zone["x"] + 40, "y": zone["y"] + 30, "data": data}
        session.send("Input.dispatchDragEvent", place)


def add_folder(page: Page, folder: Path) -> None:
    page.set_input_files("#add-pictures input[data-pick=folder]", str(folder))


@pytest.fixture
def page(browser: Browser, owned: str) -> Iterator[Page]:
    page = open_library(browser, owned)
    wrong = watch(page, owned)
    yield page
    page.context.close()
    assert wrong == []


def test_a_button_that_is_refused_can_be_pressed_again(page: Page, tmp_path: Path) -> None:
    add_folder(page, save_hues(tmp_path / "Refused", {"red.png": 0, "lime.png": 90}))
    made = card(page, "Refused")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    press(made, "Show pictures")
    take_out = made.get_by_role("button", name="Take 1 out", exact=True)
    boxes = made.locator(".lk-marks input")
    gone, there = boxes.first, boxes.last
    gone.evaluate("(box) => { box.value = '999'; }")
    for _ in range(2):
        gone.check()
        take_out.click()
        expect(page.get_by_text("is not in the collection any more").last).to_be_visible()
        expect(made.locator(".lk-busy")).to_have_count(0, timeout=SLOW)
    there.check()
    take_out.click()
    expect(made).to_contain_text("1 picture", timeout=SLOW)
    press(made, "Delete")


def test_a_folder_becomes_a_collection_that_is_searched_renamed_deleted_and_brought_back(
    page: Page, album: Path
) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(unquote(request.headers.get("x-name", ""))))
    add_folder(page, album)
    made = card(page, "Holiday &amp; 2024")
    expect(made.locator(".lk-good")).to_contain_text(
        "3 pictures ready, 1 could not be read.", timeout=SLOW
    )
    assert any(path.endswith("/sea/blue.png") for path in sent)
    assert not [path for path in sent if "@eaDir" in path or "resources" in path]
    press(made, "Show which")
    expect(made.locator(".lk-table")).to_contain_text("broken &lt;.jpg")
    with page.expect_download() as download:
        made.get_by_role("link", name="Save as a table (CSV)").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    assert [row["filename"] for row in csv.DictReader(io.StringIO(text))] == ["broken &lt;.jpg"]
    gone = "That collection is not here any more."
    page.route(
        "**/problems/*.csv", lambda route: route.fulfill(content_type="text/plain", body=gone)
    )
    made.get_by_role("link", name="Save as a table (CSV)").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text(gone)
    page.get_by_test_id("toast-close").click()

    press(made, "Rename")
    field = made.get_by_label("Name of the collection")
    expect(field).to_be_focused()
    field.fill("Sea & <script>alert(1)</script>")
    field.press("Enter")
    made = card(page, "Sea & <script>")
    expect(made).to_be_visible()

    press(made, "Search")
    expect(page.locator(".lk-tile")).to_have_count(3)
    assert set(page.locator(".lk-kind").all_inner_texts()) == {"sky", "sea", "日本 🐈"}
    page.get_by_role("button", name="Filter and sort").click()
    page.get_by_label("Kind", exact=True).click()
    expect(page.get_by_role("option")).to_contain_text(["Any", "sea", "sky", "日本 🐈"])
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="My pictures").click()

    press(made, "Delete")
    expect(made).to_have_count(0)
    press(page.locator(".lk-say"), "Undo")
    expect(made.locator(".lk-meta")).to_contain_text("3 pictures")


def test_a_connection_that_is_lost_for_a_moment_costs_no_picture(
    browser: Browser, owned: str, tmp_path: Path
) -> None:
    page = open_library(browser, owned)
    lost: list[str] = []

    def lose(route: Route) -> None:
        if "x-name" not in route.request.headers or len(lost) == 4:
            return route.continue_()
        lost.append(route.request.headers["x-name"])
        if len(lost) < 4:
            return route.abort("connectionreset")
        route.fetch()  # all of it has come, and only the answer is lost
        route.abort("connectionreset")

    page.route("**/uploads/*", lose)
    add_folder(page, save_hues(tmp_path / "Train", {f"{hue}.png": hue for hue in (0, 90, 180)}))
    expect(page.locator(".lk-upload")).to_contain_text("The connection was lost. Trying again")
    expect(card(page, "Train").locator(".lk-good")).to_contain_text("3 pictures", timeout=SLOW)
    assert len(lost) == 4
    page.context.close()


def test_what_went_wrong_is_still_said_where_the_page_comes_anew_for_another_app(
    browser: Browser, owned: str, tmp_path: Path
) -> None:
    page = open_library(browser, owned)
    held: list[Route] = []
    page.route("**/uploads", lambda route: held.append(route))
    add_folder(page, save_hues(tmp_path / "Lost", {"red.png": 0, "lime.png": 90}))
    page.wait_for_function("lookalikeSending()")
    page.evaluate("window.stays = true; gradio_config.app_id = 1")
    page.wait_for_timeout(3_000)  # the app is asked for every two seconds
    assert page.evaluate("window.stays")  # what is being sent has tries of its own
    held[0].fulfill(status=507, json={"error": "The disk is full."})
    page.wait_for_function("!window.stays")
    expect(page.locator(".lk-upload")).to_have_text("The disk is full.", timeout=SLOW)
    # What was only said is in nobody's way.
    page.set_input_files("#add-pictures input[data-pick=files]", __file__)
    expect(page.locator(".lk-upload")).not_to_be_empty()
    page.evaluate("sessionStorage.clear(); window.stays = true; gradio_config.app_id = 1")
    page.wait_for_function("!window.stays")
    expect(page.locator(".lk-collection").first).to_be_visible(timeout=SLOW)
    expect(page.locator(".lk-upload")).to_be_empty()
    page.context.close()


def test_every_tab_shows_the_collection_that_is_searched_also_after_a_reload_and_a_step_back(
    browser: Browser, owned: str, tmp_path: Path
) -> None:
    page = open_library(browser, owned)
    add_folder(page, save_hues(tmp_path / "Second", {f"{hue}.png": hue for hue in (0, 90, 180)}))
    made = card(page, "Second")
    expect(made.locator(".lk-good")).to_contain_text("3 pictures", timeout=SLOW)
    key = made.get_attribute("data-key")
    keys = page.locator(".lk-collection[data-key]").evaluate_all(
        "(cards) => cards.map((card) => card.dataset.key)"
    )
    other = next(one for one in keys if one != key)
    page.goto(f"{owned}?in={key}")
    expect(page.locator(".lk-tile")).to_have_count(3, timeout=SLOW)
    for tab, name in (("Map", "map"), ("Copies", "copies"), ("How good is it?", "test")):
        choice = page.locator(f"#{name}-collection input")
        turn_to(page, tab)
        expect(choice).to_have_value("Second", timeout=SLOW)
        page.wait_for_function("(tab) => history.state?.tab === tab", arg=name)
        page.reload()
        expect(choice).to_have_value("Second", timeout=SLOW)
        expect(page.locator(f"#{name}")).to_be_visible()
    # One step back from the map of another collection to this one's.
    choice = page.locator("#map-collection input")
    turn_to(page, "Map")
    page.wait_for_function("history.state?.tab === 'map'")
    page.evaluate("(key) => lookalikeVisit(`?in=${key}`)", other)
    page.wait_for_url(f"**in={other}*")
    turn_to(page, "Search")
    turn_to(page, "Map")
    expect(choice).not_to_have_value("Second", timeout=SLOW)
    page.wait_for_function("history.state?.tab === 'map'")
    page.go_back()
    page.wait_for_url(f"**in={key}*")
    expect(choice).to_have_value("Second", timeout=SLOW)
    expect(page.locator("#map")).to_be_visible()
    turn_to(page, "My pictures")
    press(made, "Delete")
    expect(made).to_have_count(0)
    page.context.close()


# An app in which, while a file "hold" is there, one answer waits until another one has been shown.
LATE = """
import functools
import sys
import threading
from pathlib import Path
sys.path.insert(0, {project!r})
from retrieval.pages.{module} import {page} as Page
late, sooner = Page.{late}, Page.{sooner}
hold, answered = Path({hold!r}), threading.Event()

@functools.wraps(late)
def answer_late(*given):
    answer = late(*given)
    if hold.exists():
        hold.with_name("held").touch()
        answered.wait(60)
        threading.Event().wait(1)
    return answer

@functools.wraps(sooner)
def answer_sooner(*given):
    answer = sooner(*given)
    if hold.exists():
        answered.set()
    return answer

Page.{late}, Page.{sooner} = answer_late, answer_sooner
import app
sys.exit(app.main())
"""


@contextmanager
def answering_late(
    folder: Path, pictures: Path, module: str, page: str, late: str, sooner: str
) -> Iterator[tuple[str, Callable[[Page], None]]]:
    """Run such an app; yield its address, and what waits until the one answer is held back."""
    program, hold = folder / "late.py", folder / "hold"
    names = {"module": module, "page": page, "late": late, "sooner": sooner}
    program.write_text(LATE.format(project=str(PROJECT), hold=str(hold), **names))

    def wait(page: Page) -> None:
        while not hold.with_name("held").exists():
            page.wait_for_timeout(50)

    with running_app(folder / "home", "--pictures", str(pictures), program=program) as address:
        yield address, wait


def test_a_late_answer_leaves_no_choice_of_the_collection_before(
    browser: Browser, in_place: Path, tmp_path: Path
) -> None:
    names = ("search_page", "SearchPage", "on_return", "on_visit")
    with answering_late(tmp_path, in_place, *names) as (address, wait_until_held):
        page = open_library(browser, address)
        add_folder(page, save_hues(tmp_path / "Second", {"red.png": 0, "lime.png": 90}))
        expect(card(page, "Second").locator(".lk-good")).to_be_visible(timeout=SLOW)
        garden = card(page, "Garden").get_attribute("data-key")
        second = card(page, "Second").get_attribute("data-key")
        page.goto(f"{address}?in={second}")
        choice = page.locator("#collection input")
        expect(choice).to_have_value("Second", timeout=SLOW)
        page.evaluate("(key) => lookalikeVisit(`?in=${key}`)", garden)
        page.wait_for_url(f"**in={garden}*")
        turn_to(page, "Map")
        (tmp_path / "hold").touch()
        turn_to(page, "Search")
        wait_until_held(page)
        page.go_back()
        # Of the opened page, of both visits, and once more of what the late one had overwritten.
        page.wait_for_function(
            "Number(document.querySelector('#results [data-turn]').dataset.turn) >= 5"
        )
        expect(choice).to_have_value("Second")
        turn_to(page, "Map")
        expect(page.locator("#map-collection input")).to_have_value("Second", timeout=SLOW)
        page.context.close()


def test_a_late_answer_does_not_close_what_a_button_has_opened(
    browser: Browser, in_place: Path, tmp_path: Path
) -> None:
    names = ("library_page", "LibraryPage", "on_return", "on_act")
    with answering_late(tmp_path, in_place, *names) as (address, wait_until_held):
        page = open_library(browser, address)
        turn_to(page, "Search")
        wait_for_rest(page, "#library-cards")
        (tmp_path / "hold").touch()
        turn_to(page, "My pictures")
        wait_until_held(page)
        turn = page.locator("#library-cards [data-turn]")
        before = int(turn.get_attribute("data-turn") or 0)
        press(card(page, "Garden"), "Download")
        # The late one, what was pressed, and once more what the late one had overwritten.
        expect(turn).to_have_attribute("data-turn", str(before + 3), timeout=SLOW)
        expect(card(page, "Garden").get_by_role("link", name="Without the photos")).to_be_visible()
        page.context.close()


def test_what_a_button_opens_far_below_comes_into_view(
    browser: Browser, owned: str, tmp_path: Path
) -> None:
    page = open_library(browser, owned)
    page.set_viewport_size({"width": 390, "height": 420})
    add_folder(page, save_hues(tmp_path / "Below", {"red.png": 0, "lime.png": 90}))
    made = card(page, "Below")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    made.locator("h3").scroll_into_view_if_needed()
    made.get_by_role("button", name="Show pictures", exact=True).click()
    expect(made.locator(".lk-open")).to_be_in_viewport(ratio=0.5)
    press(made, "Delete")
    page.context.close()


def test_what_lies_open_stays_so_while_a_notice_comes(
    browser: Browser, owned: str, tmp_path: Path
) -> None:
    page = open_library(browser, owned)
    garden = card(page, "Garden")
    press(garden, "Rename")
    field = garden.get_by_label("Name of the collection")
    field.fill("half a na")
    other = save_hues(tmp_path / "Beside", {"red.png": 0, "lime.png": 90})
    (other / "notes.txt").write_text("no picture")
    add_folder(page, other)
    expect(page.locator(".lk-say")).to_contain_text("Left out: 1 file", timeout=SLOW)
    expect(field).to_have_value("half a na")
    expect(field).to_be_focused()
    page.context.close()


def test_what_is_built_is_shown_while_a_name_is_typed_or_pictures_are_marked(
    page: Page, tmp_path: Path
) -> None:
    garden = card(page, "Garden")
    press(garden, "Rename")
    field = garden.get_by_label("Name of the collection")
    field.fill("half a na")
    add_folder(page, save_hues(tmp_path / "Meanwhile", {"red.png": 0, "lime.png": 90}))
    made = card(page, "Meanwhile")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    expect(field).to_have_value("half a na")
    expect(field).to_be_focused()
    press(garden, "Close")
    press(made, "Show pictures")
    made.locator(".lk-marks input").first.check()
    add_folder(page, save_hues(tmp_path / "Later", {"red.png": 0, "lime.png": 90}))
    expect(card(page, "Later").locator(".lk-good")).to_be_visible(timeout=SLOW)
    expect(made.locator(".lk-marks :checked")).to_have_count(1)
    expect(made.locator(".lk-marks input").first).to_be_checked()
    for name in ("Meanwhile", "Later"):
        press(card(page, name), "Delete")
        expect(card(page, name)).to_have_count(0)


def test_a_list_of_changes_stays_unfolded_while_something_is_built(
    page: Page, in_place: Path, tmp_path: Path
) -> None:
    new = in_place / "new.png"
    by_hue(200).save(new)
    garden = card(page, "Garden")
    press(garden, "Look for changes")
    garden.locator(".lk-open summary").first.click()
    listed = garden.get_by_text("new.png")
    expect(listed).to_be_visible()
    turn = page.locator("#library-cards [data-turn]").get_attribute("data-turn")
    add_folder(page, save_hues(tmp_path / "Aside", {"red.png": 0, "lime.png": 90}))
    expect(card(page, "Aside").locator(".lk-good")).to_be_visible(timeout=SLOW)
    assert page.locator("#library-cards [data-turn]").get_attribute("data-turn") != turn
    expect(listed).to_be_visible()
    garden.locator(".lk-open summary").first.click()
    expect(listed).to_be_hidden()
    new.unlink()
    press(garden, "Close")
    press(card(page, "Aside"), "Delete")


def test_by_keyboard_the_focus_stays_where_one_was(page: Page, tmp_path: Path) -> None:
    add_folder(page, save_hues(tmp_path / "Keys", {"red.png": 0, "lime.png": 90}))
    expect(card(page, "Keys").locator(".lk-good")).to_be_visible(timeout=SLOW)

    def enter(name: str) -> None:
        button = card(page, "Key").get_by_role("button", name=name, exact=True)
        button.focus()
        button.press("Enter")

    def held(name: str) -> None:
        expect(card(page, "Key").get_by_role("button", name=name, exact=True)).to_be_focused()

    enter("Show pictures")
    enter("Close")
    held("Show pictures")
    enter("Rename")
    expect(page.get_by_label("Name of the collection")).to_be_focused()
    page.keyboard.type("Keyboard")
    page.keyboard.press("Enter")
    expect(card(page, "Keyboard")).to_be_visible()
    held("Rename")
    enter("Delete")
    expect(page.locator(".lk-say").first).to_be_focused()
    undo = page.locator(".lk-say").get_by_role("button", name="Undo")
    undo.focus()
    undo.press("Enter")
    expect(card(page, "Keyboard")).to_be_visible()
    held("Search")
    enter("Delete")


def test_enter_pressed_twice_deletes_nothing_for_good_and_what_came_of_it_is_read(
    page: Page, tmp_path: Path
) -> None:
    names = ("Gone one", "Gone two")
    for name in names:
        add_folder(page, save_hues(tmp_path / name, {"red.png": 0, "lime.png": 90}))
        expect(card(page, name).locator(".lk-good")).to_be_visible(timeout=SLOW)
    aloud = page.locator("#lk-aloud")
    for name in names:
        press(card(page, name), "Delete")
        expect(aloud).to_contain_text(f"{name} was deleted.")
    press(page.locator(".lk-says"), "Close")
    gone = page.get_by_role("list", name=words.BIN).get_by_role("listitem")
    gone = gone.filter(has_text="Gone")
    expect(gone).to_have_count(2)
    gone.first.get_by_role("button", name="Delete for good").press("Enter")
    keep = gone.first.get_by_role("button", name="Keep")
    expect(keep).to_be_focused()
    expect(keep).to_have_accessible_description(re.compile("^Delete Gone (one|two) for good, "))
    page.keyboard.press("Enter")
    expect(keep).to_have_count(0)
    expect(gone).to_have_count(2)
    gone.first.get_by_role("button", name="Delete for good").press("Enter")
    expect(keep).to_be_focused()
    keep.press("Escape")
    expect(keep).to_have_count(0)
    gone.first.get_by_role("button", name="Delete for good").press("Enter")
    expect(keep).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(gone).to_have_count(1)
    expect(aloud).to_have_text(re.compile("^Gone (one|two) was deleted for good.$"))
    expect(page.locator(".lk-say")).to_be_focused()


def test_escape_closes_what_a_button_has_opened_and_looking_is_answered_aloud(page: Page) -> None:
    garden = card(page, "Garden")
    show = garden.get_by_role("button", name="Show pictures")
    expect(show).to_have_attribute("aria-expanded", "false")
    show.press("Enter")
    expect(show).to_have_attribute("aria-expanded", "true")
    garden.locator(".lk-marks input").first.press("Escape")
    expect(show).to_have_attribute("aria-expanded", "false")
    expect(show).to_be_focused()
    look = garden.get_by_role("button", name="Look for changes")
    for _ in range(2):
        page.evaluate("window.lookalikeSay('')")
        look.press("Enter")
        expect(page.locator("#lk-aloud")).to_have_text("Nothing has changed.")
        expect(look).to_be_focused()
    # What takes the place of that has the same button.
    garden.get_by_role("button", name="Download").press("Enter")
    expect(page.locator("#lk-aloud")).to_contain_text("One file for another computer")
    look.press("Enter")
    expect(page.locator("#lk-aloud")).to_have_text("Nothing has changed.")
    expect(look).not_to_have_attribute("aria-busy", "true")
    look.press("Escape")


def test_what_opens_leaves_its_button_in_view_and_a_search_moves_the_focus_along(
    page: Page, tmp_path: Path
) -> None:
    hues = {f"{n:02}.png": 5 * n for n in range(70)}
    add_folder(page, save_hues(tmp_path / "Many", hues))
    made = card(page, "Many")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    page.set_viewport_size({"width": 700, "height": 400})
    show = made.get_by_role("button", name="Show pictures")
    show.press("Enter")
    expect(made.locator(".lk-open")).to_be_in_viewport()
    wait_for_rest(page, "#library-cards")
    page.wait_for_timeout(600)  # that it moves smoothly
    expect(show).to_be_in_viewport(ratio=1)
    made.get_by_role("button", name="Next").press("Enter")
    expect(made.locator(".lk-marks li")).to_have_count(10)
    expect(made.get_by_role("button", name="Back")).to_be_focused()
    expect(page.locator("#lk-aloud")).to_have_text("61 to 70 of 70")
    made.get_by_role("button", name="Back").press("Enter")
    expect(page.locator("#lk-aloud")).to_have_text("1 to 60 of 70")
    made.get_by_role("button", name="Search").press("Enter")
    expect(page.locator("#results h2")).to_be_focused()
    turn_to(page, "My pictures")
    press(made, "Delete")


def test_what_is_new_is_said_until_it_is_searched(page: Page, tmp_path: Path) -> None:
    add_folder(page, save_hues(tmp_path / "Sedge", {"red.png": 0, "lime.png": 90}))
    made = card(page, "Sedge")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    press(made, "Search")
    expect(page.locator("#status")).to_contain_text("Sedge")
    expect(page.locator("#status")).to_be_visible()
    page.locator("#results .lk-pick").first.click()
    expect(page.get_by_role("button", name="Start over")).to_be_visible()
    expect(page.locator("#status")).to_be_hidden()
    turn_to(page, "My pictures")
    press(made, "Delete")


def test_what_was_said_can_be_put_away(page: Page, tmp_path: Path) -> None:
    wreck = tmp_path / "Wreck"
    wreck.mkdir()
    (wreck / "a.png").write_bytes(b"no picture")
    add_folder(page, wreck)
    said = page.locator(".lk-say")
    expect(said.first).to_contain_text("There was no picture in Wreck", timeout=SLOW)
    page.locator(".lk-says").get_by_role("button", name="Close").last.click()
    expect(said).to_have_count(0)
    expect(page.locator(".lk-says")).to_be_empty()


def test_pictures_are_taken_out_and_brought_back(page: Page, album: Path, tmp_path: Path) -> None:
    # Under a name of its own, not to be taken for what another test has made of the album.
    add_folder(page, shutil.copytree(album, tmp_path / "Outing"))
    made = card(page, "Outing")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    press(made, "Show pictures")
    made.get_by_label("Mark sea/blue.png").check()
    press(made, "Take 1 out")
    expect(made.locator(".lk-marks li")).to_have_count(2)
    # The second is heard while the first is under way.
    made.get_by_role("button", name="Close", exact=True).evaluate(
        """close => {
            close.click();
            // Looked for only then: the answer may be here already, with a button of its own.
            setTimeout(() => document.querySelector("[data-act=unremove]").click(), 15);
        }"""
    )
    expect(made.locator(".lk-meta")).to_contain_text("3 pictures", timeout=SLOW)
    expect(made.locator(".lk-marks")).to_have_count(0)
    # A mark does not pass on to the picture that comes into its place.
    press(made, "Show pictures")
    for left in (2, 1):
        made.locator(".lk-marks input").first.check()
        press(made, "Take 1 out")
        expect(made.locator(".lk-marks li")).to_have_count(left)
        expect(made.locator(".lk-marks :checked")).to_have_count(0)


def test_many_are_marked_at_once_also_on_several_pages_and_counted(
    page: Page, tmp_path: Path
) -> None:
    add_folder(page, save_hues(tmp_path / "Reel", {f"{n:02}.png": 5 * n for n in range(64)}))
    made = card(page, "Reel")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    press(made, "Show pictures")
    boxes, marked = made.locator(".lk-marks input"), made.locator(".lk-marks :checked")
    expect(made.get_by_role("button", name="Take out", exact=True)).to_be_disabled()
    boxes.nth(1).click()
    made.locator(".lk-marks img").nth(4).click(modifiers=["Shift"])
    expect(marked).to_have_count(4)
    made.locator(".lk-marks img").nth(2).click(modifiers=["Shift"])
    expect(marked).to_have_count(1)
    press(made, "Mark this page")
    expect(marked).to_have_count(60)
    press(made, "Next")
    expect(boxes).to_have_count(4)
    expect(marked).to_have_count(0)
    made.locator(".lk-marks img").last.click()
    expect(made.get_by_role("button", name="Take 61 out", exact=True)).to_be_enabled()
    press(made, "Back")
    press(made, "Unmark this page")
    expect(marked).to_have_count(0)
    boxes.first.check()
    press(made, "Take 2 out")
    expect(made.locator(".lk-meta")).to_contain_text("62 pictures")
    expect(made.get_by_role("button", name="Take out", exact=True)).to_be_disabled()
    expect(made.get_by_role("button", name="Mark this page")).to_be_focused()
    press(made, "Delete")


def test_changes_in_a_folder_are_shown_before_they_are_applied(
    page: Page, in_place: Path, tmp_path: Path
) -> None:
    garden = card(page, "Garden")
    expect(garden.locator(".lk-meta")).to_contain_text("searched in place in the folder Garden")
    expect(garden.get_by_role("button", name="Add pictures")).to_have_count(0)
    by_hue(300).save(in_place / "new &lt;.png")
    (in_place / "a.png").rename(in_place / "moved.png")
    try:
        press(garden, "Look for changes")
        expect(garden.locator("summary")).to_have_text(["1 new", "1 moved"])
        expect(garden.locator(".lk-meta")).to_contain_text("2 pictures")
        expect(garden.locator("details").first).to_contain_text("new &lt;.png")
        press(garden, "Apply")
        expect(garden.locator(".lk-good")).to_contain_text("3 pictures ready", timeout=SLOW)
        press(garden, "Look for changes")
        expect(garden).to_contain_text("Nothing has changed.")
    finally:
        (in_place / "new &lt;.png").unlink()
        (in_place / "moved.png").rename(in_place / "a.png")


def test_while_a_folder_is_looked_through_other_buttons_are_heard(page: Page) -> None:
    garden, under_way = card(page, "Garden"), []

    def hold(route: Route) -> None:
        if '"act":"look"' in (route.request.post_data or ""):
            under_way.append(route)
        else:
            route.continue_()

    page.route("**/queue/join*", hold)
    press(garden, "Look for changes")
    garden.locator(".lk-busy").click()  # as who clicks twice
    press(garden, "Rename")
    field = garden.get_by_label("Name of the collection")
    expect(field).to_be_focused()
    press(garden, "Rename")
    expect(field).to_have_count(0)
    garden.locator(".lk-busy").click()  # which is at work still, whatever else was answered
    (looking,) = under_way
    looking.continue_()
    expect(garden.get_by_role("button", name="Close")).to_be_visible()
    expect(garden.locator(".lk-busy")).to_have_count(0)


def test_what_the_server_does_not_take_can_be_pressed_again(browser: Browser, owned: str) -> None:
    page = open_library(browser, owned)
    garden = card(page, "Garden")

    def refuse(route: Route) -> None:
        route.fulfill(status=429, json={"detail": words.BUSY, "error": words.BUSY})

    for name in ("Look for changes", "Delete"):
        page.route("**/queue/join*", refuse, times=1)
        press(garden, name)
        expect(page.get_by_test_id("toast-body").last).to_contain_text(words.BUSY)
        expect(garden.locator(".lk-busy")).to_have_count(0)
        page.get_by_test_id("toast-close").last.click()
    # What was marked is marked still.
    press(garden, "Show pictures")
    press(garden, "Mark all")
    n = garden.locator(".lk-marks input").count()  # another test may have added one
    page.route("**/queue/join*", refuse, times=1)
    press(garden, f"Take {n} out")
    expect(page.get_by_test_id("toast-body").last).to_contain_text(words.BUSY)
    expect(garden.locator(".lk-marks input:checked")).to_have_count(n)
    page.get_by_test_id("toast-close").last.click()
    press(garden, "Look for changes")
    expect(garden.get_by_role("button", name="Close")).to_be_visible()
    page.context.close()


DROP = """(place) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File(["..."], "new.png", { type: "image/png" }));
  const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
  document.querySelector(place).dispatchEvent(new DragEvent("drop", options));
}"""


def test_pictures_dropped_on_a_folder_searched_in_place_are_not_sent(
    page: Page, in_place: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(DROP, "[data-in-place] h3")
    expect(page.locator(".lk-upload")).to_contain_text("Put the pictures into its folder")
    assert not [url for url in asked if "uploads" in url]


@pytest.mark.parametrize(
    ("name", "cures"),
    [("a.RAR", ("archives",)), ("b.cr3", ("raw",)), ("c.txt", ())],
    ids=["archive", "raw", "other"],
)
def test_what_is_no_picture_is_refused_with_its_cure_until_something_else_is_taken(
    page: Page, tmp_path: Path, name: str, cures: tuple[str, ...]
) -> None:
    (tmp_path / name).touch()
    page.set_input_files("#add-pictures input[data-pick=files]", str(tmp_path / name))
    told = [words.UPLOAD_WORDS[kind] for kind in ("none", *cures)]
    expect(page.locator(".lk-upload")).to_have_text(" ".join(told))
    folder = save_hues(tmp_path / "Named", {"red.png": 0})
    page.get_by_label(words.FOLDER_LABEL).fill(str(folder))
    press(page, words.FOLDER_BUTTON)
    made = card(page, "Named")
    expect(made).to_be_visible(timeout=SLOW)
    expect(page.locator(".lk-upload")).to_be_empty()
    # Or its picture might be asked for just when it has gone.
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    made.locator("img").first.evaluate("image => image.decode()")
    press(made, "Delete")
    expect(made).to_have_count(0)


def test_a_folder_that_is_not_there_is_told_at_its_field(page: Page, tmp_path: Path) -> None:
    field, refused = page.get_by_label(words.FOLDER_LABEL), page.locator("#folder-refusal")
    field.fill(str(tmp_path / "nowhere"))
    field.press("Enter")
    expect(refused).to_contain_text("There is no folder")
    expect(field).to_have_attribute("aria-describedby", "folder-refusal")
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    field.fill(str(save_hues(tmp_path / "Somewhere", {"red.png": 0})))
    expect(refused).to_be_hidden()
    field.press("Enter")
    made = card(page, "Somewhere")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    expect(refused).to_be_hidden()
    press(made, "Delete")


def test_a_name_that_is_refused_is_told_at_its_field_and_stays_there(
    page: Page, tmp_path: Path
) -> None:
    add_folder(page, save_hues(tmp_path / "Bay", {"red.png": 0}))
    made = card(page, "Bay")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    press(made, "Rename")
    field, refused = made.get_by_label(words.NAME_LABEL), page.locator("#name-refusal")
    for _ in range(2):
        field.fill("Garden")
        expect(refused).to_be_hidden()
        field.press("Enter")
        expect(refused).to_contain_text("Another collection is called Garden")
        expect(field).to_have_value("Garden")
        expect(field).to_have_attribute("aria-describedby", "name-refusal")
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    field.fill("Gulf")
    field.press("Enter")
    expect(card(page, "Gulf")).to_be_visible()
    press(card(page, "Gulf"), "Delete")


def test_a_window_that_is_turned_to_shows_what_another_one_has_made(
    page: Page, tmp_path: Path
) -> None:
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("tab", name="My pictures").click()
    expect(other.locator(".lk-collection").first).to_be_visible(timeout=SLOW)
    add_folder(other, save_hues(tmp_path / "Made there", {"red.png": 0, "lime.png": 90}))
    expect(card(other, "Made there").locator(".lk-good")).to_be_visible(timeout=SLOW)
    expect(card(page, "Made there")).to_have_count(0)
    page.evaluate("window.dispatchEvent(new Event('focus'))")  # each has it, without a screen
    expect(card(page, "Made there")).to_be_visible(timeout=SLOW)
    press(card(page, "Made there"), "Delete")


def test_a_zip_is_dropped_and_what_is_wrong_in_it_is_named(page: Page) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("good.png", encode(by_hue(50), "PNG"))
        archive.writestr("../<b>climbs.png", encode(by_hue(80), "PNG"))
    page.evaluate(
        """(data) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "Zipped.zip", { type: "application/zip" }));
          const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
          document.querySelector("#add-pictures").dispatchEvent(new DragEvent("drop", options));
        }""",
        base64.b64encode(data.getvalue()).decode(),
    )
    expect(card(page, "Zipped").locator(".lk-good")).to_contain_text("1 picture", timeout=SLOW)
    expect(page.locator(".lk-say")).to_contain_text("Left out (1):")
    expect(page.locator(".lk-say")).to_contain_text("leads out of the zip")


def test_a_file_that_is_too_large_is_named_and_neither_sent_nor_the_end_of_the_others(
    browser: Browser, hosted: str
) -> None:
    page = open_library(browser, hosted)
    wrong = watch(page, hosted)
    sizes: list[str] = []

    def note(request: Request) -> None:
        if "uploads/" in request.url and "x-there" not in request.headers:
            sizes.append(request.headers.get("x-size", "sent"))

    page.on("request", note)
    page.evaluate(
        """(data) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          const huge = new Uint8Array(51 * 2 ** 20);
          transfer.items.add(new File([huge], "huge <b>.tif", { type: "image/tiff" }));
          transfer.items.add(new File([bytes], "small.png", { type: "image/png" }));
          const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
          document.querySelector("#add-pictures").dispatchEvent(new DragEvent("drop", options));
        }""",
        base64.b64encode(encode(by_hue(20), "PNG")).decode(),
    )
    made = card(page, "My photos")
    expect(made.locator(".lk-good")).to_contain_text("1 picture", timeout=SLOW)
    expect(page.locator(".lk-say")).to_contain_text("Left out (1):")
    expect(page.locator(".lk-say")).to_contain_text("huge <b>.tif")
    expect(page.locator(".lk-say")).to_contain_text("larger than 50 MB")
    assert sorted(sizes) == [str(51 * 2**20), "sent"]
    page.context.close()
    assert wrong == []


def test_of_a_new_collection_each_tenth_that_is_read_in_and_the_end_are_read_aloud(
    page: Page, tmp_path: Path
) -> None:
    folder = save_hues(tmp_path / "Heard", {f"{n:02}.png": 5 * n for n in range(64)})
    for path in folder.iterdir():
        path.write_bytes(encode(noise((1200, 900)), "PNG", compress_level=1) + path.name.encode())
    note_what_is_read(page)
    page.get_by_label("Or name a folder on this computer").fill(str(folder))
    page.get_by_role("button", name="Search this folder").click()
    expect(page.locator("#lk-aloud")).to_have_text("Heard: 64 pictures ready.", timeout=SLOW)
    read = [text for text in page.evaluate("window.read") if text.startswith("Heard")]
    assert not [text for text in read if "0 pictures ·" in text]
    tenths = [
        10 * int(done) // 64 for done in re.findall(r": (\d+) of 64 pictures read", " ".join(read))
    ]
    assert tenths == sorted(set(tenths))
    assert tenths
    press(card(page, "Heard"), "Delete")


def test_building_is_stopped_and_goes_on_after_the_page_was_closed(
    page: Page, browser: Browser, owned: str, tmp_path: Path
) -> None:
    folder = tmp_path / "Many"
    folder.mkdir()
    slow = encode(noise((1600, 1200)), "PNG", compress_level=1)
    files = [folder / f"{number:03}.png" for number in range(600)]  # so that there is time to stop
    for number, path in enumerate(files):
        path.write_bytes(slow + b"%d" % number)
    page.get_by_label("Or name a folder on this computer").fill(str(folder))
    page.get_by_role("button", name="Search this folder").click()
    many = card(page, "Many")
    expect(many.locator(".lk-state")).to_contain_text(
        re.compile(r"of 600 .* a second"), timeout=SLOW
    )
    press(many, "Stop")
    expect(many).to_contain_text("Stopped before the end", timeout=SLOW)
    known = re.search(r"([\d,]+) pictures", many.inner_text())
    assert known
    left = int(known[1].replace(",", "")) + 30
    for path in files[left:]:
        path.unlink()
    # Gradio calls answers that a reload cuts off errors: until the last timer has stopped.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    while not asked or any("/queue/" in url for url in asked):
        asked.clear()
        page.wait_for_timeout(6000)
    page.reload()
    page.get_by_role("tab", name="My pictures").click()
    press(many, "Go on")
    other = open_library(browser, owned)
    expect(card(other, "Many")).to_contain_text(f"{left} pictures ready.", timeout=SLOW)
    other.context.close()


def test_a_packed_collection_is_opened_by_dropping_it(page: Page) -> None:
    garden = card(page, "Garden").first
    press(garden, "Download")
    with page.expect_download() as download:
        garden.get_by_role("link", name="Without the photos").click()
    assert download.value.suggested_filename == "Garden.lookalike"
    path = Path(download.value.path())
    page.set_input_files(
        "#add-pictures input[data-pick=files]",
        {"name": "Garden.lookalike", "mimeType": "", "buffer": path.read_bytes()},
    )
    # Beside the first it has a number, or nobody could tell them apart in the lists.
    expect(page.locator(".lk-say")).to_contain_text("Garden 2 was opened, with ")
    expect(card(page, "Garden")).to_have_count(2)
    # Two at once, and a picture beside them.
    packed = [
        {"name": f"{n}.lookalike", "mimeType": "", "buffer": path.read_bytes()} for n in (1, 2)
    ]
    picture = {"name": "c.png", "mimeType": "image/png", "buffer": encode(by_hue(33), "PNG")}
    page.set_input_files("#add-pictures input[data-pick=files]", [*packed, picture])
    expect(card(page, "Garden")).to_have_count(4)
    expect(card(page, "My photos")).not_to_have_count(0)


def test_a_download_that_is_refused_or_lost_gets_a_sentence_on_the_page(
    browser: Browser, owned: str
) -> None:
    page = open_library(browser, owned)  # unwatched: the browser notes the refusal as an error
    garden = card(page, "Garden").first
    press(garden, "Download")
    link = garden.get_by_role("link", name="With the photos")
    link.evaluate("(link) => { link.href = 'bundles/gone.lookalike' }")
    link.click()
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("That collection is not here any more")
    page.get_by_test_id("toast-close").click()
    page.route("**/bundles/**", lambda route: route.abort("connectionrefused"))
    garden.get_by_role("link", name="Without the photos").click()
    expect(toast).to_contain_text("The download did not begin")
    assert page.url.startswith(owned)
    page.context.close()


def test_what_is_dropped_while_something_is_sent_comes_after_it(page: Page) -> None:
    files = [
        {"name": f"{hue}.png", "mimeType": "image/png", "buffer": encode(by_hue(hue), "PNG")}
        for hue in range(60, 72)
    ]
    page.evaluate(
        """() => {
          const open = XMLHttpRequest.prototype.send;
          XMLHttpRequest.prototype.send = function (body) {
            setTimeout(() => open.call(this, body), 400);
          };
        }"""
    )
    page.set_input_files("#add-pictures input[data-pick=files]", files[:10])
    expect(page.locator(".lk-upload")).to_contain_text("Sending")
    # It stands where the number says, at once.
    bar = page.locator(".lk-upload .lk-progress i")
    expect(bar).to_have_css("transition-duration", "0s")
    page.set_input_files("#add-pictures input[data-pick=files]", files[10:])
    expect(page.locator(".lk-upload")).to_contain_text("2 more to come")
    for pictures in (10, 2):
        meta = page.locator(".lk-meta", has_text=re.compile(rf"^{pictures} pictures"))
        expect(meta).not_to_have_count(0, timeout=SLOW)
    expect(page.locator(".lk-upload")).to_be_empty()


def test_of_what_is_sent_each_tenth_is_read_once_and_stopping_keeps_the_focus(page: Page) -> None:
    files = [
        {"name": f"{n}.png", "mimeType": "image/png", "buffer": encode(by_hue(n), "PNG")}
        for n in range(40)
    ]
    note_what_is_read(page)
    slow = {"offline": False, "latency": 300, "downloadThroughput": -1, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    page.set_input_files("#add-pictures input[data-pick=files]", files)
    expect(page.locator(".lk-upload")).to_contain_text(re.compile("[5-9]. %"))
    stop = page.locator(".lk-upload").get_by_role("button", name="Stop")
    assert stop.evaluate("(button) => button.closest('[role=status], [aria-live]')") is None
    stop.press("Enter")
    expect(page.locator("#lk-aloud")).to_have_text("Stopped. Nothing was added.")
    expect(page.locator("#add-pictures :focus")).to_have_text("Choose a folder")
    read = [int(share) for share in re.findall(r"(\d+) %", str(page.evaluate("window.read")))]
    tenths = [share // 10 for share in read]
    assert tenths == sorted(set(tenths))
    assert len(tenths) >= 2


def test_a_visitors_pictures_are_seen_by_nobody_else(
    browser: Browser, hosted: str, album: Path
) -> None:
    mine, theirs = open_library(browser, hosted), open_library(browser, hosted)
    expect(mine.locator("#library-drop")).to_contain_text("everything is deleted")
    add_folder(mine, album)
    made = card(mine, "Holiday")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    expect(made.locator(".lk-meta")).to_contain_text("only you see it, for 3 hours more")
    picture = made.locator("img").first.get_attribute("src")
    assert picture is not None
    assert mine.evaluate("(path) => fetch(path).then((answer) => answer.status)", picture) == 200
    assert theirs.evaluate("(path) => fetch(path).then((answer) => answer.status)", picture) == 404
    key = picture.split("/")[1]
    for path in (f"problems/{key}.csv", f"bundles/{key}.lookalike"):
        status = theirs.evaluate("(path) => fetch(path).then((answer) => answer.status)", path)
        assert status in (403, 404)
    theirs.reload()
    theirs.get_by_role("tab", name="My pictures").click()
    expect(card(theirs, "Garden")).to_be_visible()
    expect(card(theirs, "Holiday")).to_have_count(0)
    press(made, "Delete")
    expect(made).to_contain_text("Only the copies here are deleted; your own photos stay")
    press(made, "Delete for good")
    expect(made).to_have_count(0)
    for page in (mine, theirs):
        page.context.close()


def test_what_is_dropped_on_a_collection_of_others_is_not_sent(
    browser: Browser, hosted: str
) -> None:
    page = open_library(browser, hosted)
    page.evaluate(DROP, ".lk-collection h3")
    expect(page.locator(".lk-upload")).to_contain_text("Nothing can be added to that collection")
    page.context.close()


def test_visitors_cannot_touch_the_owners_until_they_know_the_password(
    browser: Browser, hosted: str
) -> None:
    page = open_library(browser, hosted)
    garden = card(page, "Garden")
    expect(garden.get_by_role("button")).to_have_text(["Search"])
    expect(page.get_by_label("Or name a folder on this computer")).to_have_count(0)
    # A button that the page does not have, as somebody with the browser's tools would press it.
    # At once: an answer that comes between the two would make it the button that it was.
    garden.get_by_role("button").evaluate(
        "(button) => { button.dataset.act = 'delete'; button.click(); }"
    )
    expect(page.get_by_test_id("toast-body")).to_contain_text("Only the owner")
    expect(garden).to_be_visible()
    password = page.locator("#library-password input")
    unlock = page.get_by_role("button", name="Unlock")
    before = place_of(unlock)["y"]
    refused, aloud = page.locator("#password-refusal"), page.locator("#lk-aloud")
    # In its place, read aloud each time, and until another one is typed.
    for _ in range(2):
        password.fill("wrong")
        expect(refused).to_be_hidden()
        aloud.evaluate("(line) => (line.textContent = '')")
        password.press("Enter")
        expect(refused).to_have_text(words.PASSWORD_WRONG)
        expect(aloud).to_have_text(words.PASSWORD_WRONG)
        expect(password).to_have_accessible_description(words.PASSWORD_WRONG)
        expect(password).to_have_attribute("aria-invalid", "true")
        expect(password).to_have_value("")
        expect(password).to_be_focused()
        assert place_of(password)["y"] < place_of(refused)["y"] < place_of(unlock)["y"]
        assert place_of(unlock)["y"] <= before + LINE
    expect(page.locator(".toast-body", has_text="password")).to_have_count(0)
    password.fill("open")
    expect(password).not_to_have_attribute("aria-invalid", "true")
    password.press("Enter")
    expect(garden.get_by_role("button", name="Delete")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("heading", name="Collections")).to_be_focused()
    # What was said to a visitor is gone before its time.
    expect(page.get_by_text("Only the owner")).to_be_hidden(timeout=6_000)
    expect(refused).to_be_hidden()
    expect(page.get_by_text(words.PASSWORD_RIGHT)).to_be_visible()
    page.context.close()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("uploads", {}, 403),
        ("uploads", {"X-Lookalike": "1"}, 400),
        ("uploads/nothing", {"X-Lookalike": "1", "X-Name": "a.png"}, 413),
        ("uploads/..%2f..%2fx", {"X-Lookalike": "1", "X-Name": "a.png"}, 413),
        ("uploads/nothing", {"X-Name": "a.png"}, 403),
    ],
)
def test_uploads_that_no_page_of_ours_sends_are_refused(
    hosted: str, path: str, headers: dict[str, str], status: int
) -> None:
    asked = urllib.request.Request(hosted + path, b"x", headers, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked)
    assert refused.value.code in (status, 404, 405)
    body = refused.value.read()
    assert b"/tmp" not in body


def test_more_than_a_visitor_may_add_is_refused_with_the_bound(hosted: str) -> None:
    body = json.dumps({"files": 100_000, "bytes": 10}).encode()
    asked = urllib.request.Request(hosted + "uploads", body, {"X-Lookalike": "1"}, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked)
    assert "you can keep 500 more" in json.loads(refused.value.read())["error"]


def test_the_tab_fits_a_phone_in_the_dark(browser: Browser, owned: str) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(owned)
    expect(page.locator(".lk-tile").first).to_be_visible(timeout=SLOW)
    page.get_by_role("tab", name="My pictures").click()
    expect(card(page, "Garden").first).to_be_visible()
    # A finger drops nothing.
    expect(page.get_by_text(words.ADD_DROP_TOUCH)).to_be_visible()
    expect(page.get_by_text(words.ADD_DROP)).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_no_button_of_a_card_stands_alone_below_the_others(
    browser: Browser, owned: str, tmp_path: Path
) -> None:
    page = open_library(browser, owned)
    add_folder(page, save_hues(tmp_path / "Rows", {"red.png": 0, "lime.png": 90}))
    made = card(page, "Rows")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    for one, buttons in ((made, 7), (card(page, "Garden").first, 6)):
        for width in (1280, 1180, 1000, 820, 600, 390):
            page.set_viewport_size({"width": width, "height": 800})
            row = one.locator("> .lk-row button")
            tops = row.evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
            assert len(tops) == buttons
            assert tops.count(tops[-1]) > 1, width
            assert len(set(tops)) == 1 or width < 1280
    press(made, "Delete")
    page.context.close()


def test_a_folder_dropped_from_the_file_manager_keeps_its_subfolders(
    page: Page, album: Path, tmp_path: Path
) -> None:
    # Under a name of its own, not to be taken for what another test has made of the album.
    folder = shutil.copytree(album, tmp_path / "Dropped")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(unquote(request.headers.get("x-name", ""))))
    drop_folder(page, folder)
    made = card(page, "Dropped")
    expect(made.locator(".lk-good")).to_be_visible(timeout=SLOW)
    assert "Dropped/sea/blue.png" in sent
    assert not [path for path in sent if "@eaDir" in path or "resources" in path]
    press(made, "Show pictures")
    expect(made.get_by_label("Mark 日本 🐈/red 'x'.png")).to_be_visible()


def test_what_the_browser_cannot_read_is_named_and_not_the_end_of_the_others(
    browser: Browser, owned: str, tmp_path: Path
) -> None:
    page = open_library(browser, owned)
    names = {"a.png": 10, "going.png": 40, "locked.png": 70, "closed/b.png": 100, "open/c.png": 130}
    folder = save_hues(tmp_path / "Half", names)
    # What this user may not open: whoever runs the tests may be allowed everything.
    page.evaluate(
        """() => {
          const refused = (name) => (name === "locked.png" || name === "closed")
            && new DOMException("", "NotReadableError");
          const wrap = (entry) => ({
            name: entry.name,
            isDirectory: entry.isDirectory,
            file: (done, failed) =>
              refused(entry.name) ? failed(refused(entry.name)) : entry.file(done, failed),
            createReader: () => {
              const reader = entry.createReader();
              const readEntries = (done, failed) => refused(entry.name)
                ? failed(refused(entry.name))
                : reader.readEntries((some) => done(some.map(wrap)), failed);
              return { readEntries };
            },
          });
          const real = DataTransferItem.prototype.webkitGetAsEntry;
          DataTransferItem.prototype.webkitGetAsEntry = function () {
            return wrap(real.call(this));
          };
        }"""
    )

    def remove_one(route: Route) -> None:
        (folder / "going.png").unlink()  # after it has been named, and before it is read
        route.continue_()

    page.route("**/uploads", remove_one)
    drop_folder(page, folder)
    made = card(page, "Half")
    expect(made.locator(".lk-good")).to_contain_text("2 pictures ready", timeout=SLOW)
    said = page.locator(".lk-say")
    expect(said).to_contain_text("Left out (3):")
    for name in ("Half/going.png", "Half/locked.png", "Half/closed"):
        expect(said).to_contain_text(name)
    expect(said).to_contain_text("Your browser could not read it.")
    page.context.close()


def test_on_a_phone_what_is_new_comes_into_view_and_the_focus_stays_where_it_does_no_harm(
    browser: Browser, owned: str, tmp_path: Path
) -> None:
    page = browser.new_context(
        viewport={"width": 390, "height": 500}, has_touch=True, is_mobile=True
    ).new_page()
    page.goto(owned)
    expect(page.locator(".lk-tile").first).to_be_visible(timeout=SLOW)
    turn_to(page, "My pictures")
    expect(page.locator(".lk-collection").first).to_be_attached()
    for name in ("Phone one", "Phone two"):
        folder = save_hues(tmp_path / name, {"red.png": 0, "lime.png": 90})
        (folder / "notes.txt").write_text("no picture")
        page.evaluate("window.scrollTo({ top: 0 })")
        add_folder(page, folder)
        expect(card(page, name)).to_be_in_viewport(timeout=SLOW)
    expect(page.locator(".lk-say")).to_contain_text(
        [f"About {name}: Left out: 1 file of other kinds." for name in ("Phone two", "Phone one")]
    )

    gone = card(page, "Phone one")
    gone.get_by_role("button", name="Delete", exact=True).focus()
    page.keyboard.press("Enter")
    expect(gone).to_have_count(0)
    said = page.locator(".lk-say")
    expect(said).to_contain_text("Phone one was deleted. It can be brought back for a day.")
    expect(said).to_be_in_viewport()
    expect(said).to_be_focused()

    press(card(page, "Phone two"), "Search")
    expect(page.locator("#query")).to_be_in_viewport()
    page.wait_for_function("scrollY === 0")
    page.context.close()
