"""Folders of temporary files: bounded, emptied of what nobody has come for, and shared."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from retrieval.files import remove_tree
from retrieval.settings import TEMPORARY_FILES

LOCK = "running.lock"  # of the first
NEXT_LOCK = "waiting.lock"  # of who takes its place
AHEAD = 60.0  # seconds; a disk in the network may have another clock, which is that much off


class Stay:
    """A program's stay in a folder that several may use at once; one of them is the first.

    When the first one goes another takes its place, so that whoever comes while any of them is
    there is not the first.
    """

    def __init__(self, home: Path, every: float = 1.0) -> None:
        """Begin it.

        Args:
            every: seconds between two looks at whether the first one has gone.
        """
        self._first = FileLock(home / LOCK, timeout=0, thread_local=False)
        # Held by one of those who wait, for as long as it does: so the first one knows of them.
        self._next = FileLock(home / NEXT_LOCK, timeout=0, thread_local=False)
        self._ending = threading.Event()
        self._heir = threading.Thread(
            target=self._inherit, args=[every], name="wait to be the first", daemon=True
        )
        self.is_first = self._take_place(home)
        if not self.is_first:
            _try(self._next)
            self._heir.start()

    def empty(self, folders: Sequence[Path]) -> None:
        """Delete what lies in some folders, unless somebody else is there; before the end."""
        if _try(self._first) and _try(self._next):
            for folder in folders:
                remove_tree(folder)

    def end(self) -> None:
        """End it."""
        self._ending.set()
        if self._heir.is_alive():
            self._heir.join()
        self._next.release()
        self._first.release()

    def _take_place(self, home: Path) -> bool:
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._first.acquire()
        except Timeout:
            return False
        except (OSError, NotImplementedError):
            return True  # a disk without locks, on which nobody can know of the others
        return True

    def _inherit(self, every: float) -> None:
        while not self._ending.wait(every):
            if _try(self._next) and _try(self._first):
                self._next.release()  # for one who waits now
                return


def _try(lock: FileLock) -> bool:
    """Whether a lock could be had, or was held already."""
    if not lock.is_locked:
        with suppress(Timeout, OSError, NotImplementedError):
            lock.acquire()
    return lock.is_locked


def delete_old(folder: Path, seconds: float) -> int:
    """Delete the files below a folder that are older than that, and the folders that this leaves
    empty; return how many files went.

    A file that cannot be deleted, since it is being sent on Windows, waits for the next time. One
    that is dated later than now, since the clock has been put back, is dated now.
    """
    now = time.time()
    before, deleted = now - seconds, 0
    for path, _, modified in list(_files(folder)):
        if modified > now + AHEAD:
            with suppress(OSError):
                os.utime(path, (now, now))
        elif modified < before:
            with suppress(OSError):
                os.unlink(path)
                deleted += 1
    for parent, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # one that holds something, or that a file is just put into
            if parent != str(folder) and os.stat(parent).st_mtime < before:
                os.rmdir(parent)
    return deleted


def make_room(
    folders: Sequence[Path], most: int, spared: float, most_files: int = TEMPORARY_FILES
) -> bool:
    """Delete the oldest files below some folders until all take at most so many bytes, and there is
    room for one more; the folders that this leaves empty go, too.

    Args:
        spared: seconds; a file that is younger stays, since somebody is about to use it.
        most_files: how many files there may be, however small.

    Returns:
        Whether it was enough.
    """
    files = sorted(
        (file for folder in folders for file in _files(folder)), key=lambda file: file[2]
    )
    roots = {str(folder) for folder in folders}
    kept, count, before = sum(size for _, size, _ in files), len(files), time.time() - spared
    for path, size, modified in files:
        if (kept <= most and count < most_files) or modified >= before:
            break
        with suppress(OSError):
            parent = os.path.dirname(path)
            is_old = parent not in roots and os.stat(parent).st_mtime < before
            os.unlink(path)
            kept -= size
            count -= 1
            if is_old:  # else a file may just be put into it
                os.rmdir(parent)
    return kept <= most and count < most_files


def keep_swept(folders: Sequence[Path], seconds: float, every: float = 60.0) -> Callable[[], None]:
    """Delete what is older than `seconds` in some folders from now on, in the background.

    Returns:
        What ends it.
    """
    ending = threading.Event()

    def sweep() -> None:
        while not ending.wait(every):
            for folder in folders:
                delete_old(folder, seconds)

    sweeper = threading.Thread(target=sweep, name="sweep temporary files", daemon=True)
    sweeper.start()

    def end() -> None:
        ending.set()
        sweeper.join()

    return end


def _files(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Yield path, bytes and time of change (seconds since 1970) of each file."""
    waiting = [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:  # or it went meanwhile
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    yield entry.path, status.st_size, status.st_mtime
