"""The outbox of a collection: which of its pictures another place has yet to be told of.

Where the vectors lie on a server, no transaction spans both. So every change of the records also
notes the picture's id, in the same transaction (triggers see to it); afterwards the server is told,
and only then is the note struck. A kill at any moment leaves notes that are delivered again, and
telling something twice does no harm, since the server knows pictures by their ids. This is the
"transactional outbox" (Richardson, "Microservices Patterns", 2018, ch. 3).
"""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from retrieval.exact import BLANK, ZEROS
from retrieval.gallery import RANKED, Described, Gallery
from retrieval.lost import ZEROED, give_up
from retrieval.records import Aspect
from retrieval.reduction import Matrix
from retrieval.schema import COLUMNS
from retrieval.store import Store
from retrieval.vectors import unpack

log = logging.getLogger(__name__)

BATCH = 500
FOLLOWING, MOVING = "outbox", "moving"  # what has to reach a collection's gallery, and its next one
VECTORS = ", ".join(COLUMNS[aspect][0] for aspect in RANKED)
# What is noted, of which row, and whether the picture has another content than it had.
CHANGES = (
    ("INSERT", "NEW", "1"),
    ("UPDATE OF path, label, content", "NEW", "NEW.content IS NOT OLD.content"),
    ("DELETE", "OLD", "1"),
)


class _Row(NamedTuple):
    """What is here of a picture."""

    id: int
    path: str
    label: str
    width: int
    height: int
    taken: str | None
    sha256: str
    is_lost: int  # whether the vector that is here is one of zeros, which stands for none
    vectors: tuple[bytes | None, ...]  # one of each aspect of `RANKED`, as they are stored


