"""Files as Windows has them: what this process holds open, it can neither move nor delete."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OPEN = Path("/proc/self/fd")


def hold_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every other system refuse what Windows does, as long as the test runs."""
    if os.name == "nt":
        return
    if not OPEN.is_dir():
        pytest.skip("This system does not tell which files are open: there is no /proc/self/fd.")
    for name in ("rename", "replace", "unlink"):
        monkeypatch.setattr(os, name, _guarded(getattr(os, name)))
    monkeypatch.setattr("retrieval.salvage.OPEN_FILES_MOVE", False)


def open_below(place: Path) -> set[str]:
    """Return the names of the files that are open at a place, or in that folder."""
    place, found = Path(os.path.abspath(place)), set()
    for link in OPEN.iterdir():
        try:
            path = Path(os.readlink(link))
        except OSError:  # that of the listing itself
            continue
        if path.is_relative_to(place) and not path.is_dir():
            found.add(path.name)
    return found


def _guarded(change: Callable[..., None]) -> Callable[..., None]:
    def guarded(*paths: Any, dir_fd: int | None = None, **options: Any) -> None:
        within = Path(os.readlink(OPEN / str(dir_fd))) if dir_fd is not None else Path()
        for path in paths:
            if held := open_below(within / os.fsdecode(path)):
                raise PermissionError(13, f"held by this process: {held}", str(path))
        if dir_fd is not None:
            options["dir_fd"] = dir_fd
        change(*paths, **options)

    return guarded
