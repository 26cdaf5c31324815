"""The default gallery: vectors that lie beside the pictures' records, ranked exactly in memory."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from retrieval.database import connection
from retrieval.embedding import Aspects
from retrieval.gallery import RANKED, Described, Ranking
from retrieval.query import NO_FILTERS, SUBJECT_ONLY, Filters, Weights, balance, fit, weigh
from retrieval.ranking import rank
from retrieval.records import Aspect, Embeddings
from retrieval.reduction import Matrix
from retrieval.schema import COLUMNS, DATABASE
from retrieval.store import Store
from retrieval.vectors import pack, read_all, read_some

BLANK = ", ".join(f"{COLUMNS[aspect][0]} = x''" for aspect in RANKED)  # no vectors
SAMPLE = 10_000  # pictures that similarities of unrelated ones are measured on
ZEROS = "embedding = zeroblob(length(embedding))"  # a vector like nothing, or none


class ExactGallery:
    """The vectors of a collection's own file; safe to use from several threads.

    New pictures bring theirs along with their records, in one transaction (`retrieval.writing`);
    `add` and `remove` are for vectors that come from another gallery, or go there.
    """

    def __init__(self, store: Store, matching: Callable[[Filters], Sequence[int]]) -> None:
        """Rank what a store holds.

        Args:
            matching: returns the ids of the pictures that pass filters.
        """
        self._store = store
        self._matching = matching
        self._lock = threading.Lock()
        self._subject: Embeddings | None = None
        # All aspects side by side, once they are asked for, and the width of each.
        self._joined: tuple[Embeddings, tuple[int, ...]] | None = None

    def add(self, pictures: Sequence[Described]) -> None:
        """Keep the vectors of pictures that have none here; the others have the same ones."""
        columns = [COLUMNS[aspect][0] for aspect in RANKED]
        with self._store.change() as database:
            database.executemany(
                f"UPDATE contents SET {', '.join(f'{column} = ?' for column in columns)} "
                "WHERE id = (SELECT content FROM pictures WHERE id = ?) AND length(embedding) = 0",
                [
                    (*(pack(picture.vectors.get(aspect), aspect) for aspect in RANKED), picture.id)
                    for picture in pictures
                ],
            )

    def remove(self, ids: Sequence[int]) -> None:
        """Drop the vectors of pictures, whose records stay."""
        with self._store.change() as database:
            database.executemany(
                f"UPDATE contents SET {BLANK} "
                "WHERE id = (SELECT content FROM pictures WHERE id = ?)",
                [(id_,) for id_ in ids],
            )

    def count(self) -> int:
        """Return how many pictures have vectors here."""
        rows = self._store.rows(
            "SELECT count(*) FROM pictures JOIN contents ON content = contents.id "
            "WHERE length(embedding) > 0"
        )
        return int(rows[0][0])

    def search(self, query: Aspects, weights: Weights, filters: Filters, k: int) -> Ranking:
        """Rank all pictures that pass the filters; equal ones stand in the order of their paths."""
        if weights == SUBJECT_ONLY:
            held = self.read("subject")
        else:
            held, widths = self._all_aspects()
            query = fit(query, widths)
        vectors, ids = held.vectors, held.ids
        if filters != NO_FILTERS:
            rows = np.flatnonzero(np.isin(ids, np.fromiter(self._matching(filters), np.int64)))
            vectors, ids = vectors[rows], ids[rows]
        if not len(ids):
            return Ranking(ids, np.empty(0, np.float32), 0)
        best, similarities = rank(weigh(query, weights), vectors, k)
        return Ranking(ids[best[0]], similarities[0], len(ids))

    def widths(self) -> dict[Aspect, int]:
        """Return how many numbers each aspect has that is kept."""
        longest = ", ".join(f"max(length({COLUMNS[aspect][0]}))" for aspect in RANKED)
        lengths = self._store.rows(f"SELECT {longest} FROM contents")[0]
        return {
            aspect: length // np.dtype(COLUMNS[aspect][1]).itemsize
            for aspect, length in zip(RANKED, lengths, strict=True)
            if length
        }

    def forget(self, hashes: Iterable[str]) -> None:
        """Drop the vectors of some contents, whose records stay."""
        with self._store.change() as database:
            database.executemany(
                f"UPDATE contents SET {BLANK} WHERE sha256 = ?", [(sha256,) for sha256 in hashes]
            )

    def clear(self) -> None:
        """Drop all vectors, and give the room that they took back to the disk."""
        with self._store.change() as database:
            ids = database.execute("SELECT id FROM contents").fetchall()
            # A vector of zeros stays: fetched from elsewhere, it would look like none. One by one,
            # since SQLite holds what a statement has changed until it ends.
            database.executemany(f"UPDATE contents SET {BLANK} WHERE id = ? AND NOT {ZEROS}", ids)
        with self._store.held(), connection(self._store.folder / DATABASE) as database:
            # All that is left is copied for it, which may be too much for memory.
            database.execute("PRAGMA temp_store = FILE")
            database.execute("VACUUM")

    def fetch(self, ids: Sequence[int], aspect: Aspect) -> Matrix:
        """Return vectors `(n, k)`; zeros where a picture or its aspect is not known."""
        held = self._subject if aspect == "subject" else None
        if held is None or held.revision != self.state() or not len(held.ids):
            return read_some(self._store, ids, aspect)
        wanted = np.asarray(ids, np.int64)
        rows = held.rows_of(wanted)
        vectors = held.vectors[rows]
        vectors[held.ids[rows] != wanted] = 0
        return vectors

    def read(self, aspect: Aspect) -> Embeddings:
        """Return all vectors of an aspect; the subject's are held, and read anew after a change."""
        if aspect != "subject":
            return read_all(self._store, aspect)
        with self._lock:
            return self._read_subject()

    def state(self) -> int:
        """Return the revision of the collection."""
        return int(self._store.fact("revision"))

    def sample(self, weights: Weights) -> Matrix:
        """Return vectors of pictures from all over, of which two multiply to a weighted mean.

        All of them where that copies none, and at most `SAMPLE` otherwise.
        """
        if weights == SUBJECT_ONLY:
            return self.read("subject").vectors
        joined, widths = self._all_aspects()
        vectors = joined.vectors
        if len(vectors) > SAMPLE:
            vectors = vectors[np.random.default_rng(0).choice(len(vectors), SAMPLE, replace=False)]
        sample: Matrix = vectors * balance(weights, widths)
        return sample

    def _all_aspects(self) -> tuple[Embeddings, tuple[int, ...]]:
        """Return all aspects side by side, `(n, k + c + t)`, and the width of each."""
        # The lock comes before the store's, here as in `read`: else two threads could wait for
        # each other.
        with self._lock:
            held = self._joined
            if held is None or held[0].revision != self.state():
                # Rows belong together only when nobody writes between the three reads.
                with self._store.view():
                    subject = self._read_subject()
                    colour = read_all(self._store, "colour", _part(held, 1), subject)
                    texture = read_all(self._store, "texture", _part(held, 2), subject)
                parts = [subject.vectors, colour.vectors, texture.vectors]
                widths = tuple(part.shape[1] for part in parts)
                held = self._joined = replace(subject, vectors=np.hstack(parts)), widths
            return held

    def _read_subject(self) -> Embeddings:
        """Do what `read` does for the subject, under the lock."""
        held = self._subject
        if held is None or held.revision != self.state():
            held = self._subject = read_all(self._store, "subject", held)
        return held


def _part(joined: tuple[Embeddings, tuple[int, ...]] | None, n: int) -> Embeddings | None:
    """Return the n-th of some aspects that stand side by side; None for none."""
    if joined is None:
        return None
    held, widths = joined
    start = sum(widths[:n])
    return replace(held, vectors=held.vectors[:, start : start + widths[n]])
