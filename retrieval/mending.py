"""Mending the files of a collection: what is no whole database is set aside, and made anew of what
can still be read of it.

Nothing is deleted. The new file is made beside the old one and takes its place when it is whole.
"""

import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import UnionType
from typing import Any

from retrieval.collection import Collection, model_facts
from retrieval.database import address, connect, connection, explained, made_anew, set_aside
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError, explain_os_error
from retrieval.files import replace_file
from retrieval.outbox import Outbox
from retrieval.schema import (
    DATABASE,
    FORMAT_VERSION,
    ORIGINALS,
    THUMBNAILS,
    columns_of,
    lay_out,
    lay_out_thumbnails,
)

MODEL_FACTS = ("fingerprint", "embedder", "dimension", "card")
# What the columns hold: a page that was torn gives rows of anything.
Kinds = Mapping[str, type | UnionType]
Row = tuple[Any, ...]
CONTENTS: Kinds = {
    "id": int,
    "sha256": str,
    "width": int,
    "height": int,
    "taken": str | None,
    "embedding": bytes,
    "colour": bytes,
    "texture": bytes,
    "sketch": bytes,
}
PICTURES: Kinds = {
    "id": int,
    "path": str,
    "size": int,
    "modified": int,
    "label": str,
    "content": int | None,
    "problem": str | None,
    "details": str,
}
MISSES = 100_000  # ids in a row that cannot be read, after which there is no more to come


