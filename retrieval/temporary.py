"""Folders of temporary files: bounded, emptied of what nobody has come for, and shared."""

import fnmatch
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from retrieval.files import remove_tree
from retrieval.settings import TEMPORARY_FILES

LOCK = "running.lock"  # held while somebody looks who is there
OWN = "running-{name}.lock"  # of each, for as long as it is there
NAME_BYTES = 4
AHEAD = 60.0  # seconds; a disk in the network may have another clock, which is that much off


class Stay:
    """A program's stay in a folder that several may use at once.

    Each holds a lock file of its own, which the system frees however a program ends. So the others
    know of it, and only who finds that nobody else's is held may clear what lies there.
    """

    def __init__(self, home: Path, parts: Path, wait: float = 10.0) -> None:
        """Prepare it.

        Args:
            parts: a folder, in which each has a part of its own; that of one who has gone goes.
            wait: seconds for which to wait while another one looks who is there, and clears.
        """
        name = secrets.token_hex(NAME_BYTES)
        self.part = parts / name
        self.is_first = False
        self._home, self._parts, self._wait = home, parts, wait
        self._path = home / OWN.format(name=name)
        self._own = FileLock(self._path, timeout=0, thread_local=False)

    @contextmanager
    def beginning(self) -> Iterator[bool]:
        """Begin it, and yield whether it is the first; nobody else begins meanwhile."""
        with suppress(OSError):
            self._home.mkdir(parents=True, exist_ok=True)
        with self._looking() as looking:
            with suppress(Timeout, OSError, NotImplementedError):
                self._own.acquire()
            self.is_first = looking and self._clear_the_gone()
            yield self.is_first

    def clear_parts(self) -> None:
        """Delete the parts of those who have gone without an end, as one that was killed."""
        with self._looking() as looking:
            if looking:
                self._clear_the_gone()

    def empty(self, folders: Sequence[Path]) -> None:
        """Delete what lies in some folders, unless somebody else is there; before the end."""
        with self._looking() as looking:
            if looking and self._clear_the_gone():
                for folder in folders:
                    remove_tree(folder)

    def end(self) -> None:
        """End it."""
        remove_tree(self.part)
        self._own.release()
        with suppress(OSError):  # Windows keeps it while another one looks at it
            self._path.unlink(missing_ok=True)

    @contextmanager
    def _looking(self) -> Iterator[bool]:
        """Let nobody else begin or look meanwhile; yield whether nobody has been for too long."""
        lock = FileLock(self._home / LOCK, timeout=self._wait)
        looking = True
        try:
            lock.acquire()
        except Timeout:
            looking = False
        except (OSError, NotImplementedError):
            pass  # a disk that is full, or has no locks
        try:
            yield looking
        finally:
            lock.release()

    def _clear_the_gone(self) -> bool:
        """Delete the parts of those who have gone; return whether nobody else is there."""
        pattern = OWN.format(name="[0-9a-f]" * (2 * NAME_BYTES))
        try:
            names = fnmatch.filter(os.listdir(self._home), pattern)
        except OSError:
            return not self._own.is_locked
        others = [self._home / name for name in names if name != self._path.name]
        return all([self._clear(path) for path in others])

    def _clear(self, lock: Path) -> bool:
        """Delete the part of one who has gone; return whether it has."""
        try:
            with FileLock(lock, timeout=0):
                remove_tree(self._parts / lock.stem.partition("-")[2])
        except Timeout:
            return False
        except (OSError, NotImplementedError):
            # On a disk without locks nobody can know of the others, and everybody is the first.
            return not self._own.is_locked
        with suppress(OSError):  # after it: Windows deletes nothing that is open
            lock.unlink()
        return True


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
