"""The page for everybody: by touch, with a camera, with little motion, and with a screen reader.

axe-core (Deque Systems, MPL-2.0) looks for what those who do not see, or see little, stumble over.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from retrieval import fetching
from retrieval.pages import words
from tests.__main__ import find_browser
from tests.browser import FLAGS, running_app, stop_fading, turn_to, watch
from tests.made import encode, pattern, save_patterns

TABS = ("My pictures", "Map", "Copies", "How good is it?")
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app with patterns, two of which are copies."""
    pictures = save_patterns(tmp_path_factory.mktemp("pictures"), 8)
    copy = sorted((pictures / "dots").iterdir())[0]
    (pictures / "copy.png").write_bytes(copy.read_bytes())
    with running_app(tmp_path_factory.mktemp("home"), "--pictures", str(pictures)) as address:
        yield address


def opened(context: BrowserContext, address: str) -> Page:
    """Return the page, filled, with all pictures ready."""
    page = context.new_page()
    page.goto(address)
    expect(page.locator(".lk-grid .lk-tile")).to_have_count(24, timeout=30_000)
    expect(page.locator(".lk-progress")).to_have_count(0, timeout=60_000)
    return page


def upload(page: Page) -> None:
    picture = encode(pattern("dots", 99), "PNG")
    page.set_input_files(
        "#query input[type=file]", {"name": "q.png", "mimeType": "image/png", "buffer": picture}
    )
    expect(page.locator(".lk-score").first).to_be_visible()


def complaints(page: Page) -> list[str]:
    """Return what axe-core finds, each with the first place of it."""
    page.wait_for_timeout(500)
    stop_fading(page)  # while things fade in their contrast is lower
    found = Axe().run(page).response["violations"]
    return [f"{v['impact']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in found]


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESKTOP), ("dark", PHONE)], ids=["desktop", "dark phone"]
)
def test_axe_finds_nothing_on_any_tab(
    browser: Browser, address: str, scheme: str, size: dict[str, int]
) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page = opened(context, address)
    found = {"browsing": complaints(page)}
    upload(page)
    page.get_by_role("button", name="What should match?").click()
    page.get_by_role("button", name="Filter and sort").click()
    found["results"] = complaints(page)
    tile = page.locator(".lk-tile").first
    tile.hover()
    tile.locator("[data-do=why]").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found["why"] = complaints(page)
    page.keyboard.press("Escape")
    for name in TABS:
        turn_to(page, name)
        page.wait_for_timeout(1000)  # what a tab shows first is asked for when it is opened
        found[name] = complaints(page)
    context.close()
    assert {place: text for place, text in found.items() if text} == {}


