"""What is asked of the pictures of a collection, of their records alone."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from retrieval.filtering import conditions_of, mentions
from retrieval.query import Filters
from retrieval.records import PictureRecord
from retrieval.store import Store
from retrieval.vectors import list_by_path

# A list of all ids by path is held of collections up to so many pictures; 8 MB of it.
LISTED = 1_000_000

T = TypeVar("T")


class Listing:
    """The pictures that a store has records of; safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # What takes a look at every row, by its name, with the revision that it is of.
        self._kept: dict[str, tuple[int, Any]] = {}

    def count(self) -> tuple[int, int]:
        """Return how many pictures there are, and how many files could not be read.

        Those whose vectors are lost are pictures still (`retrieval.lost`).
        """

        def count() -> tuple[int, int]:
            row = self._store.rows("SELECT count(content), count(problem) FROM pictures")[0]
            return int(row[0]), int(row[1])

        return self._once("count", count)

    def problems(self) -> list[tuple[str, str]]:
        """Return path and reason of each file that could not be read, by path."""
        return self._store.rows(
            "SELECT path, problem FROM pictures WHERE problem IS NOT NULL ORDER BY path"
        )

    def files(self) -> dict[str, tuple[int, int]]:
        """Return size and time of each file that is known, readable or not, by its path."""
        rows = self._store.rows("SELECT path, size, modified FROM pictures")
        return {self._path(path): (size, modified) for path, size, modified in rows}

    def captions(self) -> dict[str, tuple[str, str]]:
        """Return label and details of each file by its path."""
        rows = self._store.rows("SELECT path, label, details FROM pictures")
        return {path: (label, details) for path, label, details in rows}

    def hashes(self, paths: Iterable[str]) -> list[tuple[str, str]]:
        """Return path and SHA-256 of those of `paths` whose picture could be read."""
        query = (
            "SELECT path, sha256 FROM pictures JOIN contents ON content = contents.id "
            "WHERE path = ?"
        )
        return [row for path in paths for row in self._store.rows(query, path)]

    def known_contents(self) -> set[str]:
        """Return the SHA-256 of every content that is here, with its vectors or for a picture."""
        # What no picture uses any more may have had its vectors elsewhere, and lost them there.
        return {
            sha256
            for (sha256,) in self._store.rows(
                "SELECT sha256 FROM contents WHERE length(embedding) > 0 "
                "OR EXISTS (SELECT 1 FROM pictures WHERE content = contents.id)"
            )
        }

    def known_among(self, hashes: Iterable[str]) -> set[str]:
        """Return those of `hashes` of which a content is here."""
        query = "SELECT 1 FROM contents WHERE sha256 = ?"
        return {sha256 for sha256 in hashes if self._store.rows(query, sha256)}

    def pictures(self, ids: Iterable[int] | None = None) -> list[PictureRecord]:
        """Return the pictures with these ids, in their order; all of them, by path, for None."""
        query = (
            "SELECT pictures.id, path, label, size, width, height, taken, sha256, "
            "details FROM pictures JOIN contents ON content = contents.id "
        )
        if ids is None:
            rows = self._store.rows(query + "ORDER BY path")
        else:
            query += "WHERE pictures.id = ?"
            rows = [row for id_ in ids for row in self._store.rows(query, id_)]
        return [self._record(row) for row in rows]

    def matching(self, filters: Filters, among: Iterable[int] | None = None) -> list[int]:
        """Return the ids of the pictures, or of those `among` these, that pass the filters."""
        condition, values = conditions_of(filters)
        if among is not None:
            condition += f" AND pictures.id IN ({', '.join(str(int(id_)) for id_ in among)})"
        rows = self._store.rows(
            "SELECT pictures.id, details FROM pictures "
            f"JOIN contents ON content = contents.id WHERE {condition}",
            *values,
        )
        return [id_ for id_, details in rows if mentions(details, filters.words)]

    def distinct_labels(self) -> list[str]:
        """Return the labels that pictures have, in order; none is no label."""
        query = (
            "SELECT DISTINCT label FROM pictures WHERE content IS NOT NULL AND label <> '' "
            "ORDER BY label"
        )
        return self._once("labels", lambda: [label for (label,) in self._store.rows(query)])

    @property
    def has_captions(self) -> bool:
        """Whether a table says more of any picture than its label."""
        query = "SELECT 1 FROM pictures WHERE details <> '' LIMIT 1"
        return self._once("captions", lambda: bool(self._store.rows(query)))

    def folders(self) -> list[str]:
        """Return the folders that pictures lie in, and those above them, in order; the top is not
        among them."""

        def find() -> list[str]:
            rows = self._store.rows(
                "SELECT DISTINCT rtrim(path, replace(path, '/', '')) FROM pictures "
                "WHERE content IS NOT NULL"
            )
            found: set[str] = set()
            for (folder,) in rows:
                parts = self._path(folder).split("/")[:-1]
                found.update("/".join(parts[: n + 1]) for n in range(len(parts)))
            return sorted(found)

        return self._once("folders", find)

    def page(self, start: int, n: int) -> list[PictureRecord]:
        """Return up to `n` pictures in the order of their paths, from the one at `start`."""
        rows = self._store.rows(
            "SELECT id FROM pictures WHERE content IS NOT NULL ORDER BY path LIMIT ? OFFSET ?",
            n,
            start,
        )
        return self.pictures(id_ for (id_,) in rows)

    def at(self, rows: Iterable[int]) -> list[PictureRecord]:
        """Return the pictures in these rows, in the order of the paths.

        In a collection of millions that is the order of the ids, and about there.
        """
        total, _ = self.count()
        if total > LISTED:
            last = self._store.rows("SELECT max(id) FROM pictures")[0][0]
            near = "SELECT id FROM pictures WHERE id >= ? AND content IS NOT NULL LIMIT 1"
            found = [row for at in rows for row in self._store.rows(near, int(at / total * last))]
            return self.pictures(id_ for (id_,) in found)
        ids = self.ids()
        return self.pictures(ids[row] for row in rows if row < len(ids))

    def ids(self) -> list[int]:
        """Return the ids of all pictures, also those whose vectors are lost, by their paths."""

        def find() -> list[int]:
            ids: list[int] = list_by_path(self._store)[0].tolist()
            return ids

        return self._once("ids", find)

    def sample(self, n: int) -> list[PictureRecord]:
        """Return `n` pictures from all over the collection, the same as long as it does not change.

        Reads no vectors, so that a page of many large collections is quick.
        """
        total, _ = self.count()
        n = min(n, total)
        return self.at(i * total // n for i in range(n))

    def _path(self, path: object) -> str:
        """Return a path of the records; by one bit it is none, which SQLite passes over."""
        if not isinstance(path, str):
            raise self._store.damaged()
        return path

    def _record(self, row: tuple[Any, ...]) -> PictureRecord:
        """Return a picture, unless something of it is of another kind, as by one bit."""
        _, path, label, size, width, height, taken, sha256, details = row
        texts = type(path) is type(label) is type(taken or "") is type(sha256) is type(details)
        if not (texts and type(path) is str and type(size) is type(width) is type(height) is int):
            raise self._store.damaged()
        return PictureRecord(*row)

    def _once(self, name: str, compute: Callable[[], T]) -> T:
        """Return what is computed once for each revision, since it takes a look at every row."""
        revision = self._store.number("revision")
        kept = self._kept.get(name)
        if kept is None or kept[0] != revision:
            kept = self._kept[name] = revision, compute()
        result: T = kept[1]
        return result
