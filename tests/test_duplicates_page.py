"""Copies of a whole collection: which belong together, which to keep, and the list to take away."""

import csv
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from retrieval.background import Once
from retrieval.changes import Changes, find_changes
from retrieval.collection import Collection
from retrieval.copies import Group, find_copies, seconds_for, spare_bytes
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import Bounds, index_folder
from retrieval.pages import words
from retrieval.pages.duplicates_page import (
    GROUPS_SHOWN,
    SCRIPT,
    DuplicatesPage,
    Kept,
    as_csv,
    copies_route,
    show_groups,
)
from retrieval.pages.results_markup import building
from retrieval.pages.server import make_library
from retrieval.pages.worked_out import Turned
from retrieval.records import PASSING, PictureRecord
from retrieval.workspace import Workspace
from tests.browser import open_browser, place_of, running_app, watch
from tests.made import noise, pattern

OLD, NEW = 1_000_000_000, 1_600_000_000  # 2001-09-09 and 2020-09-13


def save_photos(folder: Path) -> Path:
    """Write a picture in three sizes, another twice as the same file, a plain one twice, and two
    that are alone."""
    folder.mkdir()
    large = noise((640, 480), 1)
    large.save(folder / "large.png")
    large.resize((320, 240)).save(folder / "=small.png")
    large.resize((320, 240)).save(folder / "worse.jpg", quality=40)
    for name in ("twice a.png", "twice b.png"):
        noise((200, 150), 2).save(folder / name)
    for name in ("plain a.png", "plain b.png"):
        Image.new("RGB", (60, 60), "navy").save(folder / name)
    noise((200, 150), 3).save(folder / "alone.png")
    pattern("stripes", 4).save(folder / "alone too.png")
    os.utime(folder / "twice a.png", (NEW, NEW))
    os.utime(folder / "twice b.png", (OLD, OLD))
    return folder


@pytest.fixture
def groups(tmp_path: Path, embedder: Embedder) -> tuple[Group, ...]:
    photos = save_photos(tmp_path / "photos")
    with Collection.create(tmp_path / "collection", "photos", photos, embedder) as collection:
        for _ in index_folder(collection, photos, embedder, find_changes(collection, photos)):
            pass
        return find_copies(collection)


def served(workspace: Workspace, photos: Path) -> str:
    """Make a collection of a folder in a workspace, and return its key."""
    key = workspace.create("photos", photos)
    collection = workspace.shelf.searcher(key).collection
    for _ in index_folder(collection, photos, workspace.embedder, find_changes(collection, photos)):
        pass
    return key


def names(group: Group) -> list[str]:
    return [copy.picture.path for copy in group]


def test_copies_are_grouped_and_the_largest_comes_first(groups: tuple[Group, ...]) -> None:
    assert [sorted(names(group)) for group in groups[:1]] == [
        ["=small.png", "large.png", "worse.jpg"]
    ]
    # Most pixels, then the larger file.
    assert names(groups[0]) == ["large.png", "=small.png", "worse.jpg"]
    assert sorted(sorted(names(group)) for group in groups[1:]) == [
        ["plain a.png", "plain b.png"],
        ["twice a.png", "twice b.png"],
    ]


def test_of_the_same_file_the_oldest_comes_first(groups: tuple[Group, ...]) -> None:
    twice = next(group for group in groups if "twice a.png" in names(group))
    assert names(twice) == ["twice b.png", "twice a.png"]
    assert twice[0].date.startswith("2001-09-")
    assert [copy.same_as for copy in twice] == [None, twice[0].picture]
    assert [copy.same_as for copy in groups[0]] == [None] * 3


