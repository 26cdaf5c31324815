"""The two files of an opened collection: reading, writing in transactions, and its facts."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from retrieval.database import DamagedError, connect, damaged, explained, made_anew, set_aside
from retrieval.errors import BusyError, LookalikeError, explain_os_error
from retrieval.files import replace_file
from retrieval.schema import DATABASE, THUMBNAILS

LOCK = "building.lock"  # held by whoever changes a collection
# How often vectors of contents that were there already have been changed, by which whoever holds
# them knows: new contents have ids of their own. A trigger of each connection counts, so that the
# layout stays as it is and nothing that writes can forget it.
REWRITTEN = "rewritten"
COUNT_REWRITTEN = f"""
CREATE TEMP TRIGGER count_rewritten
AFTER UPDATE OF embedding, colour, texture, sketch ON main.contents
BEGIN
    INSERT INTO facts SELECT '{REWRITTEN}', '0'
    WHERE NOT EXISTS (SELECT 1 FROM facts WHERE key = '{REWRITTEN}');
    UPDATE facts SET value = value + 1 WHERE key = '{REWRITTEN}';
END
"""


class Store:
    """Both databases of a collection; one thread at a time in each, and errors in sentences.

    Whoever needs both begins with that of the records.
    """

    def __init__(self, folder: Path, read_only: bool) -> None:
        self.folder = folder
        self.is_damaged = False  # whether damage was met since it was opened
        self._mutex = threading.RLock()
        # Its own, since pages ask for thumbnails while all vectors are read, which takes seconds.
        self._thumbnails_mutex = threading.RLock()
        self.database = connect(folder / DATABASE, read_only)
        try:
            self._thumbnails = connect(folder / THUMBNAILS, read_only)
        except BaseException:
            self.database.close()  # or Windows would let nobody mend or move it
            raise
        try:
            self._numbers = self._numbers_now()
        except OSError as error:
            self.close()
            raise explain_os_error(error, folder) from error

    def count_rewritten(self) -> None:
        """Count from here on, in `REWRITTEN`, what is changed of the vectors of known contents."""
        with self.held():
            self.database.execute(COUNT_REWRITTEN)

    def close(self) -> None:
        """Let go of the files."""
        with self._mutex, self._thumbnails_mutex:
            self.database.close()
            self._thumbnails.close()

    @property
    def is_in_place(self) -> bool:
        """Whether what is open here still is what lies in the collection's folder.

        Windows moves no file that is open. Elsewhere another program may have deleted the
        collection, or `check --repair` put other files in their place.
        """
        try:
            return os.name == "nt" or self._numbers == self._numbers_now()
        except OSError:  # a network drive that does not answer, say
            return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other threads out of the records, and turn SQLite's errors into sentences."""
        with self._mutex, self._noticing():
            yield

    @contextmanager
    def thumbnails(self) -> Iterator[sqlite3.Connection]:
        """Read thumbnails, or write all or nothing; other threads are kept out of them."""
        with self._thumbnails_mutex, self._noticing(), self._thumbnails as database:
            yield database

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            with explained(self.folder):
                yield
        except DamagedError:
            self.is_damaged = True
            raise

    @contextmanager
    def view(self) -> Iterator[sqlite3.Connection]:
        """Read what stood here at one moment, whatever other processes write meanwhile.

        One view inside of another one is of the same moment.
        """
        with self.held():
            if self.database.in_transaction:
                yield self.database
                return
            with self.database as database:
                database.execute("BEGIN")
                yield database

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all or nothing.

        Raises:
            LookalikeError: when nobody would find it again, since the files that are open here are
                not the collection's any more.
        """
        with self.held(), self.database as database:
            database.execute("BEGIN IMMEDIATE")
            if not self.is_in_place:
                raise LookalikeError(
                    f"The collection {self.folder.name} was mended, moved or deleted by another "
                    "program meanwhile, so nothing was changed. Reload the page, or try again."
                )
            yield database

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Write all or nothing, and raise the revision, so that others read anew."""
        with self.transaction() as database:
            yield database
            database.execute("UPDATE facts SET value = value + 1 WHERE key = 'revision'")

    def rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        """Return the answer to a query."""
        with self.held():
            return self.database.execute(query, values).fetchall()

    def fact(self, key: str, default: str | None = None) -> str:
        """Return what is noted about the collection; without a default it has to be there."""
        rows = self.rows("SELECT value FROM facts WHERE key = ?", key)
        if not rows and default is not None:
            return default
        if not rows:
            raise self.damaged()
        return str(rows[0][0])

    def number(self, key: str) -> int:
        """Return a number that is noted about the collection; anything else there is damage."""
        try:
            return int(self.fact(key))
        except ValueError as error:
            raise self.damaged() from error

    def note(self, facts: Mapping[str, str]) -> None:
        """Note something about the collection."""
        with self.transaction() as database:
            database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def damaged(self) -> DamagedError:
        """Return what to raise of damage that SQLite does not notice."""
        self.is_damaged = True
        return damaged(self.folder)

    def _numbers_now(self) -> dict[str, tuple[int, int]]:
        """Return what tells the files in the collection's folder from others, by their names."""
        found = {}
        for name in (DATABASE, THUMBNAILS):
            with suppress(FileNotFoundError, NotADirectoryError):
                status = os.stat(self.folder / name)
                found[name] = status.st_dev, status.st_ino
        return found

    @contextmanager
    def building(self) -> Iterator[None]:
        """Hold the right to change the collection, as `Collection.building` says."""
        with held_alone(self.folder, lambda: self.fact("name")):
            yield


def is_file(path: Path) -> bool:
    """Whether there is a file.

    Raises:
        LookalikeError: when the disk does not answer.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise explain_os_error(error, path) from error


def put_in_place(folder: Path) -> None:
    """Give the files of a collection that were made anew their places, where a kill came before it.

    Raises:
        BusyError: when they are being made just now.
        LookalikeError: when the disk does not answer.
    """
    for path in (folder / DATABASE, folder / THUMBNAILS):
        new = made_anew(path)
        try:
            unfinished = new.with_name(f"{new.name}-wal").exists()
            if path.exists() or unfinished or not new.is_file():
                continue
        except OSError as error:
            raise explain_os_error(error, path) from error
        with held_alone(folder, lambda: folder.name):
            if not path.exists():
                set_aside(path)  # what was left of the old one
                try:
                    replace_file(new, path)
                except OSError as error:
                    raise explain_os_error(error, path) from error


@contextmanager
def held_alone(folder: Path, name: Callable[[], str]) -> Iterator[None]:
    """Hold the right to change the collection in a folder; the lock ends with the process.

    Args:
        name: says what people call it.

    Raises:
        BusyError: when another window or process holds it.
    """
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise BusyError(
            f"Another window or program is already working on {name()}. Wait until it has "
            "finished, or close it."
        ) from error
    except OSError as error:
        raise explain_os_error(error, folder) from error
    try:
        yield
    finally:
        lock.release()
