"""The command `python -m tests`: sets up everything that the tests need, and runs them.

They run in a few processes, since most of them wait for a page, a disk or a server much of the
time. Arguments go on to pytest: `python -m tests -k ranking`, and with `-n 0` all run in one.
"""

from __future__ import annotations  # see `app.py`

import os
import shutil
import subprocess
import sys
from pathlib import Path

from retrieval.setup import PROJECT, run_in_environment

# Before the re-start inside the environment, nothing but the standard library may be imported.
FIREFOX = ("firefox", "firefox-esr")
WEBKIT = {"WebKitWebDriver": "webkit2gtk-driver", "Xvfb": "xvfb"}  # programs, and their packages
PROCESSES = min(4, (os.cpu_count() or 1) + 1)  # 3 GB of memory each, at most
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    """Get browsers where they can be had, and hand over to pytest."""
    if find_browser() is None:
        _install_browser()
    if not any(map(shutil.which, FIREFOX)):
        _install("firefox-esr")
    if missing := [package for name, package in WEBKIT.items() if not shutil.which(name)]:
        _install(*missing)
    if find_browser() is None:
        line = "!" * 88
        print(
            f"{line}\nNo Chromium could be had here, so the tests of the page are SKIPPED. Install "
            f"Chromium and run this again.\n{line}",
            flush=True,
        )
    os.chdir(PROJECT)
    if "-n" not in sys.argv:
        # Two threads each for torch would wait for one another: its tests take half as long so.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Those of a file share what they set up, so they stay together.
    side_by_side = ["-n", str(PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder"]
    return subprocess.call([sys.executable, "-m", "pytest", *side_by_side, *sys.argv[1:]])


def find_browser() -> str | None:
    """Return a Chromium on this machine: the system's, or the one that Playwright keeps."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def _install_browser() -> None:
    """Get a Chromium from the system, or else by Playwright's own download."""
    _install("chromium")
    if not shutil.which("chromium"):
        print("Installing Chromium with Playwright ...", flush=True)
        subprocess.call([sys.executable, "-m", "playwright", "install", "chromium"])


def _install(*packages: str) -> None:
    """Try packages of Debian's or Ubuntu's, which needs root; elsewhere do nothing."""
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if not as_root or not shutil.which("apt-get"):
        return
    print(f"Installing {', '.join(packages)} with apt-get ...", flush=True)
    quiet = {
        "stdout": subprocess.DEVNULL,
        "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    }
    subprocess.call(["apt-get", "update", "-qq"], **quiet)
    subprocess.call(["apt-get", "install", "-y", "-qq", *packages], **quiet)


if __name__ == "__main__":
    run_in_environment("tests/requirements.txt")
    sys.exit(main())
