"""What was taken out of a collection: the paths that are passed over, and the files they were."""

from collections.abc import Iterable, Mapping

from retrieval.schema import EXCLUDED_FILES
from retrieval.store import Store


class Excluded:
    """The pictures that a store keeps out; safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._moved: dict[str, str] = {}  # where what was taken out is now, by where it was

    def paths(self) -> set[str]:
        """Return the paths that were taken out."""
        return {path for (path,) in self._store.rows("SELECT path FROM excluded")}

    def files(self) -> dict[str, tuple[int, str]]:
        """Return size and SHA-256 of what was taken out, by its path; of some they are not known.

        Also by the paths, which are none of `paths`, where it was seen since. Earlier versions
        did not note them, and a collection that was mended may have lost some.
        """
        if not self._store.rows("SELECT 1 FROM sqlite_master WHERE name = 'excluded_files'"):
            return {}
        rows = self._store.rows("SELECT path, size, sha256 FROM excluded_files ORDER BY path")
        return {path: (size, sha256) for path, size, sha256 in rows}

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
            database.executemany(
                "INSERT OR REPLACE INTO excluded_files SELECT path, size, sha256 FROM pictures "
                "JOIN contents ON content = contents.id WHERE path = ?",
                rows,
            )
            database.executemany("INSERT OR IGNORE INTO excluded VALUES (?)", rows)
            database.executemany("DELETE FROM pictures WHERE path = ?", rows)

    def readmit(self, paths: Iterable[str]) -> None:
        """Let paths in again that were taken out; reading the folder brings them back."""
        rows = [(path,) for path in paths]
        with self._store.transaction() as database:
            database.execute(EXCLUDED_FILES)
            database.executemany("DELETE FROM excluded WHERE path = ?", rows)
            database.executemany("DELETE FROM excluded_files WHERE path = ?", rows)

    def note_moved(self, places: Mapping[str, str]) -> None:
        """Note where what was taken out is now, by where it was, so that an undo still finds it.

        For as long as the app runs, as an undo is offered.
        """
        self._moved.update(places)

    def now(self, paths: Iterable[str]) -> list[str]:
        """Return where what was taken out at some paths is passed over now."""
        found, out = [], self.paths()
        for path in paths:
            passed: set[str] = set()
            while path not in out and path in self._moved and path not in passed:
                passed.add(path)
                path = self._moved[path]
            found.append(path)
        return found

    def note(self, files: Mapping[str, tuple[int, str]]) -> None:
        """Note where files that were taken out are now, in place of where they were seen before.

        Args:
            files: size and SHA-256 by the path.
        """
        if files.items() <= self.files().items():
            return
        with self._store.transaction() as database:
            database.executemany(
                "DELETE FROM excluded_files WHERE sha256 = ? "
                "AND path NOT IN (SELECT path FROM excluded)",
                [(sha256,) for _, sha256 in files.values()],
            )
            database.executemany(
                "INSERT OR REPLACE INTO excluded_files VALUES (?, ?, ?)",
                [(path, *file) for path, file in files.items()],
            )
