"""The first page of a database, where SQLite notes what it needs to find anything on the others.

One wrong bit there may cost every table, so it is made anew where a damaged one is read.
"""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from retrieval.database import page_bytes

LARGEST = 65536  # bytes that a page may have
# Of its head (https://www.sqlite.org/fileformat2.html#the_database_header): how large a page is,
# that there may be a log beside it, and how many pages there are, which need not be said.
SIZE, LOGGED, COUNT = slice(16, 18), slice(18, 20), slice(28, 32)


def first_pages(path: Path, lay: Callable[[sqlite3.Connection], object]) -> list[bytes]:
    """Return what may stand in the place of a database's first page, the likeliest first.

    That is a page which has all tables where the damaged one says that they lie, one that has them
    where they lie in a new database, and the damaged one itself.

    Args:
        lay: makes the tables, as they were made there.
    """
    with path.open("rb") as file:
        old = file.read(LARGEST)
    size = int.from_bytes(old[SIZE], "big")
    if size not in (2**power for power in range(9, 16)):
        size = page_bytes(path)
    old = old[:size]
    with closing(sqlite3.connect(":memory:")) as new:
        new.execute(f"PRAGMA page_size = {size}")
        with new:
            lay(new)
        usual = dict(new.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'"))
        said = {table: root for table in usual if (root := _root_of(table, old))}
        pages = [_made(new, usual | said, size)]
        usual.pop("excluded_files", None)  # where it lies depends on when it was made
        pages += [_made(new, said | usual, size), old]
    return list(dict.fromkeys(pages))


def _root_of(table: str, page: bytes) -> int:
    """Return on which page a table begins, by a first page of which a bit is wrong; 0 if unknown.

    It is noted between the table's name, twice, and how the table was made, which has it once more.
    """
    name, any_name = table.encode(), b".{%d}" % len(table)
    names = b"(?:%b%b|%b%b)" % (name, any_name, any_name, name)
    made = b"(?:CREATE TABLE %b|(?:CREATE.{7}|.{7}TABLE )%b[ (])" % (any_name, name)
    found = re.search(b"(?s)%b(.{1,4}?)%b" % (names, made), page)
    return int.from_bytes(found[1], "big") if found else 0


def _made(new: sqlite3.Connection, roots: dict[str, int], size: int) -> bytes:
    """Return the first page of a new database, by which its tables begin on other pages."""
    new.execute("PRAGMA writable_schema = ON")
    with new:
        new.executemany(
            "UPDATE sqlite_master SET rootpage = ? WHERE type = 'table' AND name = ?",
            [(root, table) for table, root in roots.items()],
        )
    page = bytearray(new.serialize()[:size])
    page[LOGGED], page[COUNT] = b"\2\2", bytes(4)
    return bytes(page)
