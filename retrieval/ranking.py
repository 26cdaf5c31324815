"""Exact cosine ranking: the k rows of a matrix that point most nearly the same way."""

import numpy as np
import numpy.typing as npt

from retrieval.reduction import Matrix

Indices = npt.NDArray[np.int64]

# Similarities held at one time, 16 MB of them: a million pictures need no second copy.
BLOCK = 4_000_000


def rank(queries: Matrix, vectors: Matrix, k: int) -> tuple[Indices, Matrix]:
    """Return the `k` most similar rows of `vectors` for each query, the most similar first.

    Args:
        queries: `(m, d)`, unit rows.
        vectors: `(n, d)`, unit rows.
        k: how many; fewer come back when there are fewer rows.

    Returns:
        Row numbers and cosine similarities, each `(m, min(k, n))`. Equal similarities keep the
        order of the rows.
    """
    m, n = len(queries), len(vectors)
    k = max(0, min(k, n))
    if not m or not k:
        return np.empty((m, k), np.int64), np.empty((m, k), np.float32)
    rows = np.empty((m, 0), np.int64)
    best = np.empty((m, 0), np.float32)
    step = max(k, BLOCK // m)
    for start in range(0, n, step):
        similarities = queries @ vectors[start : start + step].T
        block_rows = _top(similarities, k)
        best = np.hstack([best, np.take_along_axis(similarities, block_rows, 1)])
        rows = np.hstack([rows, block_rows + start])
        chosen = _top(best, k)
        rows = np.take_along_axis(rows, chosen, 1)
        best = np.take_along_axis(best, chosen, 1)
    return rows, best


def _top(similarities: Matrix, k: int) -> Indices:
    """Return the columns of each row's `k` largest values, by falling value, then by column."""
    m, n = similarities.shape
    k = min(k, n)
    if k == n:
        return np.argsort(-similarities, axis=1, kind="stable")
    # Finding the k-th value takes one pass, where sorting everything would take twenty.
    bounds = np.partition(similarities, n - k, axis=1)[:, n - k]
    chosen = np.empty((m, k), np.int64)
    for i, (row, bound) in enumerate(zip(similarities, bounds, strict=True)):
        above = np.flatnonzero(row > bound)
        tied = np.flatnonzero(row == bound)[: k - len(above)]
        candidates = np.union1d(above, tied)
        chosen[i] = candidates[np.argsort(-row[candidates], kind="stable")]
    return chosen
