"""Reading what is left of a damaged database, and putting a new one in its place.

Nothing is deleted: the damaged one is set aside. The new file is made beside it and takes its place
when it is whole.
"""

import os
import shutil
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import UnionType
from typing import Any

from retrieval.database import (
    ENDS,
    FAILURES,
    DamagedError,
    address,
    beside,
    connect,
    connection,
    explained,
    made_anew,
    set_aside,
)
from retrieval.errors import explain_os_error
from retrieval.files import replace_file
from retrieval.first_page import first_pages
from retrieval.schema import columns_of

# What columns hold, by their names: a page that was torn gives rows of anything.
Kinds = Mapping[str, type | UnionType]
Row = tuple[Any, ...]
# Windows sets nothing aside that is open, be it here or in a program that would change it.
OPEN_FILES_MOVE = os.name != "nt"
MISSES = 100_000  # ids in a row that cannot be read, after which there is no more to come
SMALLEST_ROW = 50  # bytes, of those tables whose rows are found by their ids


def renew(
    path: Path,
    lay: Callable[[sqlite3.Connection], object],
    tables: Mapping[str, Kinds],
    fill: Callable[[sqlite3.Connection, sqlite3.Connection], None],
) -> str:
    """Put a new database in the place of a broken one; return what that is called now.

    Args:
        lay: makes the tables of such a database.
        tables: what is read of which of them.
        fill: is given the old one, to be read as far as it goes, and the new one.
    """
    new, whole = made_anew(path), False
    _delete(new)  # of a run that was killed
    try:
        with _unchanged(path):
            with (
                explained(path.parent),
                _opened_as_far_as_it_goes(path, lay, tables) as old,
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


@contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    """Keep other programs from changing a database until it is copied and set aside.

    One that waits for it meanwhile finds then that it is another file (`Store.transaction`).
    """
    if not OPEN_FILES_MOVE or not path.is_file():
        yield
        return
    with ExitStack() as stack:
        with suppress(DamagedError), explained(path.parent):  # nobody else can change it either
            # Closed before the new file is in its place, whose log it would delete as its own.
            held = stack.enter_context(closing(connect(path)))
            held.execute("BEGIN IMMEDIATE")
        yield


def _delete(path: Path) -> None:
    for end in ENDS:
        with suppress(OSError):
            beside(path, end).unlink()


@contextmanager
def _opened_as_far_as_it_goes(
    path: Path, lay: Callable[[sqlite3.Connection], object], tables: Mapping[str, Kinds]
) -> Iterator[sqlite3.Connection]:
    """Open what is left of a database, to be read only; an empty one where there is none.

    It is a copy of it, with that first page by which most rows can be read.
    """
    if not path.is_file():
        with closing(sqlite3.connect(":memory:")) as nothing:
            yield nothing
        return
    copy = path.with_name(f".{path.name}.copy")
    _delete(copy)  # of a run that was killed

    def readable(page: bytes) -> int:
        with closing(_open_with(page, copy)) as old:
            return sum(_count(old, *table) for table in tables.items())

    try:
        for end in ("-wal", ""):  # what goes from the log into the file meanwhile is in both
            with suppress(FileNotFoundError):
                shutil.copyfile(beside(path, end), beside(copy, end))
        rows = {page: readable(page) for page in first_pages(path, lay)}
        best = max(rows, key=rows.__getitem__)
        if not rows[best]:
            best = list(rows)[-1]  # as it is: with tables, each of their ids would be tried
        with closing(_open_with(best, copy)) as old:
            yield old
    finally:
        _delete(copy)


def _open_with(page: bytes, path: Path) -> sqlite3.Connection:
    """Open a database that may be damaged, to be read only, with another first page."""
    with path.open("rb+") as file:
        file.write(page)
    old = sqlite3.connect(f"{address(path.absolute())}?mode=ro", uri=True)
    # Where what says of one table is damaged, the others are read all the same.
    old.execute("PRAGMA writable_schema = ON")
    return old


def _count(old: sqlite3.Connection, table: str, kinds: Kinds) -> int:
    """Return how many rows of a table come before damage to it, or behind it."""
    query, first = selected(table, kinds), next(iter(kinds))
    found: set[object] = set()
    for way in ("ASC", "DESC"):
        with suppress(*FAILURES):
            rows = old.execute(f"{query} ORDER BY {first} {way}")
            found.update(row[0] for row in rows if _is_whole(row, kinds))
            break  # none is damaged
    return len(found)


def from_both_ends(old: sqlite3.Connection, table: str, kinds: Kinds) -> tuple[list[Row], bool]:
    """Return the rows of a table, which its first column orders, that can be read, and whether some
    are lost.

    Those before the damage, and those behind it, read backwards; some may come twice.
    """
    rows: list[Row] = []
    for way in ("ASC", "DESC"):
        try:
            for row in old.execute(f"{selected(table, kinds)} ORDER BY {next(iter(kinds))} {way}"):
                rows.append(row)
        except FAILURES:
            continue
        whole = [row for row in rows if _is_whole(row, kinds)]
        return whole, len(whole) < len(rows)
    return [row for row in rows if _is_whole(row, kinds)], True


def selected(table: str, kinds: Kinds) -> str:
    """Return the query for columns of a table.

    A text that passes for bytes, or bytes that pass for a text, as by one bit, is read as it was.
    """

    def column(name: str, kind: type | UnionType) -> str:
        if kind in (int, int | None):
            return name
        wrong, right = ("text", "BLOB") if kind is bytes else ("blob", "TEXT")
        return f"CASE typeof({name}) WHEN '{wrong}' THEN CAST({name} AS {right}) ELSE {name} END"

    return f"SELECT {', '.join(column(*pair) for pair in kinds.items())} FROM {table}"


def _is_whole(row: Row, kinds: Kinds) -> bool:
    return all(map(isinstance, row, kinds.values()))


def _until_damage(old: sqlite3.Connection, query: str, *values: object) -> Iterator[Row]:
    """Yield the rows of an answer up to the first that cannot be read."""
    with suppress(*FAILURES):
        yield from old.execute(query, values)


def copy_rows(old: sqlite3.Connection, new: sqlite3.Connection, table: str, kinds: Kinds) -> None:
    columns: list[str] = []
    with suppress(*FAILURES):
        there = columns_of(old, table)
        columns = [column for column in kinds if column in there]
    if "id" in columns:
        names, values = ", ".join(columns), ", ".join("?" * len(columns))
        rows = readable_rows(old, table, {column: kinds[column] for column in columns})
        new.executemany(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({values})", rows)


def readable_rows(old: sqlite3.Connection, table: str, kinds: Kinds) -> Iterator[Row]:
    """Yield the rows of a table that can be read; some may come twice.

    A page that is damaged takes the rows on it along, and those after it are found by their ids: no
    more of them are tried than the file may hold rows, but for those up to the last that is known.
    """
    query = f"{selected(table, kinds)} WHERE id"
    most, last_known = 1_000 + _size_of(old) // SMALLEST_ROW, 0
    for (given,) in _until_damage(old, "SELECT seq FROM sqlite_sequence WHERE name = ?", table):
        if isinstance(given, int):
            last_known = given

    def is_whole(row: Row) -> bool:
        return _is_whole(row, kinds)

    start, misses, backwards = 1, 0, False
    while misses < MISSES and (misses < most or start <= last_known):
        recent: deque[int] = deque(maxlen=3)
        came = 0
        try:
            for row in old.execute(f"{query} >= ? ORDER BY id", (start,)):
                recent.append(row[0])
                came += 1
                if is_whole(row):
                    yield row
            return
        except FAILURES:
            # An id that is damaged itself would lead back, or beyond all others: not one in three.
            # Where more are, so many rows have so many ids at least.
            last = sorted(recent)[(len(recent) - 1) // 2] if recent else 0
            last = max(last, start + came - 1)
            if last >= start:
                start, misses = last + 1, 0
            if not backwards:  # what such an id has hidden
                backwards = True
                for row in _until_damage(old, f"{query} > 0 ORDER BY id DESC"):
                    last_known = max(last_known, row[0])
                    if is_whole(row):
                        yield row
            # Python looks a row ahead, so the one before the damage may not have come.
            yield from filter(is_whole, _until_damage(old, f"{query} = ?", start))
            start, misses = start + 1, misses + 1


def _size_of(old: sqlite3.Connection) -> int:
    """Return how many bytes a database has, with its log."""
    [(_, _, file)] = old.execute("PRAGMA database_list")
    size = 0
    for end in ("", "-wal"):
        with suppress(OSError):
            size += beside(Path(file), end).stat().st_size
    return size
