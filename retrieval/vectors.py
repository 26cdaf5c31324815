"""The vectors of a collection, an aspect at a time: how they are kept, and how they are read."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.records import Aspect, Embeddings
from retrieval.reduction import Matrix, to_unit
from retrieval.schema import COLUMNS
from retrieval.store import REWRITTEN, Store

ROWS_AT_ONCE = 1_000
# How far from 1 the length of a whole vector may be, in single and in half precision. That of one
# with the zeros of a sector that a disk has lost is farther.
SLACK = {"<f4": 1e-3, "<f2": 5e-3}
IDS_AT_ONCE = 500  # in one statement; SQLite before 3.32 takes 999

Numbers = npt.NDArray[np.int64]


def pack(vector: Matrix | None, aspect: Aspect) -> bytes:
    """Return a vector as it is kept; one that was not computed takes no room."""
    return b"" if vector is None else vector.astype(COLUMNS[aspect][1]).tobytes()


def unpack(blob: bytes, aspect: Aspect) -> Matrix:
    """Return a vector `(k,)` as it was packed, unit."""
    vector: Matrix = to_unit(np.frombuffer(blob, COLUMNS[aspect][1])[None])[0]
    return vector


def are_directions(vectors: npt.NDArray[np.floating[Any]], aspect: Aspect) -> npt.NDArray[np.bool_]:
    """Say of each of `(n, k)` whether it is of length 1, or 0, and all of it a number.

    A picture of one flat colour may have no direction.
    """
    # Torn, the numbers may be vast.
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    slack = SLACK[COLUMNS[aspect][1]]
    found: npt.NDArray[np.bool_] = (lengths == 0) | (np.abs(lengths - 1) < slack)
    return found


def read_all(
    store: Store,
    aspect: Aspect,
    held: Embeddings | None = None,
    beside: Embeddings | None = None,
) -> Embeddings:
    """Read all vectors of one aspect, ordered by path; zeros where the aspect is not kept.

    Args:
        held: those that were read before; of contents that are in them none is read again.
        beside: those of another aspect, read in the same view, in whose rows these are to be.

    Raises:
        DamagedError: when one is missing or torn, by which none could be ranked any more.
    """
    kind = COLUMNS[aspect][1]
    with _whole(store), store.view() as database:
        revision, rewritten = int(store.fact("revision")), store.fact(REWRITTEN, "")
        if beside is not None:
            ids, contents = beside.ids, beside.contents
        else:
            ids, contents = list_by_path(store)
            if len(ids) < database.execute("SELECT count(content) FROM pictures").fetchone()[0]:
                raise store.damaged()
        width = _width(store, aspect)
        if held is not None and (held.rewritten, held.vectors.shape[1]) == (rewritten, width):
            if np.array_equal(contents, held.contents):
                return replace(held, ids=ids, revision=revision)
        else:
            held = None
        vectors = np.zeros((len(ids), width), np.float32)
        lacking = np.arange(len(ids))
        if held is not None:
            lacking = _copy(held, contents, vectors)
        # In the order in which they lie in the file.
        lacking = lacking[np.argsort(contents[lacking], kind="stable")]
        for start in range(0, len(lacking), ROWS_AT_ONCE):
            rows = lacking[start : start + ROWS_AT_ONCE]
            some, places = np.unique(contents[rows], return_inverse=True)
            part = _read(database, aspect, some, width)
            # Their squared lengths, which are 1 or 0.
            if not np.isfinite(np.einsum("ij,ij->i", part, part)).all():
                raise store.damaged()
            # Half precision leaves lengths a little off 1.
            vectors[rows] = (part if kind == "<f4" else to_unit(part))[places]
    return Embeddings(ids, vectors, revision, contents, rewritten)


def _width(store: Store, aspect: Aspect) -> int:
    """Return how many numbers a vector of an aspect has."""
    if aspect == "subject":
        return int(store.fact("dimension"))
    column, kind = COLUMNS[aspect]
    kept = f"SELECT length({column}) FROM contents WHERE length({column}) > 0 LIMIT 1"
    rows = store.rows(kept)
    return int(rows[0][0]) // np.dtype(kind).itemsize if rows else 0


def _copy(held: Embeddings, contents: Numbers, vectors: Matrix) -> Numbers:
    """Copy the vectors that are held into the rows of their contents; return the other rows."""
    order = np.argsort(held.contents)
    known = held.contents[order]
    at = np.minimum(np.searchsorted(known, contents), max(0, len(known) - 1))
    is_held = known[at] == contents if len(known) else np.zeros(len(contents), bool)
    rows = np.flatnonzero(is_held)
    # A part at a time: at once, a copy of the whole would lie between them.
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        vectors[some] = held.vectors[order[at[some]]]
    others: Numbers = np.flatnonzero(~is_held)
    return others


def _read(database: sqlite3.Connection, aspect: Aspect, contents: Numbers, width: int) -> Matrix:
    """Return the vectors `(n, width)` of some contents, as they are kept.

    Raises:
        ValueError: when one is missing or of another length.
    """
    column, kind = COLUMNS[aspect]
    found: dict[int, bytes] = {}
    for start in range(0, len(contents), IDS_AT_ONCE):
        some = contents[start : start + IDS_AT_ONCE].tolist()
        marks = ", ".join("?" * len(some))
        query = f"SELECT id, {column} FROM contents WHERE id IN ({marks})"
        found.update(database.execute(query, some))
    whole = width * np.dtype(kind).itemsize
    blobs = [found.get(id_) for id_ in contents.tolist()]
    if aspect != "subject":
        blobs = [bytes(whole) if blob == b"" else blob for blob in blobs]
    if any(blob is None or len(blob) != whole for blob in blobs):
        raise ValueError("a vector is missing or torn")
    vectors: Matrix = np.frombuffer(b"".join(filter(None, blobs)), kind).astype(np.float32)
    return vectors.reshape(len(blobs), width)


def list_by_path(store: Store) -> tuple[Numbers, Numbers]:
    """Return the ids of all pictures in the order of their paths, and those of their contents.

    Each is read from an index of its own: from the table it would take four times as long.

    Raises:
        DamagedError: when one of them is no number.
    """
    with _whole(store), store.view() as database:
        found = database.execute("SELECT content, id FROM pictures WHERE content IS NOT NULL")
        pairs = np.array(found.fetchall(), np.int64).reshape(-1, 2)
        listed = database.execute("SELECT id FROM pictures ORDER BY path").fetchall()
        ids = np.array(listed, np.int64).reshape(-1)
    pairs = pairs[np.argsort(pairs[:, 1])]
    ids = ids[np.isin(ids, pairs[:, 1])]  # the others are files that could not be read
    contents: Numbers = pairs[np.searchsorted(pairs[:, 1], ids), 0]
    return ids, contents


def read_some(store: Store, ids: Sequence[int], aspect: Aspect) -> Matrix:
    """Return unit vectors `(n, k)` of these pictures; zeros where the aspect is not kept."""
    column, kind = COLUMNS[aspect]
    found: dict[int, bytes] = {}
    for start in range(0, len(ids), IDS_AT_ONCE):
        some = [int(id_) for id_ in ids[start : start + IDS_AT_ONCE]]
        query = (
            f"SELECT pictures.id, {column} FROM pictures JOIN contents ON content = contents.id "
            f"WHERE pictures.id IN ({', '.join('?' * len(some))})"
        )
        found.update(store.rows(query, *some))
    blobs = [found.get(int(id_), b"") for id_ in ids]
    with _whole(store):
        rows = [np.frombuffer(blob, kind) for blob in blobs]
    vectors = np.zeros((len(rows), max(map(len, rows), default=0)), np.float32)
    for vector, row in zip(vectors, rows, strict=True):
        vector[: len(row)] = row
    return to_unit(vectors)


@contextmanager
def _whole(store: Store) -> Iterator[None]:
    """Say that a collection is damaged where its counts, types and lengths contradict each other.

    A page of the file may be torn or written by somebody else; SQLite does not notice.
    """
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise store.damaged() from error
