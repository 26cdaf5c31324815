"""How good a ranking is: precision at k, hit rate and mean average precision, with intervals.

Definitions, for a query with R relevant pictures (same class) in the collection:

- P@k: the share of relevant pictures among the first k;
- hit@10: 1 when at least one of the first 10 is relevant;
- AP: the mean, over all R relevant pictures, of the precision at the rank of each, over the whole
  ranking ("Introduction to Information Retrieval", Manning, Raghavan and Schuetze 2008, ch. 8.4);
  mAP is its mean over queries. It is scikit-learn's `average_precision_score`.

A query without a relevant picture in the collection counts as 0 everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.errors import LookalikeError
from retrieval.reduction import Matrix

METRICS = ("P@1", "P@10", "P@20", "hit@10", "mAP")
RESAMPLES = 2000
# Similarities ranked at one time, 64 MB of them.
BLOCK = 16_000_000


@dataclass(frozen=True)
class Labelled:
    """Embeddings with a class for each."""

    vectors: Matrix  # (n, k), unit
    labels: tuple[str, ...]  # n of them


@dataclass(frozen=True)
class Score:
    """A mean over queries, in percent, with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassScores:
    """The scores of the queries of one class."""

    label: str
    queries: int
    relevant: int  # pictures of the class in the collection, the query itself not counted
    scores: dict[str, Score]


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured, and how."""

    overall: dict[str, Score]
    classes: tuple[ClassScores, ...]
    protocol: dict[str, str]
    per_query: npt.NDArray[np.float64]  # (queries, metrics), shares from 0 to 1


def evaluate(collection: Labelled, queries: Labelled | None, model: str) -> Evaluation:
    """Rank the collection for every query and measure the rankings.

    Args:
        collection: what is searched.
        queries: what is asked; None asks every picture of the collection, itself left out.
        model: what made the embeddings, for the protocol.

    Raises:
        LookalikeError: when there is nothing to compare.
    """
    asked = queries or collection
    if len(asked.labels) < 1 or len(collection.labels) < (2 if queries is None else 1):
        raise LookalikeError(
            "There are too few pictures to evaluate. Name a folder with a subfolder for each class."
        )
    if len(set(collection.labels)) < 2:
        raise LookalikeError(
            "All pictures have the same class. Put each class into a subfolder of its own."
        )
    per_query = measure_queries(collection, asked, leave_one_out=queries is None)
    classes = []
    own = 1 if queries is None else 0
    asked_labels = np.asarray(asked.labels)
    for label in sorted(set(asked.labels)):
        members = np.flatnonzero(asked_labels == label)
        classes.append(
            ClassScores(
                label,
                len(members),
                collection.labels.count(label) - own,
                _summarise(per_query[members]),
            )
        )
    without = sum(c.queries for c in classes if c.relevant < 1)
    protocol = {
        "model": model,
        "queries": f"{len(asked.labels)} pictures"
        + (" of the collection itself" if queries is None else ", not in the collection"),
        "collection": f"{len(collection.labels)} pictures in {len(set(collection.labels))} classes",
        "query itself": "left out of the ranking (leave one out)" if own else "not in the ranking",
        "relevant": "same class (subfolder)",
        "mAP": "average precision over the whole ranking, mean over queries",
        "intervals": f"95 %, bootstrap over queries, {RESAMPLES} resamples",
    }
    if without:
        protocol["without a relevant picture"] = f"{without} queries, counted as 0"
    return Evaluation(_summarise(per_query), tuple(classes), protocol, per_query)


def measure_queries(
    collection: Labelled, queries: Labelled, leave_one_out: bool
) -> npt.NDArray[np.float64]:
    """Return the metrics of each query, `(queries, len(METRICS))`, as shares from 0 to 1.

    With `leave_one_out` the queries are the collection, row by row, and each is left out of its own
    ranking. Equal similarities keep the order of the collection.
    """
    names, numbers = np.unique(np.asarray(collection.labels + queries.labels), return_inverse=True)
    ours, theirs = numbers[: len(collection.labels)], numbers[len(collection.labels) :]
    n = len(ours)
    totals = np.bincount(ours, minlength=len(names))
    out = np.zeros((len(theirs), len(METRICS)))
    step = max(1, BLOCK // n)
    for start in range(0, len(theirs), step):
        block = queries.vectors[start : start + step] @ collection.vectors.T
        if leave_one_out:
            rows = np.arange(len(block))
            block[rows, rows + start] = -np.inf
        # Sorting the negative keeps equal similarities in the order of the collection.
        order = np.argsort(-block, axis=1, kind="stable")
        if leave_one_out:
            order = order[:, :-1]
        asked = theirs[start : start + step]
        relevant = ours[order] == asked[:, None]
        out[start : start + step] = _metrics(relevant, totals[asked] - leave_one_out)
    return out


def _metrics(
    relevant: npt.NDArray[np.bool_], totals: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Measure rankings given as relevance, `(m, n)` by falling similarity."""
    found = np.cumsum(relevant, axis=1, dtype=np.int32)
    n = relevant.shape[1]

    def at(k: int) -> npt.NDArray[np.int32]:
        return found[:, min(k, n) - 1]

    precision = found / np.arange(1, n + 1, dtype=np.float32)
    average = np.where(relevant, precision, 0).sum(axis=1, dtype=np.float64) / np.maximum(totals, 1)
    return np.stack([at(1), at(10) / 10, at(20) / 20, at(10) > 0, average], axis=1)


