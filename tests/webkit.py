"""A WebKit, the engine of Safari and of all browsers of an iPhone, spoken to by WebDriver.

It is WebKitGTK's, which Debian has; Safari itself runs on a Mac alone. WebKit has no mode without a
screen, so it is given one that nobody sees. See https://www.w3.org/TR/webdriver2/.
"""

import base64
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.__main__ import WEBKIT
from tests.servers import Server, free_port

SECONDS = 60.0
# WebDriver tells nothing of a script's errors: they are collected as soon as the page has loaded.
LISTEN = """((wrong) => {
  window.addEventListener("error", (event) => wrong.push(event.message));
  window.addEventListener("unhandledrejection", (event) => wrong.push(String(event.reason)));
  window.wentWrong = wrong;
})([])"""


class WebKit:
    """One window of a WebKit."""

    def __init__(self, port: int) -> None:
        """Begin a session by the driver at a port of this machine."""
        self._address = f"http://127.0.0.1:{port}/session"
        self._address += "/" + self._ask("", capabilities={})["sessionId"]
        self._ask("/timeouts", script=int(SECONDS * 1000))
        self._ask("/window/rect", width=1280, height=800)

    def go(self, address: str) -> None:
        """Open a page, and wait until it has loaded."""
        self._ask("/url", url=address)
        self.look(LISTEN)

    def look(self, script: str) -> Any:
        """Return the value of an expression; a promise is waited for."""
        return self._ask("/execute/sync", script=f"return ({script})", args=[])

    def choose(self, selector: str, path: Path) -> None:
        """Give a field a file, as its dialog does."""
        found = self._ask("/element", using="css selector", value=selector)
        (element,) = found.values()
        self._ask(f"/element/{element}/value", text=str(path))

    def press(self, key: str) -> None:
        """Press a key, and let it go."""
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._ask("/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def picture(self) -> bytes:
        """Return what is shown, as PNG."""
        return base64.b64decode(self._ask("/screenshot"))

    @property
    def wrong(self) -> list[str]:
        """Script errors since the page was opened."""
        found: list[str] = self.look("window.wentWrong")
        return found

    def end(self) -> None:
        """Close the window, and with it the browser."""
        self._ask("", "DELETE")

    def _ask(self, path: str, method: str = "", **parameters: Any) -> Any:
        data = json.dumps(parameters).encode() if parameters else None
        request = urllib.request.Request(
            self._address + path, data, method=method or ("POST" if parameters else "GET")
        )
        try:
            with urllib.request.urlopen(request, timeout=2 * SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {json.load(error)['value']['message']}") from error


@contextmanager
def open_webkit() -> Iterator[WebKit]:
    """Yield a WebKit on a screen of its own, or skip where there is none."""
    if not all(map(shutil.which, WEBKIT)):
        pytest.skip("there is no WebKit with its driver, or no Xvfb, on this machine")
    with unseen_screen() as screen:
        port = free_port()
        driver = Server(
            *("WebKitWebDriver", f"--port={port}"),
            port=port,
            environment={"DISPLAY": screen, "GDK_BACKEND": "x11", "LIBGL_ALWAYS_SOFTWARE": "1"},
        )
        driver.start()
        try:
            webkit = WebKit(port)
            yield webkit
            webkit.end()
        finally:
            driver.kill()


@contextmanager
def unseen_screen() -> Iterator[str]:
    """Yield the name of an X screen in memory; programs on it end with it."""
    told, tell = os.pipe()
    process = subprocess.Popen(
        ["Xvfb", "-displayfd", str(tell), "-screen", "0", "1600x1200x24"],
        pass_fds=[tell],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(tell)
    try:
        with os.fdopen(told) as number:
            yield f":{number.readline().strip()}"
    finally:
        process.terminate()
        process.wait(timeout=60)
