"""The page when the Milvus that holds the vectors goes away: a sentence, until it is back."""

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser import running_app, watch
from tests.made import need, pattern, save_patterns
from tests.servers import milvus_lite
from tests.test_page import kinds, upload

need("milvus_lite", "pip install -r tests/requirements.txt")

EACH = 4
AWAY = "The Milvus server for the vectors does not answer."
PATIENCE = 60_000  # milliseconds
QUERY = pattern("dots", 99, (300, 200))


def opened(browser: Browser, address: str) -> tuple[Page, list[str]]:
    """Open the page; return it with what goes wrong in it."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    wrong = watch(page, address)
    page.goto(address)
    return page, wrong


def asks_in_vain(page: Page, why: str = AWAY) -> None:
    """See the pictures all the same, ask, and be told that Milvus is away."""
    expect(page.locator(".lk-tile")).to_have_count(4 * EACH, timeout=PATIENCE)
    upload(page, QUERY)
    expect(page.get_by_text(why).first).to_be_visible(timeout=PATIENCE)


def finds_again(page: Page, before: list[str]) -> None:
    """Ask anew and find what was found before."""
    upload(page, QUERY, "again.png")
    expect(page.locator(".lk-score").first).to_be_visible(timeout=PATIENCE)
    assert kinds(page) == before
    page.close()


def test_a_lost_server_is_a_sentence_in_the_page_until_it_is_back(
    browser: Browser, tmp_path: Path, tiny_files: Path
) -> None:
    pictures = save_patterns(tmp_path / "pictures", EACH)
    arguments = ("--pictures", str(pictures), "--model", str(tiny_files))
    with milvus_lite(tmp_path / "milvus") as (server, uri):
        with running_app(tmp_path / "home", *arguments, "--milvus", uri) as address:
            page, wrong = opened(browser, address)
            expect(page.locator(".lk-tile")).to_have_count(4 * EACH, timeout=PATIENCE)
            expect(page.locator(".lk-progress")).to_have_count(0, timeout=PATIENCE)
            upload(page, QUERY)
            before = kinds(page)
            expect(page.locator(".lk-truth")).to_contain_text("exact")

            server.kill()
            page.locator(".lk-tile").first.locator(".lk-pick").click()
            expect(page.get_by_text(AWAY).first).to_be_visible(timeout=PATIENCE)

            # Whoever comes meanwhile sees the pictures all the same, and is told when they ask.
            other, wrong_there = opened(browser, address)
            asks_in_vain(other)

            server.start()
            finds_again(page, before)
            other.close()
            assert wrong == wrong_there == []

        server.kill()
        with running_app(tmp_path / "home", *arguments) as address:
            page, wrong = opened(browser, address)  # started while it is away
            asks_in_vain(page)
            server.start()
            finds_again(page, before)
            assert wrong == []


def test_a_file_that_is_away_is_a_sentence_in_the_page_until_it_is_back(
    browser: Browser, tmp_path: Path, tiny_files: Path
) -> None:
    pictures = save_patterns(tmp_path / "pictures", EACH)
    file, elsewhere = tmp_path / "vectors.db", tmp_path / "elsewhere"
    arguments = ("--pictures", str(pictures), "--model", str(tiny_files), "--milvus", str(file))
    with running_app(tmp_path / "home", *arguments) as address:
        page, wrong = opened(browser, address)
        expect(page.locator(".lk-tile")).to_have_count(4 * EACH, timeout=PATIENCE)
        expect(page.locator(".lk-progress")).to_have_count(0, timeout=PATIENCE)
        upload(page, QUERY)
        before = kinds(page)
        page.close()

    file.rename(elsewhere)  # as of a disk that is not connected
    with running_app(tmp_path / "home", *arguments) as address:
        page, wrong_there = opened(browser, address)
        asks_in_vain(page, "The file with the vectors, vectors.db, is not where it was.")
        assert not file.exists()
        elsewhere.rename(file)
        finds_again(page, before)
    assert wrong == wrong_there == []
