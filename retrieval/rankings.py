"""Rankings of many queries over one collection, and what is kept of each to be measured.

A ranking of 50,000 pictures is sorted whole, since average precision looks at every relevant one;
what is kept of it is small: 10,000 queries come to about 20 MB.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from retrieval.reduction import Matrix
from retrieval.reranking import CANDIDATES, reorder

Integers = npt.NDArray[np.int64]

# Similarities ranked at one time: with their sort keys and order some 100 MB.
BLOCK = 4_000_000
# Rows sorted at one time: 50,000 keys of 8 bytes each stay in the processor's cache, which halves
# the time.
ROWS = 4
NEAREST = 10
RECALL_LEVELS = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class Rankings:
    """What is kept of the rankings of `q` queries."""

    depths: Integers  # (k,), how many results are looked at: 1, 2, 3 ...
    found: npt.NDArray[np.int32]  # (q, k), relevant pictures among the first `depths`
    relevant: Integers  # (q,), relevant pictures in the collection, the query not counted
    average_precision: npt.NDArray[np.float64]  # (q,), from 0 to 1
    interpolated: npt.NDArray[np.float32]  # (q, 11), precision at RECALL_LEVELS
    nearest: Integers  # (q, NEAREST), rows of the collection; -1 where it has no more

    def __len__(self) -> int:
        return len(self.relevant)

    def within(self, k: int) -> npt.NDArray[np.int32]:
        """Return how many of each query's first `k` results are relevant, `(q,)`.

        Raises:
            ValueError: when `k` is none of `depths`, and not beyond all of them.
        """
        at = int(np.searchsorted(self.depths, k, side="right")) - 1
        if self.depths[at] != k and self.depths[-1] > k:
            raise ValueError(f"nothing was kept of the first {k} results")
        return self.found[:, at]


def join(parts: Sequence[Rankings]) -> Rankings:
    """Put the rankings of several blocks of queries together."""
    names = [field.name for field in fields(Rankings) if field.name != "depths"]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Rankings(parts[0].depths, **joined)


def depths_for(n: int) -> Integers:
    """Return the numbers of results to look at among `n`: each up to 100, then ever wider steps."""
    near = np.arange(1, 101)
    # Forty steps a decade draw a smooth line on a logarithmic axis.
    far = np.unique(np.round(100 * 10 ** (np.arange(1, 200) / 40)).astype(np.int64))
    depths = np.concatenate([near, far[far > 100]])
    depths = depths[depths <= n]
    return depths if len(depths) and depths[-1] == n else np.append(depths, n)


def rank_blocks(
    vectors: Matrix,
    classes: Integers,
    queries: Matrix,
    asked: Integers,
    own: Integers | None = None,
    reranked: bool = False,
) -> Iterator[Rankings]:
    """Rank the collection for every query, a block of queries at a time.

    Args:
        vectors: the collection, `(n, d)`, unit rows.
        classes: the class of each of its pictures, `(n,)`, numbers from 0.
        queries: `(q, d)`, unit rows.
        asked: the class of each query, `(q,)`, numbered alike.
        own: the row of the collection that each query is itself, `(q,)`, and that is left out of
            its ranking; None when the queries are other pictures.
        reranked: whether neighbours have a say, as in the app (`retrieval.reranking`).

    Equal similarities keep the order of the collection.
    """
    n = len(vectors)
    ranked = n if own is None else n - 1
    depths = depths_for(ranked)
    totals = np.bincount(classes, minlength=int(asked.max(initial=0)) + 1)
    narrow = classes.astype(np.int32)
    step = max(1, min(BLOCK // n, 256))
    for start in range(0, len(queries), step):
        similarities = queries[start : start + step] @ vectors.T
        if own is not None:
            similarities[np.arange(len(similarities)), own[start : start + step]] = -np.inf
        order = sort_by_falling(similarities)[:, :ranked]
        if reranked:
            _rerank(order, similarities, queries[start : start + step], vectors)
        block = asked[start : start + step]
        relevant = narrow[order] == block[:, None].astype(np.int32)
        yield _keep(order, relevant, totals[block] - (own is not None), depths)


def _rerank(
    order: npt.NDArray[np.uint32], similarities: Matrix, queries: Matrix, vectors: Matrix
) -> None:
    """Rank the first of each of the rankings `(m, n)` again, in place."""
    for row, cosines, query in zip(order, similarities, queries, strict=True):
        first = row[:CANDIDATES].copy()
        row[:CANDIDATES] = first[reorder(query[None], vectors[first], cosines[first])[0]]


def sort_by_falling(similarities: Matrix) -> npt.NDArray[np.uint32]:
    """Return the columns of each row of `(m, n)` by falling value; equal values by column.

    It is `argsort(-similarities, kind="stable")`, some six times as fast: the bits of a float32,
    turned so that they fall as the value rises, and the column below them make one 64-bit number.
    No two are equal, so NumPy's vectorised sort, which is not stable, has only one answer to give.
    """
    order = np.empty(similarities.shape, np.uint32)
    columns = np.arange(similarities.shape[1], dtype=np.uint64)
    for start in range(0, len(similarities), ROWS):
        # Adding zero turns -0.0, which equals 0.0 but has other bits, into 0.0.
        bits = (similarities[start : start + ROWS] + np.float32(0)).view(np.uint32)
        positive = (bits >> np.uint32(31)) - np.uint32(1)  # all ones for a positive value, else 0
        bits ^= positive & np.uint32(0x7FFFFFFF)
        keys = bits.astype(np.uint64)
        keys <<= np.uint64(32)
        keys |= columns
        keys.sort(axis=1)
        order[start : start + ROWS] = keys.astype(np.uint32)  # the lower half: the column
    return order


def _keep(
    order: npt.NDArray[np.uint32],
    relevant: npt.NDArray[np.bool_],
    totals: Integers,
    depths: Integers,
) -> Rankings:
    m = len(order)
    found = np.empty((m, len(depths)), np.int32)
    average = np.zeros(m)
    interpolated = np.zeros((m, len(RECALL_LEVELS)), np.float32)
    for i in range(m):
        # Only the ranks of the relevant pictures matter, a tenth of all with ten classes.
        ranks = np.flatnonzero(relevant[i]) + 1
        found[i] = np.searchsorted(ranks, depths, side="right")
        if not len(ranks):
            continue
        precision = np.arange(1, len(ranks) + 1) / ranks
        average[i] = precision.sum() / totals[i]
        # Interpolated: the best precision at this recall or any higher one (Manning, Raghavan and
        # Schuetze 2008, ch. 8.4).
        best = np.maximum.accumulate(precision[::-1])[::-1]
        needed = np.ceil(RECALL_LEVELS * totals[i] - 1e-9).astype(int)
        interpolated[i] = best[np.maximum(needed, 1) - 1]
    nearest = np.full((m, NEAREST), -1, np.int64)
    width = min(NEAREST, order.shape[1])
    nearest[:, :width] = order[:, :width]
    return Rankings(depths, found, np.asarray(totals), average, interpolated, nearest)
