"""The page "How good is it?" as a visitor meets it: a real app, a real Chromium, a real network."""

import base64
import csv
import re
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import gradio as gr
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from retrieval import settings
from retrieval.changes import Changes, find_changes
from retrieval.collection import Collection
from retrieval.indexing import Bounds, index_folder
from retrieval.pages import words
from retrieval.pages.evaluate_page import EvaluatePage, Run
from retrieval.workspace import Workspace
from tests.browser import note_what_is_read, running_app, turn_to, watch
from tests.made import KINDS, pattern, save_hues, save_patterns

EACH = 6
SLOW = 120_000  # milliseconds


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app that searches patterns, a subfolder for each kind."""
    folder = save_patterns(tmp_path_factory.mktemp("patterns"), EACH)
    # One that lies in the wrong subfolder, and is hard to find.
    lost = min((folder / KINDS[0]).iterdir())
    lost.rename(folder / KINDS[1] / f"lost {lost.name}")
    for path in folder.rglob("*.jpg"):  # slow to read, so that there is time to stop a comparison
        Image.open(path).resize((4800, 3600)).save(path, progressive=True)
    with running_app(tmp_path_factory.mktemp("home"), "--pictures", str(folder)) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The tab, opened, with all pictures ready; script errors and outside requests fail."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    wrong = watch(page, address)
    page.goto(address)
    expect(page.locator("#results .lk-tile")).to_have_count(len(KINDS) * EACH, timeout=SLOW)
    open_tab(page)
    yield page
    page.close()
    assert wrong == []


def open_tab(page: Page) -> None:
    turn_to(page, "How good is it?")
    expect(page.locator("#test-start")).to_be_enabled(timeout=SLOW)


def run_test(page: Page) -> None:
    page.locator("#test-start").click()
    expect(page.locator("#test-result .lk-figures li")).to_have_count(5, timeout=SLOW)


def test_one_button_brings_the_figures_the_charts_and_how_they_were_measured(page: Page) -> None:
    run_test(page)
    cards = page.locator(".lk-figures li")
    assert cards.locator(".lk-metric").all_inner_texts() == ["P@1", "P@10", "P@20", "hit@10", "mAP"]
    assert re.fullmatch(r"\d+\.\d to \d+\.\d", cards.first.locator(".lk-interval").inner_text())
    # It is folded away below the charts: the words are those of the field.
    expect(page.locator("#test-result .lk-protocol")).to_be_hidden()
    page.locator("#test-result .lk-report > :last-child > summary").click()
    protocol = page.locator("#test-result .lk-protocol").inner_text()
    assert f"{len(KINDS) * EACH} pictures of the collection itself" in protocol
    assert "leave one out" in protocol
    assert "PCA 256" in protocol
    expect(page.locator("#test-result svg.lk-chart")).to_have_count(2)
    assert page.locator(".lk-confusion tbody th").all_inner_texts() == sorted(KINDS)
    expect(page.locator("#test-stop")).to_be_hidden()


def test_a_hard_query_shows_what_it_finds(page: Page) -> None:
    run_test(page)
    page.locator("#test-result .lk-worst button").first.click()
    found = page.locator("#test-found li")
    expect(found).to_have_count(10)
    expect(page.locator("#test-found h3")).to_contain_text("What ")
    expect(page.locator("#test-found section")).to_be_focused()
    expect(found.first).to_be_in_viewport()
    kind = page.locator("#test-result .lk-worst b").first.inner_text()
    for tile in found.all():
        right = tile.locator("b").inner_text() == kind
        assert ("is-right" if right else "is-wrong") in (tile.get_attribute("class") or "")


def test_figures_charts_and_report_can_be_downloaded(
    page: Page, browser: Browser, tmp_path: Path
) -> None:
    run_test(page)
    files = {}
    for link in page.locator("#test-downloads a").all():
        with page.expect_download() as download:
            link.click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        files[path.suffix] = path
    rows = list(csv.DictReader(files[".csv"].read_text("utf-8-sig").splitlines()))
    assert [row["class"] for row in rows] == [*sorted(KINDS), "all queries"]
    assert files[".png"].read_bytes().startswith(b"\x89PNG")
    # The report on its own, opened from the disk, shows everything and asks nobody for anything.
    alone = browser.new_page()
    wrong = watch(alone, "file://")
    alone.goto(files[".html"].as_uri())
    expect(alone.locator(".lk-figures li")).to_have_count(5)
    loaded = "[...document.images].every((image) => image.naturalWidth > 0)"
    alone.evaluate("document.querySelectorAll('img').forEach((one) => one.loading = 'eager')")
    alone.wait_for_function(loaded)
    assert "script" not in files[".html"].read_text("utf-8")
    alone.close()
    assert wrong == []


def test_another_setting_is_compared_on_the_same_queries(page: Page) -> None:
    page.locator("#test-compare").click()
    expect(page.locator("#test-stop")).to_be_visible()
    page.locator("#test-compare").click()  # makes the first one give way
    expect(page.locator("#test-result .lk-compare tbody tr")).to_have_count(5, timeout=SLOW)
    page.locator("#test-result summary").click()
    text = page.locator("#test-result").inner_text()
    assert "no PCA" in text
    assert "computed again from the original pictures" in text
    assert re.search("may be chance|more than chance|the same", text)


def test_how_a_run_ended_is_seen_and_read_once(page: Page) -> None:
    note_what_is_read(page)
    ended = (
        ("#test-compare", re.compile(rf"^Compared on {len(KINDS) * EACH} pictures in .*second")),
        ("#test-start", re.compile(rf"^{len(KINDS) * EACH} searches in .* seconds\.$")),
    )
    lines = []
    for button, line in ended:
        page.locator(button).press("Enter")
        expect(page.locator("#lk-aloud")).to_have_text(line, timeout=SLOW)
        expect(page.locator("#test-status .lk-notice")).to_have_text(line)
        lines.append(page.locator("#lk-aloud").inner_text())
    page.locator("#test-compare").press("Enter")
    page.locator("#test-stop").press("Enter")
    expect(page.locator("#lk-aloud")).to_have_text("Stopped.")
    page.wait_for_timeout(1500)  # until the run itself has ended
    read = [text for text in page.evaluate("window.read") if text]
    assert [text for text in read if text != words.TEST_WAITS] == [*lines, "Stopped."]


def test_a_run_can_be_stopped(page: Page) -> None:
    page.locator("#test-compare").click()
    page.locator("#test-stop").click()
    expect(page.locator("#test-status")).to_contain_text("Stopped.")
    expect(page.locator("#test-stop")).to_be_hidden()
    page.wait_for_timeout(1500)
    expect(page.locator("#test-status")).to_contain_text("Stopped.")
    expect(page.locator("#test-result .lk-compare")).to_have_count(0)
    run_test(page)  # and the next one is not held up by it
    # Stopped, another one leaves the figures with their downloads, which are pale meanwhile.
    page.locator("#test-found").evaluate("one => one.scrollIntoView()")
    page.mouse.wheel(0, 5_000)
    page.locator("#test-compare").click()
    expect(page.locator("#test-status")).to_be_in_viewport()
    expect(page.locator("#test-result")).to_have_css("opacity", "0.5")
    page.locator("#test-stop").click()
    expect(page.locator("#test-status")).to_contain_text("Stopped.")
    expect(page.locator("#test-result")).to_have_css("opacity", "1")
    expect(page.locator("#test-downloads a")).to_have_count(3)
    expect(page.locator("#test-result .lk-figures")).to_be_visible()


@pytest.mark.parametrize("button", ["#test-start", "#test-compare"])
def test_stop_gives_the_focus_back_to_the_button_that_began(page: Page, button: str) -> None:
    page.locator(button).press("Enter")
    page.locator("#test-stop").press("Enter")
    expect(page.locator("#test-status")).to_contain_text("Stopped.")
    expect(page.locator("#test-stop")).to_be_hidden()
    expect(page.locator(button)).to_be_focused()


def test_a_run_that_ends_while_one_stands_on_stop_leaves_the_focus_at_its_button(
    page: Page,
) -> None:
    page.locator("#test-compare").press("Enter")
    page.locator("#test-stop").focus()
    expect(page.locator("#test-result .lk-compare tbody tr")).to_have_count(5, timeout=SLOW)
    expect(page.locator("#test-compare")).to_be_focused()


def test_a_list_of_choices_closes_when_the_keyboard_goes_on(page: Page) -> None:
    field = page.locator("#test-setting input")
    field.focus()
    expect(field).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Tab")
    expect(field).not_to_be_focused()
    expect(field).to_have_attribute("aria-expanded", "false")


def test_a_run_that_finds_no_place_is_said_to_have_stopped(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    open_tab(page)
    dependencies = page.evaluate("window.gradio_config.dependencies")
    number = next(one["id"] for one in dependencies if one["api_name"] == "on_test")

    def refuse(route: Route) -> None:
        if (route.request.post_data_json or {})["fn_index"] != number:
            route.continue_()
        else:
            route.fulfill(status=503, json={"detail": words.BUSY})

    page.route("**/queue/join*", refuse)
    page.locator("#test-start").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("currently busy")  # Gradio's own
    expect(page.locator("#test-status")).to_contain_text("Stopped.")
    expect(page.locator("#test-stop")).to_be_hidden()
    page.close()


def test_the_next_run_stops_the_one_before_which_nobody_could_stop_any_more(
    tiny_files: Path,
) -> None:
    page = EvaluatePage(Workspace(tiny_files, None, gpu=False))
    first = page.on_wait(None)[-1]
    second = page.on_wait(first)[-1]
    assert first.stopped
    assert first.replaced
    assert not second.stopped
    page.on_stop(second)
    assert second.stopped


def test_the_report_of_a_comparison_shows_the_figures_of_the_collections_own_setting(
    tiny_files: Path, wheel: Path, tmp_path: Path
) -> None:
    workspace = Workspace(tiny_files, settings.pca_path(tiny_files), gpu=False)
    embedder = workspace.embedder
    with Collection.create(tmp_path / "collection", "wheel", wheel, embedder) as collection:
        for _ in index_folder(collection, wheel, embedder, find_changes(collection, wheel)):
            pass
        key, page = workspace.shelf.serve(collection), EvaluatePage(workspace)
        request = gr.Request()
        *_, last = page.on_compare(Run(), key, "Nothing left out (no PCA)", request)
    (data,) = re.findall(r'data:text/html[^"]*?base64,([^"]+)', last[2])
    models = re.findall(
        "<dt>(model|As it is|Nothing left out[^<]*)</dt><dd>([^<]*)",
        base64.b64decode(data).decode(),
    )
    said = {name: model.split(", ")[-1] for name, model in models}
    changed = "Nothing left out (no PCA)"
    assert said == {"model": "PCA 2", "As it is": "PCA 2 (CPU)", changed: "no PCA (CPU)"}


def test_a_collection_that_is_still_being_read_or_has_gone_is_said_to_be_so(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = save_hues(tmp_path / "one kind", {"red/a.png": 0, "red/b.png": 5})
    key, page, go_on = workspace.create("one kind", folder), EvaluatePage(workspace), Event()
    collection = workspace.shelf.searcher(key).collection
    for _ in index_folder(collection, folder, workspace.embedder, find_changes(collection, folder)):
        pass

    def look() -> Changes:
        assert go_on.wait(60)
        return find_changes(collection, folder)

    def told(key: str) -> str:
        *_, last = page.on_test(Run(), key, gr.Request())
        return str(last[1])

    workspace.build(key, folder, Bounds(), look)
    assert words.TEST_LATER in told(key)
    go_on.set()
    while not (state := workspace.building(key)) or not state.finished:
        time.sleep(0.01)
    assert "of the same kind, red" in told(key)
    assert words.TEST_GONE in told("gone")
    chosen = page.on_end("gone", None, None, "", gr.Request())[0]
    assert (chosen.choices, chosen.value) == ([("one kind", key)], key)
    assert page.on_end(key, None, None, "", gr.Request())[0] == gr.skip()


def test_a_test_says_at_once_how_much_there_is_to_do(workspace: Workspace, wheel: Path) -> None:
    key = workspace.create("wheel", wheel)
    collection = workspace.shelf.searcher(key).collection
    for _ in index_folder(collection, wheel, workspace.embedder, find_changes(collection, wheel)):
        pass
    first = next(EvaluatePage(workspace).on_test(Run(), key, gr.Request()))
    assert words.TESTING.format(done=0, total=6, left="") in first[0]


def test_what_is_there_stays_where_it_is_when_the_collections_come(
    browser: Browser, address: str
) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address)
    expect(page.locator("#results .lk-tile").first).to_be_visible(timeout=SLOW)
    held: list[Route] = []
    page.route("**/queue/join*", lambda route: held.append(route))
    places = "['start', 'compare', 'result'].map(name => window[`test-${name}`].offsetTop)"
    turn_to(page, "How good is it?")
    expect(page.locator("#test-start")).to_be_disabled()
    while not held:
        page.wait_for_timeout(50)
    before = page.evaluate(places)
    page.unroute("**/queue/join*")  # and what was held goes on
    expect(page.locator("#test-start")).to_be_enabled(timeout=SLOW)
    expect(page.locator("#test-collection input")).to_have_value(re.compile("patterns"))
    assert page.evaluate(places) == before
    page.close()


def test_it_fits_a_phone_and_dark_mode(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.goto(address)
    open_tab(page)
    run_test(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ink = page.locator(".lk-value").first.evaluate("(one) => getComputedStyle(one).color")
    assert min(int(part) for part in re.findall(r"\d+", ink)[:3]) > 180
    context.close()


def test_pictures_without_classes_get_a_kind_sentence(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    for seed in range(3):
        pattern("dots", seed).save(folder / f"{seed}.jpg")
    with running_app(tmp_path / "home", "--pictures", str(folder)) as address:
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("#results .lk-tile")).to_have_count(3, timeout=SLOW)
        open_tab(page)
        told, aloud = page.locator("#test-result"), page.locator("#lk-aloud")
        for _ in range(2):
            page.evaluate("window.lookalikeSay('')")
            page.locator("#test-start").click()
            expect(aloud).to_contain_text("not sorted into kinds", timeout=SLOW)
            expect(told).to_contain_text("not sorted into kinds")
            expect(page.locator("#test-status")).to_be_hidden()
        page.close()
