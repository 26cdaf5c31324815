"""A real app in a process of its own, and a real Chromium in front of it."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    FloatRect,
    Locator,
    Page,
    expect,
    sync_playwright,
)

from tests.__main__ import find_browser
from tests.servers import free_port

PROJECT = Path(__file__).resolve().parent.parent
# Milliseconds that something is waited for: the tests run side by side, and the machine is busy.
expect.set_options(timeout=20_000)
# In a container Chromium has no sandbox and no graphics; and it is not to look for updates.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# What Gradio causes by itself, and nobody notices: its stream ends as a page is left while it
# answers; and as its page comes up, it sets a height by its footer's within the browser's own
# report of sizes, which puts the rest of that report off to the next frame.
OF_GRADIO = (
    "AbortError: BodyStreamBuffer was aborted",
    "ResizeObserver loop completed with undelivered notifications",
)


@contextmanager
def running_app(
    home: Path,
    *arguments: str,
    program: Path = PROJECT / "app.py",
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> Iterator[str]:
    """Start `app.py` with these arguments; yield its address once it answers.

    What it prints is in `app.log` of its home.

    Args:
        stdin: where it reads from; a terminal is taken for a person at this computer.
    """
    with running_process(
        home, *arguments, program=program, environment=environment, stdin=stdin
    ) as running:
        yield running[0]


@contextmanager
def running_process(
    home: Path,
    *arguments: str,
    program: Path = PROJECT / "app.py",
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> Iterator[tuple[str, int]]:
    """Do what `running_app` does, and yield the number of the process as well."""
    port = free_port()
    log = home / "app.log"
    home.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(program), "--port", str(port), *arguments],
            cwd=home,  # anywhere but the project: paths must not hang on the working directory
            env={**os.environ, "LOOKALIKE_HOME": str(home), **(environment or {})},
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(address, timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None:
                    raise RuntimeError(f"the app ended: {log.read_text()}") from None
                time.sleep(0.25)
        else:
            raise RuntimeError(f"the app does not answer: {log.read_text()}")
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Yield a headless Chromium, or skip where there is none (`python -m tests` says so loudly)."""
    path = find_browser()
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def watch(page: Page, address: str) -> list[str]:
    """Return a list that fills with what must not happen: script errors and outside requests."""
    wrong: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(OF_GRADIO):
            wrong.append(message.text)

    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("console", note)
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((address, "data:", "blob:"))
            else wrong.append(f"outside request: {request.url}")
        ),
    )
    return wrong


def wait_for_rest(page: Page, selector: str, milliseconds: int = 250) -> None:
    """Wait until nothing has changed in a place for so long, by the browser's own clock."""
    page.evaluate(
        """([selector, milliseconds]) => new Promise((done) => {
          let waiting = setTimeout(done, milliseconds);
          const changed = () => {
            clearTimeout(waiting);
            waiting = setTimeout(done, milliseconds);
          };
          const what = { attributes: true, characterData: true, childList: true, subtree: true };
          new MutationObserver(changed).observe(document.querySelector(selector), what);
        })""",
        [selector, milliseconds],
    )


def stop_fading(page: Page) -> None:
    """Wait until nothing moves or fades any more, but for what does so forever."""
    page.wait_for_function(
        """() => document.getAnimations().every(({ playState, effect }) =>
          playState !== "running" || effect?.getComputedTiming().endTime === Infinity)"""
    )


def note_what_is_read(page: Page) -> None:
    """Keep in `window.read` all that is put into the line that is read aloud."""
    page.evaluate(
        """() => {
          window.read = [];
          const note = () => window.read.push(document.getElementById("lk-aloud").textContent);
          const what = { childList: true };
          new MutationObserver(note).observe(document.getElementById("lk-aloud"), what);
        }"""
    )


def place_of(element: Locator) -> FloatRect:
    """Return where something lies in the window, in pixels."""
    place = element.bounding_box()
    assert place is not None
    return place


def turn_to(page: Page, name: str) -> None:
    """Go to a tab, which on a phone lies in the menu of those that have no room."""
    tab = page.get_by_role("tab", name=name)
    expect(page.get_by_role("tab").first).to_be_visible(timeout=30_000)
    page.wait_for_timeout(300)  # Gradio shows all of them first, and then moves some away
    if not tab.is_visible():
        page.get_by_role("button", name="More tabs").click()
        tab = page.locator(".overflow-dropdown button", has_text=name)
    tab.first.click()
