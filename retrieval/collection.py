"""A collection on disk: what is known of each picture, its embedding and its thumbnail.

One folder with two SQLite files: `collection.sqlite` for pictures and embeddings, and
`thumbnails.sqlite` beside it, apart so that opening a collection reads none of them. Embeddings and
thumbnails belong to a file's content (its SHA-256), so copies share them and a moved file keeps
them. Every change is one transaction: a kill at any moment leaves the state before or after it.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

from retrieval.database import connection, explained
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError, explain_os_error
from retrieval.filtering import conditions_of, mentions
from retrieval.query import Filters
from retrieval.records import Aspect, Content, Embeddings, Entry, Move, PictureRecord
from retrieval.reduction import Matrix
from retrieval.schema import (
    DATABASE,
    FORMAT_VERSION,
    THUMBNAILS,
    lay_out,
    lay_out_thumbnails,
    upgrade,
)
from retrieval.store import Store
from retrieval.vectors import read_all, read_one, read_some
from retrieval.writing import prune, write


class Collection:
    """An opened collection; safe to use from several threads, and from several processes."""

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        """Open the collection in `folder`.

        Args:
            read_only: touch nothing, not even to wait for a lock; for collections that are shipped.

        Raises:
            LookalikeError: when there is none, or its file is damaged or from a newer program.
        """
        self.folder = folder
        self.read_only = read_only
        if not (folder / DATABASE).is_file():
            raise LookalikeError(
                f"There is no collection in {folder.name}. Make one with: "
                "python -m retrieval index FOLDER"
            )
        self.store = Store(folder, read_only)  # public for what checks and mends it
        version = int(self._fact("format_version"))
        if version > FORMAT_VERSION:
            raise LookalikeError(
                f"The collection {self.name} was made by a newer version of this program. "
                "Update it."
            )
        if version < FORMAT_VERSION:
            if read_only:
                raise LookalikeError(
                    f"The collection {self.name} was made by an older version of this program. "
                    "Open it once where it may be changed, or index its pictures again."
                )
            with self.store.transaction() as database:
                upgrade(database)

    @classmethod
    def create(cls, folder: Path, name: str, root: Path | None, embedder: Embedder) -> "Collection":
        """Make an empty collection in `folder`, or open the one that is there.

        Args:
            name: what people call it.
            root: the folder that its pictures' paths are relative to, searched in place; None when
                the originals are not kept.
        """
        facts = {
            "format_version": str(FORMAT_VERSION),
            "name": name,
            "root": _root_fact(root, folder) if root else "",
            "fingerprint": embedder.fingerprint,
            "embedder": embedder.describe(),
            "dimension": str(embedder.dimension),
            "card": json.dumps(embedder.card.to_metadata()),
            "revision": "0",
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, folder) from error
        with explained(folder.name), connection(folder / THUMBNAILS) as database, database:
            lay_out_thumbnails(database)
        with explained(folder.name), connection(folder / DATABASE) as database, database:
            lay_out(database, facts)
        return cls(folder)

    def close(self) -> None:
        """Let go of the files."""
        self.store.close()

    def __enter__(self) -> "Collection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """What people call the collection."""
        return self._fact("name")

    @property
    def root(self) -> Path | None:
        """The folder that paths are relative to; None when the originals are elsewhere.

        A collection that is shipped with its pictures says where they are from its own folder.
        """
        root = self._fact("root")
        return (self.folder / root).resolve() if root else None

    @property
    def keeps_originals(self) -> bool:
        """Whether the photos themselves lie in the collection's own folder."""
        root = self._fact("root")
        return bool(root) and not Path(root).is_absolute()

    @property
    def unfinished(self) -> bool:
        """Whether building was begun and has not come to its end."""
        return bool(self.store.fact("unfinished", ""))

    @property
    def embedder(self) -> str:
        """What made the embeddings, in words."""
        return self._fact("embedder")

    def provenance(self) -> dict[str, Any]:
        """Return what the embeddings were made with: hashes of model, preprocessing and PCA."""
        return {
            "fingerprint": self._fact("fingerprint"),
            "embedder": self.embedder,
            "dimension": int(self._fact("dimension")),
            "card": json.loads(self._fact("card")),
        }

    @property
    def revision(self) -> int:
        """A number that grows with every change."""
        return int(self._fact("revision"))

    def is_of(self, embedder: Embedder) -> bool:
        """Whether the embeddings kept here can be compared with those of `embedder`."""
        return self._fact("fingerprint") == embedder.fingerprint

    def require(self, embedder: Embedder) -> None:
        """Refuse an embedder whose embeddings cannot be compared with those kept here."""
        if not self.is_of(embedder):
            raise LookalikeError(
                f"The collection {self.name} was made with another model or PCA "
                f"({self._fact('embedder')}), not with {embedder.describe()}. Use that model, or "
                "index the pictures again under another name."
            )

    def rename(self, name: str) -> None:
        """Change what people call the collection."""
        self.store.note({"name": name})

    def mark_unfinished(self, unfinished: bool) -> None:
        """Remember, also over a kill, whether there is something left to build."""
        if self.unfinished != unfinished:
            self.store.note({"unfinished": "1" if unfinished else ""})

    def building(self) -> AbstractContextManager[None]:
        """Hold the right to change the collection; the lock ends with the process that holds it.

        Raises:
            BusyError: when another window or process holds it.
        """
        return self.store.building()

    def files(self) -> dict[str, tuple[int, int]]:
        """Return size and time of each file that is known, readable or not, by its path."""
        rows = self._all("SELECT path, size, modified FROM pictures")
        return {path: (size, modified) for path, size, modified in rows}

    def hashes(self, paths: Iterable[str]) -> list[tuple[str, str]]:
        """Return path and SHA-256 of those of `paths` whose picture could be read."""
        query = (
            "SELECT path, sha256 FROM pictures JOIN contents ON content = contents.id "
            "WHERE path = ?"
        )
        return [row for path in paths for row in self._all(query, path)]

    def known_contents(self) -> set[str]:
        """Return the SHA-256 of every content whose embedding is kept."""
        return {sha256 for (sha256,) in self._all("SELECT sha256 FROM contents")}

    def known_among(self, hashes: Iterable[str]) -> set[str]:
        """Return those of `hashes` whose embedding is kept."""
        query = "SELECT 1 FROM contents WHERE sha256 = ?"
        return {sha256 for sha256 in hashes if self._all(query, sha256)}

    def write(
        self,
        entries: Sequence[Entry],
        contents: Sequence[Content] = (),
        vanished: Iterable[str] = (),
        moved: Iterable[Move] = (),
    ) -> None:
        """Record files and contents, and forget the files at the paths `vanished`: all or nothing.

        An entry whose path is known takes its place and keeps its id; so does a file that moved.
        """
        write(self.store, entries, contents, vanished, moved)

    def prune(self) -> None:
        """Drop the contents and thumbnails that no picture uses any more."""
        prune(self.store)

    def caption(self, captions: Iterable[tuple[str, str, str]]) -> None:
        """Set path by path the label and the details of pictures, all or nothing."""
        rows = [(label, details, path) for path, label, details in captions]
        if not rows:
            return
        with self.store.change() as database:
            database.executemany("UPDATE pictures SET label = ?, details = ? WHERE path = ?", rows)

    def captions(self) -> dict[str, tuple[str, str]]:
        """Return label and details of each file by its path."""
        rows = self._all("SELECT path, label, details FROM pictures")
        return {path: (label, details) for path, label, details in rows}

    def exclude(self, paths: Iterable[str]) -> None:
        """Take pictures out, and keep those paths out when the folder is read again."""
        rows = [(path,) for path in paths]
        with self.store.change() as database:
            database.executemany("INSERT OR IGNORE INTO excluded VALUES (?)", rows)
            database.executemany("DELETE FROM pictures WHERE path = ?", rows)

    def readmit(self, paths: Iterable[str]) -> None:
        """Let paths in again that were taken out; reading the folder brings them back."""
        with self.store.transaction() as database:
            database.executemany("DELETE FROM excluded WHERE path = ?", [(path,) for path in paths])

    def excluded(self) -> set[str]:
        """Return the paths that were taken out."""
        return {path for (path,) in self._all("SELECT path FROM excluded")}

    def count(self) -> tuple[int, int]:
        """Return how many pictures can be searched, and how many files could not be read."""
        row = self._all("SELECT count(content), count(problem) FROM pictures")[0]
        return int(row[0]), int(row[1])

    def problems(self) -> list[tuple[str, str]]:
        """Return path and reason of each file that could not be read, by path."""
        return self._all(
            "SELECT path, problem FROM pictures WHERE problem IS NOT NULL ORDER BY path"
        )

    def embeddings(self, aspect: Aspect = "subject") -> Embeddings:
        """Read all vectors of one aspect, ordered by path; the memory they take is theirs alone.

        A picture of which the aspect is not kept has a vector of zeros, which is like nothing.
        """
        return read_all(self.store, aspect)

    def pictures(self, ids: Iterable[int] | None = None) -> list[PictureRecord]:
        """Return the pictures with these ids, in their order; all of them, by path, for None."""
        query = (
            "SELECT pictures.id, path, label, size, width, height, taken, sha256, "
            "details FROM pictures JOIN contents ON content = contents.id "
        )
        if ids is None:
            return [PictureRecord(*row) for row in self._all(query + "ORDER BY path")]
        query += "WHERE pictures.id = ?"
        return [PictureRecord(*row) for id_ in ids for row in self._all(query, id_)]

    def matching(self, filters: Filters) -> list[int]:
        """Return the ids of the pictures that pass the filters."""
        condition, values = conditions_of(filters)
        rows = self._all(
            "SELECT pictures.id, details FROM pictures "
            f"JOIN contents ON content = contents.id WHERE {condition}",
            *values,
        )
        return [id_ for id_, details in rows if mentions(details, filters.words)]

    def distinct_labels(self) -> list[str]:
        """Return the labels that pictures have, in order; none is no label."""
        rows = self._all(
            "SELECT DISTINCT label FROM pictures WHERE content IS NOT NULL AND label <> '' "
            "ORDER BY label"
        )
        return [label for (label,) in rows]

    def folders(self) -> list[str]:
        """Return the folders that pictures lie in, and those above them, in order; the top is not
        among them."""
        rows = self._all(
            "SELECT DISTINCT rtrim(path, replace(path, '/', '')) FROM pictures "
            "WHERE content IS NOT NULL"
        )
        found: set[str] = set()
        for (folder,) in rows:
            parts = folder.split("/")[:-1]
            found.update("/".join(parts[: n + 1]) for n in range(len(parts)))
        return sorted(found)

    def page(self, start: int, n: int) -> list[PictureRecord]:
        """Return up to `n` pictures in the order of their paths, from the one at `start`."""
        rows = self._all(
            "SELECT id FROM pictures WHERE content IS NOT NULL ORDER BY path LIMIT ? OFFSET ?",
            n,
            start,
        )
        return self.pictures(id_ for (id_,) in rows)

    def sample(self, n: int) -> list[PictureRecord]:
        """Return `n` pictures from all over the collection, the same as long as it does not change.

        Reads no vectors, so that a page of many large collections is quick.
        """
        total, _ = self.count()
        n = min(n, total)
        return [picture for i in range(n) for picture in self.page(i * total // n, 1)]

    def vectors_of(self, ids: Sequence[int], aspect: Aspect) -> Matrix:
        """Return unit vectors `(n, k)` of these pictures; zeros where the aspect is not kept."""
        return read_some(self.store, ids, aspect)

    def embedding(self, id_: int, aspect: Aspect = "subject") -> Matrix | None:
        """Return a unit vector `(1, k)` of one picture, or None when it is not here any more."""
        return read_one(self.store, id_, aspect)

    def thumbnail(self, sha256: str) -> bytes | None:
        """Return the JPEG of a content, or None when there is none of it."""
        with self.store.held():
            row = self.store.thumbnails.execute(
                "SELECT jpeg FROM thumbnails WHERE sha256 = ?", (sha256,)
            ).fetchone()
        return row[0] if row else None

    def copy_to(self, folder: Path, root: str) -> None:
        """Write a compact copy into an empty folder, to be shipped and opened read-only.

        Args:
            root: where the pictures will be, from that folder; "" when they stay behind.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with self.store.held():
            self.store.database.execute("VACUUM INTO ?", (str(folder / DATABASE),))
            self.store.thumbnails.execute("VACUUM INTO ?", (str(folder / THUMBNAILS),))
        with explained(folder.name), closing(sqlite3.connect(folder / DATABASE)) as copy, copy:
            copy.execute("UPDATE facts SET value = ? WHERE key = 'root'", (root,))

    def _fact(self, key: str) -> str:
        return self.store.fact(key)

    def _all(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        return self.store.rows(query, *values)


def _root_fact(root: Path, folder: Path) -> str:
    """Say where the pictures are; from the collection's folder when they lie in it, so that the
    whole can be moved."""
    root, folder = root.resolve(), folder.resolve()
    return root.relative_to(folder).as_posix() if root.is_relative_to(folder) else str(root)