def mend_database(folder: Path, embedder: Callable[[], Embedder] | None = None) -> tuple[str, bool]:
    """Make the records anew of what can be read of them.

    What is lost is read again when the collection is built.

    Returns:
        The name of what was set aside, and whether pictures that were taken out may come back then,
        since not all of their names could be read.

    Args:
        embedder: opens the model, for a collection that does not say any more what it was made
            with; nothing is kept of its vectors then.

    Raises:
        LookalikeError: when not even that can be read where its photos are.
    """
    path = folder / DATABASE
    with explained(folder), closing(_open_old(path)) as old:
        facts = _facts(old)
    version = facts.get("format_version", "")
    if version.isdigit() and int(version) > FORMAT_VERSION:
        raise LookalikeError(
            f"The collection {folder.name} was made by a newer version of this program. Update it."
        )
    if "root" not in facts and os.path.isdir(folder / ORIGINALS):
        facts["root"] = ORIGINALS
    is_known = all(fact in facts for fact in MODEL_FACTS)
    if "root" not in facts or not (is_known or embedder):
        aside = set_aside(path)
        raise LookalikeError(
            f"Nothing can be read of the records of {folder.name}, so they were set aside as "
            f"{aside}. Make them again with: python -m retrieval index FOLDER --name {folder.name}"
        )
    if embedder and not is_known:
        facts.update(model_facts(embedder()))
    facts = {"name": folder.name} | facts
    facts |= {
        "format_version": str(FORMAT_VERSION),
        "revision": str(int(time.time())),  # more than it was, so that nobody takes it for that
        "unfinished": "1",
    }
    for key in ("moving_uri", "moving_name"):  # what was noted of a move is lost
        facts.pop(key, None)

    returning = False

    def fill(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
        nonlocal returning
        lay_out(new, facts)
        excluded, returning = _from_both_ends(old, "SELECT path FROM excluded ORDER BY path")
        new.executemany("INSERT OR IGNORE INTO excluded VALUES (?)", excluded)
        if is_known:
            _copy(old, new, "contents", CONTENTS)
            _copy(old, new, "pictures", PICTURES)
            new.execute(
                "DELETE FROM pictures WHERE problem IS NULL "
                "AND content NOT IN (SELECT id FROM contents)"
            )

    return _renew(path, fill), returning


def note_all_anew(collection: Collection) -> None:
    """Have all of a collection told to its Milvus again, after its records were made anew.

    What had still to be told is not known any more.
    """
    if place := collection.place:
        with collection.store.transaction() as database:
            collection.settle_at(database, place)
            Outbox(collection.store).note_all(database)


def mend_thumbnails(folder: Path) -> str:
    """Make the file of thumbnails anew of what can be read of it; return what was set aside."""
    with explained(folder), closing(connect(folder / DATABASE)) as records:
        known = [sha256 for (sha256,) in records.execute("SELECT sha256 FROM contents")]

    def fill(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
        lay_out_thumbnails(new)
        new.executemany("INSERT INTO thumbnails VALUES (?, ?)", _thumbnails(old, known))

    return _renew(folder / THUMBNAILS, fill)


def _renew(path: Path, fill: Callable[[sqlite3.Connection, sqlite3.Connection], None]) -> str:
    """Put a new database in the place of a broken one; return what that is called now.

    Args:
        fill: is given the old one, to be read as far as it goes, and the new one.
    """
    new, whole = made_anew(path), False
    _delete(new)  # of a run that was killed
    try:
        with (
            explained(path.parent),
            closing(_open_old(path)) as old,
            connection(new) as database,
        ):
            with database:
                fill(old, database)
            # Closing tries this too, but says nothing where the disk is too full for it.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        whole = True
        aside = set_aside(path)
        replace_file(new, path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        # Once the old one is set aside there is nothing but the new one; `store.put_in_place` sees
        # to it where it did not get there.
        if path.exists() or not whole:
            _delete(new)
    return aside


def _delete(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        with suppress(OSError):
            path.with_name(path.name + end).unlink()


def _open_old(path: Path) -> sqlite3.Connection:
    """Open a database that may be damaged, to be read only; an empty one where there is none."""
    if not path.is_file():
        return sqlite3.connect(":memory:")
    return sqlite3.connect(f"{address(path.absolute())}?mode=ro", uri=True)


def _facts(old: sqlite3.Connection) -> dict[str, str]:
    return {
        key: value
        for key, value in _from_both_ends(old, "SELECT key, value FROM facts ORDER BY key")[0]
        if isinstance(key, str) and isinstance(value, str)
    }


def _from_both_ends(old: sqlite3.Connection, query: str) -> tuple[list[Row], bool]:
    """Return the rows of an ordered answer that can be read, and whether some are lost.

    Those before the damage, and those behind it, read backwards; some may come twice.
    """
    rows: list[Row] = []
    for way in ("ASC", "DESC"):
        try:
            for row in old.execute(f"{query} {way}"):
                rows.append(row)
            return rows, False
        except sqlite3.DatabaseError:
            continue
    return rows, True


def _until_damage(old: sqlite3.Connection, query: str, *values: object) -> Iterator[Row]:
    """Yield the rows of an answer up to the first that cannot be read."""
    with suppress(sqlite3.DatabaseError):
        yield from old.execute(query, values)


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str, kinds: Kinds) -> None:
    columns: list[str] = []
    with suppress(sqlite3.DatabaseError):
        there = columns_of(old, table)
        columns = [column for column in kinds if column in there]
    if "id" in columns:
        names, values = ", ".join(columns), ", ".join("?" * len(columns))
        rows = _readable(old, table, {column: kinds[column] for column in columns})
        new.executemany(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({values})", rows)


def _readable(old: sqlite3.Connection, table: str, kinds: Kinds) -> Iterator[Row]:
    """Yield the rows of a table that can be read; some may come twice.

    A page that is damaged takes the rows on it along, and those after it are found by their ids.
    """
    query = f"SELECT {', '.join(kinds)} FROM {table} WHERE id"

    def is_whole(row: Row) -> bool:
        return all(map(isinstance, row, kinds.values()))

    start, misses, backwards = 1, 0, False
    while misses < MISSES:
        recent: deque[int] = deque(maxlen=3)
        came = 0
        try:
            for row in old.execute(f"{query} >= ? ORDER BY id", (start,)):
                recent.append(row[0])
                came += 1
                if is_whole(row):
                    yield row
            return
        except sqlite3.DatabaseError:
            # An id that is damaged itself would lead back, or beyond all others: not one in three.
            # Where more are, so many rows have so many ids at least.
            last = sorted(recent)[(len(recent) - 1) // 2] if recent else 0
            last = max(last, start + came - 1)
            if last >= start:
                start, misses = last + 1, 0
            if not backwards:  # what such an id has hidden
                backwards = True
                yield from filter(is_whole, _until_damage(old, f"{query} > 0 ORDER BY id DESC"))
            # Python looks a row ahead, so the one before the damage may not have come.
            yield from filter(is_whole, _until_damage(old, f"{query} = ?", start))
            start, misses = start + 1, misses + 1


def _thumbnails(old: sqlite3.Connection, known: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for sha256 in known:
        with suppress(sqlite3.DatabaseError):
            row = old.execute("SELECT jpeg FROM thumbnails WHERE sha256 = ?", (sha256,)).fetchone()
            if row and isinstance(row[0], bytes):
                yield sha256, row[0]
