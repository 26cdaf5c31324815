"""The vectors of a collection, an aspect at a time: how they are kept, and how they are read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from retrieval.records import Aspect, Embeddings
from retrieval.reduction import Matrix, to_unit
from retrieval.schema import COLUMNS
from retrieval.store import Store

ROWS_AT_ONCE = 1_000
IDS_AT_ONCE = 500  # in one statement; SQLite before 3.32 takes 999


def pack(vector: Matrix | None, aspect: Aspect) -> bytes:
    """Return a vector as it is kept; one that was not computed takes no room."""
    return b"" if vector is None else vector.astype(COLUMNS[aspect][1]).tobytes()


def unpack(blob: bytes, aspect: Aspect) -> Matrix:
    """Return a vector `(k,)` as it was packed, unit."""
    vector: Matrix = to_unit(np.frombuffer(blob, COLUMNS[aspect][1])[None])[0]
    return vector


def read_all(store: Store, aspect: Aspect) -> Embeddings:
    """Read all vectors of one aspect, ordered by path; zeros where the aspect is not kept.

    Raises:
        DamagedError: when one is missing or torn, by which none could be ranked any more.
    """
    column, kind = COLUMNS[aspect]
    with _whole(store), store.view() as database:
        revision = int(store.fact("revision"))
        n = database.execute("SELECT count(content) FROM pictures").fetchone()[0]
        if aspect == "subject":
            width = int(store.fact("dimension"))
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
                raise store.damaged()
            end = at + len(chunk)
            ids[at:end] = [id_ for id_, _ in chunk]
            part = vectors[at:end]
            part[:] = np.frombuffer(b"".join(blobs), kind).reshape(len(blobs), width)
            # Their squared lengths, which are 1 or 0.
            if not np.isfinite(np.einsum("ij,ij->i", part, part)).all():
                raise store.damaged()
            at = end
        if at < n:
            raise store.damaged()
    # Half precision leaves lengths a little off 1.
    return Embeddings(ids, vectors if kind == "<f4" else to_unit(vectors), revision)


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
