"""Whether the files of a collection are whole databases, with all that they should have."""

import os
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from retrieval.database import DamagedError, connect_to_read, explained
from retrieval.errors import LookalikeError, explain_os_error
from retrieval.lost_facts import lacking_facts
from retrieval.outbox import FOLLOWING
from retrieval.schema import (
    ADDED,
    DATABASE,
    FORMAT_VERSION,
    KEPT,
    THUMBNAILS,
    columns_of,
    lay_out_all,
    lay_out_thumbnails,
)
from retrieval.store import is_file, put_in_place

TABLES = ("facts", "contents", "pictures", "excluded", "excluded_files", "thumbnails")


def broken_files(folder: Path) -> dict[str, str]:
    """Return what is wrong with the files of a collection, by their names."""
    put_in_place(folder)
    if not is_file(folder / DATABASE) and not any(os.path.isdir(folder / kept) for kept in KEPT):
        raise LookalikeError(f"There is no collection in {folder.name}. Check the name.")
    broken = {}
    for name, look in ((DATABASE, _lacking_records), (THUMBNAILS, _lacking_thumbnails)):
        if not is_file(folder / name):
            broken[name] = "is missing"
            continue
        if _forbids_changes(folder / name):
            broken[name] = "is damaged (it says that it may not be changed)"
            continue
        try:
            with explained(folder), closing(connect_to_read(folder / name)) as database:
                answers = [row[0] for row in database.execute("PRAGMA integrity_check(5)")]
                answers = [] if answers == ["ok"] else answers
                answers = answers or look(database) or list(_wrong_kinds(database))
                if not answers:
                    _read_texts(database)
        except DamagedError:
            answers = ["it is no longer a database"]
        if answers:
            broken[name] = f"is damaged ({'; '.join(answers)[:300]})"
    return broken


def _forbids_changes(path: Path) -> bool:
    """Whether a database says of itself that only later versions of SQLite may write it.

    SQLite takes it then for one that permissions forbid to be changed.
    """
    try:
        with path.open("rb") as file:
            head = file.read(19)
    except OSError as error:
        raise explain_os_error(error, path) from error
    return head.startswith(b"SQLite format 3\0") and head[-1] > 2


def _wrong_kinds(database: sqlite3.Connection) -> Iterator[str]:
    """Say which columns hold something of another kind, as by one bit: SQLite passes over it."""
    for table in TABLES:
        for _, name, kind, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
            wrong = f"SELECT 1 FROM {table} WHERE typeof({name}) NOT IN (?, 'null') LIMIT 1"
            if database.execute(wrong, (kind.lower(),)).fetchone():
                yield f"not every {name} of its {table} is one"


def _read_texts(database: sqlite3.Connection) -> None:
    """Read every text once, since one of bytes that are none is damage that SQLite passes over."""
    for table in TABLES:
        columns = database.execute(f"PRAGMA table_info({table})")
        if texts := [name for _, name, kind, *_ in columns if kind == "TEXT"]:
            deque(database.execute(f"SELECT {', '.join(texts)} FROM {table}"), maxlen=0)


def _lacking_records(database: sqlite3.Connection) -> list[str]:
    """Return what is not in the database of the records, and should be."""
    earlier = _is_of_earlier_version(database)
    tables = ("facts", "contents", "pictures", *(() if earlier else ("excluded",)))
    lacking = [f"it has no {table}" for table in _without(database, *tables)]
    lacking += _without_columns(database, earlier)
    if lacking:
        return lacking
    facts = dict(database.execute("SELECT key, value FROM facts"))
    lacking += [f"it does not say its {fact}" for fact in lacking_facts(facts)]
    if facts.get("milvus"):
        lacking += [f"it has no {table}" for table in _without(database, FOLLOWING)]
    return lacking


def _lacking_thumbnails(database: sqlite3.Connection) -> list[str]:
    """Return what is not in the database of the thumbnails, and should be."""
    lacking = [f"it has no {table}" for table in _without(database, "thumbnails")]
    return [*lacking, *_without_columns(database, earlier=False)]


def _without(database: sqlite3.Connection, *tables: str) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    there = {name for (name,) in database.execute(query)}
    return [table for table in tables if table not in there]


def _without_columns(database: sqlite3.Connection, earlier: bool) -> Iterator[str]:
    """Say which columns its tables should have, and have not.

    Args:
        earlier: whether it is of an earlier version, which has not all of them.
    """
    later = {(table, column) for table, column, _ in ADDED} if earlier else set()
    with closing(sqlite3.connect(":memory:")) as whole:
        lay_out_all(whole)
        whole.commit()
        lay_out_thumbnails(whole)
        for (table,) in whole.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            there = columns_of(database, table)
            for column in sorted(columns_of(whole, table)):
                if there and column not in there and (table, column) not in later:
                    yield f"its {table} have no {column}"


def _is_of_earlier_version(database: sqlite3.Connection) -> bool:
    query = "SELECT value FROM facts WHERE key = 'format_version'"
    with suppress(sqlite3.OperationalError):  # no such column, as is said of `facts` then
        row = database.execute(query).fetchone()
        return bool(row) and str(row[0]).isdecimal() and int(row[0]) < FORMAT_VERSION
    return False
