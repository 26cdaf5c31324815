"""What is written to a collection and dropped from it, each time all or nothing."""

from collections.abc import Iterable, Sequence

import numpy as np

from retrieval.lost import MARKED
from retrieval.records import PASSING, Content, Entry, Move
from retrieval.store import Store
from retrieval.vectors import pack


def write(
    store: Store,
    entries: Sequence[Entry],
    contents: Sequence[Content],
    vanished: Iterable[str],
    moved: Sequence[Move],
) -> None:
    """Record files and contents, and forget the files at the paths `vanished`.

    A problem that may pass (`PASSING`) replaces no picture that is known. Paths that were taken out
    are passed over.
    """
    for content in contents:
        if not np.isfinite(content.embedding).all():
            raise ValueError("an embedding of numbers that are not finite")
    with store.held():
        # Thumbnails first: one without a picture wastes a little room and nothing else.
        with store.thumbnails() as database:
            database.executemany(
                "INSERT OR REPLACE INTO thumbnails VALUES (?, ?)",
                [(c.sha256, c.thumbnail) for c in contents if c.thumbnail],
            )
        with store.change() as database:
            database.executemany(
                "INSERT INTO contents "
                "(sha256, width, height, taken, embedding, colour, texture, sketch) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                # Vectors that had gone elsewhere, and are not needed there any more, or are lost.
                "ON CONFLICT (sha256) DO UPDATE SET embedding = excluded.embedding, "
                "colour = excluded.colour, texture = excluded.texture, sketch = "
                "CASE length(excluded.sketch) WHEN 0 THEN contents.sketch ELSE excluded.sketch END "
                "WHERE length(contents.embedding) = 0 OR EXISTS "
                f"(SELECT 1 FROM pictures WHERE content = contents.id AND {MARKED})",
                [
                    (
                        *(c.sha256, c.width, c.height, c.taken),
                        *(pack(c.embedding, "subject"), pack(c.colour, "colour")),
                        *(pack(c.texture, "texture"), pack(c.sketch, "sketch")),
                    )
                    for c in contents
                ],
            )
            # Copies of what was lost have their vectors back; naming the content has it noted for
            # the outbox.
            database.executemany(
                f"UPDATE pictures SET content = content, modified = 0 WHERE {MARKED} "
                "AND content = (SELECT id FROM contents WHERE sha256 = ?)",
                [(c.sha256,) for c in contents],
            )
            database.executemany(
                # A file that moves is not read for it, so what was lost is lost still.
                "UPDATE OR REPLACE pictures SET path = ?, size = ?, "
                f"modified = CASE modified WHEN {PASSING} THEN {PASSING} ELSE ? END, label = ?, "
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
                "problem = excluded.problem "
                # A disk that drops out takes no picture along: what could not be read just then is
                # as it is known, and the next run tries again.
                f"WHERE excluded.problem IS NULL OR excluded.modified <> {PASSING} "
                "OR pictures.content IS NULL",
                [
                    (e.path, e.size, e.modified, e.label, e.details, e.sha256, e.problem)
                    for e in entries
                ],
            )
            database.executemany(
                "DELETE FROM pictures WHERE path = ?", [(path,) for path in vanished]
            )
            # What was taken out while it waited to be read stays out.
            database.executemany(
                "DELETE FROM pictures WHERE path = ? AND path IN (SELECT path FROM excluded)",
                [(entry.path,) for entry in (*entries, *(m.new for m in moved))],
            )


def prune(store: Store) -> set[str]:
    """Drop the contents and thumbnails that no picture uses any more.

    Whatever a power cut does from here on, it takes no thumbnail of now.

    Returns:
        The SHA-256 of the contents that have no thumbnail.
    """
    with store.held():
        with store.transaction() as database:
            database.execute(
                "DELETE FROM contents WHERE NOT EXISTS "
                "(SELECT 1 FROM pictures WHERE content = contents.id)"
            )
        known = {sha for (sha,) in store.rows("SELECT sha256 FROM contents")}
        with store.thumbnails() as database:
            drawn = {sha for (sha,) in database.execute("SELECT sha256 FROM thumbnails")}
            database.executemany(
                "DELETE FROM thumbnails WHERE sha256 = ?", [(sha256,) for sha256 in drawn - known]
            )
        # Waiting for the disk after each batch would cost 1 ms a picture.
        with store.thumbnails() as database:
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return known - drawn
