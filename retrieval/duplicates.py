"""Near-duplicates: copies, other sizes and bursts of the same picture, in groups."""

import numpy as np
import numpy.typing as npt

from retrieval.reduction import Matrix

BLOCK = 16_000_000  # similarities held at one time, 64 MB of them, however many rows there are


def find_groups(vectors: Matrix, threshold: float) -> list[npt.NDArray[np.int64]]:
    """Return groups of rows of which each is at least `threshold` similar to another of its group.

    Args:
        vectors: `(n, k)`, unit.

    Returns:
        Groups of two and more row numbers, each in rising order, the largest group first.
    """
    n = len(vectors)
    parent = np.arange(n)

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row

    step = max(1, BLOCK // max(1, n))
    for start in range(0, n, step):
        block = vectors[start : start + step]
        # Each pair once: only rows after this block's own first one.
        near = block @ vectors[start:].T >= threshold
        for i, j in np.argwhere(np.triu(near, k=1)):
            a, b = root(start + int(i)), root(start + int(j))
            parent[max(a, b)] = min(a, b)
    roots = np.array([root(row) for row in range(n)], np.int64)
    order = np.argsort(roots, kind="stable")
    starts = np.flatnonzero(np.diff(roots[order], prepend=-1))
    groups = [group for group in np.split(order, starts[1:]) if len(group) > 1]
    return sorted(groups, key=len, reverse=True)


def fold(ids: npt.NDArray[np.int64], vectors: Matrix, threshold: float) -> list[list[int]]:
    """Group ranked results so that each copy joins the best-ranked picture that it equals.

    Args:
        ids: `(m,)`, by falling similarity to the query.
        vectors: `(m, k)`, their unit embeddings.

    Returns:
        Lists of ids, the best-ranked first in each, in the order of those first ones.
    """
    leaders: list[int] = []
    groups: list[list[int]] = []
    for row in range(len(ids)):
        if leaders:
            similarities = vectors[leaders] @ vectors[row]
            best = int(similarities.argmax())
            if similarities[best] >= threshold:
                groups[best].append(int(ids[row]))
                continue
        leaders.append(row)
        groups.append([int(ids[row])])
    return groups
