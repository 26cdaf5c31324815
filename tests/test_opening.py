"""The page opens by itself for whoever starts the app by hand at a screen, and for nobody else."""

import os
import sys
import time
from pathlib import Path

import pytest

from retrieval import settings
from retrieval.pages import server
from tests.browser import running_app

pty = pytest.importorskip("pty", reason="Windows has no terminals to make up")


@pytest.mark.parametrize("wanted", [True, False])
def test_the_page_opens_in_the_browser_of_whoever_started_the_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}"\n')
    browser.chmod(0o755)
    screen, terminal = pty.openpty()
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    environment = {"DISPLAY": ":9", "BROWSER": str(browser)}
    options = [] if wanted else ["--no-browser"]
    try:
        with running_app(
            tmp_path / "home", *options, environment=environment, stdin=terminal
        ) as address:
            until = time.monotonic() + (60 if wanted else 2)
            while not (opened.exists() and opened.read_text()) and time.monotonic() < until:
                time.sleep(0.05)
            assert (opened.read_text().strip() if opened.exists() else None) == (
                address if wanted else None
            )
    finally:
        os.close(screen)
        os.close(terminal)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"terminal": False}, False),
        ({"screen": None}, False),
        ({"ssh": "10.0.0.1 22"}, False),
        ({"space": True}, False),
        ({"screen": None, "platform": "darwin"}, True),
        ({"screen": None, "platform": "win32"}, True),
    ],
    ids=["a person", "a service", "no screen", "from afar", "a Space", "a Mac", "Windows"],
)
def test_only_a_person_at_a_screen_is_shown_the_page(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, object], expected: bool
) -> None:
    case = {"terminal": True, "screen": ":0", "ssh": None, "space": False, "platform": "linux"}
    case |= change
    monkeypatch.setattr(sys.stdin, "isatty", lambda: case["terminal"], raising=False)
    monkeypatch.setattr(sys, "platform", case["platform"])
    monkeypatch.setattr(settings, "ON_A_SPACE", case["space"])
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for name, value in (("DISPLAY", case["screen"]), ("SSH_CONNECTION", case["ssh"])):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(value))
    assert server.sits_someone_here() is expected
