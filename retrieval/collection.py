"""A collection on disk: what is known of each picture, its embedding and its thumbnail.

One folder with two SQLite files: `collection.sqlite` for pictures and embeddings, and
`thumbnails.sqlite` beside it, apart so that opening a collection reads none of them. Embeddings and
thumbnails belong to a file's content (its SHA-256), so copies share them and a moved file keeps
them. Every change is one transaction: a kill at any moment leaves the state before or after it.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from retrieval.database import connect, connection, damaged, explained
from retrieval.embedding import Embedder
from retrieval.errors import BusyError, LookalikeError, explain_os_error
from retrieval.query import Filters
from retrieval.reduction import Matrix, to_unit

FORMAT_VERSION = 3
DATABASE = "collection.sqlite"
ROWS_AT_ONCE = 1_000
THUMBNAILS = "thumbnails.sqlite"

SCHEMA = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE contents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 TEXT NOT NULL UNIQUE,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    taken TEXT,
    embedding BLOB NOT NULL,
    colour BLOB NOT NULL DEFAULT x'',
    texture BLOB NOT NULL DEFAULT x'',
    sketch BLOB NOT NULL DEFAULT x''
);
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    label TEXT NOT NULL,
    content INTEGER REFERENCES contents (id),
    problem TEXT,
    details TEXT NOT NULL DEFAULT '',
    CHECK ((content IS NULL) <> (problem IS NULL))
);
CREATE TABLE excluded (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX pictures_of_content ON pictures (content);
"""


# A tenth longer on one side still looks square.
SHAPE_CONDITIONS = {
    "landscape": "width > 1.1 * height",
    "portrait": "height > 1.1 * width",
    "square": "width <= 1.1 * height AND height <= 1.1 * width",
}

Aspect = Literal["subject", "colour", "texture", "sketch"]
# Where each aspect is kept, and how: half precision is plenty for colours and texture, and the
# subject is kept as it was computed.
COLUMNS: dict[Aspect, tuple[str, str]] = {
    "subject": ("embedding", "<f4"),
    "colour": ("colour", "<f2"),
    "texture": ("texture", "<f2"),
    "sketch": ("sketch", "<f2"),
}


@dataclass(frozen=True)
class Content:
    """What was computed from the bytes of one file."""

    sha256: str
    width: int
    height: int
    taken: str | None
    embedding: Matrix  # (k,), unit
    thumbnail: bytes  # JPEG
    colour: Matrix | None = None  # (c,), unit
    texture: Matrix | None = None  # (t,), unit
    sketch: Matrix | None = None  # (s,), unit, by which copies are known


@dataclass(frozen=True)
class Entry:
    """One file, as it is to be written: with the hash of a content, or the reason for none."""

    path: str  # relative to the pictures' folder, with forward slashes
    size: int  # bytes
    modified: int  # nanoseconds since 1970
    label: str  # the first subfolder, or what a CSV says; "" for none
    sha256: str | None
    problem: str | None = None
    details: str = ""  # what a CSV says beside the label, as a JSON object; "" for nothing


@dataclass(frozen=True)
class PictureRecord:
    """One picture of a collection, as it is shown."""

    id: int
    path: str
    label: str
    size: int
    width: int
    height: int
    taken: str | None
    sha256: str
    details: str = ""

    @property
    def captions(self) -> dict[str, str]:
        """What a CSV beside the pictures says of this one, by column."""
        return json.loads(self.details) if self.details else {}


@dataclass(frozen=True)
class Move:
    """A file that is known by another path: only the path changes."""

    old: str
    new: Entry  # its sha256 is not used


