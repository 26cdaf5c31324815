"""Near-duplicates: copies, other sizes and bursts of the same picture, in groups."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from retrieval.reduction import Matrix

BLOCK = 16_000_000  # similarities held at one time, 64 MB of them, however many rows there are


def find_groups(
    vectors: Matrix, threshold: float, check: Callable[[], None] = lambda: None
) -> list[npt.NDArray[np.int64]]:
    """Return groups of rows of which each is at least `threshold` similar to another of its group.

    Args:
        vectors: `(n, k)`, unit.
        check: is called every now and then, and raises what is to end it.

    Returns:
        Groups of two and more row numbers, each in rising order, the largest group first.
    """
    n = len(vectors)
    groups_of = np.arange(n)  # the first row of the group that each row is in
    step = max(1, BLOCK // max(1, n))
    for start in range(0, n, step):
        check()
        block = vectors[start : start + step]
        near = block @ vectors[start:].T >= threshold
        for i in range(len(block)):
            # Each pair once: only the rows after this one.
            others = np.flatnonzero(near[i, i + 1 :]) + start + i + 1
            _join(groups_of, start + i, others)
    order = np.argsort(groups_of, kind="stable")
    starts = np.flatnonzero(np.diff(groups_of[order], prepend=-1))
    groups = [group for group in np.split(order, starts[1:]) if len(group) > 1]
    return sorted(groups, key=len, reverse=True)


def _join(groups_of: npt.NDArray[np.int64], row: int, others: npt.NDArray[np.int64]) -> None:
    """Put a row and others into one group.

    There is no step for each pair, of which a film that hardly moves has millions: its frames are
    one group after the first row, and no collection of `n` pictures has more than `n` joins.
    """
    found = groups_of[others]
    own = groups_of[row]
    apart = found[found != own]
    if not len(apart):
        return
    joins = np.zeros(len(groups_of), np.bool_)
    joins[apart] = True
    joins[own] = True
    groups_of[joins[groups_of]] = min(int(own), int(apart.min()))


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
