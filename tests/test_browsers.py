"""The page in Firefox and in WebKit: what Chromium does is not what all browsers do."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import OF_GRADIO, running_app
from tests.firefox import Firefox, open_firefox
from tests.made import encode, pattern, save_patterns
from tests.webkit import WebKit, open_webkit

Browser = Firefox | WebKit
SECONDS = 60.0

EACH = 8
TILES = "document.querySelectorAll('#results .lk-tile').length"
KINDS = "[...document.querySelectorAll('#results .lk-kind')].map((kind) => kind.textContent)"
HEAD = "document.querySelector('#results .lk-head h2')?.textContent"
DROP = """((link) => {
  const transfer = new DataTransfer();
  transfer.setData("text/uri-list", link);
  const place = document.querySelector("#results");
  return ["dragover", "drop"].map((kind) => {
    const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
    return !place.dispatchEvent(new DragEvent(kind, options));
  });
})(document.querySelector("#results .lk-tile img").src)"""
PAINTED = """(() => {
  const canvas = document.querySelector(".lk-map canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value, at) => at % 4 === 3 && value > 0);
})()"""


@pytest.fixture(scope="module", params=[open_firefox, open_webkit], ids=["Firefox", "WebKit"])
def browser(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """A browser in which an app with four kinds of patterns is open."""
    with request.param() as browser:
        pictures = save_patterns(tmp_path_factory.mktemp("pictures"), EACH)
        home = tmp_path_factory.mktemp("home")
        with running_app(home, "--pictures", str(pictures)) as address:
            browser.go(address)
            wait_for(browser, f"{TILES} === 24 && !document.querySelector('.lk-progress')")
            yield browser
            assert [said for said in browser.wrong if not said.startswith(OF_GRADIO)] == []


def wait_for(browser: Browser, script: str) -> Any:
    """Return the value of an expression once it is true."""
    end = time.monotonic() + SECONDS
    while not (value := browser.look(script)):
        if time.monotonic() > end:
            raise TimeoutError(script)
        time.sleep(0.1)
    return value


def tab(name: str) -> str:
    tabs = "[...document.querySelectorAll('[role=tab]')]"
    return f"{tabs}.find((tab) => tab.textContent.trim() === '{name}').click()"


def test_a_picture_is_chosen_and_the_most_similar_come_first(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "query.png"
    path.write_bytes(encode(pattern("dots", 99, (300, 200)), "PNG"))
    browser.choose("#query input[type=file]", path)
    wait_for(browser, f"{HEAD} === 'Most similar to your picture'")
    assert browser.look(KINDS)[:EACH] == ["dots"] * EACH
    # The box for a part of it lies on it.
    wait_for(browser, "document.querySelector('#lk-crop')?.offsetWidth > 100")


def test_a_picture_that_is_turned_lies_in_its_place_and_the_box_on_it(browser: Browser) -> None:
    lies = """(() => {
      const [layer, image, room] = ["#lk-crop", "#query img", "#query .image-container"].map(
        (place) => document.querySelector(place).getBoundingClientRect(),
      );
      const near = (one, other) => Math.abs(one - other) < 2;
      return [
        near(image.width, room.width) && near(3 * layer.width, 2 * layer.height),
        near(image.height, layer.height),
        near(image.left + image.width / 2, layer.left + layer.width / 2),
        near(image.top, layer.top),
      ].join();
    })()"""
    browser.look("document.querySelector('#lk-turn').click()")
    wait_for(browser, "location.search.endsWith('&turn=1')")
    wait_for(browser, f"{lies} === 'true,true,true,true'")
    for _ in range(3):
        browser.look("document.querySelector('#lk-turn').click()")
    wait_for(browser, "!location.search.includes('&turn')")
    wait_for(browser, "document.querySelector('#lk-crop').offsetWidth > 200")


def test_why_it_matches_is_shown_and_closed_by_a_key(browser: Browser) -> None:
    browser.look("document.querySelector('#results [data-do=why]').click()")
    wait_for(browser, "document.querySelectorAll('.lk-why .lk-warm').length === 2")
    wait_for(browser, "document.activeElement.closest('.lk-why') !== null")
    browser.press("\ue00c")  # Escape
    wait_for(browser, "!document.querySelector('.lk-why')")


def test_a_picture_that_is_dragged_from_the_page_is_searched_with(browser: Browser) -> None:
    browser.look("document.querySelector('#results .lk-back').click()")
    wait_for(browser, f"{HEAD}?.startsWith('A look around')")
    kind = browser.look(KINDS)[0]
    assert browser.look(DROP) == [True, True]  # or the browser would leave the app for it
    wait_for(browser, f"{HEAD} === 'Most similar to your picture'")
    assert browser.look(KINDS)[:EACH] == [kind] * EACH


def test_after_a_choice_by_the_keyboard_its_field_has_the_focus_still(browser: Browser) -> None:
    drawer = "document.querySelector('#filters .label-wrap')"
    wait_for(browser, f"{drawer}?.matches('.open') || ({drawer}?.click(), false)")
    field = "document.querySelector('#filters input[role=combobox]')"
    wait_for(browser, f"{field}?.offsetParent != null")
    browser.look(f"{field}.focus()")
    for key in ("\ue015", "\ue015", "\ue006"):  # twice the arrow down, and Enter
        browser.press(key)
        time.sleep(0.3)  # Gradio follows a moment later
    wait_for(browser, "location.search.includes('order=')")
    wait_for(browser, "document.querySelector('[role=listbox]') === null")
    assert browser.look(f"document.activeElement === {field}")
    browser.press("\ue004")  # Tab
    assert browser.look("document.activeElement.getAttribute('aria-label')") == "Kind"


def test_all_tabs_are_filled(browser: Browser) -> None:
    browser.look(tab("Map"))
    wait_for(browser, "document.querySelector('.lk-map[data-ready]') !== null")
    wait_for(browser, PAINTED)
    browser.look(tab("Copies"))
    wait_for(browser, "document.querySelector('.lk-group, .lk-empty')?.offsetParent != null")
    browser.look(tab("My pictures"))
    wait_for(browser, "document.querySelector('.lk-collection')?.offsetParent != null")
    browser.look(tab("How good is it?"))
    wait_for(browser, "document.querySelector('#test-start')?.offsetParent != null")
    browser.look(tab("Search"))
    wait_for(browser, "document.querySelector('#query')?.offsetParent != null")
    assert len(browser.picture()) > 50_000