class Outbox:
    """Notes of the changes in a collection, kept in a table of it."""

    def __init__(self, store: Store, name: str = FOLLOWING) -> None:
        self._store = store
        self._name = name

    def begin(self, database: sqlite3.Connection, everything: bool) -> None:
        """Take notes from now on, in the transaction of the caller.

        Args:
            everything: note all pictures there are.
        """
        name = self._name
        database.execute(
            f"CREATE TABLE IF NOT EXISTS {name} "
            "(n INTEGER PRIMARY KEY AUTOINCREMENT, picture INTEGER NOT NULL, other INTEGER)"
        )
        for number, (change, row, other) in enumerate(CHANGES):
            database.execute(
                f"CREATE TRIGGER IF NOT EXISTS {name}_{number} AFTER {change} ON pictures "
                f"BEGIN INSERT INTO {name} (picture, other) VALUES ({row}.id, {other}); END"
            )
        if everything:
            self.note_all(database)

    def note_all(self, database: sqlite3.Connection) -> None:
        """Note all pictures there are, in the transaction of the caller."""
        database.execute(f"INSERT INTO {self._name} (picture) SELECT id FROM pictures ORDER BY id")

    def note(self, database: sqlite3.Connection, pictures: Sequence[int]) -> None:
        """Note some pictures, in the transaction of the caller."""
        database.executemany(
            f"INSERT INTO {self._name} (picture) VALUES (?)", [(id_,) for id_ in pictures]
        )

    def end(self, database: sqlite3.Connection) -> None:
        """Take no notes any more, in the transaction of the caller."""
        for number in range(len(CHANGES)):
            database.execute(f"DROP TRIGGER IF EXISTS {self._name}_{number}")
        database.execute(f"DROP TABLE IF EXISTS {self._name}")

    def __len__(self) -> int:
        """Return how many notes there are."""
        return int(self._store.rows(f"SELECT count(*) FROM {self._name}")[0][0])

    def is_all(self) -> bool:
        """Whether every picture is noted, and has its vectors here: none has been told of yet."""
        return not self._store.rows(
            "SELECT 1 FROM pictures JOIN contents ON content = contents.id "
            f"WHERE length(embedding) = 0 OR pictures.id NOT IN (SELECT picture FROM {self._name}) "
            "LIMIT 1"
        )

    def deliver(self, source: Gallery, target: Gallery, blank: bool) -> Iterator[int]:
        """Tell `target` of every change; yield the number of notes after each batch of them.

        Args:
            source: knows the vectors that do not lie beside the records.
            blank: drop those that do, once the target has them.
        """
        while notes := self._store.rows(
            f"SELECT n, picture FROM {self._name} ORDER BY n LIMIT {BATCH}"
        ):
            ids = sorted({picture for _, picture in notes})
            rows = self._rows(ids)
            found = self._vectors(rows, source)
            target.add([_described(row, found[row.id]) for row in rows if row.id in found])
            target.remove(sorted(set(ids) - {row.id for row in rows}))
            lost = {row.sha256 for row in rows if row.id not in found}
            here = give_up(self._store, lost)  # first, or a kill would leave no trace of them
            with self._store.transaction() as database:
                database.executemany(
                    f"DELETE FROM {self._name} WHERE n = ?", [(n,) for n, _ in notes]
                )
                if blank:
                    self._blank(database, [row.id for row in rows])
            if lost:
                log.warning(
                    "The vectors of %d contents are nowhere any more. The photos of %d are read "
                    "again by the next index; those of the others are not here, so they are kept, "
                    "but not found by a search.",
                    len(lost),
                    len(here),
                )
            yield len(notes)

    def lost_among(self, ids: Sequence[int], source: Gallery) -> list[int]:
        """Return those of the pictures whose vectors are nowhere: not here and not in `source`."""
        rows = self._rows(ids)
        return sorted({row.id for row in rows} - self._vectors(rows, source).keys())

    def _rows(self, ids: Sequence[int]) -> list[_Row]:
        """Return those of the pictures that are here."""
        query = (
            f"SELECT pictures.id, path, label, width, height, taken, sha256, {ZEROED}, {VECTORS} "
            "FROM pictures JOIN contents ON content = contents.id WHERE pictures.id = ?"
        )
        rows = (row for id_ in ids for row in self._store.rows(query, id_))
        n = len(RANKED)  # whose vectors come last
        return [_Row._make((*row[:-n], row[-n:])) for row in rows]

    def _vectors(self, rows: Sequence[_Row], source: Gallery) -> dict[int, dict[Aspect, Matrix]]:
        """Return the vectors by the pictures' ids: from the records, or else from `source`."""
        found: dict[int, dict[Aspect, Matrix]] = {}
        for row in rows:
            blobs = zip(RANKED, row.vectors, strict=True)
            vectors = {aspect: unpack(blob, aspect) for aspect, blob in blobs if blob}
            if "subject" in vectors and not row.is_lost:
                found[row.id] = vectors
        # The picture's own, or those of a copy, but not while they are of another content there.
        owners_of = (
            "SELECT pictures.id FROM pictures JOIN contents ON content = contents.id "
            "WHERE sha256 = ? AND NOT EXISTS "
            f"(SELECT 1 FROM {self._name} WHERE picture = pictures.id AND other)"
        )
        asked = {
            row.id: [id_ for (id_,) in self._store.rows(owners_of, row.sha256)]
            for row in rows
            if row.id not in found
        }
        if not asked:
            return found
        ids = sorted({id_ for owners in asked.values() for id_ in owners})
        fetched = {aspect: source.fetch(ids, aspect) for aspect in RANKED}
        known = {id_: at for at, id_ in enumerate(ids) if fetched["subject"][at].any()}
        for id_, owners in asked.items():
            at = next((known[owner] for owner in owners if owner in known), None)
            if at is not None:
                found[id_] = {aspect: rows[at] for aspect, rows in fetched.items() if rows.size}
        return found

    def _blank(self, database: sqlite3.Connection, ids: Sequence[int]) -> None:
        """Drop the vectors beside the records, unless another picture's are still to be told."""
        # A vector of zeros stays: fetched from elsewhere, it would look like none.
        database.executemany(
            f"UPDATE contents SET {BLANK} WHERE id = (SELECT content FROM pictures WHERE id = ?) "
            f"AND NOT {ZEROS} AND NOT EXISTS ("
            f"SELECT 1 FROM {self._name} JOIN pictures ON picture = pictures.id "
            "WHERE content = contents.id)",
            [(id_,) for id_ in ids],
        )


def _described(row: _Row, vectors: dict[Aspect, Matrix]) -> Described:
    return Described(row.id, row.path, row.label, row.width, row.height, row.taken, vectors)