def test_a_picture_that_lost_its_vectors_is_of_no_date_and_comes_after_those_of_one(
    tmp_path: Path, embedder: Embedder
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("lost.png", "kept too.png"):
        noise((200, 150), 2).save(photos / name)
    with Collection.create(tmp_path / "collection", "photos", photos, embedder) as collection:
        for _ in index_folder(collection, photos, embedder, find_changes(collection, photos)):
            pass
        with collection.store.change() as database:
            lost = "UPDATE pictures SET modified = ? WHERE path = 'lost.png'"
            database.execute(lost, [PASSING])
        [group] = find_copies(collection)
    assert names(group) == ["kept too.png", "lost.png"]
    assert group[0].date
    assert not group[1].date
    assert "1970" not in show_groups("key", [group], 0)


def test_the_very_same_files_are_told_whichever_is_to_be_kept(
    tmp_path: Path, embedder: Embedder
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    noise((640, 480), 1).save(photos / "large.png")
    noise((640, 480), 1).resize((320, 240)).save(photos / "small.png")
    shutil.copy(photos / "small.png", photos / "small (2).png")
    with Collection.create(tmp_path / "collection", "photos", photos, embedder) as collection:
        for _ in index_folder(collection, photos, embedder, find_changes(collection, photos)):
            pass
        [group] = find_copies(collection)
    assert names(group) == ["large.png", "small.png", "small (2).png"]
    assert [copy.same_as and copy.same_as.path for copy in group] == [None, None, "small.png"]
    assert as_csv([group]).decode().splitlines()[-1].endswith(words.COPIES_YES)
    assert "the very same file as small.png" in show_groups("key", [group], 0)


def test_the_room_that_copies_take_leaves_out_those_to_keep(groups: tuple[Group, ...]) -> None:
    assert spare_bytes(groups) == sum(copy.picture.size for g in groups for copy in g[1:])


def test_a_collection_without_copies_has_no_groups(indexed: Collection) -> None:
    assert find_copies(indexed) == ()


def test_twice_as_many_take_four_times_as_long() -> None:
    assert seconds_for(20_000) == pytest.approx(4 * seconds_for(10_000))


def test_the_table_is_safe_to_open_in_a_spreadsheet(groups: tuple[Group, ...]) -> None:
    rows = list(csv.DictReader(as_csv(groups).decode("utf-8-sig").splitlines()))
    assert [row["file"] for row in rows[:3]] == ["large.png", "'=small.png", "worse.jpg"]
    assert [row["hint"] for row in rows[:3]] == ["keep", "", ""]
    assert [row["group"] for row in rows] == ["1", "1", "1", "2", "2", "3", "3"]
    assert rows[0]["width"] == "640"
    assert rows[0]["megapixels"] == "0.3"


def test_names_are_no_markup(groups: tuple[Group, ...]) -> None:
    first = groups[0][0]
    hostile = replace(first, picture=replace(first.picture, path='"><script>alert(1)</script>'))
    assert "<script>" not in show_groups("key", [(hostile, *groups[0][1:])], 0)


def test_many_groups_are_shown_a_page_at_a_time(groups: tuple[Group, ...]) -> None:
    many = [groups[0]] * (2 * GROUPS_SHOWN + 1)
    first = show_groups("key", many, 0)
    assert first.count('class="lk-group"') == GROUPS_SHOWN
    assert f"Groups 1 to {GROUPS_SHOWN} of {len(many)}" in first
    last = show_groups("key", many, 10_000)  # what a browser sends is bounded
    assert last.count('class="lk-group"') == 1


def test_a_picture_opens_its_file_where_that_may_be_seen_and_else_the_small_one(
    workspace: Workspace, tmp_path: Path
) -> None:
    photos = save_photos(tmp_path / "snaps")
    key = served(workspace, photos)
    collection = workspace.shelf.searcher(key).collection
    group = next(one for one in find_copies(collection) if "large.png" in names(one))
    (photos / names(group)[1]).unlink()
    links = re.findall('<a href="([^"]*)"', show_groups(key, [group], 0, collection))
    assert [link.split("/")[0] for link in links] == ["originals", "thumbnails", "originals"][
        : len(group)
    ]
    assert "originals" not in show_groups(key, [group], 0)


def test_comparing_ends_when_the_collection_is_changed(
    indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = indexed.listing.pictures

    def pictures_of_before(ids: Iterable[int] | None = None) -> list[PictureRecord]:
        found = pictures(ids)
        indexed.exclude([found[0].path])
        return found

    monkeypatch.setattr(indexed.listing, "pictures", pictures_of_before)
    with pytest.raises(LookalikeError, match="was changed"):
        find_copies(indexed)


def request_from(client: str = "127.0.0.1") -> gr.Request:
    scope = {"type": "http", "path": "/", "scheme": "http", "client": (client, 1)}
    return gr.Request(Request({**scope, "headers": [(b"host", b"localhost")]}))


Snaps = tuple[str, Collection]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with groups of copies."""
    return save_photos(tmp_path / "snaps")


@pytest.fixture
def snaps(workspace: Workspace, photos: Path) -> Snaps:
    """The collection of it, with its key."""
    key = served(workspace, photos)
    return key, workspace.shelf.searcher(key).collection


@pytest.fixture
def dealing(workspace: Workspace) -> Iterator[DuplicatesPage]:
    """The page on which they are dealt with."""
    library = make_library(workspace, None, False)
    yield DuplicatesPage(workspace, library.access, library.adding)
    library.visitors.stop()


def test_a_group_is_dealt_with_again_after_undo_and_beside_another_window(
    workspace: Workspace, snaps: Snaps, dealing: DuplicatesPage
) -> None:
    key, collection = snaps
    groups, windows = find_copies(collection), (Turned(), Turned())
    assert workspace.copies.ask(collection).done.wait(20)
    for turned in windows:
        dealing.copies.on_open(key, key, key, turned, request_from())

    def deal(turned: Turned, act: str, group: Group) -> str:
        first = group[0].picture.id
        event = gr.EventData(None, {"act": act, "first": first, "start": 0})
        said: str = dealing.on_deal(key, turned, request_from(), event)[0]
        return said

    assert "4 pictures in 2 groups" in deal(windows[0], "spare", groups[0])
    # The other window deals with what has not changed, and is refused what has.
    assert "5 pictures in 2 groups" in deal(windows[1], "spare", groups[1])
    with pytest.warns(UserWarning, match="have changed meanwhile"):
        assert "5 pictures in 2 groups" in deal(windows[1], "spare", groups[0])
    with pytest.warns(UserWarning, match="have changed meanwhile"):
        deal(windows[1], "unspare", groups[0])
    assert collection.listing.count()[0] == 6
    # What is back is as if nothing had been done, but for what is said of it, and no news.
    back = deal(windows[0], "unspare", groups[0])
    state = workspace.building(key)
    assert state is not None
    assert (state.step.done, building(state, "snaps", state.ended)) == (2, "")
    assert "7 pictures in 3 groups" in back
    assert ("2 pictures put back into" in back, back.count("<li")) == (True, 7)
    shown = [int(id_) for id_ in re.findall(r'id="copy-(\d+)"', back)[:3]]
    assert [picture.path for picture in collection.listing.pictures(shown)] == names(groups[0])
    assert "4 pictures in 2 groups" in deal(windows[0], "spare", groups[0])
    assert collection.listing.count()[0] == 6


def test_of_a_group_that_has_changed_or_is_somebody_elses_nothing_is_taken_out(
    workspace: Workspace, snaps: Snaps, dealing: DuplicatesPage
) -> None:
    key, collection = snaps
    groups, turned = find_copies(collection), Turned()
    turned.kept = Kept(groups)
    event = gr.EventData(None, {"act": "spare", "first": groups[0][0].picture.id, "start": 0})

    def deal(client: str, event: gr.EventData = event) -> None:
        dealing.on_deal(key, turned, request_from(client), event)

    with pytest.warns(UserWarning, match="Only the owner"):  # the page's toast
        deal("192.0.2.1")
    undo = gr.EventData(None, {"act": "unspare", "first": groups[0][0].picture.id, "start": 0})
    with pytest.warns(UserWarning, match="have changed meanwhile"):
        deal("127.0.0.1", undo)  # of what was done before the app was started anew
    assert collection.listing.count()[0] == 9
    workspace.take_out(key, [groups[0][0].picture.id])  # in another window
    with pytest.warns(UserWarning, match="have changed meanwhile"):
        deal("127.0.0.1")
    assert collection.listing.count()[0] == 8


def test_of_what_was_taken_out_and_is_gone_nothing_is_said_to_be_put_back(
    snaps: Snaps, dealing: DuplicatesPage, photos: Path
) -> None:
    key, collection = snaps
    groups, turned = find_copies(collection), Turned()
    turned.kept = Kept(groups)

    def deal(act: str, group: Group) -> str:
        event = gr.EventData(None, {"act": act, "first": group[0].picture.id, "start": 0})
        said: str = dealing.on_deal(key, turned, request_from(), event)[0]
        return said

    large = groups[0]
    twice = next(group for group in groups if "twice a.png" in names(group))
    deal("spare", large)
    deal("spare", twice)
    (photos / "=small.png").unlink()
    (photos / "twice a.png").unlink()
    with pytest.warns(UserWarning, match="^1 of the photos is in the folder no more"):
        back = deal("unspare", large)
    assert "1 picture put back into" in back
    assert ("worse.jpg</b>" in back, "=small.png</b>" in back) == (True, False)
    with pytest.warns(UserWarning, match="^1 of the photos is in the folder no more"):
        back = deal("unspare", twice)
    assert back.count("put back into") == 1
    assert "twice a.png</b>" not in back
    assert collection.listing.count()[0] == 7
    deal("spare", large)  # what is left of it is dealt with again
    assert collection.listing.count()[0] == 6


def test_a_list_that_takes_long_is_not_waited_for_and_comes_when_it_is_ready(
    workspace: Workspace, wheel: Path
) -> None:
    key, ready = workspace.create("wheel", wheel), threading.Event()

    def find_slowly(collection: Collection) -> tuple[Group, ...]:
        assert ready.wait(60)
        return find_copies(collection)

    workspace.copies = Once(find_slowly)
    client = TestClient(Starlette(routes=[copies_route(workspace)]))
    begun = time.monotonic()
    answer = client.get(f"/copies/{key}.csv")
    # All requests share 40 threads, and one visitor may ask 60 times a minute.
    assert time.monotonic() - begun < 30
    assert (answer.status_code, answer.text.split(".")[0]) == (404, "The list is not ready yet")
    ready.set()
    assert workspace.copies.ask(workspace.shelf.searcher(key).collection).done.wait(20)
    assert client.get(f"/copies/{key}.csv").status_code == 200


def test_no_list_is_begun_while_pictures_are_still_being_read(
    workspace: Workspace, wheel: Path
) -> None:
    key, go_on = workspace.create("wheel", wheel), threading.Event()
    collection = workspace.shelf.searcher(key).collection
    begun: list[Collection] = []

    def find(found_in: Collection) -> tuple[Group, ...]:
        begun.append(found_in)
        return find_copies(found_in)

    def look() -> Changes:
        assert go_on.wait(60)
        return find_changes(collection, wheel)

    workspace.copies = Once(find)
    workspace.build(key, wheel, Bounds(), look)
    client = TestClient(Starlette(routes=[copies_route(workspace)]))
    answer = client.get(f"/copies/{key}.csv")
    assert (answer.status_code, answer.text) == (404, words.COPIES_LATER)
    assert begun == []
    go_on.set()
    while not (state := workspace.building(key)) or not state.finished:
        time.sleep(0.01)
    assert client.get(f"/copies/{key}.csv").status_code == 200


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The tab, opened; script errors and outside requests fail."""
    photos = save_photos(tmp_path_factory.mktemp("work") / "photos")
    home = tmp_path_factory.mktemp("home")
    with running_app(home, "--pictures", str(photos)) as address, open_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        wrong = watch(page, address)
        page.goto(address)
        expect(page.locator("#results .lk-tile")).to_have_count(9, timeout=60_000)
        page.get_by_role("tab", name="Copies").click()
        yield page
        assert wrong == []


def test_the_page_lists_the_groups_and_hands_out_the_table(page: Page, tmp_path: Path) -> None:
    expect(page.locator(".lk-group")).to_have_count(3, timeout=30_000)
    expect(page.locator("#copies")).to_contain_text("Lookalike deletes no photo of yours")
    # The choice comes early, as on the other tabs, and what is to be known stands below it.
    places = "['lead', 'collection', 'help'].map(name => window[`copies-${name}`].offsetTop)"
    lead, choice, hints = page.evaluate(places)
    assert lead < choice < hints
    expect(page.locator("#copies .lk-head h2")).to_contain_text("7 pictures in 3 groups")
    best = page.locator(".lk-group").first.locator(".lk-best")
    expect(best).to_contain_text("large.png")
    expect(best).to_contain_text("The one to keep")
    expect(best.get_by_role("button")).to_have_count(0)
    expect(page.locator("#copies .lk-head h2")).to_contain_text("you could free")
    expect(best).to_contain_text("640 × 480")
    page.wait_for_function(
        "[...document.querySelectorAll('.lk-group img')].every((one) => one.naturalWidth > 0)"
    )
    with page.expect_download() as download:
        page.get_by_role("link", name="Save the list (CSV)").click()
    assert download.value.suggested_filename == "photos - copies.csv"
    download.value.save_as(tmp_path / "copies.csv")
    rows = list(csv.DictReader((tmp_path / "copies.csv").read_text("utf-8-sig").splitlines()))
    assert len(rows) == 7
    # What the gate says to who asks too often, as any other refusal, is told on the page.
    refusal = '{"detail": "Too often.", "error": "Too often."}'
    page.route(
        "**/copies/*.csv",
        lambda route: route.fulfill(status=200, content_type="application/json", body=refusal),
    )
    page.get_by_role("link", name="Save the list (CSV)").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("Too often.")
    page.evaluate(
        "document.querySelector('.lk-group small').innerHTML = "
        "'<i>the very same file as Screenshot_20210100-120115_WhatsApp_Messenger.jpg</i>'"
    )
    assert page.evaluate(
        "[...document.querySelectorAll('.lk-group li')].every("
        "(one) => one.scrollWidth <= one.clientWidth)"
    )
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # On a phone what was found comes before the hints, and is seen without scrolling.
    page.evaluate("scrollTo(0, 0)")
    order = ("#copies-lead", "#copies-collection", "#copies .lk-head", ".lk-group", "#copies-help")
    tops = [place_of(page.locator(place).last)["y"] for place in order]
    assert tops == sorted(tops)
    first = place_of(page.locator(".lk-group img").first)
    assert first["y"] + first["height"] < 844


def test_all_but_the_first_of_a_group_are_taken_out_and_put_back(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("tab", name="Search").click()
    page.get_by_role("tab", name="Copies").click()
    group = page.locator(".lk-group").first
    taken_out = {"pictures": "2 pictures", "name": "photos", "kept": "large.png"}
    expect(group.locator("li")).to_have_count(3, timeout=30_000)
    group.get_by_role("button", name="Keep the first, take the other 2 out").click()
    said = group.locator("[data-told]")
    expect(said).to_have_text(words.COPIES_TAKEN_OUT.format(**taken_out))
    expect(said).to_be_focused()
    expect(group.locator("li")).to_have_count(1)
    expect(page.locator("#copies .lk-head h2")).to_contain_text("4 pictures in 2 groups")
    group.get_by_role("button", name="Undo").press("Enter")
    expect(said).to_have_text(words.COPIES_PUT_BACK.format(**taken_out))
    expect(said).to_be_focused()
    expect(group.locator("li")).to_have_count(3)
    expect(page.locator("#copies .lk-head h2")).to_contain_text("7 pictures in 3 groups")
    group.get_by_role("button", name="Keep the first, take the other 2 out").press("Enter")
    expect(said).to_have_text(words.COPIES_TAKEN_OUT.format(**taken_out))
    group.get_by_role("button", name="Undo").press("Enter")
    expect(group.locator("li")).to_have_count(3)
    for tab in ("Search", "Copies"):
        page.get_by_role("tab", name=tab).click()
    expect(page.locator("#copies .lk-head h2")).to_contain_text("7 pictures in 3 groups")


def test_turning_the_groups_keeps_the_focus_on_its_button_and_is_read_aloud(
    page: Page, groups: tuple[Group, ...]
) -> None:
    many = [groups[0]] * (GROUPS_SHOWN + 1)
    assert page.context.browser is not None
    other = page.context.browser.new_page()
    other.set_content(f"<main>{show_groups('key', many, 0)}</main>")
    other.evaluate(
        """([script, next]) => {
          const element = document.querySelector("main");
          window.lookalikeSay = (text) => { window.aloud = text; };
          new Function("element", "trigger", script)(element, () => { element.innerHTML = next; });
        }""",
        [SCRIPT, show_groups("key", many, GROUPS_SHOWN)],
    )
    other.get_by_role("button", name="Next").press("Enter")
    expect(other.get_by_role("button", name="Next")).to_be_disabled()
    expect(other.get_by_role("button", name="Back")).to_be_focused()
    assert (
        other.evaluate("window.aloud") == f"Groups {GROUPS_SHOWN + 1} to {len(many)} of {len(many)}"
    )
    other.close()
