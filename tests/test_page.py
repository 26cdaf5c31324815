"""The page as a visitor meets it: a real app, a real Chromium, a real network."""

import base64
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect

from retrieval import settings
from retrieval.pages import words
from tests.__main__ import find_browser
from tests.browser import FLAGS, place_of, running_app, stop_fading, turn_to, wait_for_rest, watch
from tests.made import encode, pattern, save_patterns

EACH = 8


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of patterns, a subfolder for each kind, and a file that is no picture."""
    folder = save_patterns(tmp_path_factory.mktemp("pictures"), EACH)
    (folder / "broken.jpg").write_bytes(b"not a picture")
    return folder


@pytest.fixture(scope="module")
def address(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app that searches those pictures."""
    with running_app(tmp_path_factory.mktemp("home"), "--pictures", str(pictures)) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, opened and filled; no script error and no outside request is let pass."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    wrong = watch(page, address)
    page.goto(address)
    expect(page.locator(".lk-grid .lk-tile")).to_have_count(24, timeout=30_000)
    expect(page.locator(".lk-progress")).to_have_count(0, timeout=60_000)  # all are ready
    yield page
    page.close()
    assert wrong == []


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Page]:
    """The app on a phone."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(address)
    expect(page.locator(".lk-tile").first).to_be_visible(timeout=30_000)
    yield page
    context.close()


def upload(page: Page, image: Image.Image, name: str = "query.png", kind: str = "PNG") -> None:
    page.set_input_files(
        "#query input[type=file]",
        {"name": name, "mimeType": f"image/{kind.lower()}", "buffer": encode(image, kind)},
    )


def kinds(page: Page) -> list[str]:
    """Return the labels of the results, after they have come."""
    expect(page.locator(".lk-score").first).to_be_visible()
    return page.locator(".lk-tile .lk-kind").all_inner_texts()


def send_file(page: Page, event: str, data: bytes, name: str, kind: str, target: str) -> None:
    """Fire a paste or a drop that carries a file, as the browser would."""
    page.evaluate(
        """([event, data, name, type, target]) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name, { type }));
          const options = { bubbles: true, cancelable: true };
          const fired = event === "paste"
            ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
            : new DragEvent("drop", { ...options, dataTransfer: transfer });
          document.querySelector(target).dispatchEvent(fired);
        }""",
        [event, base64.b64encode(data).decode(), name, kind, target],
    )


def test_an_uploaded_picture_brings_the_most_similar_first(page: Page) -> None:
    upload(page, pattern("dots", 99, (300, 200)))
    assert kinds(page)[:EACH] == ["dots"] * EACH
    expect(page.locator(".lk-head h2")).to_have_text("Most similar to your picture")
    scores = [int(text.removesuffix(" %")) for text in page.locator(".lk-score").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    expect(page.locator(".lk-truth")).to_contain_text("32 pictures")
    expect(page.locator(".lk-truth")).to_contain_text(re.compile(r"\d+ ms"))
    again = "exact, then the first 500 with their neighbours' say"
    expect(page.locator(".lk-truth details")).to_contain_text(again)


def test_clicking_a_result_shows_more_like_it_and_leaves_itself_out(page: Page) -> None:
    upload(page, pattern("dots", 99))
    kinds(page)
    tile = page.locator(".lk-tile", has_text="checks").first
    name = tile.locator(".lk-name").inner_text()
    tile.locator(".lk-pick").click()
    expect(page.locator(".lk-head h2")).to_have_text(f"Most similar to {name}")
    assert kinds(page)[: EACH - 1] == ["checks"] * (EACH - 1)
    assert name not in page.locator(".lk-name").all_inner_texts()


def test_a_double_click_picks_one_picture(page: Page) -> None:
    """Where the second click falls there is another one by then."""
    name = page.locator(".lk-name").nth(2).inner_text()
    page.locator(".lk-pick").nth(2).click(click_count=2, delay=50)
    kinds(page)
    page.wait_for_timeout(700)  # for what should not come
    expect(page.locator(".lk-head h2")).to_have_text(f"Most similar to {name}")
    tile = page.locator(".lk-tile").nth(1)
    tile.hover()
    for clicks in (1, 2):
        more = tile.locator("[data-do=more]")
        more.dispatch_event("click", {"detail": clicks, "bubbles": True})
        expect(page.locator(".lk-chip")).to_have_count(2)
    page.wait_for_timeout(500)
    expect(page.locator(".lk-chip")).to_have_count(2)


def test_an_example_searches_with_one_click(page: Page) -> None:
    page.locator(".lk-examples button").first.click()
    expect(page.locator(".lk-score").first).to_be_visible()


def test_a_tile_works_from_the_keyboard(page: Page) -> None:
    page.locator(".lk-pick").nth(3).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".lk-score").first).to_be_visible()


def test_the_number_of_results_can_be_chosen(page: Page) -> None:
    upload(page, pattern("clouds", 99))
    kinds(page)
    page.locator("#count label", has_text="12").click()
    expect(page.locator(".lk-tile")).to_have_count(12)
    page.locator("#count label", has_text="48").click()
    expect(page.locator(".lk-tile")).to_have_count(4 * EACH)  # all there are


def test_how_it_was_computed_stays_unfolded_until_it_is_folded(page: Page) -> None:
    how, details = page.locator(".lk-truth summary"), page.locator(".lk-truth details")
    upload(page, pattern("clouds", 99))
    kinds(page)
    how.click()
    expect(details).to_have_attribute("open", "")
    page.locator("#count label", has_text="12").click()
    expect(page.locator(".lk-tile")).to_have_count(12)
    expect(details).to_have_attribute("open", "")
    how.press("Enter")
    page.locator("#count label", has_text="24").click()
    expect(page.locator(".lk-tile")).to_have_count(24)
    expect(details).not_to_have_attribute("open", "")


def test_a_box_on_the_query_searches_for_that_part_until_it_is_reset(page: Page) -> None:
    both = Image.new("RGB", (320, 120))
    both.paste(pattern("dots", 99), (0, 0))
    both.paste(pattern("stripes", 99), (160, 0))
    upload(page, both)
    kinds(page)
    layer = page.locator("#lk-crop")
    wait_for_rest(page, "#ask")
    room = layer.bounding_box()
    assert room is not None
    page.mouse.move(room["x"] + 0.52 * room["width"], room["y"] + 2)
    page.mouse.down()
    page.mouse.move(room["x"] + room["width"] - 2, room["y"] + room["height"] - 2, steps=4)
    page.mouse.up()
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("stripes")
    expect(page.locator(".lk-chip")).to_contain_text("a part of it")
    layer.get_by_role("button").click()
    expect(page.locator(".lk-chip")).to_have_text(re.compile(r"^Your picture\W*$"))


def test_a_small_picture_takes_boxes_where_it_lies_and_not_beside(page: Page) -> None:
    upload(page, pattern("dots", 99).resize((120, 60)))
    kinds(page)
    shown = page.locator("#query .image-frame img")
    expect(shown).to_have_css("object-fit", "scale-down")
    wait_for_rest(page, "#ask")
    frame, layer = shown.bounding_box(), page.locator("#lk-crop").bounding_box()
    assert frame is not None
    assert layer is not None
    assert (layer["width"], layer["height"]) == pytest.approx((120, 60), abs=1)
    for at, size in (("x", "width"), ("y", "height")):
        assert layer[at] + layer[size] / 2 == pytest.approx(frame[at] + frame[size] / 2, abs=1)


@pytest.mark.parametrize("size", [(3000, 200), (40, 30)], ids=["panorama", "tiny"])
def test_the_button_of_a_box_is_seen_whole_and_not_on_a_low_picture(
    page: Page, size: tuple[int, int]
) -> None:
    upload(page, pattern("dots", 99).resize(size))
    kinds(page)
    page.locator("#lk-crop").focus()
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Whole picture")
    expect(button).to_be_in_viewport(ratio=1)
    place, layer = button.bounding_box(), page.locator("#lk-crop").bounding_box()
    assert place is not None
    assert layer is not None
    assert place["y"] >= layer["y"] + layer["height"]
    button.click()
    expect(page.locator(".lk-chip")).not_to_contain_text("a part of it")


@pytest.mark.parametrize("width", [1280, 390])
def test_where_letters_are_twice_as_large_no_words_about_the_query_are_cut_off(
    browser: Browser, address: str, width: int
) -> None:
    large = [*FLAGS, "--blink-settings=defaultFontSize=32"]
    other = browser.browser_type.launch(executable_path=find_browser(), args=large)
    is_phone = width < 500
    context = other.new_context(
        viewport={"width": width, "height": 800}, has_touch=is_phone, is_mobile=is_phone
    )
    page = context.new_page()
    page.goto(address)
    upload(page, pattern("dots", 99))
    kinds(page)
    page.locator("#lk-crop").press("Enter")
    expect(page.locator(".lk-chip")).to_contain_text("a part of it")
    stop_fading(page)
    for words_of in (".lk-chip span", "#results .lk-head h2"):
        for one in page.locator(words_of).all():
            assert one.evaluate(
                "({scrollWidth, clientWidth, scrollHeight, clientHeight}) => "
                "scrollWidth <= clientWidth && scrollHeight <= clientHeight + 1"
            ), words_of
    for button in page.locator(".lk-box-ways button:visible").all():
        inside, frame = place_of(button), place_of(page.locator("#query .image-container"))
        assert inside["x"] >= frame["x"]
        assert inside["x"] + inside["width"] <= frame["x"] + frame["width"]
        assert inside["y"] >= frame["y"]
    other.close()


TURN = "#lk-turn"
# How a picture lies: its quarters, and whether what can be drawn on is upright.
LIES = """() => {
  const { width, height } = document.querySelector("#lk-crop")?.getBoundingClientRect() ?? {};
  return `${document.querySelector("#query img")?.dataset.quarters} ${height > width}`;
}"""


def lies(page: Page, quarters: int, upright: bool) -> None:
    page.wait_for_function(
        f"(expected) => ({LIES})() === expected", arg=f"{quarters} {str(upright).lower()}"
    )


def test_a_picture_on_its_side_is_turned_as_often_as_wanted_and_back_undoes_it(page: Page) -> None:
    upload(page, pattern("stripes", 99).resize((120, 60)))
    kinds(page)
    whole = page.url
    button = page.get_by_role("button", name=words.TURN)
    button.focus()
    for quarters in (1, 2):
        page.keyboard.press("Enter")
        lies(page, quarters, upright=quarters == 1)
        page.wait_for_url(f"{whole}&turn={quarters}")
        expect(button).to_be_focused()
    expect(page.locator(".lk-chip")).to_have_count(1)
    page.reload()
    lies(page, 2, upright=False)
    page.go_back()
    lies(page, 1, upright=True)
    page.go_back()
    lies(page, 0, upright=False)
    assert page.url == whole
    page.go_forward()
    lies(page, 1, upright=True)
    # Four quarters are the picture as it came, and several in a row one step.
    for _ in range(3):
        page.locator(TURN).click()
    page.wait_for_url(whole)
    lies(page, 0, upright=False)
    page.go_back()
    lies(page, 1, upright=True)
    # Where there is nothing to be turned there is no button.
    page.get_by_role("button", name="Start over").click()
    expect(button).to_have_count(0)


def test_a_box_is_turned_with_its_picture_and_drawn_on_it_as_it_lies(page: Page) -> None:
    both = Image.new("RGB", (320, 120))
    both.paste(pattern("dots", 99), (0, 0))
    both.paste(pattern("stripes", 99), (160, 0))
    upload(page, both)
    kinds(page)
    page.locator(TURN).click()
    lies(page, 1, upright=True)
    room = page.locator("#lk-crop").bounding_box()
    assert room is not None
    # What was on the right is at the bottom.
    page.mouse.move(room["x"] + 1, room["y"] + 0.52 * room["height"])
    page.mouse.down()
    page.mouse.move(room["x"] + room["width"] - 1, room["y"] + room["height"] - 1, steps=4)
    page.mouse.up()
    page.wait_for_url("**turn=1&crop=0.0*-0.5*-*")
    for _ in range(3):
        page.locator(TURN).click()
    page.wait_for_url(re.compile(r"upload=\w+&crop=0\.5\d+-0\.0\d+-"))
    expect(page.locator(".lk-chip")).to_contain_text("a part of it")
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("stripes")
    box, all_ = page.locator("#lk-crop i").bounding_box(), page.locator("#lk-crop").bounding_box()
    assert box is not None
    assert all_ is not None
    assert box["x"] > all_["x"] + 0.5 * all_["width"]
    page.go_back()
    lies(page, 1, upright=True)
    expect(page.locator("#lk-crop i")).to_be_visible()


@pytest.mark.parametrize("pause", [0, 250])  # before it is told, and after
@pytest.mark.parametrize("then", ["another", "pasted", "removed", "started over", "chip"])
def test_what_is_done_right_after_a_turn_counts(page: Page, then: str, pause: int) -> None:
    upload(page, pattern("stripes", 99).resize((120, 60)))
    kinds(page)
    first = page.url
    page.locator(TURN).click()
    page.wait_for_timeout(pause)
    other = pattern("dots", 98).resize((50, 120))
    if then == "another":
        upload(page, other)
    elif then == "pasted":
        send_file(page, "paste", encode(other, "PNG"), "other.png", "image/png", "body")
    elif then == "chip":
        page.locator(".lk-chip button").click()
    else:
        name = "Remove Image" if then == "removed" else "Start over"
        page.get_by_role("button", name=name).click()
    if then in ("another", "pasted"):
        expect(page.locator(".lk-tile .lk-kind").first).to_have_text("dots")
        page.wait_for_timeout(1_500)  # for what should not come
        assert page.evaluate("document.querySelector('#query img').naturalWidth") == 50
        lies(page, 0, upright=True)
        assert "upload=" in page.url
        assert page.url != first
    else:
        page.wait_for_url(re.compile(r"^[^=]*\?in=[^&]*$"))
        page.wait_for_timeout(1_500)
        expect(page.locator("#query .image-frame img")).to_have_count(0)
    assert "turn" not in page.url


def test_a_step_back_right_after_a_turn_takes_nothing_along(page: Page) -> None:
    upload(page, pattern("stripes", 99).resize((120, 60)))
    kinds(page)
    first = page.url
    page.locator(TURN).click()
    page.wait_for_url("**turn=1")
    page.locator(TURN).click()
    page.go_back()
    lies(page, 0, upright=False)
    page.wait_for_timeout(1_000)
    assert page.url == first
    page.go_forward()
    lies(page, 1, upright=True)


@pytest.mark.parametrize("what", ["turn", "box"])
def test_a_picture_lies_again_as_it_is_searched_with_where_another_way_is_refused(
    page: Page, what: str
) -> None:
    upload(page, pattern("stripes", 99).resize((120, 60)))
    kinds(page)
    page.locator(TURN).click()
    page.wait_for_url("**turn=1")
    turned = page.url
    page.get_by_role("button", name=words.MATCHING).click()
    slider = page.locator("#matching input[type=range]").first  # the others are down already
    slider.press("Home")
    expect(page.get_by_text(words.NOTHING_COUNTS)).to_be_visible()
    let_go = hold_requests(page)
    if what == "turn":
        page.locator(TURN).click()
        lies(page, 2, upright=False)
    else:
        page.locator("#lk-crop").press("Enter")
        expect(page.locator("#lk-crop i")).to_be_visible()
    page.wait_for_timeout(400)  # it has been told by then
    let_go()
    lies(page, 1, upright=True)
    expect(page.locator("#lk-crop i")).to_be_hidden()
    assert page.url == turned
    slider.press("End")
    page.locator(TURN).click()
    page.wait_for_url("**turn=2")
    lies(page, 2, upright=False)


def test_of_two_turns_the_later_one_stays_drawn_until_it_is_answered_too(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.goto(address)
    upload(page, pattern("stripes", 99).resize((120, 60)))
    kinds(page)
    page.wait_for_url("**upload=*")
    whole = page.url
    held: list[Route] = []
    page.route("**/queue/join*", lambda route: held.append(route))
    for turns in (1, 2):
        page.locator(TURN).click()
        page.wait_for_timeout(400)
        assert len(held) == turns
    held[0].continue_()
    page.wait_for_url(f"{whole}&turn=1")
    page.wait_for_timeout(500)  # for what should not come
    lies(page, 2, upright=False)
    refusal = '{"detail": "Too much at once.", "error": "Too much at once."}'
    held[1].fulfill(status=429, content_type="application/json", body=refusal)
    lies(page, 1, upright=True)
    assert page.url == f"{whole}&turn=1"
    page.close()


def test_a_box_that_the_browser_breaks_off_is_none(page: Page) -> None:
    upload(page, pattern("stripes", 99))
    kinds(page)
    page.wait_for_url("**upload=*")
    whole, layer = page.url, page.locator("#lk-crop")
    room = place_of(layer)
    page.mouse.move(room["x"] + 5, room["y"] + 5)
    page.mouse.down()
    page.mouse.move(room["x"] + 70, room["y"] + 50, steps=4)
    expect(layer.locator("i")).to_be_visible()
    layer.dispatch_event("pointercancel")  # as where a second finger begins to zoom
    expect(layer.locator("i")).to_be_hidden()
    page.mouse.up()
    page.wait_for_timeout(600)  # for what should not come
    expect(layer.locator("i")).to_be_hidden()
    assert page.url == whole


def test_a_picture_lies_as_it_came_also_while_its_answer_is_on_its_way(page: Page) -> None:
    upload(page, pattern("stripes", 99).resize((120, 60)))
    kinds(page)
    page.locator(TURN).click()
    page.locator("#lk-crop").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**turn=1&crop=*")
    page.reload()
    lies(page, 1, upright=True)
    box = page.locator("#lk-crop i")
    expect(box).to_be_visible()
    held: list[Route] = []
    page.route("**/queue/join*", lambda route: held.append(route))
    upload(page, pattern("dots", 98).resize((50, 120)))
    page.wait_for_function("document.querySelector('#query img')?.naturalWidth === 50")
    page.wait_for_timeout(300)  # for what should not come
    lies(page, 0, upright=True)
    expect(box).to_be_hidden()
    assert "turn=1&crop=" in page.url
    for route in held:
        route.continue_()
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("dots")
    lies(page, 0, upright=True)


def test_the_arrow_and_the_cross_of_a_picture_look_alike(page: Page, phone: Page) -> None:
    look = """(selector) => {
      const { width, height, border, borderRadius, boxShadow, backgroundColor } =
        getComputedStyle(document.querySelector(selector));
      return [width, height, border, borderRadius, boxShadow, backgroundColor];
    }"""
    for each in (page, phone):
        upload(each, pattern("stripes", 99))
        kinds(each)
        arrow = each.locator(TURN)
        cross = each.evaluate(look, "#query .icon-button-wrapper")
        assert cross[:2] == ["30px", "30px"]
        assert each.evaluate(look, TURN) == cross
        if each is phone:  # it is no switch, which would be on now
            before = arrow.evaluate("(e) => getComputedStyle(e).color")
            arrow.tap()
            lies(each, 1, upright=True)
            assert arrow.evaluate("(e) => getComputedStyle(e).color") == before


@pytest.mark.parametrize(("key", "above"), [("ArrowDown", True), ("ArrowUp", False)])
def test_the_buttons_of_a_box_lie_where_it_leaves_more_room(
    page: Page, key: str, above: bool
) -> None:
    upload(page, pattern("dots", 99))
    kinds(page)
    page.locator("#lk-crop").focus()
    page.keyboard.press("Enter")
    for _ in range(10):
        page.keyboard.press(key)
    button = page.get_by_role("button", name="Whole picture")
    expect(button).to_be_in_viewport(ratio=1)
    box, place = page.locator("#lk-crop i").bounding_box(), button.bounding_box()
    assert box is not None
    assert place is not None
    if above:
        assert place["y"] + place["height"] < box["y"]
    else:
        assert place["y"] > box["y"] + box["height"]


def ask_for_the_middle(page: Page) -> None:
    """Search for the middle of an upload, by keyboard."""
    upload(page, pattern("dots", 99))
    kinds(page)
    page.locator("#lk-crop").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**crop=0.250-0.250-0.750-0.750*")


def test_a_box_is_set_and_moved_by_the_keyboard_too(page: Page) -> None:
    ask_for_the_middle(page)
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.wait_for_url("**crop=0.450-0.250-0.950-0.750*")
    page.keyboard.press("Escape")
    expect(page.locator(".lk-chip")).not_to_contain_text("a part of it")


def test_the_box_stands_on_the_picture_also_after_a_reload(page: Page) -> None:
    ask_for_the_middle(page)
    page.reload()
    expect(page.locator(".lk-chip")).to_contain_text("a part of it", timeout=30_000)
    whole = page.locator("#lk-crop").get_by_role("button")
    expect(whole).to_be_visible()
    whole.click()
    expect(page.locator(".lk-chip")).not_to_contain_text("a part of it")


def test_the_box_is_read_as_it_is_moved_and_its_keys_are_shown_to_who_uses_them(page: Page) -> None:
    upload(page, pattern("dots", 99))
    kinds(page)
    layer, aloud = page.locator("#lk-crop"), page.locator("#lk-aloud")
    page.locator("#query button").last.focus()
    page.keyboard.press("Shift+Tab")
    layer.focus()
    expect(layer.get_by_text(words.CROP_KEYS)).to_be_visible()
    page.keyboard.press("Enter")
    expect(aloud).to_have_text("Left 25\u00a0%, top 25\u00a0%, width 50\u00a0%, height 50\u00a0%")
    page.keyboard.press("ArrowRight")
    expect(aloud).to_have_text("Left 30\u00a0%, top 25\u00a0%, width 50\u00a0%, height 50\u00a0%")
    expect(page.locator(".lk-chip")).to_contain_text("a part of it")
    page.get_by_role("button", name="Whole picture").press("Enter")
    expect(layer).to_be_focused()


def test_the_focus_stays_on_the_page_where_what_had_it_has_gone(page: Page) -> None:
    title = page.locator("#results h2")
    page.locator("#query button.upload-container").focus()
    upload(page, pattern("dots", 99))
    kinds(page)
    expect(page.locator("#lk-crop")).to_be_focused()
    page.get_by_role("button", name="Remove Image").press("Enter")
    expect(page.locator("#query button.upload-container")).to_be_focused()
    # With its coming a key that is pressed now would be lost.
    expect(title).to_contain_text("A look around")
    page.locator(".lk-pick").nth(3).press("Enter")
    kinds(page)
    for n in range(1, 4):  # the line where the good matches end comes and goes among them
        page.locator("[data-do=less]").nth(5 + n).press("Enter")
        expect(page.locator(".lk-unlike")).to_have_count(n)
        expect(page.locator("[data-do=less]:focus")).to_have_count(1)
    page.locator("[data-do=remove]").last.press("Enter")
    expect(page.locator(".lk-unlike")).to_have_count(2)
    expect(page.locator("[data-do=remove]:focus")).to_have_count(1)
    page.locator("[data-do=back]").press("Enter")
    expect(title).to_contain_text("A look around")
    expect(title).to_be_focused()
    expect(title).to_have_css("outline-style", "none")  # nobody can press it
    drawer = page.get_by_role("button", name="Filter and sort", exact=True)
    expect(drawer).to_have_attribute("aria-expanded", "false")
    drawer.press("Enter")
    expect(drawer).to_have_attribute("aria-expanded", "true")
    page.get_by_label("At least, in megapixels").fill("999")
    page.keyboard.press("Enter")
    expect(page.locator("#results [role=status]")).to_contain_text("No picture passes")
    expect(page.locator("#answer .lk-truth")).to_be_hidden()  # of nothing nothing was computed
    page.get_by_role("button", name="All pictures").press("Enter")
    expect(title).to_contain_text("A look around")
    expect(title).to_be_focused()


def test_the_focus_waits_for_its_button_where_an_earlier_answer_comes_without_it(
    page: Page,
) -> None:
    page.locator(".lk-pick").first.click()
    kinds(page)
    title, less = page.locator("#results h2"), page.locator("[data-do=less]").nth(4)
    # As such an answer does: the buttons are there, and nowhere to be seen.
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('style'), {id: 'late'}))"
    )
    for goes_on in (False, True):
        less.focus()
        page.evaluate("late.textContent = '[data-do=less] { display: none }'")
        expect(title).to_be_focused()
        if goes_on:
            page.keyboard.press("Shift")
        page.evaluate("late.textContent = ''")
        wait_for_rest(page, "#results")
        expect(title if goes_on else less).to_be_focused()


def test_what_is_typed_into_a_choice_is_sought_among_all_that_it_offers(page: Page) -> None:
    page.get_by_role("button", name="Filter and sort").click()
    page.locator("#filters").get_by_label("Kind").click()
    expect(page.get_by_role("option").nth(1)).to_be_visible()
    page.keyboard.type("dot")
    expect(page.get_by_role("option")).to_have_text([re.compile("dots")])


def test_after_a_choice_by_the_keyboard_its_field_has_the_focus_still(page: Page) -> None:
    order = open_filters(page).get_by_label("Sort by")
    offered = page.get_by_role("option")
    order.focus()
    order.press("ArrowDown")
    order.press("ArrowDown")
    order.press("Enter")
    page.wait_for_url("**order=oldest*")
    expect(offered).to_have_count(0)
    expect(order).to_be_focused()
    for key in ("Shift", "Alt"):
        order.press(key)
    expect(offered).to_have_count(0)
    # What was chosen is followed back, and what is done there begins from it.
    page.go_back()
    expect(order).to_have_value("Most similar first")
    page.go_forward()
    expect(order).to_have_value("Oldest first")
    order.press("ArrowDown")
    expect(offered).to_have_count(6)
    order.press("Enter")
    page.wait_for_url("**order=name*")
    expect(offered).to_have_count(0)
    order.press_sequentially("newest")
    expect(offered).to_have_text([re.compile("Newest first")])
    order.press("Enter")
    page.wait_for_url("**order=newest*")
    expect(offered).to_have_count(0)
    order.click()
    expect(offered).to_have_count(6)
    order.press("Escape")
    expect(offered).to_have_count(0)
    order.press("Tab")
    expect(page.locator("#filters").get_by_role("combobox", name="Kind")).to_be_focused()
    expect(order).to_have_value("Newest first")


def test_that_there_is_no_camera_is_said(page: Page) -> None:
    page.get_by_role("button", name="Capture from camera").click()
    page.locator("#query").get_by_text(words.CAMERA_START).click()
    expect(page.get_by_test_id("toast-text")).to_have_text(words.NO_CAMERA)


def test_with_few_colours_what_is_chosen_is_seen(page: Page) -> None:
    page.emulate_media(forced_colors="active")
    stop_fading(page)
    ground = "(element) => getComputedStyle(element).backgroundColor"
    for one in ("#count label", "#tabs button[role=tab]"):
        chosen, other = page.locator(f"{one}.selected"), page.locator(f"{one}:not(.selected)")
        assert chosen.evaluate(ground) != other.first.evaluate(ground)


def tile_button(page: Page, index: int, what: str) -> None:
    tile = page.locator(".lk-tile").nth(index)
    tile.hover()
    tile.locator(f"[data-do={what}]").click()


def test_a_part_of_a_result_is_searched_for(page: Page) -> None:
    page.locator(".lk-tile", has_text="stripes").first.locator(".lk-pick").click()
    kinds(page)
    page.get_by_role("button", name="Search for a part of it").click()
    expect(page.locator(".lk-head h2")).to_have_text("Most similar to your picture")
    expect(page.locator("#query .image-frame img")).to_have_count(1)
    page.locator("#lk-crop").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".lk-chip")).to_contain_text("a part of it")
    assert kinds(page)[0] == "stripes"
    expect(page.get_by_role("button", name="Search for a part of it")).to_have_count(0)


def test_who_wants_a_part_is_told_to_drag_until_it_is_done(page: Page) -> None:
    page.locator(".lk-pick").nth(2).click()
    kinds(page)
    page.get_by_role("button", name="Search for a part of it").click()
    hint = page.get_by_text(words.CROP_DRAW)
    expect(hint).to_be_visible()
    page.locator("#lk-crop").focus()
    page.keyboard.press("Enter")
    expect(hint).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator(".lk-asked")).to_have_count(0)


def test_for_fingers_too_each_slider_is_nearer_to_its_own_name_than_to_the_next(
    phone: Page,
) -> None:
    phone.get_by_role("button", name="What should match?").tap()
    tracks = phone.locator("#matching input[type=range]")
    expect(tracks).to_have_count(3)
    expect(tracks.last).to_be_visible()
    stop_fading(phone)
    wait_for_rest(phone, "#ask")
    names, places = phone.evaluate(  # at once, or the page may be scrolled in between
        """() => ["#matching .head label", "#matching input[type=range]"].map((what) =>
          [...document.querySelectorAll(what)].map((one) => one.getBoundingClientRect())
            .map(({ top, height }) => top + height / 2))"""
    )
    own = [place - name for name, place in zip(names, places, strict=True)]
    following = [name - place for name, place in zip(names[1:], places, strict=False)]
    assert 0 < max(own) < min(following) - 10


def test_a_wide_page_does_not_jump_as_it_comes(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1920, "height": 1080})
    page.add_init_script(
        """window.shifted = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((one) => {
          window.shifted += one.value;
        })).observe({ type: "layout-shift", buffered: true });"""
    )
    page.goto(address)
    expect(page.locator(".lk-grid .lk-tile")).to_have_count(24, timeout=30_000)
    page.wait_for_timeout(500)
    assert page.evaluate("window.shifted") < 0.1  # what is held to be good
    assert page.locator("#header").bounding_box()["width"] == 1176  # type: ignore[index]
    page.close()


def test_a_finger_that_wants_a_part_is_told_what_to_do(phone: Page) -> None:
    upload(phone, pattern("dots", 99))
    kinds(phone)
    begin = phone.get_by_role("button", name=words.CROP_START, exact=True)
    begin.tap()
    hint = phone.get_by_text(words.CROP_DRAW)
    expect(hint).to_be_visible()
    phone.locator("#lk-crop").tap(position={"x": 20, "y": 20})  # which draws nothing
    expect(hint).to_be_hidden()
    expect(begin).to_be_visible()


def test_stopping_an_upload_to_a_collection_searches_for_nothing(page: Page) -> None:
    page.get_by_role("tab", name="My pictures").click()
    page.route("**/uploads/*", lambda route: None)  # on its way for as long as it takes
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_input_files(
        "#add-pictures input[data-pick=files]",
        {"name": "a.png", "mimeType": "image/png", "buffer": encode(pattern("dots", 1), "PNG")},
    )
    page.locator(".lk-upload").get_by_role("button", name="Stop").click()
    expect(page.locator(".lk-upload").get_by_role("button", name="Stop")).to_have_count(0)
    page.wait_for_timeout(200)
    assert [url for url in asked if url.endswith("/stop")] == []


def test_more_and_less_make_a_query_of_several_pictures(page: Page) -> None:
    upload(page, pattern("dots", 99))
    kinds(page)
    tile_button(page, 0, "more")
    expect(page.locator(".lk-chip")).to_have_count(2)
    expect(page.locator(".lk-head h2")).to_have_text("Most similar to 2 pictures together")
    tile_button(page, 10, "less")
    expect(page.locator(".lk-chip.lk-unlike")).to_have_count(1)
    page.locator(".lk-chip button").first.click()
    expect(page.locator(".lk-chip")).to_have_count(2)


def test_a_link_and_the_back_button_bring_the_same_results(browser: Browser, page: Page) -> None:
    page.locator(".lk-pick").nth(2).click()
    kinds(page)
    page.wait_for_url("**like=*")
    first, names = page.url, page.locator(".lk-name").all_inner_texts()
    tile_button(page, 1, "more")
    expect(page.locator(".lk-chip")).to_have_count(2)
    page.wait_for_url(lambda url: url != first)
    page.go_back()
    expect(page.locator(".lk-chip")).to_have_count(1)
    assert page.locator(".lk-name").all_inner_texts() == names
    other = browser.new_page()
    other.goto(first)
    expect(other.locator(".lk-chip")).to_have_count(1, timeout=20_000)
    assert other.locator(".lk-name").all_inner_texts() == names
    other.close()


def test_back_and_a_page_loaded_anew_come_to_where_one_had_scrolled(
    browser: Browser, address: str
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 600})
    page.goto(address)
    page.locator(".lk-pick").nth(2).click()
    kinds(page)
    page.wait_for_url("**like=*")
    first = page.url
    page.evaluate("window.scrollTo(0, 420)")
    in_view = page.locator(".lk-pick").nth(10)
    in_view.dispatch_event("click")
    page.wait_for_url(lambda url: url != first)
    page.wait_for_function("scrollY === 0")
    page.go_back()
    page.wait_for_function("scrollY === 420")
    assert page.url == first
    page.reload()
    page.wait_for_function("scrollY === 420")
    page.go_forward()
    page.wait_for_function("scrollY === 0")
    page.close()


def test_back_and_a_page_loaded_anew_come_to_the_tab_that_was_open(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.goto(address)
    page.locator(".lk-pick").nth(2).click()
    kinds(page)
    place = page.locator("#map")
    turn_to(page, "Map")
    expect(place).to_be_visible()
    page.wait_for_function("history.state?.tab === 'map'")
    page.reload()
    expect(page.locator(".lk-map canvas")).to_be_visible()
    before = page.url
    page.locator(".lk-map-words summary").click()
    page.locator("[data-map-id]").first.click()
    page.wait_for_url(lambda url: url != before)
    expect(place).to_be_hidden()
    page.wait_for_timeout(300)
    page.go_back()
    expect(place).to_be_visible()
    assert page.url == before
    page.go_forward()
    expect(place).to_be_hidden()
    kinds(page)
    page.close()


def test_on_a_phone_a_link_brings_its_results_into_view(
    browser: Browser, address: str, page: Page
) -> None:
    page.locator(".lk-pick").nth(2).click()
    kinds(page)
    page.wait_for_url("**like=*")
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.goto(page.url)
    expect(phone.locator(".lk-head")).to_be_in_viewport(ratio=1)
    phone.goto(address)
    expect(phone.locator(".lk-head h2")).to_contain_text("A look around")
    expect(phone.locator("#query")).to_be_in_viewport()
    phone.close()


def answered_late(page: Page, *actions: Callable[[], object]) -> None:
    """Do one thing after the other before the first of them has been answered."""
    asked: list[Route] = []
    page.route("**/queue/join*", lambda route: asked.append(route))
    for action in actions:
        action()
        page.wait_for_timeout(400)
    for route in asked:
        route.continue_()
    page.unroute("**/queue/join*")


def upload_slowly(page: Page) -> None:
    """Upload a picture that takes long to open, until the page has asked for its like."""
    with page.expect_response("**/queue/join*"):
        upload(page, pattern("dots", 99, (6000, 6000)))


def test_what_was_done_last_counts_although_a_slow_upload_is_answered_after_it(page: Page) -> None:
    upload_slowly(page)
    page.locator(".lk-pick").first.click()
    kinds(page)
    page.wait_for_timeout(2000)  # for what should not come
    expect(page.locator(".lk-head h2")).to_have_text(re.compile("^Most similar to .*jpg"))
    expect(page.locator("#query .image-frame img")).to_have_count(0)


def test_a_number_chosen_while_an_upload_is_opened_counts_for_it(page: Page) -> None:
    upload_slowly(page)
    page.locator("#count label").nth(0).click()
    expect(page.locator(".lk-head h2")).to_have_text("Most similar to your picture")
    expect(page.locator(".lk-tile")).to_have_count(12)


def test_a_step_back_that_cannot_be_brought_back_leaves_the_way_forward(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.goto(f"{address}?upload=0123456789ab")  # of an earlier page, and so no more
    expect(page.locator(".lk-head h2")).to_contain_text("A look around", timeout=30_000)
    page.evaluate("history.replaceState({}, '', '?upload=0123456789ab')")
    page.locator(".lk-pick").nth(2).click()
    page.wait_for_url("**like=*")
    found, picked = page.locator(".lk-head h2").inner_text(), page.url
    before = page.evaluate("history.length")
    page.go_back()
    expect(page.get_by_test_id("toast-body").last).to_contain_text("the last six are kept")
    expect(page.locator(".lk-head h2")).to_contain_text("A look around")
    page.wait_for_url("**?in=*")
    page.wait_for_timeout(500)
    assert page.evaluate("history.length") == before
    page.go_forward()
    expect(page.locator(".lk-head h2")).to_have_text(found)
    assert page.url == picked
    # What is asked from then on is a step of its own.
    page.locator(".lk-pick").first.click()
    page.wait_for_url(lambda url: url != picked)
    assert page.evaluate("history.length") == before + 1
    page.close()


def test_steps_back_that_are_faster_than_their_answers_overwrite_none(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.goto(address)
    urls = []
    for place in (2, 4, 6):
        page.locator(".lk-pick").nth(place).click()
        kinds(page)
        page.wait_for_url(lambda url: "like=" in url and url not in urls)
        urls.append(page.url)
    held: list[Route] = []
    waiting = True
    page.route(
        "**/queue/join*",
        lambda route: held.append(route) if waiting else route.continue_(),
    )
    for step in range(3):
        asked = len(held)
        page.go_back()
        while len(held) == asked:
            page.wait_for_timeout(50)
        if step:  # the answer to the step before comes when this one has been taken
            held[step - 1].continue_()
            page.wait_for_timeout(1_000)
    waiting = False
    for route in held[2:]:
        route.continue_()
    expect(page.locator(".lk-head h2")).to_contain_text("A look around")
    for url in urls:
        page.go_forward()
        page.wait_for_url(url)
        page.wait_for_timeout(500)
    page.close()


def test_a_jump_out_of_a_dialog_over_several_steps_brings_what_was_there(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.goto(address)
    found, urls = [], []
    for place in (2, 4):
        page.locator(".lk-pick").nth(place).click()
        kinds(page)
        page.wait_for_url(lambda url: "like=" in url and url not in urls)
        urls.append(page.url)
        found.append(page.locator(".lk-head h2").inner_text())
    tile_button(page, 0, "why")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.wait_for_function("history.state?.why")
    page.evaluate("history.go(-2)")
    page.wait_for_url(urls[0])
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".lk-head h2")).to_have_text(found[0])
    page.close()


def test_the_tab_is_kept_also_where_what_was_searched_with_is_gone(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.goto(f"{address}?upload=0123456789ab")
    expect(page.locator(".lk-head h2")).to_contain_text("A look around", timeout=30_000)
    turn_to(page, "Map")
    page.wait_for_function("history.state?.tab === 'map'")
    page.evaluate("history.replaceState(history.state, '', '?upload=0123456789ab')")
    page.reload()
    expect(page.locator("#map")).to_be_visible(timeout=30_000)
    page.wait_for_url("**?in=*")
    assert page.evaluate("history.state.tab") == "map"
    page.close()


def test_what_is_picked_before_a_step_back_was_answered_is_a_step_of_its_own(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.goto(address)
    urls = []
    for place in (2, 4):
        page.locator(".lk-pick").nth(place).click()
        kinds(page)
        page.wait_for_url(lambda url: "like=" in url and url not in urls)
        urls.append(page.url)
    held: list[Route] = []
    page.route("**/queue/join*", lambda route: held.append(route), times=1)
    with page.expect_request("**/queue/join*"):
        page.go_back()
    page.wait_for_url(urls[0])
    page.locator(".lk-pick").nth(6).click()
    page.wait_for_url(lambda url: url not in urls)
    picked = page.url
    held[0].continue_()
    page.wait_for_timeout(500)
    assert page.url == picked
    page.go_back()
    page.wait_for_url(urls[0])
    page.close()


def test_options_count_after_a_step_back_that_failed(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.locator(".lk-pick").first.click()
    kinds(page)
    page.wait_for_url("**like=*")
    page.route("**/queue/join*", lambda route: route.fulfill(status=503, json={}), times=1)
    with page.expect_response("**/queue/join*"):
        page.go_back()
    page.wait_for_timeout(500)
    page.locator("#count label").nth(0).click()
    expect(page.locator(".lk-tile")).to_have_count(12)
    page.close()


def test_a_key_that_is_held_down_asks_once(page: Page) -> None:
    page.locator(".lk-pick").first.focus()
    page.evaluate("addEventListener('click', () => (window.asked = (window.asked ?? 0) + 1))")
    for _ in range(6):
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    assert page.evaluate("window.asked") == 1


def test_a_request_that_does_not_get_through_is_sent_again_and_the_page_stays(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.goto(address)
    upload(page, pattern("dots", 99))
    kinds(page)
    page.evaluate("window.stays = true")
    sent: list[str | None] = []

    def lose(route: Route) -> None:
        number = route.request.headers.get("x-lookalike-action")
        if sent and number != sent[0]:  # the page follows the building as well
            return route.continue_()
        sent.append(number)
        if len(sent) == 2:
            route.fetch()  # it arrives, and the answer is lost
        return route.continue_() if len(sent) == 4 else route.abort()

    page.route("**/queue/join*", lose)
    tile_button(page, 1, "more")
    expect(page.locator(".lk-chip")).to_have_count(2)
    assert len(sent) == 4
    page.unroute("**/queue/join*")
    tile_button(page, 9, "less")
    expect(page.locator(".lk-chip")).to_have_count(3)
    assert page.evaluate("window.stays")
    expect(page.locator("#query .image-frame img")).to_have_count(1)
    expect(page.locator(".toast-body")).to_have_count(0)
    page.close()


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (429, words.BUSY, words.BUSY),
        (502, "<html><h1>Bad gateway</h1></html>", words.WENT_WRONG),
        (413, "", words.WENT_WRONG),
    ],
    ids=["our own", "a gateway's page", "nothing"],
)
def test_a_picture_that_is_refused_is_so_in_a_sentence(
    browser: Browser, address: str, status: int, body: str, sentence: str
) -> None:
    page = browser.new_page()
    page.goto(address)
    expect(page.locator(".lk-pick").first).to_be_visible(timeout=30_000)
    page.route("**/upload?*", lambda route: route.fulfill(status=status, body=body))
    upload(page, pattern("dots", 99))
    expect(page.get_by_test_id("toast-text")).to_have_text(sentence)
    page.close()


def test_an_app_that_does_not_answer_is_told_until_it_does(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    upload(page, pattern("dots", 99))
    kinds(page)
    page.evaluate("window.stays = true")
    page.context.set_offline(True)
    told = page.locator("#lk-lost")
    expect(told).to_have_text(words.LOST)
    page.locator(".lk-pick").first.click()
    page.evaluate(
        """document.body.insertAdjacentHTML("beforeend",
          "<p data-testid='toast-body' class='toast-body'>Connection errored out. </p>")"""
    )
    expect(page.locator("p.toast-body")).to_be_hidden()
    page.context.set_offline(False)
    expect(told).to_have_count(0)
    assert page.evaluate("window.stays")
    expect(page.locator(".lk-head h2")).to_contain_text(".jpg")  # what was clicked was sent again
    # Started anew it does not know the page, which its address brings back.
    page.evaluate("gradio_config.app_id = 1")
    page.wait_for_function("!window.stays")
    expect(page.locator(".lk-head h2")).to_contain_text(".jpg")
    page.close()


def test_an_app_that_answers_late_is_not_said_to_have_ended(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    expect(page.locator(".lk-pick").first).to_be_visible(timeout=30_000)
    page.evaluate("window.lookalikeSending = () => true")
    asked: list[Route] = []
    page.route("**/app_id", lambda route: asked.append(route))  # and never answered
    told = page.locator("#lk-lost")
    page.wait_for_timeout(14_000)
    expect(told).to_have_count(0)  # the page itself takes the connections
    page.evaluate("window.lookalikeSending = () => false")
    expect(told).to_have_text(words.LATE, timeout=20_000)
    # A page that nobody looks at asks nothing.
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.wait_for_timeout(7_000)  # for the one that is under way
    before = len(asked)
    page.wait_for_timeout(4_000)
    assert len(asked) == before
    page.unroute("**/app_id")
    page.evaluate("delete document.hidden")
    expect(told).to_have_count(0)
    page.close()


def test_where_two_apps_answer_by_turns_the_page_is_not_loaded_for_ever(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    loads: list[Page] = []
    page.on("load", lambda page: loads.append(page))
    page.route("**/app_id", lambda route: route.fulfill(json={"app_id": 7}))
    page.goto(address)
    while len(loads) < 2:
        page.wait_for_timeout(100)
    expect(page.locator(".lk-pick").first).to_be_visible(timeout=30_000)
    page.wait_for_timeout(5_000)
    assert len(loads) == 2
    page.close()


def test_more_pages_than_a_browser_has_connections_can_be_open(
    browser: Browser, address: str
) -> None:
    context = browser.new_context()
    pages = [context.new_page() for _ in range(8)]
    for page in pages:
        page.goto(address)
        expect(page.locator(".lk-pick").first).to_be_visible(timeout=30_000)
    # One that has made room works as before.
    first = pages[0]
    first.locator(".lk-pick").first.click()
    expect(first.locator(".lk-head h2")).to_contain_text(".jpg")
    first.locator("#count label").nth(0).click()
    expect(first.locator(".lk-tile")).to_have_count(12)
    expect(first.get_by_test_id("toast-body")).to_have_count(0)
    context.close()


def test_an_earlier_answer_that_the_browser_shows_last_gives_way(page: Page) -> None:
    shown = page.locator("#results [data-turn]")
    last = int(shown.get_attribute("data-turn") or 0)
    shown.evaluate("(element) => (element.dataset.turn = 0)")
    page.wait_for_function(
        "(last) => Number(document.querySelector('#results [data-turn]').dataset.turn) > last",
        arg=last,
    )


def open_filters(page: Page) -> Locator:
    page.get_by_text("Filter and sort").click()
    wait_for_rest(page, "#filters")  # nobody types while the drawer opens, and is being filled
    return page.locator("#filters")


@pytest.mark.parametrize("looks", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_a_date_that_is_none_is_told_at_its_field_until_it_is_mended(
    request: pytest.FixtureRequest, device: str, looks: Literal["light", "dark"]
) -> None:
    page: Page = request.getfixturevalue("page" if device == "desktop" else "phone")
    if looks == "dark":
        page.evaluate("document.body.classList.add('dark')")
    filters = open_filters(page)
    since, until = filters.get_by_label("Taken since"), filters.get_by_label("Taken until")
    refused, aloud = page.locator("#since-refusal"), page.locator("#lk-aloud")
    gap = place_of(until)["y"] - place_of(since)["y"]
    for leave in ("Enter", "Tab"):
        since.fill("July 2024")
        expect(refused).to_be_hidden()
        aloud.evaluate("(line) => (line.textContent = '')")
        since.press(leave)
        expect(refused).to_have_text(words.NO_DATE)
        expect(aloud).to_have_text(words.NO_DATE)
        expect(since).to_have_accessible_description(words.NO_DATE)
        expect(since).to_have_attribute("aria-invalid", "true")
        expect(until).not_to_have_attribute("aria-invalid", "true")
        assert place_of(since)["y"] + place_of(since)["height"] <= place_of(refused)["y"]
        assert place_of(until)["y"] - place_of(since)["y"] <= gap + 25  # a line
    colour = refused.locator("p").evaluate("(said) => getComputedStyle(said).color")
    red, green, blue = map(int, re.findall(r"\d+", colour))
    assert red > max(green, blue) + 80
    until.fill("2024-13")
    until.press("Enter")
    expect(page.locator("#until-refusal")).to_have_text(words.NO_DATE)
    expect(page.locator("#until-refusal")).to_be_in_viewport()  # after it has been scrolled to
    since.fill("2024")
    since.press("Enter")
    page.wait_for_url("**since=2024")
    expect(refused).to_be_hidden()
    expect(since).not_to_have_attribute("aria-invalid", "true")
    expect(page.locator(".toast-body")).to_have_count(0)


def test_what_is_wrong_with_a_date_is_read_once_and_again_where_it_is_sent_again(
    page: Page,
) -> None:
    filters = open_filters(page)
    since, refused = filters.get_by_label("Taken since"), page.locator("#since-refusal .lk-wrong")
    since.fill("abc")
    since.press("Enter")
    expect(refused).to_have_text(words.NO_DATE)
    page.evaluate(
        """() => {
          window.read = [];
          const say = window.lookalikeSay;
          window.lookalikeSay = (text) => (window.read.push(text), say(text));
        }"""
    )
    for key, times in (("Enter", 1), ("Tab", 1)):
        turn = refused.get_attribute("data-turn")
        since.press(key)
        expect(refused).not_to_have_attribute("data-turn", turn or "")
        page.wait_for_timeout(200)
        assert page.evaluate("window.read") == [words.NO_DATE] * times
    expect(since).to_have_attribute("aria-invalid", "true")


def test_what_is_wrong_with_a_date_is_said_no_more_where_another_takes_its_place(
    page: Page,
) -> None:
    filters = open_filters(page)
    since, refused = filters.get_by_label("Taken since"), page.locator("#since-refusal")
    since.fill("2024")
    since.press("Enter")
    page.wait_for_url("**since=2024")
    since.fill("July 2024")
    since.press("Enter")
    expect(refused).to_be_visible()
    page.go_back()
    expect(since).to_have_value("")
    expect(refused).to_be_hidden()
    expect(since).not_to_have_attribute("aria-invalid", "true")


def test_a_size_is_typed_as_people_write_it_or_refused_at_its_field(page: Page) -> None:
    size = open_filters(page).get_by_label("At least, in megapixels")
    refused = page.locator("#megapixels-refusal")
    expect(size).to_have_attribute("inputmode", "decimal")  # the keys that a phone shows
    size.press_sequentially("0,01")
    size.press("Enter")
    page.wait_for_url("**mp=0.01")
    for written in ("e", "-5"):
        size.fill(written)
        size.press("Enter")
        expect(refused).to_have_text(words.NO_MEGAPIXELS)
        expect(size).to_have_accessible_description(words.NO_MEGAPIXELS)
        assert page.url.endswith("mp=0.01")
    size.fill("2 MP")
    expect(refused).to_be_hidden()
    size.press("Enter")
    page.wait_for_url("**mp=2")
    expect(page.locator(".lk-empty h2")).to_have_text("No picture passes")


def test_a_tile_that_is_pressed_right_after_typing_is_searched_with_as_typed(page: Page) -> None:
    open_filters(page).get_by_label("At least, in megapixels").fill("0.001")
    joined: list[str] = []
    page.on(
        "request", lambda request: joined.append(request.url) if "join" in request.url else None
    )
    page.locator(".lk-pick").nth(2).click()
    kinds(page)
    page.wait_for_url("**like=*&mp=0.001*")
    assert len(joined) == 1


def test_a_tile_is_taken_for_what_it_showed_when_its_press_began(page: Page) -> None:
    pick = page.locator(".lk-pick").nth(4)
    pressed = pick.get_attribute("data-id")
    field = open_filters(page).get_by_label("At least, in megapixels")
    field.fill("0.001")
    pick.hover()
    page.locator("#count label").nth(0).evaluate("(label) => label.click()")
    page.mouse.down()
    expect(page.locator(".lk-tile")).to_have_count(12)
    expect(pick).not_to_have_attribute("data-id", pressed or "")
    page.mouse.up()
    page.wait_for_url(f"**like=*%3A{pressed}&*")


def test_what_is_done_before_the_answer_is_there_counts_as_well(page: Page) -> None:
    dots, stripes = pattern("dots", 99), pattern("stripes", 99)
    answered_late(page, lambda: upload(page, dots), lambda: upload(page, stripes))
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("stripes")
    counts = page.locator("#count label")
    answered_late(page, lambda: counts.nth(0).click(), lambda: counts.nth(2).click())
    expect(page.locator(".lk-tile")).to_have_count(4 * EACH)
    more = page.locator("[data-do=more]")
    more.evaluate_all("(buttons) => buttons.slice(0, 3).forEach((button) => button.click())")
    expect(page.locator(".lk-chip")).to_have_count(4)


def test_the_upload_is_on_the_page_whenever_it_is_asked_about(page: Page) -> None:
    preview = page.locator("#query .image-frame img")
    upload(page, pattern("dots", 99))
    kinds(page)
    page.wait_for_url("**upload=*")
    page.locator(".lk-pick").first.click()
    expect(preview).to_have_count(0)
    page.wait_for_url("**like=*")
    page.go_back()
    expect(page.locator(".lk-head h2")).to_have_text("Most similar to your picture")
    expect(preview).to_have_count(1)
    before = page.locator(".lk-tile").all_inner_texts()
    page.reload()
    expect(page.locator(".lk-head h2")).to_have_text("Most similar to your picture", timeout=30_000)
    expect(preview).to_have_count(1)
    assert page.locator(".lk-tile").all_inner_texts() == before
    page.go_forward()
    expect(preview).to_have_count(0)


def test_what_should_match_can_be_chosen(page: Page) -> None:
    upload(page, pattern("dots", 99))
    kinds(page)
    page.get_by_role("button", name="What should match?").click()
    page.locator("#preset label", has_text="Same colours").click()
    page.wait_for_url("**match=0-1-0*", timeout=15_000)
    expect(page.locator(".lk-score").first).to_be_visible()
    page.wait_for_timeout(1500)  # in which the answer, which sets the sliders as well, is at rest
    # By keyboard: no preset is marked that the sliders have left, and each can be pressed again.
    marked = page.locator("#preset input:checked")
    expect(marked).to_have_count(1)
    page.get_by_label("range slider for Colours").press("ArrowLeft")
    expect(marked).to_have_count(0)
    page.wait_for_url("**match=0-0.9-0*", timeout=15_000)
    page.locator("#preset label", has_text="Same colours").click()
    page.wait_for_url("**match=0-1-0*", timeout=15_000)


def test_a_link_brings_back_all_that_was_chosen(browser: Browser, address: str, page: Page) -> None:
    name = page.locator(".lk-name").first.inner_text()
    page.locator(".lk-pick").first.click()
    page.wait_for_url("**like=*")
    wanted = f"{page.url}&label=dots&match=0-1-0&n=12"
    for _ in range(3):
        other = browser.new_page()
        wrong = watch(other, address)
        other.goto(wanted)
        expect(other.locator(".lk-head h2")).to_have_text(f"Most similar to {name}", timeout=20_000)
        other.wait_for_timeout(1500)  # in which the controls, once they are set, asked anew
        assert sorted(other.url.split("?")[1].split("&")) == sorted(wanted.split("?")[1].split("&"))
        assert set(kinds(other)) == {"dots"}
        expect(other.locator(".toast-body")).to_have_count(0)
        other.get_by_role("button", name="What should match?").click()
        expect(other.locator("#preset input:checked")).to_have_count(1)
        other.close()
        assert wrong == []


def test_why_a_result_matches_is_shown_and_closed_by_escape(page: Page) -> None:
    upload(page, pattern("dots", 99))
    kinds(page)
    tile_button(page, 0, "why")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("alike in what they show")
    expect(dialog.locator(".lk-warm")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    tile_button(page, 0, "why")
    expect(dialog).to_be_visible()


def test_a_picture_is_seen_in_large_and_the_next_ones_after_it(page: Page) -> None:
    names = page.locator("#results .lk-name").all_inner_texts()
    tile_button(page, 1, "look")
    dialog, place = page.get_by_role("dialog"), page.locator(".lk-place")
    picture = dialog.locator(".lk-stage img")
    expect(dialog.get_by_role("heading")).to_have_text(names[1])
    expect(place).to_have_text("2 of 24")
    expect(picture).to_have_attribute("src", re.compile(r"^originals/.*part=1$"))
    page.keyboard.press("ArrowRight")
    expect(place).to_have_text("3 of 24")
    expect(page.locator("#lk-aloud")).to_have_text(f"{names[2]}, 3 of 24")
    for said in ("2 of 24", "1 of 24", "24 of 24"):  # before the first comes the last
        page.get_by_role("button", name="The picture before").click()
        expect(place).to_have_text(said)
    expect(dialog.get_by_role("heading")).to_have_text(names[23])
    expect(dialog.get_by_role("button", name="Why this match?")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.locator("[data-do=look]").last).to_be_focused()
    tile_button(page, 4, "look")
    dialog.get_by_role("button", name="More like this").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".lk-head h2")).to_have_text(f"Most similar to {names[4]}")
    page.locator(".lk-query button").click()
    expect(dialog.get_by_role("heading")).to_have_text(names[4])
    page.keyboard.press("ArrowRight")
    expect(place).to_have_text("1 of 24")
    dialog.get_by_role("button", name="Why this match?").click()
    expect(dialog.locator(".lk-warm")).to_have_count(2)
    page.go_back()
    expect(dialog).to_have_count(0)
    expect(page.locator("[data-do=why]").first).to_be_focused()


def test_a_finger_goes_on_to_the_next_picture_and_all_tabs_are_there_for_it(phone: Page) -> None:
    phone.locator("[data-do=look]").first.tap()
    place = phone.locator(".lk-place")
    expect(place).to_have_text("1 of 24")
    touch = phone.context.new_cdp_session(phone)  # events made up by a script are no gestures to it

    def send(kind: str, *points: dict[str, int]) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [*points]})

    for begin, end, said in ((300, 80, "2 of 24"), (80, 300, "1 of 24")):
        send("touchStart", {"x": begin, "y": 300})
        for step in range(1, 8):
            send("touchMove", {"x": begin + (end - begin) * step // 7, "y": 300})
        send("touchEnd")
        expect(place).to_have_text(said)
    phone.get_by_role("button", name="Close").tap()
    for tab in ("Search", "My pictures", "Map", "Copies", "How good is it?"):
        expect(phone.get_by_role("tab", name=tab)).to_be_visible()


def test_a_picture_whose_file_has_gone_is_seen_in_small(page: Page) -> None:
    page.route("**/originals/**", lambda route: route.fulfill(body="", content_type="image/png"))
    tile_button(page, 1, "look")
    expect(page.locator(".lk-stage img")).to_have_attribute("src", re.compile("^thumbnails/"))


def test_the_large_view_goes_past_a_picture_that_is_gone(page: Page) -> None:
    tile_button(page, 0, "look")
    place = page.locator(".lk-place")
    expect(place).to_have_text("1 of 24")
    page.locator(".lk-pick").nth(1).evaluate("(pick) => (pick.dataset.id = '999999')")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("toast-body")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(place).to_have_text("3 of 24")


def test_a_dialog_that_comes_late_does_not_replace_one_that_was_asked_for_after_it(
    page: Page,
) -> None:
    held: list[Route] = []
    page.route("**/queue/join*", lambda route: route.continue_() if held else held.append(route))
    tile_button(page, 1, "look")
    tile_button(page, 4, "look")
    place = page.locator(".lk-place")
    expect(place).to_have_text("5 of 24")
    with page.expect_request("**/queue/join*"):  # it is asked for once more
        held[0].continue_()
    expect(place).to_have_text("5 of 24")
    # Nor does one come back that was closed before it came.
    held.clear()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    tile_button(page, 0, "look")
    expect(place).to_have_text("1 of 24")
    with page.expect_request("**/queue/join*"):
        held[0].continue_()
    expect(place).to_have_text("1 of 24")


def test_what_is_searched_for_is_not_found_behind_the_large_view(page: Page) -> None:
    tile_button(page, 0, "look")
    expect(page.get_by_role("dialog")).to_be_visible()
    data = encode(pattern("dots", 99), "PNG")
    send_file(page, "paste", data, "query.png", "image/png", "body")
    kinds(page)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".lk-head h2")).to_have_text("Most similar to your picture")


def test_the_focus_is_on_a_result_after_more_like_the_picture_in_large(page: Page) -> None:
    tile_button(page, 2, "look")
    page.get_by_role("dialog").get_by_role("button", name="More like this").press("Enter")
    kinds(page)
    expect(page.locator(".lk-pick").nth(2)).to_be_focused()


def hold_requests(page: Page) -> Callable[[], None]:
    """Let nothing that is asked get through; return what lets it go."""
    held: list[Route] = []
    is_free: list[bool] = []
    page.route("**/queue/join*", lambda route: route.continue_() if is_free else held.append(route))

    def let_go() -> None:
        is_free.append(True)
        for route in held:
            route.continue_()

    return let_go


def test_the_button_of_a_dialog_that_is_on_its_way_says_so(page: Page) -> None:
    let_go = hold_requests(page)
    button = page.locator("[data-do=look]").nth(2)
    button.press("Enter")
    expect(button).to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("dialog")).to_have_count(0)
    let_go()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("#results [aria-busy=true]")).to_have_count(0)


def test_tab_goes_round_in_a_dialog_in_both_directions(page: Page) -> None:
    upload(page, pattern("dots", 99))
    kinds(page)
    tile_button(page, 0, "why")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("[data-close]")).to_be_focused()
    inside = "document.activeElement.closest('.lk-why') !== null"
    every = "[...document.querySelectorAll('.lk-why :is(button, a[href])')]"
    focused = f"{every}.indexOf(document.activeElement)"
    n = dialog.locator("button, a[href]").count()
    for key, step in (("Tab", 1), ("Shift+Tab", -1)):
        for _ in range(n + 1):
            before = page.evaluate(focused)
            page.keyboard.press(key)
            assert page.evaluate(inside)
            assert page.evaluate(focused) == (before + step) % n
    # Where the browser passes over what it takes for no place to stop at, or the focus is lost.
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(focused) == n - 1


def test_the_back_button_closes_the_reasons_and_leaves_the_search(page: Page) -> None:
    upload(page, pattern("dots", 99))
    before = kinds(page)
    page.wait_for_url("**upload=*")
    address = page.url
    tile_button(page, 0, "why")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.wait_for_function("history.state?.why")  # the dialog's own step comes a frame later
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.url == address
    assert kinds(page) == before
    page.go_forward()  # a reason that was closed stays so
    page.wait_for_timeout(500)
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert kinds(page) == before
    tile_button(page, 0, "why")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.wait_for_function("history.state?.why")
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.wait_for_function("!history.state?.why")
    assert page.url == address
    page.go_back()
    page.go_back()  # and the next one leaves the search
    expect(page.locator(".lk-head h2")).to_contain_text("A look around")


def test_filters_are_counted_on_their_drawer_and_taken_off_with_one_press(page: Page) -> None:
    open_filters(page).get_by_label("At least, in megapixels").fill("50")
    page.keyboard.press("Enter")
    expect(page.locator(".lk-empty h2")).to_have_text("No picture passes")
    label = page.locator("#filters span[data-count]")
    expect(label).to_have_attribute("data-count", " (1)")
    at_least = page.locator("#filters").get_by_label("At least, in megapixels")
    at_least.evaluate(
        "(field) => field.addEventListener('blur', () => (window.searchesToo = true))"
    )
    page.get_by_role("button", name="All pictures").click()
    # Leaving the field would be a search of its own, whose answer might come after this one's.
    assert not page.evaluate("window.searchesToo")
    expect(page.locator(".lk-pick").first).to_be_visible()
    expect(label).to_have_attribute("data-count", "")
    expect(page.locator("#filters").get_by_label("At least, in megapixels")).to_have_value("")


def test_arrow_keys_walk_through_the_results(page: Page) -> None:
    page.locator(".lk-pick").first.focus()
    page.keyboard.press("ArrowRight")
    second = page.locator(".lk-pick").nth(1)
    expect(second).to_be_focused()
    page.keyboard.press("ArrowDown")
    box, below = second.bounding_box(), page.locator(":focus").bounding_box()
    assert box is not None
    assert below is not None
    assert below["x"] == box["x"]
    assert below["y"] > box["y"]


@pytest.mark.parametrize("key", ["altKey", "ctrlKey", "metaKey"])
def test_arrow_keys_that_are_the_browsers_are_left_to_it(page: Page, key: str) -> None:
    ask_for_the_middle(page)
    for place in ("#count input", ".lk-pick", "#lk-crop"):
        page.locator(place).first.focus()
        taken = page.evaluate(
            """(key) => {
              const options = { key: "ArrowRight", bubbles: true, cancelable: true, [key]: true };
              const event = new KeyboardEvent("keydown", options);
              document.activeElement.dispatchEvent(event);
              return event.defaultPrevented;
            }""",
            key,
        )
        assert not taken, place


@pytest.mark.parametrize("shown", [1, 3, 4], ids=lambda shown: f"after {shown}")
def test_arrow_keys_walk_across_the_line_where_the_good_matches_end(page: Page, shown: int) -> None:
    page.locator(".lk-grid").evaluate(
        """(grid, shown) => {
          const line = document.createElement("li");
          line.className = "lk-divider";
          grid.children[shown].before(line);
        }""",
        shown,
    )
    picks = page.locator(".lk-pick")
    columns, top = 0, picks.nth(shown).bounding_box()["y"]
    while picks.nth(shown + columns).bounding_box()["y"] == top:
        columns += 1
    assert columns > 2
    picks.nth(shown - 1).focus()
    column = (shown - 1) % columns
    page.keyboard.press("ArrowDown")
    expect(picks.nth(shown + column)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(picks.nth(shown + column + columns)).to_be_focused()
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    expect(picks.nth(shown - 1)).to_be_focused()
    # From a column that the row above does not have, to the last that it has.
    picks.nth(shown + columns - 1).focus()
    page.keyboard.press("ArrowUp")
    expect(picks.nth(shown - 1)).to_be_focused()


def test_the_question_stays_in_view_and_all_of_it_can_be_reached(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 620})
    page.get_by_text("Filter and sort").click()
    page.wait_for_function("document.getElementById('ask').scrollTop > 0")  # it opens in view
    page.wait_for_timeout(700)
    page.evaluate("document.getElementById('ask').scrollTop = 0")
    page.evaluate("window.scrollTo(0, 300)")
    expect(page.locator("#query")).to_be_in_viewport()
    below = page.locator("#filters input").last
    expect(below).not_to_be_in_viewport()
    page.locator("#ask").hover(position={"x": 100, "y": 500})
    page.mouse.wheel(0, 2000)
    expect(below).to_be_in_viewport()
    # Side by side with the other controls, not beside them where nobody sees it.
    assert page.evaluate("document.getElementById('ask').scrollWidth <= 310")


def test_the_column_ends_with_the_window_and_a_drawer_opens_in_view(page: Page) -> None:
    for height in (560, 800):
        page.set_viewport_size({"width": 1280, "height": height})
        page.wait_for_function(
            "document.getElementById('ask').getBoundingClientRect().bottom <= innerHeight"
        )
    drawer = page.locator("#matching")
    page.get_by_text("What should match?").click()
    expect(drawer.get_by_text("Clean up your picture first")).to_be_in_viewport()


def test_saving_is_offered_where_there_are_results(page: Page) -> None:
    expect(page.locator("#save")).to_be_hidden()
    page.locator(".lk-pick").first.click()
    kinds(page)
    expect(page.locator("#save")).to_be_visible()


def test_starting_over_returns_to_the_collection(page: Page) -> None:
    upload(page, pattern("clouds", 99))
    kinds(page)
    page.locator(".lk-back").click()
    expect(page.locator(".lk-head h2")).to_contain_text("A look around")
    expect(page.locator(".lk-score")).to_have_count(0)


def test_a_picture_is_pasted_anywhere_also_over_another(page: Page) -> None:
    upload(page, pattern("dots", 99))
    assert kinds(page)[0] == "dots"
    pasted = encode(pattern("stripes", 99), "PNG")
    send_file(page, "paste", pasted, "image.png", "image/png", "body")
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("stripes")
    page.get_by_role("tab", name="My pictures").click()
    expect(page.locator("#query")).to_be_hidden()
    pasted = encode(pattern("checks", 99), "PNG")
    send_file(page, "paste", pasted, "image.png", "image/png", "body")
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("checks")


def test_words_that_are_pasted_with_a_picture_of_them_go_where_one_writes(page: Page) -> None:
    """As spreadsheets and word processors copy them."""
    field = open_filters(page).get_by_label("Taken since")
    taken = """(field) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", "2024");
      clipboardData.items.add(new File(["a picture"], "image.png", { type: "image/png" }));
      const options = { bubbles: true, cancelable: true, clipboardData };
      const event = new ClipboardEvent("paste", options);
      field.dispatchEvent(event);
      return event.defaultPrevented;
    }"""
    assert not field.evaluate(taken)
    page.wait_for_timeout(500)  # for what should not come
    expect(page.locator(".toast-body")).to_have_count(0)
    expect(page.locator(".lk-head h2")).to_contain_text("A look around")
    assert page.locator("body").evaluate(taken)


@pytest.mark.parametrize("target", ["#query", "#results"])
def test_an_iphone_photo_is_dropped_anywhere_although_the_system_has_no_type_for_it(
    page: Page, target: str
) -> None:
    photo = encode(pattern("checks", 99, (256, 192)), "HEIF")
    send_file(page, "drop", photo, "IMG_2034.HEIC", "", target)
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("checks")
    # Chromium cannot show HEIC: the preview has to be one that it can.
    width = "document.querySelector('#query .image-frame img')?.naturalWidth > 0"
    page.wait_for_function(width)


def test_an_iphone_photo_is_not_seen_as_a_broken_picture_until_it_can_be_drawn(page: Page) -> None:
    let_go = hold_requests(page)
    upload(page, pattern("checks", 99, (256, 192)), "IMG_2034.HEIC", "HEIF")
    picture = page.locator("#query .image-frame img")
    expect(picture).to_have_css("opacity", "0")
    let_go()
    expect(picture).to_have_css("opacity", "1")


def test_the_last_of_several_drops_counts_however_long_the_first_is_on_its_way(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()  # Gradio complains that the server does not know of the first one
    page.goto(address)
    expect(page.locator(".lk-grid .lk-tile")).to_have_count(24)
    held: list[Route] = []
    page.route("**/upload?*", lambda route: held.append(route), times=1)
    joined: list[str] = []
    page.on(
        "request", lambda request: joined.append(request.url) if "join" in request.url else None
    )
    for name in ("dots", "checks", "stripes"):
        picture = encode(pattern(name, 97), "PNG")
        send_file(page, "drop", picture, f"{name}.png", "image/png", "body")
        page.wait_for_timeout(1200)
    assert len(held) == 1
    assert joined == []
    held[0].continue_()
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("stripes")
    page.wait_for_timeout(500)  # for what should not come
    assert len(joined) == 2
    assert kinds(page)[0] == "stripes"
    page.close()


@pytest.mark.parametrize("why", ["refused", "lost", "too large"])
def test_the_picture_comes_back_where_the_next_one_does_not_arrive(
    browser: Browser, address: str, tmp_path: Path, why: str
) -> None:
    page = browser.new_page()
    page.goto(address)
    upload(page, pattern("dots", 99))
    kinds(page)
    page.locator("#lk-crop").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**crop=*")
    page.locator(TURN).click()
    page.wait_for_url("**turn=1&crop=*")
    heading, results = page.url, kinds(page)
    if why == "too large":
        large = tmp_path / "large.png"
        with large.open("wb") as file:
            file.truncate(settings.MAX_UPLOAD_BYTES + 1)
        page.set_input_files("#query input[type=file]", large)
    else:
        sentence = {"detail": "no room"}
        page.route(
            "**/upload?*",
            lambda route: (
                route.abort() if why == "lost" else route.fulfill(status=507, json=sentence)
            ),
        )
        upload(page, pattern("stripes", 99))
    expect(page.locator(".toast-body").first).to_be_visible()
    expect(page.locator("#query .image-frame img")).to_have_count(1)
    expect(page.locator("#lk-crop i")).to_be_visible()
    expect(page.locator("#query img")).to_have_attribute("data-quarters", "1")
    assert (page.url, kinds(page)) == (heading, results)
    page.unroute("**/upload?*")
    upload(page, pattern("stripes", 99))
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("stripes")
    page.close()


def test_a_picture_dropped_on_another_tab_is_searched_with(page: Page) -> None:
    page.get_by_role("tab", name="Map").click()
    expect(page.locator("#query")).to_be_hidden()
    dropped = encode(pattern("stripes", 98), "PNG")
    send_file(page, "drop", dropped, "image.png", "image/png", "body")
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("stripes")


def test_a_drop_without_a_picture_says_where_it_belongs(page: Page) -> None:
    send_file(page, "drop", b"PK", "photos.zip", "application/zip", "body")
    expect(page.get_by_test_id("toast-body")).to_contain_text("zips go under “My pictures”")


def test_each_message_stands_for_its_time(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.add_init_script(
        """const plain = setTimeout;
        window.setTimeout = (call, time, ...rest) =>
          plain(call, time === 10_000 ? 6_000 : time, ...rest);"""
    )
    page.goto(address)
    expect(page.locator(".lk-tile").first).to_be_visible(timeout=30_000)
    said = page.get_by_test_id("toast-text").filter(visible=True)
    send_file(page, "drop", b"PK", "photos.zip", "application/zip", "body")
    expect(said).to_have_count(1)
    page.wait_for_timeout(3_500)
    drop_link(page, "")
    expect(said).to_have_count(2)
    expect(said).to_have_count(1)
    expect(said).to_contain_text("hands over no file")  # the earlier one goes earlier
    expect(said).to_have_count(0)
    page.close()


def test_a_message_that_is_said_once_more_stands_once(page: Page) -> None:
    said = page.get_by_test_id("toast-text")
    for n in range(3):
        send_file(page, "drop", b"PK", "photos.zip", "application/zip", "body")
        expect(said).to_have_count(n + 1)
        expect(said.filter(visible=True)).to_have_count(1)


def test_a_message_goes_with_the_next_tab_or_answer_and_not_at_once(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.add_init_script("const now = Date.now; Date.now = () => now() + (window.later ?? 0);")
    page.goto(address)
    expect(page.locator(".lk-tile").first).to_be_visible(timeout=30_000)
    said = page.get_by_test_id("toast-text")
    for count, place in ((12, ".lk-pick"), (48, "#tabs [role=tab] >> text=Map")):
        send_file(page, "drop", b"PK", "photos.zip", "application/zip", "body")
        expect(said).to_have_count(1)
        page.locator("#count label", has_text=str(count)).click()
        page.wait_for_url(f"**n={count}*")
        expect(said).to_have_count(1)  # it has hardly been read
        page.evaluate("window.later = (window.later ?? 0) + 5_000")
        page.locator(place).first.click()
        expect(said).to_have_count(0, timeout=5_000)
    page.close()


def test_a_message_stays_as_long_as_somebody_is_at_it(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.add_init_script(
        """const plain = setTimeout;
        window.setTimeout = (call, time, ...rest) =>
          plain(call, time >= 2_000 ? 500 : time, ...rest);"""
    )
    page.goto(address)
    expect(page.locator(".lk-tile").first).to_be_visible(timeout=30_000)
    send_file(page, "drop", b"PK", "photos.zip", "application/zip", "body")
    said = page.get_by_test_id("toast-text")
    page.get_by_test_id("toast-close").focus()
    page.wait_for_timeout(1_500)
    expect(said).to_have_count(1)
    page.locator(".lk-pick").first.focus()
    expect(said).to_have_count(0)
    page.close()


def drop_link(page: Page, link: str) -> None:
    """Drop what Firefox has of a picture that is dragged from a page: its address."""
    page.evaluate(
        """(link) => {
          const transfer = new DataTransfer();
          transfer.setData("text/uri-list", link || "#");
          const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
          const over = new DragEvent("dragover", options);
          document.querySelector("#results").dispatchEvent(over);
          if (!over.defaultPrevented) throw new Error("the browser would go there");
          document.querySelector("#results").dispatchEvent(new DragEvent("drop", options));
        }""",
        link,
    )


def test_a_file_that_is_chosen_and_no_picture_says_where_it_belongs(page: Page) -> None:
    notes = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"notes"}
    page.set_input_files("#query input[type=file]", notes)
    said = page.get_by_test_id("toast-body")
    expect(said).to_contain_text("That is not a picture to search with")
    expect(page.get_by_test_id("toast-body")).to_have_count(1)
    upload(page, pattern("dots", 99))
    kinds(page)


def test_a_picture_of_the_page_that_is_dropped_is_searched_with(page: Page) -> None:
    tile = page.locator(".lk-tile", has_text="stripes").first
    drop_link(page, tile.locator("img").evaluate("(image) => image.src"))
    expect(page.locator(".lk-head h2")).to_have_text("Most similar to your picture")
    assert kinds(page)[:EACH] == ["stripes"] * EACH
    drop_link(page, page.url)
    expect(page.get_by_test_id("toast-body")).to_contain_text("That is not a picture")


def test_a_drop_of_which_a_browser_hands_over_nothing_is_told(page: Page) -> None:
    """As WebKit on Linux does with files; and an address is nothing that a collection can keep."""
    drop_link(page, "")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("hands over no file")
    page.get_by_test_id("toast-close").click()
    expect(toast).to_have_count(0)
    page.get_by_role("tab", name="My pictures").click()
    expect(page.locator("#add-pictures")).to_be_visible()
    drop_link(page, "https://example.org/cat.jpg")
    expect(toast).to_contain_text("hands over no file")
    expect(page.locator("#add-pictures")).to_be_visible()


def test_a_web_address_that_is_dropped_is_asked_for(page: Page) -> None:
    drop_link(page, "# a comment\r\nhttp://127.0.0.1/cat.jpg")
    expect(page.locator("#address-refusal")).to_contain_text("no public website at that address")
    drop_link(page, "mailto:ada@example.org")
    expect(page.get_by_test_id("toast-body").last).to_contain_text("hands over no file")


def test_what_is_wrong_with_a_web_address_is_told_at_its_field(page: Page) -> None:
    field, refused = page.get_by_label(words.WEB_ADDRESS), page.locator("#address-refusal")
    expect(refused).to_be_hidden()
    field.fill("http://127.0.0.1/cat.jpg")
    field.press("Enter")
    expect(refused).to_contain_text("no public website at that address")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_attribute("aria-describedby", "address-refusal")
    expect(page.locator("#lk-aloud")).to_contain_text("no public website at that address")
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    field.press("End")
    field.type("x")
    expect(refused).to_be_hidden()


def test_a_reader_hears_nothing_of_gradios_own_and_a_message_has_one_button(page: Page) -> None:
    drop_link(page, "mailto:ada@example.org")
    message = page.get_by_test_id("toast-body")
    expect(message).to_contain_text("hands over no file")
    expect(message.get_by_role("button")).to_have_count(1)
    expect(message.locator("[tabindex]")).to_have_count(0)
    line = page.locator(".main > .wrap > .sr-only")  # "common.complete", after a web address
    expect(line).to_have_count(1)
    for name in ("role", "aria-live"):
        expect(line).not_to_have_attribute(name, re.compile(""))


def test_the_button_pastes_a_picture_or_says_that_there_is_none(page: Page) -> None:
    button = page.get_by_role("button", name="Paste from clipboard")
    button.click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("did not let the page look")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    upload(page, pattern("dots", 99))
    kinds(page)
    page.evaluate("navigator.clipboard.writeText('words')")
    button.click()
    expect(page.get_by_test_id("toast-body").last).to_contain_text("no picture to be pasted")
    expect(page.locator("#query .image-frame img")).to_have_count(1)
    page.evaluate(
        """async (data) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const picture = new Blob([bytes], { type: "image/png" });
          await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
        }""",
        base64.b64encode(encode(pattern("stripes", 99), "PNG")).decode(),
    )
    button.click()
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("stripes")


def test_all_letters_grow_with_those_that_the_browser_is_set_to(page: Page) -> None:
    open_filters(page)
    seen = "#header h1, [role=tab], #query p, .label-wrap > :first-child, #ask textarea, .lk-name"
    sizes = """(all) => all.filter((one) => one.checkVisibility())
      .map((one) => parseFloat(getComputedStyle(one).fontSize))"""
    before = page.locator(seen).evaluate_all(sizes)
    page.evaluate("document.documentElement.style.fontSize = '24px'")
    after = page.locator(seen).evaluate_all(sizes)
    assert after == pytest.approx([1.5 * size for size in before])


def test_the_ring_of_a_tab_lies_in_its_row_which_cuts_off_the_rest(page: Page) -> None:
    tab = page.get_by_role("tab", name="My pictures")
    page.get_by_role("tab", name="Search").focus()
    page.keyboard.press("Tab")
    expect(tab).to_be_focused()
    expect(tab).to_have_css("outline-style", "solid")
    width, offset = (
        tab.evaluate(f"(tab) => getComputedStyle(tab).outline{what}")
        for what in ("Width", "Offset")
    )
    assert offset == f"-{width}"


def test_a_choice_of_one_among_several_has_its_name_also_for_who_hears_it(page: Page) -> None:
    results = page.get_by_role("group", name=words.COUNT, exact=True)
    expect(results.get_by_role("radio")).to_have_count(4)
    page.get_by_role("button", name=words.MATCHING).click()
    matching = page.get_by_role("group", name=words.MATCHING, exact=True)
    expect(matching.get_by_role("radio")).to_have_count(4)


def test_arrow_keys_choose_one_of_several(page: Page) -> None:
    chosen = page.locator("#count input:checked")
    page.locator("#count input").first.focus()
    for key, value in (("ArrowRight", "24"), ("ArrowDown", "48"), ("ArrowUp", "24")):
        page.keyboard.press(key)
        expect(chosen).to_have_attribute("value", value)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(chosen).to_have_attribute("value", "96")
    expect(chosen).to_be_focused()


def test_the_box_on_the_query_is_there_as_long_as_it_counts(page: Page) -> None:
    upload(page, pattern("dots", 99))
    kinds(page)
    page.locator("#lk-crop").focus()
    page.keyboard.press("Enter")
    chip = page.locator(".lk-chip")
    expect(chip).to_contain_text("a part of it")
    page.get_by_role("tab", name="Copies").click()
    page.get_by_role("tab", name="Search").click()
    expect(page.locator("#lk-crop i")).to_be_visible()
    page.locator(".lk-pick").first.click()
    expect(page.locator("#lk-crop")).to_have_count(0)
    page.wait_for_url("**like=*")
    page.go_back()
    expect(chip).to_contain_text("a part of it")
    expect(page.locator("#lk-crop i")).to_be_visible()
    page.get_by_role("button", name="Whole picture").click()
    expect(chip).not_to_contain_text("a part of it")


def test_a_damaged_file_gets_a_sentence_and_the_results_stay(page: Page) -> None:
    upload(page, pattern("dots", 99))
    kinds(page)
    half = encode(pattern("clouds", 1), "JPEG")[:900]
    page.set_input_files(
        "#query input[type=file]",
        {
            "name": "x.jpg",
            "mimeType": "image/jpeg",
            "buffer": half,
        },
    )
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("damaged or cut short")
    assert "/" not in toast.inner_text()
    assert kinds(page)[0] == "dots"
    upload(page, pattern("stripes", 99))
    expect(page.locator(".lk-tile .lk-kind").first).to_have_text("stripes")


def test_the_gallery_fits_a_phone_and_dark_mode(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.goto(address)
    tiles = page.locator(".lk-grid .lk-tile")
    expect(tiles).to_have_count(24, timeout=30_000)
    tops = tiles.evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
    assert tops[0] == tops[1] < tops[2]  # two columns
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in re.findall(r"\d+", background)[:3]) < 60
    context.close()


def test_programs_search_by_the_named_endpoint(address: str, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    client = Client(address, verbose=False, httpx_kwargs={"timeout": 60})
    pattern("checks", 99).save(tmp_path / "query.png")
    rows = client.predict(handle_file(tmp_path / "query.png"), 5, api_name="/search")
    assert [row["label"] for row in rows] == ["checks"] * 5
    assert all(-1 <= row["similarity"] <= 1 for row in rows)
    with urllib.request.urlopen(address + rows[0]["thumbnail"]) as answer:
        assert answer.read(2) == b"\xff\xd8"
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(AppError, match=r"not a picture that can be read|damaged"):
        client.predict(handle_file(tmp_path / "broken.png"), 5, api_name="/search")
    assert [name for name in client.view_api(return_format="dict")["named_endpoints"]] == [
        "/search"
    ]
    client.close()


@pytest.mark.parametrize(
    "path",
    [
        "thumbnails/nothing/" + "0" * 64 + ".jpg",
        "thumbnails/..%2f..%2fapp.py/" + "0" * 64 + ".jpg",
        "thumbnails/pictures/..%2f..%2fcollection.sqlite.jpg",
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=app.py",
    ],
)
def test_no_file_of_the_server_can_be_read(address: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address + path)
    with refused.value as answer:
        assert answer.code in (403, 404)


def test_every_answer_carries_the_security_headers(address: str) -> None:
    with urllib.request.urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


def test_without_pictures_the_page_says_so_kindly(browser: Browser, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with running_app(tmp_path / "home", "--pictures", str(empty)) as address:
        page = browser.new_page()
        page.goto(address)
        expect(page.locator(".lk-empty")).to_contain_text("No pictures here yet", timeout=30_000)
        upload(page, pattern("dots", 99))
        expect(page.locator(".lk-empty")).to_be_visible()
        page.close()
