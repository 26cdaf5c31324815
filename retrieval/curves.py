"""What an evaluation's rankings look like: curves over depth, confusion, the worst of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from retrieval.evaluation import ClassScores, Evaluation, number
from retrieval.rankings import NEAREST, RECALL_LEVELS, Integers

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DepthCurve:
    """The means over all queries against the number of results that one looks at, in percent."""

    depths: Integers  # (k,)
    precision: Shares  # (k,), results that are relevant
    hit: Shares  # (k,), queries with at least one relevant result
    recall: Shares  # (k,), relevant pictures that are among the results

    def at(self, k: int) -> tuple[float, float, float]:
        """Return precision, hit rate and recall of the first `k` results, or of all there are."""
        i = int(np.searchsorted(self.depths, k))
        i = min(i, len(self.depths) - 1)
        return float(self.precision[i]), float(self.hit[i]), float(self.recall[i])


@dataclass(frozen=True)
class Confusion:
    """What the first results of each class's queries are, in percent.

    Of each query as many count as there are relevant ones to be found: what comes after them is no
    mistake. Only pairs of classes that occur are kept: a matrix of 50,000 classes would take
    gigabytes.
    """

    labels: tuple[str, ...]  # of the columns: every class of the collection
    asked: tuple[str, ...]  # of the rows: every class that was asked
    rows: Integers  # (pairs,), which of `asked`; row by row, and in a row by column
    columns: Integers  # (pairs,), which of `labels`
    shares: Shares  # (pairs,), over 0; those of a row sum to 100
    depth: int  # how many results were looked at, at most
    fewer: bool  # whether of some queries fewer were, having fewer relevant ones

    def matrix(self) -> Shares:
        """Return all shares, `(asked, labels)`, of so few classes that they can be drawn."""
        whole = np.zeros((len(self.asked), len(self.labels)))
        whole[self.rows, self.columns] = self.shares
        return whole

    def mistakes(self, n: int) -> list[tuple[str, str, float]]:
        """Return the `n` largest shares of another class: what was asked, what was found, share."""
        order = np.argsort(-self.shares, kind="stable")
        pairs = ((self.asked[self.rows[i]], self.labels[self.columns[i]], i) for i in order)
        wrong = (
            (asked, found, float(self.shares[i])) for asked, found, i in pairs if asked != found
        )
        return list(islice(wrong, n))


@dataclass(frozen=True)
class WorstQuery:
    """A query whose ranking is among the worst."""

    row: int  # of the pictures asked
    label: str
    nearest: tuple[int, ...]  # rows of the collection, the most similar first
    relevant: int  # how many of these are relevant
    average_precision: float  # from 0 to 1


def depth_curve(evaluation: Evaluation) -> DepthCurve:
    """Average precision, hits and recall over the queries, at each depth that was kept."""
    rankings = evaluation.rankings
    found = rankings.found.astype(np.float64)
    totals = np.maximum(rankings.relevant, 1)[:, None]
    return DepthCurve(
        rankings.depths,
        100 * (found / rankings.depths).mean(axis=0),
        100 * (found > 0).mean(axis=0),
        100 * (found / totals).mean(axis=0),
    )


def precision_at_recall(evaluation: Evaluation) -> tuple[Shares, Shares]:
    """Return the eleven recall levels and the mean interpolated precision there, in percent.

    The eleven-point curve of Manning, Raghavan and Schuetze 2008, ch. 8.4.
    """
    precision = evaluation.rankings.interpolated.mean(axis=0, dtype=np.float64)
    return 100 * RECALL_LEVELS, 100 * precision


def confusion(evaluation: Evaluation) -> Confusion:
    """Count which classes the first ten results of each class's queries belong to.

    Of a class that the collection has not, no result can be right, and all ten count.
    """
    labels, ours = number(evaluation.labels)
    asked, theirs = number(evaluation.asked)
    nearest = evaluation.rankings.nearest
    kinds = set(labels)
    known = np.array([label in kinds for label in asked], dtype=bool)[theirs]
    wanted = np.minimum(np.where(known, evaluation.rankings.relevant, NEAREST), NEAREST)
    looked_at = (nearest >= 0) & (np.arange(NEAREST) < wanted[:, None])
    queries, places = np.nonzero(looked_at)
    found = ours[nearest[queries, places]]
    pairs, counts = np.unique(theirs[queries] * len(labels) + found, return_counts=True)
    rows, columns = np.divmod(pairs, len(labels))
    shares = 100 * counts / np.bincount(rows, weights=counts)[rows]
    depths = looked_at.sum(axis=1)
    depth = int(depths.max())
    return Confusion(labels, asked, rows, columns, shares, depth, bool((depths < depth).any()))


def hardest_first(classes: Iterable[ClassScores]) -> list[ClassScores]:
    """Sort classes by mAP: P@10 would call one of few pictures hard that is found perfectly."""
    return sorted(classes, key=lambda one: one.scores["mAP"].mean)


def worst_queries(evaluation: Evaluation, n: int) -> list[WorstQuery]:
    """Return the `n` queries with the lowest average precision, the worst first.

    Queries without any relevant picture are passed over: no ranking could serve them. So are those
    with an average precision that reads as 100 %: they are not hard.
    """
    rankings = evaluation.rankings
    possible = np.flatnonzero((rankings.relevant > 0) & (rankings.average_precision < 0.995))
    order = possible[np.argsort(rankings.average_precision[possible], kind="stable")]
    hits = rankings.within(NEAREST)
    return [
        WorstQuery(
            int(evaluation.rows[i]),
            evaluation.asked[i],
            tuple(int(row) for row in rankings.nearest[i] if row >= 0),
            int(hits[i]),
            float(rankings.average_precision[i]),
        )
        for i in order[:n]
    ]