CONTRAST = """(element) => {
  const light = (colour) => {
    const [red, green, blue] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const lights = [getComputedStyle(element).color, getComputedStyle(document.body).backgroundColor];
  const [dark, bright] = lights.map(light).sort((one, two) => one - two);
  return (bright + 0.05) / (dark + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_open_tab_can_be_read_and_the_arrow_has_a_name(
    browser: Browser, address: str, scheme: str
) -> None:
    context = browser.new_context(viewport=DESKTOP, color_scheme=scheme)  # type: ignore[arg-type]
    page = opened(context, address)
    expect(page.locator("#address .submit-button")).to_have_attribute("aria-label", re.compile("."))
    for name in ("Search", *TABS):
        turn_to(page, name)
        tab = page.get_by_role("tab", name=name)
        expect(tab).to_have_attribute("aria-selected", "true")
        page.wait_for_timeout(300)
        stop_fading(page)
        assert tab.evaluate(CONTRAST) >= 4.5, name
    context.close()


# Of what can be pressed, what a finger of 40 pixels would miss above, below or beside its middle.
MISSED = """() => {
  const pressed = "button:not([tabindex='-1']), a[href], summary, label:has([type=radio])";
  const missed = (element) => {
    element.scrollIntoView({ block: "center", behavior: "instant" });
    const { left, top, width, height } = element.getBoundingClientRect();
    const [x, y] = [left + width / 2, top + height / 2];
    return [[0, -19], [0, 19], [-19, 0], [19, 0]].some(([right, down]) => {
      const hit = document.elementFromPoint(x + right, y + down);
      return !element.contains(hit);
    });
  };
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });
  return [...document.querySelectorAll(pressed)].filter(shown).filter(missed)
    .map((element) => element.outerHTML.slice(0, 120));
}"""


def test_whatever_is_pressed_is_large_enough_for_a_finger(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = opened(context, address)
    upload(page)
    page.get_by_role("button", name="What should match?").click()
    missed = {"results": page.evaluate(MISSED)}
    for name in TABS:
        turn_to(page, name)
        page.wait_for_timeout(1000)
        missed[name] = page.evaluate(MISSED)
    context.close()
    assert {place: text for place, text in missed.items() if text} == {}


def test_where_the_page_is_enlarged_all_of_a_column_can_be_reached_and_the_map_fits(
    browser: Browser, address: str
) -> None:
    context = browser.new_context(viewport={"width": 960, "height": 320})
    page = opened(context, address)
    columns = ("library-add", "map-ask", "copies-ask", "test-ask")
    for name, column in zip(TABS, columns, strict=True):
        turn_to(page, name)
        page.wait_for_timeout(500)
        room = page.locator(f"#{column}").evaluate(
            """(column) => {
              column.scrollTop = column.scrollHeight;
              const hidden = column.scrollHeight - column.clientHeight - column.scrollTop;
              const { position } = getComputedStyle(column);
              return [position, column.offsetHeight <= innerHeight, hidden];
            }"""
        )
        assert room == ["sticky", True, 0], name
    page.set_viewport_size({"width": 700, "height": 300})
    turn_to(page, "Map")
    page.wait_for_selector(".lk-map[data-ready]", timeout=60_000)
    assert page.locator(".lk-map").evaluate("(map) => map.offsetHeight") < 300
    context.close()


def come_to_rest(thing: Locator) -> Any:
    """Wait until the page scrolls no more, and return where something lies."""
    before, now = None, thing.bounding_box()
    while now != before:
        thing.page.wait_for_timeout(150)
        before, now = now, thing.bounding_box()
    return now


def test_a_search_and_a_crop_go_by_touch(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = opened(context, address)
    page.locator(".lk-examples button").first.tap()
    expect(page.locator(".lk-score").first).to_be_visible()
    # There is no hovering by touch: the buttons of a tile are there from the start.
    more = page.locator(".lk-tile").nth(1).locator("[data-do=more]")
    expect(more).to_be_visible()
    assert more.evaluate("element => getComputedStyle(element.parentElement).opacity") == "1"
    more.tap()
    expect(page.locator(".lk-chip")).to_have_count(2)
    upload(page)
    page.wait_for_url("**upload=**")
    layer = page.locator("#lk-crop")
    layer.scroll_into_view_if_needed()
    room = come_to_rest(layer)
    touch = context.new_cdp_session(page)

    def send(kind: str, share: float) -> None:
        assert room is not None
        x, y = room["x"] + share * room["width"], room["y"] + share * room["height"]
        points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def swipe() -> None:
        send("touchStart", 0.1)
        for share in (0.2, 0.4, 0.6):
            send("touchMove", share)
        send("touchEnd", 0.6)

    swipe()  # scrolls the page, as a swipe does elsewhere
    expect(page.locator("#lk-crop i")).to_be_hidden()
    layer.scroll_into_view_if_needed()
    come_to_rest(layer)
    page.wait_for_timeout(1_000)  # what comes right after a swipe belongs to it
    page.locator(".lk-begin").tap()
    expect(layer).to_have_class(re.compile("lk-drawing"))
    page.wait_for_timeout(300)  # nobody swipes before the browser knows that it is no scrolling
    room = come_to_rest(layer)
    swipe()
    expect(page.locator(".lk-chip").first).to_contain_text("a part of it")
    # The question stays in view, so that another box can be drawn, and the results below.
    # By a click: of a tap that comes soon after a swipe Chromium makes none, where it is busy.
    page.get_by_role("button", name=words.CROP_BELOW).click()
    heading = page.locator("#results h2")
    expect(heading).to_be_focused()
    assert come_to_rest(heading)["y"] < 100
    context.close()


@pytest.mark.parametrize(
    "sentence",
    [
        *(words.DROPPED_NO_PICTURE, words.NO_UPLOAD, words.searched_without(1), words.FORGOTTEN),
        words.searched_without(2),
        *(words.NO_COLLECTIONS_BODY, words.UPLOAD_WORDS["none"], words.UPLOAD_WORDS["failed"]),
        *(fetching.UNREACHABLE, fetching.SAVE_IT, words.NO_FETCHING),
    ],
)
def test_a_finger_is_not_told_to_drop_anything(sentence: str) -> None:
    assert not re.search(r"\bdrop", sentence, re.IGNORECASE)


def test_what_a_mouse_or_a_keyboard_does_is_told_with_another_way() -> None:
    assert "hold a finger on it" in words.PASTED_NOTHING
    assert "or save the picture" in words.PASTE_REFUSED


def test_little_motion_is_kept_to(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    page = opened(context, address)
    upload(page)
    moving = page.evaluate(
        """() => [...document.querySelectorAll('.lk-tile *, .lk-head *, #lk-crop *')]
          .filter((e) => parseFloat(getComputedStyle(e).transitionDuration) > 0.01
            || parseFloat(getComputedStyle(e).animationDuration) > 0.01)
          .map((e) => e.className)"""
    )
    assert moving == []
    context.close()


def test_the_keyboard_goes_from_the_question_to_the_results(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport=DESKTOP)
    page = opened(context, address)
    upload(page)
    page.locator("#query").focus()
    page.locator("#lk-crop").focus()
    seen: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        place = page.evaluate(
            """() => ['ask', 'answer'].find((id) =>
              document.getElementById(id).contains(document.activeElement)) ?? ''"""
        )
        seen.append(place)
        if page.evaluate("document.activeElement.matches('.lk-pick')"):
            break
    assert page.evaluate("document.activeElement.matches('.lk-pick')")
    # First everything that asks, then everything that answers: never to and fro.
    assert [place for place in seen if place] == sorted(filter(None, seen), reverse=True)
    context.close()


def test_a_picture_from_the_camera_is_searched_with(browser: Browser, address: str) -> None:
    # A browser of its own, whose camera shows a made picture and which does not ask.
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    own = browser.browser_type.launch(executable_path=find_browser(), args=[*FLAGS, *camera])
    page = own.new_page(viewport=DESKTOP)  # type: ignore[arg-type]
    wrong = watch(page, address)
    page.goto(address)
    expect(page.locator(".lk-grid .lk-tile")).to_have_count(24, timeout=30_000)
    page.locator("#query").get_by_role("button", name="Capture from camera").click()
    page.get_by_text(words.CAMERA_START).click()
    # The button is there before the camera's first picture is, and then takes none.
    page.wait_for_function(
        """() => {
          const video = document.querySelector("#query video");
          return video?.readyState >= 2 && video.videoWidth > 0 && video.currentTime > 0.2;
        }""",
        timeout=60_000,
    )
    page.get_by_role("button", name="capture photo").click(timeout=60_000)
    expect(page.locator(".lk-score").first).to_be_visible(timeout=60_000)
    expect(page.locator(".lk-chip")).to_have_count(1)
    own.close()
    assert wrong == []
