"""What was taken out of a collection: the paths that are passed over, and the files they were.

A file that moves is passed over where it is now. So that one is known again that was edited before
it moved, what a look saw there last is noted beside what was taken out.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from retrieval.schema import EXCLUDED_FILES
from retrieval.store import Store

MOVED = "excluded_moved"  # the fact that says where what was taken out is now, by where it was then
SEEN = "excluded_seen"  # and the one that says what was seen last where something was taken out


class Seen(NamedTuple):
    """What a look saw where something was taken out, and what that is taken for."""

    size: int  # as seen last
    modified: int
    file: tuple[int, str]  # size and SHA-256 of what was taken out, as it was edited since


class Excluded:
    """The pictures that a store keeps out; safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def paths(self) -> set[str]:
        """Return the paths that were taken out."""
        return {path for (path,) in self._store.rows("SELECT path FROM excluded")}

    def files(self) -> dict[str, tuple[int, str]]:
        """Return size and SHA-256 of what was taken out, by its path; of some they are not known.

        Earlier versions did not note them, or noted where it was seen since by paths that are none
        of `paths`; and a collection that was mended may have lost some.
        """
        if not self._store.rows("SELECT 1 FROM sqlite_master WHERE name = 'excluded_files'"):
            return {}
        rows = self._store.rows("SELECT path, size, sha256 FROM excluded_files ORDER BY path")
        return {path: (size, sha256) for path, size, sha256 in rows}

    def seen(self) -> dict[str, Seen]:
        """Return what was seen last at the paths that were taken out, of those that a look saw."""
        with self._store.view() as database:
            return _seen(database)

    def see(self, files: Mapping[str, Seen]) -> None:
        """Note what lies at paths that were taken out; what has been let in meanwhile is let be."""
        if not files:
            return
        with self._store.transaction() as database:
            out = self.paths()
            files = {path: seen for path, seen in files.items() if path in out}
            database.execute(EXCLUDED_FILES)
            database.executemany(
                "INSERT OR IGNORE INTO excluded_files VALUES (?, ?, ?)",
                [(path, *seen.file) for path, seen in files.items()],
            )
            kept = {path: seen for path, seen in _seen(database).items() if path in out}
            _note_seen(database, {**kept, **files})

    def add(self, paths: Iterable[str]) -> None:
        """Take pictures out: drop their records, and note what they were.

        `Collection.exclude` does, and tells the Milvus where their vectors are as well.
        """
        rows = [(path,) for path in paths]
        with self._store.change() as database:
            database.execute(EXCLUDED_FILES)
            database.execute(
                "DELETE FROM excluded_files WHERE sha256 NOT IN "
                "(SELECT sha256 FROM excluded_files JOIN excluded USING (path))"
            )
            query = (
                "SELECT size, modified, sha256 FROM pictures "
                "JOIN contents ON content = contents.id WHERE path = ?"
            )
            now = {
                path: Seen(size, modified, (size, sha256))
                for (path,) in rows
                for size, modified, sha256 in database.execute(query, (path,))
            }
            database.executemany(
                "INSERT OR REPLACE INTO excluded_files VALUES (?, ?, ?)",
                [(path, *seen.file) for path, seen in now.items()],
            )
            _note_seen(database, _seen(database) | now)
            database.executemany("INSERT OR IGNORE INTO excluded VALUES (?)", rows)
            database.executemany("DELETE FROM pictures WHERE path = ?", rows)
            _note_moved(database, dict.fromkeys((path for (path,) in rows), ""))

    def readmit(self, paths: Iterable[str]) -> None:
        """Let paths in again that were taken out; reading the folder brings them back."""
        rows = [(path,) for path in paths]
        with self._store.transaction() as database:
            database.execute(EXCLUDED_FILES)
            database.executemany("DELETE FROM excluded WHERE path = ?", rows)
            database.executemany("DELETE FROM excluded_files WHERE path = ?", rows)
            left = {path for (path,) in rows}
            seen = _seen(database)
            _note_seen(database, {path: seen[path] for path in seen.keys() - left})
            moved = _moved(database)
            _note_moved(database, {was: "" for was, now in moved.items() if now in left})

    def move(self, places: Mapping[str, str], files: Mapping[str, tuple[int, str]]) -> None:
        """Pass over what was taken out where it is now, and no more where it was.

        So that it can be undone all the same, where it was first is noted. What has been let in
        meanwhile is let be.

        Args:
            places: where it is now, by where it was passed over.
            files: size and SHA-256, by where it is now.
        """
        if not places:
            return
        with self._store.change() as database:
            out = self.paths()
            places = {was: now for was, now in places.items() if was in out}
            database.execute(EXCLUDED_FILES)
            first = self.files()
            for table in ("excluded", "excluded_files"):
                database.executemany(
                    f"DELETE FROM {table} WHERE path = ?", [(was,) for was in places]
                )
            # Where earlier versions have seen it since.
            database.executemany(
                "DELETE FROM excluded_files WHERE sha256 = ? "
                "AND path NOT IN (SELECT path FROM excluded)",
                [(files[now][1],) for now in places.values()],
            )
            rows = [(now,) for now in places.values()]
            database.executemany("INSERT OR IGNORE INTO excluded VALUES (?)", rows)
            database.executemany("DELETE FROM pictures WHERE path = ?", rows)
            database.executemany(
                "INSERT OR REPLACE INTO excluded_files VALUES (?, ?, ?)",
                [(now, *first.get(was, files[now])) for was, now in places.items()],
            )
            seen = _seen(database)
            at_new = {now: seen[was] for was, now in places.items() if was in seen}
            there = seen.keys() - places.keys() - {*places.values()}
            _note_seen(database, {path: seen[path] for path in there} | at_new)
            begun = {now: was for was, now in _moved(database).items()}
            _note_moved(database, {begun.get(was, was): now for was, now in places.items()})

    def now(self, paths: Iterable[str]) -> list[str]:
        """Return where what was taken out at some paths is passed over now.

        Whichever program has noticed that it moved.
        """
        with self._store.view() as database:
            moved = _moved(database)
        return [moved.get(path, path) for path in paths]


def _moved(database: sqlite3.Connection) -> dict[str, str]:
    """Return where what was taken out is now, by where it was then, as far as it has moved."""
    return {was: str(now) for was, now in _noted(database, MOVED).items()}


def _note_moved(database: sqlite3.Connection, places: Mapping[str, str]) -> None:
    """Note where what was taken out is now, by where it was then; "" for what is no more out."""
    before = _moved(database)
    moved = {was: now for was, now in {**before, **places}.items() if now not in ("", was)}
    if moved != before:
        _note(database, MOVED, moved)


def _seen(database: sqlite3.Connection) -> dict[str, Seen]:
    """Return what was seen last where something was taken out."""
    with suppress(ValueError, TypeError, LookupError):  # a letter may be wrong in it
        return {
            path: Seen(int(size), int(modified), (int(file[0]), str(file[1])))
            for path, (size, modified, file) in _noted(database, SEEN).items()
        }
    return {}


def _note_seen(database: sqlite3.Connection, files: Mapping[str, Seen]) -> None:
    """Note what was seen last where something was taken out."""
    if files != _seen(database):
        _note(database, SEEN, files)


def _noted(database: sqlite3.Connection, key: str) -> dict[str, Any]:
    """Return what a fact says by paths; nothing where a letter is wrong in it."""
    row = database.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
    with suppress(ValueError, TypeError):
        found = json.loads(row[0]) if row else None
        return found if isinstance(found, dict) else {}
    return {}


def _note(database: sqlite3.Connection, key: str, value: object) -> None:
    database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, json.dumps(value)))