@dataclass(frozen=True)
class Embeddings:
    """All embeddings of a collection at one revision, row by row."""

    ids: npt.NDArray[np.int64]  # (n,), the pictures' ids
    vectors: Matrix  # (n, k), unit
    revision: int


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
        self._mutex = threading.RLock()
        if not (folder / DATABASE).is_file():
            raise LookalikeError(
                f"There is no collection in {folder.name}. Make one with: "
                "python -m retrieval index FOLDER"
            )
        self._database = connect(folder / DATABASE, read_only)
        self._thumbnails = connect(folder / THUMBNAILS, read_only)
        version = int(self._fact("format_version"))
        if version > FORMAT_VERSION:
            raise LookalikeError(
                f"The collection {self.name} was made by a newer version of this program. "
                "Update it."
            )
        if version < FORMAT_VERSION and not read_only:
            self._upgrade()
        columns = {row[1] for row in self._all("PRAGMA table_info(pictures)")}
        self._details = "details" if "details" in columns else "''"

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
            database.execute("BEGIN IMMEDIATE")
            database.execute(
                "CREATE TABLE IF NOT EXISTS thumbnails (sha256 TEXT PRIMARY KEY, jpeg BLOB) "
                "WITHOUT ROWID"
            )
        with explained(folder.name), connection(folder / DATABASE) as database, database:
            database.execute("BEGIN IMMEDIATE")
            tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if not tables:
                for statement in SCHEMA.split(";\n"):
                    database.execute(statement)
                database.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
        return cls(folder)

    def close(self) -> None:
        """Let go of the files."""
        with self._mutex:
            self._database.close()
            self._thumbnails.close()

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
        return bool(self._fact("unfinished", ""))

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
        self._set_facts(name=name)

    def mark_unfinished(self, unfinished: bool) -> None:
        """Remember, also over a kill, whether there is something left to build."""
        if self.unfinished != unfinished:
            self._set_facts(unfinished="1" if unfinished else "")

    @contextmanager
    def building(self) -> Iterator[None]:
        """Hold the right to change the collection; the lock ends with the process that holds it.

        Raises:
            BusyError: when another window or process holds it.
        """
        lock = FileLock(self.folder / "building.lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"Another window or program is already working on {self.name}. Wait until it has "
                "finished, or close it."
            ) from error
        except OSError as error:
            raise explain_os_error(error, self.folder) from error
        try:
            yield
        finally:
            lock.release()

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
        for content in contents:
            if not np.isfinite(content.embedding).all():
                raise ValueError("an embedding of numbers that are not finite")
        with self._sentences():
            # Thumbnails first: one without a picture wastes a little room and nothing else.
            with self._thumbnails as database:
                database.executemany(
                    "INSERT OR REPLACE INTO thumbnails VALUES (?, ?)",
                    [(content.sha256, content.thumbnail) for content in contents],
                )
            with self._database as database:
                database.execute("BEGIN IMMEDIATE")
                database.executemany(
                    "INSERT OR IGNORE INTO contents "
                    "(sha256, width, height, taken, embedding, colour, texture, sketch) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (
                            *(c.sha256, c.width, c.height, c.taken),
                            *(_pack(c.embedding, "subject"), _pack(c.colour, "colour")),
                            *(_pack(c.texture, "texture"), _pack(c.sketch, "sketch")),
                        )
                        for c in contents
                    ],
                )
                database.executemany(
                    "UPDATE OR REPLACE pictures SET path = ?, size = ?, modified = ?, label = ?, "
                    "details = ? WHERE path = ?",
                    [
                        (m.new.path, m.new.size, m.new.modified, m.new.label, m.new.details, m.old)
                        for m in moved
                    ],
                )
                database.executemany(
                    "INSERT INTO pictures (path, size, modified, label, details, content, problem) "
                    "VALUES (?, ?, ?, ?, ?, (SELECT id FROM contents WHERE sha256 = ?), ?) "
                    "ON CONFLICT (path) DO UPDATE SET size = excluded.size, "
                    "modified = excluded.modified, label = excluded.label, "
                    "details = excluded.details, content = excluded.content, "
                    "problem = excluded.problem",
                    [
                        (e.path, e.size, e.modified, e.label, e.details, e.sha256, e.problem)
                        for e in entries
                    ],
                )
                database.executemany(
                    "DELETE FROM pictures WHERE path = ?", [(path,) for path in vanished]
                )
                database.execute("UPDATE facts SET value = value + 1 WHERE key = 'revision'")

    def prune(self) -> None:
        """Drop the contents and thumbnails that no picture uses any more."""
        with self._sentences():
            with self._database as database:
                database.execute("BEGIN IMMEDIATE")
                database.execute(
                    "DELETE FROM contents WHERE NOT EXISTS "
                    "(SELECT 1 FROM pictures WHERE content = contents.id)"
                )
            unused = {sha for (sha,) in self._thumbnails.execute("SELECT sha256 FROM thumbnails")}
            unused -= self.known_contents()
            with self._thumbnails as database:
                database.executemany(
                    "DELETE FROM thumbnails WHERE sha256 = ?", [(sha256,) for sha256 in unused]
                )

    def caption(self, captions: Iterable[tuple[str, str, str]]) -> None:
        """Set path by path the label and the details of pictures, all or nothing."""
        rows = [(label, details, path) for path, label, details in captions]
        if not rows:
            return
        with self._sentences(), self._database as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("UPDATE pictures SET label = ?, details = ? WHERE path = ?", rows)
            database.execute("UPDATE facts SET value = value + 1 WHERE key = 'revision'")

    def captions(self) -> dict[str, tuple[str, str]]:
        """Return label and details of each file by its path."""
        rows = self._all(f"SELECT path, label, {self._details} FROM pictures")
        return {path: (label, details) for path, label, details in rows}

    def exclude(self, paths: Iterable[str]) -> None:
        """Take pictures out, and keep those paths out when the folder is read again."""
        rows = [(path,) for path in paths]
        with self._sentences(), self._database as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT OR IGNORE INTO excluded VALUES (?)", rows)
            database.executemany("DELETE FROM pictures WHERE path = ?", rows)
            database.execute("UPDATE facts SET value = value + 1 WHERE key = 'revision'")

    def readmit(self, paths: Iterable[str]) -> None:
        """Let paths in again that were taken out; reading the folder brings them back."""
        with self._sentences(), self._database as database:
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
        column, kind = COLUMNS[aspect]
        with self._sentences(), self._database as database:
            database.execute("BEGIN")
            revision = self.revision
            n = database.execute("SELECT count(content) FROM pictures").fetchone()[0]
            if aspect == "subject":
                width = int(self._fact("dimension"))
            else:
                longest = f"SELECT max(length({column})) FROM contents"
                width = (database.execute(longest).fetchone()[0] or 0) // np.dtype(kind).itemsize
            ids = np.empty(n, np.int64)
            vectors = np.zeros((n, width), np.float32)
            rows = database.execute(
                f"SELECT pictures.id, {column} FROM pictures "
                "JOIN contents ON content = contents.id ORDER BY path"
            )
            whole, at = width * np.dtype(kind).itemsize, 0
            while chunk := rows.fetchmany(ROWS_AT_ONCE):
                blobs = [blob for _, blob in chunk]
                if aspect != "subject":
                    blobs = [blob or bytes(whole) for blob in blobs]
                if any(len(blob) != whole for blob in blobs):
                    raise LookalikeError(damaged(self.folder.name))
                end = at + len(chunk)
                ids[at:end] = [id_ for id_, _ in chunk]
                vectors[at:end] = np.frombuffer(b"".join(blobs), kind).reshape(len(blobs), width)
                at = end
        # Half precision leaves lengths a little off 1.
        return Embeddings(ids, vectors if kind == "<f4" else to_unit(vectors), revision)

    def pictures(self, ids: Iterable[int] | None = None) -> list[PictureRecord]:
        """Return the pictures with these ids, in their order; all of them, by path, for None."""
        query = (
            "SELECT pictures.id, path, label, size, width, height, taken, sha256, "
            f"{self._details} FROM pictures JOIN contents ON content = contents.id "
        )
        if ids is None:
            return [PictureRecord(*row) for row in self._all(query + "ORDER BY path")]
        query += "WHERE pictures.id = ?"
        return [PictureRecord(*row) for id_ in ids for row in self._all(query, id_)]

    def matching(self, filters: Filters) -> list[int]:
        """Return the ids of the pictures that pass the filters."""
        terms: list[tuple[str, object]] = []
        if filters.label:
            terms.append(("label = ?", filters.label))
        if filters.megapixels:
            terms.append(("width * height >= ?", filters.megapixels * 1e6))
        if filters.since:
            terms.append(("taken >= ?", filters.since))
        if filters.until:
            terms.append(("substr(taken, 1, 10) <= ?", filters.until))
        conditions = [term for term, _ in terms]
        if filters.shape:
            conditions.append(SHAPE_CONDITIONS[filters.shape])
        rows = self._all(
            f"SELECT pictures.id, {self._details} FROM pictures "
            "JOIN contents ON content = contents.id WHERE " + (" AND ".join(conditions) or "1"),
            *(value for _, value in terms),
        )
        if filters.words:
            # Not in SQL, which knows capitals of English alone.
            sought = filters.words.casefold()
            rows = [row for row in rows if any(sought in text for text in _captions(row[1]))]
        return [row[0] for row in rows]

    def distinct_labels(self) -> list[str]:
        """Return the labels that pictures have, in order; none is no label."""
        rows = self._all(
            "SELECT DISTINCT label FROM pictures WHERE content IS NOT NULL AND label <> '' "
            "ORDER BY label"
        )
        return [label for (label,) in rows]

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
        column, kind = COLUMNS[aspect]
        query = (
            f"SELECT {column} FROM pictures JOIN contents ON content = contents.id "
            "WHERE pictures.id = ?"
        )
        blobs = [blob for id_ in ids for (blob,) in self._all(query, id_) or [(b"",)]]
        rows = [np.frombuffer(blob, kind) for blob in blobs]
        vectors = np.zeros((len(rows), max(map(len, rows), default=0)), np.float32)
        for vector, row in zip(vectors, rows, strict=True):
            vector[: len(row)] = row
        return to_unit(vectors)

    def embedding(self, id_: int, aspect: Aspect = "subject") -> Matrix | None:
        """Return a unit vector `(1, k)` of one picture, or None when it is not here any more."""
        column, kind = COLUMNS[aspect]
        rows = self._all(
            f"SELECT {column} FROM pictures JOIN contents ON content = contents.id "
            "WHERE pictures.id = ?",
            id_,
        )
        return to_unit(np.frombuffer(rows[0][0], kind)[None]) if rows else None

    def thumbnail(self, sha256: str) -> bytes | None:
        """Return the JPEG of a content, or None when there is none of it."""
        with self._sentences():
            row = self._thumbnails.execute(
                "SELECT jpeg FROM thumbnails WHERE sha256 = ?", (sha256,)
            ).fetchone()
        return row[0] if row else None

    def raw_embeddings(self) -> Iterator[tuple[str, bytes]]:
        """Yield SHA-256 and stored vector of each content, for checking."""
        with self._sentences():
            yield from self._database.execute("SELECT sha256, embedding FROM contents")

    def raw_thumbnails(self) -> Iterator[tuple[str, bytes]]:
        """Yield SHA-256 and JPEG of each thumbnail, for checking."""
        with self._sentences():
            yield from self._thumbnails.execute("SELECT sha256, jpeg FROM thumbnails")

    def paths_by_content(self) -> dict[str, list[str]]:
        """Return the paths of the pictures of each content, by its SHA-256."""
        paths: dict[str, list[str]] = {}
        for sha256, path in self._all(
            "SELECT sha256, path FROM pictures JOIN contents ON content = contents.id ORDER BY path"
        ):
            paths.setdefault(sha256, []).append(path)
        return paths

    def forget_contents(self, hashes: Iterable[str]) -> None:
        """Forget contents and the pictures that have them: reading the folder brings them back."""
        rows = [(sha256,) for sha256 in hashes]
        with self._sentences(), self._database as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "DELETE FROM pictures WHERE content = (SELECT id FROM contents WHERE sha256 = ?)",
                rows,
            )
            database.executemany("DELETE FROM contents WHERE sha256 = ?", rows)
            database.execute("UPDATE facts SET value = value + 1 WHERE key = 'revision'")

    def copy_to(self, folder: Path, root: str) -> None:
        """Write a compact copy into an empty folder, to be shipped and opened read-only.

        Args:
            root: where the pictures will be, from that folder; "" when they stay behind.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with self._sentences():
            for database, name in ((self._database, DATABASE), (self._thumbnails, THUMBNAILS)):
                database.execute("VACUUM INTO ?", (str(folder / name),))
        with explained(folder.name), closing(sqlite3.connect(folder / DATABASE)) as copy, copy:
            copy.execute("UPDATE facts SET value = ? WHERE key = 'root'", (root,))

    def _upgrade(self) -> None:
        """Bring a collection of an older version up to this one, in one transaction."""
        added = (
            ("contents", "colour", "BLOB NOT NULL DEFAULT x''"),
            ("contents", "texture", "BLOB NOT NULL DEFAULT x''"),
            ("contents", "sketch", "BLOB NOT NULL DEFAULT x''"),
            ("pictures", "details", "TEXT NOT NULL DEFAULT ''"),
        )
        with self._sentences(), self._database as database:
            database.execute("BEGIN IMMEDIATE")
            for table, column, kind in added:
                columns = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
                if column not in columns:
                    database.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
            database.execute(
                "CREATE TABLE IF NOT EXISTS excluded (path TEXT PRIMARY KEY) WITHOUT ROWID"
            )
            database.execute(
                "UPDATE facts SET value = ? WHERE key = 'format_version'", (str(FORMAT_VERSION),)
            )

    def _set_facts(self, **facts: str) -> None:
        with self._sentences(), self._database as database:
            database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def _fact(self, key: str, default: str | None = None) -> str:
        rows = self._all("SELECT value FROM facts WHERE key = ?", key)
        if not rows and default is not None:
            return default
        if not rows:
            raise LookalikeError(damaged(self.folder.name))
        return str(rows[0][0])

    def _all(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with self._sentences():
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        with self._mutex, explained(self.folder.name):
            yield


def _captions(details: str) -> list[str]:
    """Return what a CSV says of a picture, for comparing without regard to capitals."""
    return [str(value).casefold() for value in json.loads(details).values()] if details else []


def _pack(vector: Matrix | None, aspect: Aspect) -> bytes:
    return b"" if vector is None else vector.astype(COLUMNS[aspect][1]).tobytes()


def _root_fact(root: Path, folder: Path) -> str:
    """Say where the pictures are; from the collection's folder when they lie in it, so that the
    whole can be moved."""
    root, folder = root.resolve(), folder.resolve()
    return root.relative_to(folder).as_posix() if root.is_relative_to(folder) else str(root)
