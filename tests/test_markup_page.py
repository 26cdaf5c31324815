"""Names, labels and captions that are markup stay text, on every tab of a real browser."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import watch
from tests.made import encode, pattern
from tests.serving import Served, serving
from tests.visitor import Visitor

RUN = "window.hacked=1"
# No slash, so that all of them can be the name of a file.
MARKUP = (
    f"<img src=x onerror={RUN}>",
    f"<svg onload={RUN}>",
    f'"><script>{RUN}<script>',
    f"' onmouseover='{RUN}' autofocus onfocus='{RUN}",
    f"${{{RUN}}} {{{{{RUN}}}}} `${{{RUN}}}`",
    f'<iframe srcdoc="<script>parent.{RUN}<script>">',
    f"[x](javascript:{RUN}) &lt;img src=x onerror={RUN}&gt;",
)
SLOW = 60_000  # milliseconds
pytestmark = pytest.mark.skipif(os.name == "nt", reason="such names cannot be had there")


@pytest.fixture(scope="module")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An app of an owner whose pictures all have names of that kind."""
    home = tmp_path_factory.mktemp("home")
    pictures = home / f"<img src=x onerror={RUN}>"
    rows = []
    for number, text in enumerate(MARKUP):
        for copy in range(2):
            path = pictures / text / f"{copy} {text}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = pattern("dots", number) if copy else pattern("dots", number).resize((80, 60))
            path.write_bytes(encode(image, "PNG"))
            rows.append((f"{text}/{path.name}", text if copy else "", text))
    (pictures / f"broken {MARKUP[0]}.png").write_bytes(b"no")
    with (pictures / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("filename", "label", f"caption {MARKUP[0]}"), *rows])
    with serving(tiny_model, pictures, home, public=False) as served:
        yield served


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    page = browser.new_page()
    wrong = watch(page, served.address)
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    page.goto(served.address)
    expect(page.locator(".lk-tile")).to_have_count(2 * len(MARKUP), timeout=SLOW)
    yield page
    assert page.evaluate("window.hacked") is None
    page.close()
    assert wrong == []


def look_around(page: Page) -> None:
    """Hover over and focus whatever is there, as some markup only runs then."""
    for thing in page.locator("[data-do], .lk-pick, .lk-button, figcaption, dd").all()[:40]:
        if thing.is_visible():
            thing.hover(force=True, timeout=SLOW)
    page.keyboard.press("Tab")


def test_search_results_filters_and_explanation(page: Page) -> None:
    page.locator(".lk-pick").first.click()
    expect(page.locator(".lk-score").first).to_be_visible()
    look_around(page)
    shown = page.locator(".lk-name").all_inner_texts()
    assert any(f"onerror={RUN}" in name for name in shown)
    page.get_by_role("button", name="Filter and sort").click()
    page.get_by_label("Kind", exact=True).click()
    expect(page.get_by_role("option").nth(2)).to_be_visible()
    page.keyboard.press("Escape")
    tile = page.locator(".lk-tile").first
    tile.hover()
    tile.locator("[data-do=why]").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(RUN)
    look_around(page)


def test_the_copies_in_a_result_are_opened_from_its_badge(page: Page) -> None:
    page.locator(".lk-pick").first.click()
    badge = page.locator(".lk-copies").first
    expect(badge).to_have_text("2 copies")
    badge.click()
    dialog = page.get_by_role("dialog", name="2 copies")
    expect(dialog.locator("li")).to_have_count(2)
    expect(dialog).to_contain_text(RUN)
    expect(dialog.locator("li").first).to_contain_text("the one in the results")
    look_around(page)
    with page.expect_popup() as opened:
        dialog.get_by_role("link").last.click()
    # The popup is there before its picture is.
    opened.value.wait_for_function("document.images[0]?.naturalWidth > 0")
    assert opened.value.evaluate("document.images[0].naturalWidth") in (80, 160)
    opened.value.close()
    page.go_back()
    expect(dialog).to_have_count(0)
    badge.press("Enter")  # the search is still there
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(badge).to_be_focused()
    # What is asked about next is shown, too, and not taken for the same.
    tile = page.locator(".lk-tile", has=page.locator(".lk-copies")).first
    tile.hover()
    tile.locator("[data-do=why]").click()
    expect(page.get_by_role("dialog").get_by_text("Why this match?")).to_be_visible()


def test_a_sentence_about_a_file_is_text_too(page: Page) -> None:
    page.set_input_files(
        "#query input[type=file]",
        {"name": f"{MARKUP[0]}.png", "mimeType": "image/png", "buffer": b"no picture"},
    )
    expect(page.get_by_test_id("toast-body")).to_contain_text("not a picture")


def test_the_collections(page: Page) -> None:
    page.get_by_role("tab", name="My pictures").click()
    made = page.locator(".lk-collection").first
    expect(made.locator("h3")).to_contain_text(RUN)
    for button in ("Show which", "Show pictures", "Rename", "Download", "Look for changes"):
        made.get_by_role("button", name=button, exact=True).click()
        expect(page.locator(".lk-collection").first).to_contain_text(RUN)
        expect(made.locator(".lk-busy")).to_have_count(0)  # what is hovered over stays there
        page.wait_for_timeout(300)
        look_around(page)


@pytest.mark.parametrize("tab", ["Map", "Copies", "How good is it?"])
def test_the_other_tabs(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()
    panel = page.get_by_role("tabpanel").filter(visible=True)
    if tab == "Map":
        panel.locator("canvas").hover(timeout=SLOW)
        panel.locator("summary").click()
        expect(panel.locator("details")).to_contain_text(RUN)
    elif tab == "Copies":
        expect(panel.locator("#copies-view")).to_contain_text(RUN, timeout=SLOW)
    else:
        panel.get_by_role("button").first.click()
        expect(panel).to_contain_text(RUN, timeout=SLOW)
    look_around(page)


def test_an_address_cannot_bring_markup_along(browser: Browser, served: Served) -> None:
    page = browser.new_page()
    wrong = watch(page, served.address)
    query = "&".join(f"{name}={MARKUP[0]}" for name in ("in", "label", "words", "like", "upload"))
    page.goto(f"{served.address}?{query}&order={MARKUP[2]}")
    expect(page.locator("#truth")).to_contain_text("pictures of", timeout=SLOW)
    assert page.evaluate("window.hacked") is None
    page.close()
    assert wrong == []


def test_results_are_taken_away_with_a_click(page: Page) -> None:
    page.locator(".lk-pick").first.click()
    expect(page.locator(".lk-score").first).to_be_visible()
    page.get_by_role("button", name="Save these results").click()
    with page.expect_download() as download:
        page.locator("#save").get_by_role("button", name="Save", exact=True).click()
    assert download.value.suggested_filename == "lookalike.zip"


def test_an_svg_or_a_page_that_was_uploaded_is_saved_and_not_opened(
    browser: Browser, served: Served
) -> None:
    visitor = Visitor(served.address)
    page = browser.new_page()
    page.goto(f"{served.address}robots.txt")
    page.context.add_cookies(
        [{"name": n, "value": v, "url": served.address} for n, v in visitor.http.cookies.items()]
    )
    for name in ("a.svg", "a.html"):
        markup = f'<svg xmlns="http://www.w3.org/2000/svg"><script>{RUN}</script></svg>'
        sent = visitor.send(markup.encode(), name, "image/svg+xml")
        with page.expect_download() as download:
            page.evaluate(
                "place => { location = place }", f"{served.address}gradio_api/file={sent['path']}"
            )
        assert download.value.suggested_filename == name
    assert page.evaluate("window.hacked") is None
    page.close()
    visitor.close()
