"""The page in Firefox: what Chromium does is not what all browsers do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import running_app
from tests.firefox import Firefox, open_firefox
from tests.made import encode, pattern, save_patterns

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


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """A Firefox in which an app with four kinds of patterns is open."""
    with open_firefox() as firefox:
        pictures = save_patterns(tmp_path_factory.mktemp("pictures"), EACH)
        home = tmp_path_factory.mktemp("home")
        with running_app(home, "--pictures", str(pictures)) as address:
            firefox.go(address)
            firefox.wait_for(f"{TILES} === 24 && !document.querySelector('.lk-progress')")
            yield firefox
            assert firefox.wrong == []


def tab(name: str) -> str:
    tabs = "[...document.querySelectorAll('[role=tab]')]"
    return f"{tabs}.find((tab) => tab.textContent.trim() === '{name}').click()"


def test_a_picture_is_chosen_and_the_most_similar_come_first(
    firefox: Firefox, tmp_path: Path
) -> None:
    path = tmp_path / "query.png"
    path.write_bytes(encode(pattern("dots", 99, (300, 200)), "PNG"))
    firefox.choose("#query input[type=file]", path)
    firefox.wait_for(f"{HEAD} === 'Most similar to your picture'")
    assert firefox.look(KINDS)[:EACH] == ["dots"] * EACH
    # The box for a part of it lies on it.
    firefox.wait_for("document.querySelector('#lk-crop')?.offsetWidth > 100")


def test_why_it_matches_is_shown_and_closed_by_a_key(firefox: Firefox) -> None:
    firefox.look("document.querySelector('#results [data-do=why]').click()")
    firefox.wait_for("document.querySelectorAll('.lk-why .lk-warm').length === 2")
    firefox.wait_for("document.activeElement.closest('.lk-why') !== null")
    firefox.press("\ue00c")  # Escape
    firefox.wait_for("!document.querySelector('.lk-why')")


def test_a_picture_that_is_dragged_from_the_page_is_searched_with(firefox: Firefox) -> None:
    firefox.look("document.querySelector('#results .lk-back').click()")
    firefox.wait_for(f"{HEAD}?.startsWith('A look around')")
    kind = firefox.look(KINDS)[0]
    assert firefox.look(DROP) == [True, True]  # or Firefox would leave the app for it
    firefox.wait_for(f"{HEAD} === 'Most similar to your picture'")
    assert firefox.look(KINDS)[:EACH] == [kind] * EACH


def test_all_tabs_are_filled(firefox: Firefox) -> None:
    firefox.look(tab("Map"))
    firefox.wait_for("document.querySelector('.lk-map[data-ready]') !== null")
    firefox.wait_for(PAINTED)
    firefox.look(tab("Copies"))
    firefox.wait_for("document.querySelector('.lk-group, .lk-empty')?.offsetParent != null")
    firefox.look(tab("My pictures"))
    firefox.wait_for("document.querySelector('.lk-collection')?.offsetParent != null")
    firefox.look(tab("How good is it?"))
    firefox.wait_for("document.querySelector('#test-start')?.offsetParent != null")
    firefox.look(tab("Search"))
    firefox.wait_for("document.querySelector('#query')?.offsetParent != null")
    assert len(firefox.picture()) > 50_000
