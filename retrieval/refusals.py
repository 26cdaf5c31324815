"""Collections of a library that cannot be searched: why, and when it is worth another try."""

import os
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

from retrieval.database import DamagedError
from retrieval.errors import LookalikeError, UnfitError
from retrieval.schema import DATABASE, THUMBNAILS

Files = tuple[tuple[int, int], ...]  # number and time of each


class Refusals:
    """Why collections of a library were refused, by their keys, the names of their folders."""

    def __init__(self) -> None:
        self._errors: dict[str, LookalikeError] = {}
        self._met: dict[str, Files | None] = {}  # their files as they were then

    def __contains__(self, key: str) -> bool:
        return key in self._errors

    @property
    def sentences(self) -> dict[str, str]:
        """Why each cannot be searched."""
        return {key: str(error) for key, error in list(self._errors.items())}

    @property
    def damaged(self) -> set[str]:
        """Those that can be mended."""
        errors = list(self._errors.items())
        return {key for key, error in errors if isinstance(error, DamagedError)}

    def note(self, folder: Path, error: LookalikeError, closed: bool = True) -> None:
        """Note why a collection is refused.

        Args:
            closed: whether its files stay as they are now; else `note_closed` follows.
        """
        self._errors[folder.name] = _afresh(error)
        self._met[folder.name] = _files_of(folder) if closed else None

    def error(self, key: str) -> LookalikeError | None:
        """Return why a collection is refused, to be raised; None where it is not."""
        error = self._errors.get(key)
        return _afresh(error) if error else None

    def note_closed(self, folder: Path) -> None:
        """Note that the files of a collection stay as they are now, until somebody mends them."""
        self._met[folder.name] = _files_of(folder)

    def forget(self, key: str) -> LookalikeError | None:
        """Refuse a collection no more; return why it was refused, None where it was not."""
        self._met.pop(key, None)
        return self._errors.pop(key, None)

    def forget_gone(self, library: Path, leaving: Set[str]) -> None:
        """Refuse no more those whose folders are gone, but for those just deleted or mended."""
        for key in self._errors.keys() - leaving:
            if not os.path.isdir(library / key):
                self.forget(key)

    def should_try(self, folder: Path) -> bool:
        """Whether a collection may be searched now: one not refused, or whose reason may be gone.

        A full disk, say, may have room again, and what is damaged may have been mended.
        """
        error = self._errors.get(folder.name)
        if isinstance(error, DamagedError):
            met = self._met.get(folder.name)
            return met is not None and met != _files_of(folder)
        return not isinstance(error, UnfitError)


def _afresh(error: LookalikeError) -> LookalikeError:
    """Return an error without the way that it came, which keeps what is held on it from ending."""
    return type(error)(*error.args)


def _files_of(folder: Path) -> Files:
    """Return what differs once the files of a collection are others, or were written to."""
    found = []
    for name in (DATABASE, THUMBNAILS):
        with suppress(OSError):
            status = (folder / name).stat()
            found.append((status.st_ino, status.st_mtime_ns))
    return tuple(found)
