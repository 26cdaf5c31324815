"""SQLite as the collections use it: safe against kills, and its errors in sentences."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from retrieval.errors import LookalikeError

BUSY_SECONDS = 10


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    with explained(path.parent.name):
        if read_only:
            uri = f"file:{quote(path.absolute().as_posix())}?immutable=1"
            return sqlite3.connect(uri, uri=True, check_same_thread=False)
        database = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
        # For new files. A picture's row fits a page of 4 KB once and leaves half of it empty; with
        # four times that, reading all vectors takes half as long (100,000: 0.8 s to 0.4 s).
        database.execute("PRAGMA page_size = 16384")
        # Rows that a replacement pushes out are noted like deleted ones (see `retrieval.outbox`).
        database.execute("PRAGMA recursive_triggers = ON")
        # Readers go on while one writes; a kill loses nothing that was committed.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        return database


@contextmanager
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    database = connect(path)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn SQLite's errors into sentences."""
    try:
        yield
    except sqlite3.OperationalError as error:
        reason = str(error)
        if "full" in reason or "disk I/O" in reason:
            sentence = "The disk is full. Free some space and try again; what was finished is kept."
        elif "locked" in reason:
            sentence = f"Another program is using the collection {name}. Try again in a moment."
        elif "readonly" in reason or "unable to open" in reason:
            sentence = f"The collection {name} may not be changed here. Check its permissions."
        else:
            sentence = damaged(name)
        raise LookalikeError(sentence) from error
    except sqlite3.DatabaseError as error:
        raise LookalikeError(damaged(name)) from error


def damaged(name: str) -> str:
    return (
        f"The collection {name} is damaged. Delete its folder and index the pictures again; the "
        "pictures themselves are untouched."
    )
