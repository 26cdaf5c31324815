"""What is worked out of one collection stands under its own name, whatever is chosen meanwhile."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from playwright.sync_api import Browser, expect

from retrieval import settings
from retrieval.background import Once
from retrieval.collection import Collection
from retrieval.indexing import Bounds
from retrieval.pages.worked_out import Sentences, Turned, WorkedOut
from retrieval.workspace import Workspace
from tests.made import save_hues
from tests.servers import free_port

SENTENCES = Sentences("None", "Later", "Under way", "{n} in {time}", "Failed")


@pytest.fixture
def workspace(tiny_files: Path, tmp_path: Path, collections: Path) -> Iterator[Workspace]:
    """Two collections, "long" and "quick"."""
    workspace = Workspace(tiny_files, settings.pca_path(tiny_files), gpu=False)
    workspace.open_library(collections)
    for name in ("long", "quick"):
        folder = save_hues(tmp_path / name, {"red.png": 0, "blue.png": 240})
        key = workspace.create(name, folder)
        workspace.build(key, folder, Bounds())
        while not (state := workspace.building(key)) or not state.finished:
            time.sleep(0.01)
    yield workspace
    workspace.stop()


def test_what_takes_long_never_stands_under_the_name_of_another_collection(
    workspace: Workspace, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def compute(collection: Collection) -> str:
        assert collection.name == "quick" or go_on.wait(200)
        return f"Result of {collection.name}"

    results = Once(compute)
    by_name = {name: key for key, name in workspace.shelf.names().items()}
    results.ask(workspace.shelf.searcher(by_name["quick"]).collection, patience=20)
    tab_of = WorkedOut(workspace, "tab", SENTENCES, results, float, lambda *said: str(said[2]))
    with gr.Blocks(analytics_enabled=False) as app, gr.Tabs():
        with gr.Tab("First"):
            searched = gr.Dropdown([], allow_custom_value=True)
        with gr.Tab("Worked out") as tab:
            tab_of.lay_out(tab, searched, "")
    port = free_port()
    app.launch(server_port=port, prevent_thread_lock=True, quiet=True, ssr_mode=False)
    page = browser.new_page()
    try:
        page.goto(f"http://127.0.0.1:{port}")
        page.get_by_role("tab", name="Worked out").click()
        view, choice = page.locator("#tab-view"), page.get_by_label("Collection")

        def choose(name: str) -> None:
            choice.click()
            page.get_by_role("option", name=name).click()

        expect(choice).to_have_value("long", timeout=30_000)
        expect(view).to_contain_text("Under way", timeout=30_000)
        # It is looked for each second, and nobody waits there.
        begun = time.monotonic()
        with monkeypatch.context() as patch:
            patch.setattr("retrieval.pages.worked_out.PATIENCE", 30.0)
            said, timer = tab_of.on_tick(by_name["long"], Turned(), gr.Request())
        assert time.monotonic() - begun < 15
        assert ("Under way" in said, timer.active) == (True, True)
        # Back from another tab it is waited for once more, and another one is chosen meanwhile.
        page.get_by_role("tab", name="First").click()
        page.get_by_role("tab", name="Worked out").click()
        choose("quick")
        threading.Timer(0.2, go_on.set).start()
        page.wait_for_timeout(2500)
        expect(view).to_have_text("Result of quick")
        expect(choice).to_have_value("quick")
        choose("long")
        expect(view).to_have_text("Result of long")
    finally:
        page.close()
        app.close()


def test_the_collection_of_the_search_is_turned_to_whenever_it_is_another_one(
    workspace: Workspace,
) -> None:
    results = Once(lambda collection: f"Result of {collection.name}")
    tab_of = WorkedOut(workspace, "tab", SENTENCES, results, float, lambda *said: str(said[2]))
    by_name = {name: key for key, name in workspace.shelf.names().items()}
    long, quick = by_name["long"], by_name["quick"]

    def opened(choice: str | None, searched: str | None, followed: str | None) -> tuple[str, str]:
        told = choice, searched, followed, Turned(), gr.Request()
        _, followed, _, said, _ = tab_of.on_open(*told)
        return said, followed

    assert opened(None, quick, "") == ("Result of quick", quick)
    # What is chosen here stays, for as long as the search stays where it is.
    assert opened(long, quick, quick) == ("Result of long", quick)
    assert opened(quick, long, quick) == ("Result of long", long)
    # All of them, or one that is gone.
    for searched in ("", "gone", None):
        assert opened(quick, searched, long) == ("Result of quick", long)


def test_an_answer_about_the_collection_before_is_not_shown(workspace: Workspace) -> None:
    by_name = {name: key for key, name in workspace.shelf.names().items()}
    turned, request = Turned(), gr.Request()
    looked, go_on = threading.Event(), threading.Event()

    def show(key: str, collection: Collection, result: str, start: int, _: gr.Request) -> str:
        if threading.current_thread() is ticking:
            looked.set()
            go_on.wait(60)
        return result

    results = Once(lambda collection: f"Result of {collection.name}")
    tab_of = WorkedOut(workspace, "tab", SENTENCES, results, float, show)
    said: list[tuple[Any, ...]] = []
    ticking = threading.Thread(
        target=lambda: said.append(tab_of.on_tick(by_name["long"], turned, request))
    )
    assert "Result of long" in tab_of.on_open(by_name["long"], None, "", turned, request)
    assert "Result of long" in tab_of.on_tick(by_name["long"], turned, request)
    ticking.start()
    assert looked.wait(60)
    assert "Result of quick" in tab_of.on_open(by_name["quick"], None, "", turned, request)
    go_on.set()
    ticking.join(60)
    assert said == [(gr.skip(), gr.skip())]


def test_what_was_done_while_the_tab_was_opened_stays_shown(workspace: Workspace) -> None:
    turned = Turned()

    def compute(collection: Collection) -> str:
        turned.kept = "done with what was there before"
        return "anew"

    tab_of = WorkedOut(workspace, "tab", SENTENCES, Once(compute), float, lambda *said: said[2])
    *_, said, _ = tab_of.on_open(None, None, "", turned, gr.Request())
    assert said == gr.skip()
    *_, said, _ = tab_of.on_open(None, None, "", turned, gr.Request())
    assert said == "anew"
