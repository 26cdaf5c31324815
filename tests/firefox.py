"""A headless Firefox, spoken to by WebDriver BiDi, which the browser itself understands.

Playwright drives a Firefox of its own making alone, which has to be downloaded; this one is the
system's. See https://w3c.github.io/webdriver-bidi/.
"""

import base64
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.__main__ import FIREFOX
from tests.made import need

SECONDS = 60.0
PROFILE = """
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("remote.active-protocols", 1);
"""


class Firefox:
    """One tab of a Firefox."""

    def __init__(self, socket: Any) -> None:
        """Begin a session by a connection to the browser."""
        self._socket, self._asked = socket, 0
        self.wrong: list[str] = []  # script errors, and what the console calls errors
        self._ask("session.new", capabilities={})
        self._ask("session.subscribe", events=["log.entryAdded"])
        (tab, *_) = self._ask("browsingContext.getTree")["contexts"]
        self._tab = tab["context"]
        size = {"width": 1280, "height": 800}
        self._ask("browsingContext.setViewport", context=self._tab, viewport=size)

    def go(self, address: str) -> None:
        """Open a page, and wait until it has loaded."""
        self._ask("browsingContext.navigate", context=self._tab, url=address, wait="complete")

    def look(self, script: str) -> Any:
        """Return the value of an expression; a promise is waited for."""
        said = self._ask(
            "script.evaluate",
            expression=f"Promise.resolve({script}).then(JSON.stringify)",
            target={"context": self._tab},
            awaitPromise=True,
        )
        if said["type"] == "exception":
            raise AssertionError(said["exceptionDetails"]["text"])
        return json.loads(said["result"].get("value", "null"))

    def choose(self, selector: str, path: Path) -> None:
        """Give a field a file, as its dialog does."""
        found = self._ask(
            "browsingContext.locateNodes",
            context=self._tab,
            locator={"type": "css", "value": selector},
        )
        element = {"sharedId": found["nodes"][0]["sharedId"]}
        self._ask("input.setFiles", context=self._tab, element=element, files=[str(path)])

    def press(self, key: str) -> None:
        """Press a key, and let it go."""
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        keys = {"type": "key", "id": "keyboard", "actions": actions}
        self._ask("input.performActions", context=self._tab, actions=[keys])

    def picture(self) -> bytes:
        """Return what is shown, as PNG."""
        return base64.b64decode(
            self._ask("browsingContext.captureScreenshot", context=self._tab)["data"]
        )

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(timeout=SECONDS))
            if said["type"] == "event":
                if said["params"]["level"] == "error":
                    self.wrong.append(str(said["params"]["text"]))
            elif said["id"] == self._asked:
                if said["type"] == "error":
                    raise AssertionError(f"{method}: {said['message']}")
                return said["result"]


@contextmanager
def open_firefox() -> Iterator[Firefox]:
    """Yield a headless Firefox, or skip where there is none."""
    program = next(filter(None, map(shutil.which, FIREFOX)), None)
    if program is None:
        pytest.skip("there is no Firefox on this machine")
    client = need("websockets.sync.client", "pip install -r tests/requirements.txt")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        (Path(profile) / "user.js").write_text(PROFILE)
        process = subprocess.Popen(
            [program, "--headless", "--remote-debugging-port", "0", "--profile", profile],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
                    break
            else:
                raise RuntimeError("Firefox has ended")
            with client.connect(f"{found[1]}/session", max_size=None) as socket:
                yield Firefox(socket)
        finally:
            process.terminate()
            process.wait(timeout=60)
            process.stderr.close()