def _summarise(per_query: npt.NDArray[np.float64]) -> dict[str, Score]:
    means = 100 * per_query.mean(axis=0)
    low, high = 100 * bootstrap(per_query)
    return {
        metric: Score(float(means[i]), float(low[i]), float(high[i]))
        for i, metric in enumerate(METRICS)
    }


def bootstrap(
    values: npt.NDArray[np.float64], resamples: int = RESAMPLES, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return the 95 % percentile interval of the mean of each column, `(2, columns)`.

    Queries are drawn with replacement as often as there are (Efron 1979); the seed is fixed so that
    the same rankings give the same interval.
    """
    n = len(values)
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    for i in range(resamples):
        means[i] = values[generator.integers(0, n, n)].mean(axis=0)
    return np.percentile(means, [2.5, 97.5], axis=0)


def as_table(evaluation: Evaluation) -> str:
    """Lay the figures out for a terminal, with the protocol below."""
    width = max([len(c.label) for c in evaluation.classes] + [len("all queries")])
    header = f"{'':{width}}  queries" + "".join(f"{metric:>9}" for metric in METRICS)
    lines = [header]
    for row in evaluation.classes:
        lines.append(
            f"{row.label:{width}}  {row.queries:7}"
            + "".join(f"{row.scores[metric].mean:9.1f}" for metric in METRICS)
        )
    total = sum(row.queries for row in evaluation.classes)
    overall = evaluation.overall
    lines.append(
        f"{'all queries':{width}}  {total:7}"
        + "".join(f"{overall[metric].mean:9.1f}" for metric in METRICS)
    )
    for name, end in (("95 % from", "low"), ("95 % to", "high")):
        lines.append(
            f"{name:{width}}  {'':7}"
            + "".join(f"{getattr(overall[metric], end):9.1f}" for metric in METRICS)
        )
    lines += ["", *(f"{name}: {value}" for name, value in evaluation.protocol.items())]
    return "\n".join(lines)


def as_rows(evaluation: Evaluation) -> list[dict[str, object]]:
    """Return a row a class and one for all, with the intervals, for CSV and JSON."""
    everything: Sequence[tuple[str, int, dict[str, Score]]] = [
        *((c.label, c.queries, c.scores) for c in evaluation.classes),
        ("all queries", sum(c.queries for c in evaluation.classes), evaluation.overall),
    ]
    rows = []
    for label, n, scores in everything:
        row: dict[str, object] = {"class": label, "queries": n}
        for metric in METRICS:
            score = scores[metric]
            row[metric] = round(score.mean, 3)
            row[f"{metric} low"] = round(score.low, 3)
            row[f"{metric} high"] = round(score.high, 3)
        rows.append(row)
    return rows
