"""How good a ranking is: precision at k, hit rate and mean average precision, with intervals.

Definitions, for a query with R relevant pictures (same class) in the collection:

- P@k: the share of relevant pictures among the first k;
- hit@10: 1 when at least one of the first 10 is relevant;
- AP: the mean, over all R relevant pictures, of the precision at the rank of each, over the whole
  ranking ("Introduction to Information Retrieval", Manning, Raghavan and Schuetze 2008, ch. 8.4);
  mAP is its mean over queries. Where no similarities are equal it is scikit-learn's
  `average_precision_score`.

A query without a relevant picture in the collection counts as 0 everywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from retrieval import tables
from retrieval.errors import LookalikeError
from retrieval.rankings import Integers, Rankings, join, rank_blocks
from retrieval.reduction import Matrix
from retrieval.reranking import CANDIDATES
from retrieval.terminal import printable

METRICS = ("P@1", "P@10", "P@20", "hit@10", "mAP")
RESAMPLES = 2000
FEW = 10  # queries of which an interval is much too narrow; see `retrieval.compare.FEW`
RANKING = "ranking"  # in a protocol: what the pictures were ranked by


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
    rankings: Rankings
    asked: tuple[str, ...]  # the class of each query
    labels: tuple[str, ...]  # the class of each picture of the collection
    rows: Integers  # (queries,), which row of the pictures asked each query is

    @property
    def highest(self) -> dict[str, float]:
        """The highest precision there can be, in percent, where kinds are too small for 100."""
        return _highest(self.rankings.relevant)


def evaluate(collection: Labelled, queries: Labelled | None, model: str) -> Evaluation:
    """Rank the collection for every query and measure the rankings.

    Args:
        collection: what is searched.
        queries: what is asked; None asks every picture of the collection, itself left out.
        model: what made the embeddings, for the protocol.

    Raises:
        LookalikeError: when there is nothing to compare.
    """
    test = SelfTest(collection, queries, model)
    return test.summarise(list(test.rank()))


@dataclass(frozen=True)
class SelfTest:
    """An evaluation that is run a block of queries at a time, to show progress or to stop.

    Raises:
        LookalikeError: when there is nothing to compare.
    """

    collection: Labelled
    queries: Labelled | None  # None asks the collection itself, each picture left out in turn
    model: str  # what made the embeddings, for the protocol
    rows: Integers | None = None  # ask only these rows of the pictures asked
    reranked: bool = False  # whether neighbours have a say, as in the app (`retrieval.reranking`)
    notes: Mapping[str, str] = field(default_factory=dict)  # more lines of the protocol

    def __post_init__(self) -> None:
        need_kinds(self.collection.labels, None if self.queries is None else self.queries.labels)

    @property
    def total(self) -> int:
        """How many queries are asked."""
        return len(self._chosen)

    def rank(self) -> Iterator[Rankings]:
        """Yield the rankings of one block of queries after another."""
        ours, theirs = _number_alike(self.collection.labels, self._asked.labels)
        rows = self._chosen
        own = rows if self.queries is None else None
        vectors = self.collection.vectors
        asked = self._asked.vectors[rows]
        yield from rank_blocks(vectors, ours, asked, theirs[rows], own, self.reranked)

    def summarise(self, parts: Sequence[Rankings]) -> Evaluation:
        """Measure the rankings of all blocks."""
        rankings = join(parts)
        per_query = _metrics(rankings)
        asked = tuple(self._asked.labels[row] for row in self._chosen)
        names, numbers = number(asked)
        fewest = int(np.bincount(numbers).min())
        ends = np.cumsum(np.bincount(numbers))[:-1]
        by_class = np.split(np.argsort(numbers, kind="stable"), ends)
        classes = []
        for label, members in zip(names, by_class, strict=True):
            relevant = int(rankings.relevant[members[0]])
            classes.append(
                ClassScores(label, len(members), relevant, _summarise(per_query[members]))
            )
        return Evaluation(
            _summarise(per_query),
            tuple(classes),
            self._protocol(rankings.relevant, fewest),
            per_query,
            rankings,
            asked,
            self.collection.labels,
            self._chosen,
        )

    @property
    def _asked(self) -> Labelled:
        return self.queries or self.collection

    @property
    def _chosen(self) -> Integers:
        return np.arange(len(self._asked.labels)) if self.rows is None else self.rows

    def _protocol(self, relevant: Integers, fewest: int) -> dict[str, str]:
        labels = self.collection.labels
        own = self.queries is None
        asked, available = self.total, len(self._asked.labels)
        queries = f"{asked:,} pictures" if asked == available else f"{asked:,} of {available:,}"
        queries += (
            (" of the collection itself" if asked == available else " pictures of the collection")
            if own
            else ", not in the collection"
        )
        protocol = {
            "model": self.model,
            "queries": queries,
            "collection": f"{len(labels):,} pictures in {len(set(labels)):,} kinds",
            "query itself": "left out of the ranking (leave one out)"
            if own
            else "not in the ranking",
            "relevant": "same kind (subfolder, or label in the CSV)",
            "similarity": "cosine, exact; equal ones keep the collection's order",
            RANKING: f"by the cosine, then the first {CANDIDATES} with their neighbours' say"
            if self.reranked
            else "by the cosine alone",
            "mAP": "average precision over the whole ranking, mean over queries",
            "intervals": f"95 %, bootstrap over queries, {RESAMPLES:,} resamples"
            + (f"; too narrow for kinds of fewer than {FEW} queries" if fewest < FEW else ""),
        }
        if highest := _highest(relevant):
            protocol["highest possible"] = (
                ", ".join(f"{metric} {share:.1f} %" for metric, share in highest.items())
                + ", as kinds have too few pictures for more"
            )
        if without := int((relevant < 1).sum()):
            noun = "query" if without == 1 else "queries"
            protocol["without a relevant picture"] = f"{without:,} {noun}, counted as 0"
        return {**protocol, **self.notes}


def _highest(relevant: Integers) -> dict[str, float]:
    shares = {f"P@{k}": 100 * float(np.minimum(relevant / k, 1).mean()) for k in (10, 20)}
    return {metric: share for metric, share in shares.items() if share < 99.95}


def need_kinds(labels: Sequence[str], asked: Sequence[str] | None = None) -> None:
    """Raise a LookalikeError where a test would say nothing.

    Args:
        labels: the kinds of the collection's pictures.
        asked: those of the queries; None asks the collection itself.
    """
    kinds = set(labels)
    if len(labels) < (2 if asked is None else 1) or (asked is not None and not asked):
        raise LookalikeError(
            "There are too few pictures to evaluate. Name a folder with a subfolder for each kind."
        )
    need_right_and_wrong(labels, among_themselves=asked is None)
    if asked is not None and kinds.isdisjoint(asked):
        raise LookalikeError(
            "No query is of a kind that the collection has, so there is none for it to find. Name "
            "the kinds alike in both folders."
        )


def need_right_and_wrong(labels: Sequence[str], among_themselves: bool = True) -> None:
    """Raise a LookalikeError where every result would be right, or none.

    Args:
        labels: the kinds of the collection's pictures.
        among_themselves: whether these are the queries as well.
    """
    kinds = set(labels)
    if len(kinds) == 1:
        raise LookalikeError(
            f"All pictures are of the same kind, {labels[0]}, so every result would be right. "
            "A test needs at least two kinds, a subfolder for each."
        )
    if among_themselves and len(kinds) == len(labels):
        raise LookalikeError(
            "Every kind has a single picture, so no picture has another one to find. Give each "
            "kind at least two pictures, copies not counted; ten or more say something."
        )


def left_out(
    without: int, copies: int, lost: int = 0, unread: int = 0, of_other_kinds: int = 0
) -> dict[str, str]:
    """Return what a protocol has to say of pictures that take no part.

    Args:
        without: those that have no kind.
        copies: those of which the same file takes part already.
        lost: those of which it is not known what they show.
        unread: those that cannot be read.
        of_other_kinds: copies whose kind is not that of the file that takes part.
    """
    said = [f"{without:,} without a kind"] if without else []
    said += [f"{unread:,} that cannot be read"] if unread else []
    said += [f"{lost:,} of which it is not known what they show"] if lost else []
    others = f" ({of_other_kinds:,} of another kind than the first)" if of_other_kinds else ""
    noun = "copy" if copies == 1 else "copies"
    said += [f"{copies:,} identical {noun}{others}"] if copies else []
    return {"left out": ", ".join(said)} if said else {}


def measure_queries(
    collection: Labelled, queries: Labelled, leave_one_out: bool
) -> npt.NDArray[np.float64]:
    """Return the metrics of each query, `(queries, len(METRICS))`, as shares from 0 to 1.

    With `leave_one_out` the queries are the collection, row by row, and each is left out of its own
    ranking. Equal similarities keep the order of the collection.
    """
    ours, theirs = _number_alike(collection.labels, queries.labels)
    own = np.arange(len(theirs)) if leave_one_out else None
    blocks = rank_blocks(collection.vectors, ours, queries.vectors, theirs, own)
    return _metrics(join(list(blocks)))


def number(labels: Sequence[str]) -> tuple[tuple[str, ...], Integers]:
    """Return the classes in order, and of each label which of them it is, `(n,)`.

    An array of texts would give each of them the room of the longest, and a CSV may hold a label of
    2,000 characters.
    """
    classes = tuple(sorted(set(labels)))
    places = {label: i for i, label in enumerate(classes)}
    return classes, np.fromiter((places[label] for label in labels), np.int64, len(labels))


def _number_alike(ours: Sequence[str], theirs: Sequence[str]) -> tuple[Integers, Integers]:
    """Number the classes of a collection and of queries alike, from 0."""
    _, numbers = number([*ours, *theirs])
    return numbers[: len(ours)], numbers[len(ours) :]


def _metrics(rankings: Rankings) -> npt.NDArray[np.float64]:
    at = rankings.within
    return np.stack(
        [at(1), at(10) / 10, at(20) / 20, at(10) > 0, rankings.average_precision], axis=1
    )


def _summarise(per_query: npt.NDArray[np.float64]) -> dict[str, Score]:
    means = 100 * per_query.mean(axis=0)
    low, high = 100 * bootstrap(per_query)
    return {
        metric: Score(float(means[i]), float(low[i]), float(high[i]))
        for i, metric in enumerate(METRICS)
    }


def bootstrap(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the 95 % percentile interval of the mean of each column, `(2, columns)`.

    Queries are drawn with replacement as often as there are (Efron 1979); the seed is fixed so that
    the same rankings give the same interval.
    """
    n, columns = values.shape
    generator = np.random.default_rng(0)
    # As many resamples at a time as fit 8 MB: of a small class all, where a loop would take longer
    # than everything else.
    at_once = max(1, 1_000_000 // (n * columns))
    means = np.empty((RESAMPLES, columns))
    for start in range(0, RESAMPLES, at_once):
        drawn = generator.integers(0, n, (min(at_once, RESAMPLES - start), n))
        means[start : start + at_once] = values[drawn].mean(axis=1)
    return np.percentile(means, [2.5, 97.5], axis=0)


def as_table(evaluation: Evaluation) -> str:
    """Lay the figures out for a terminal, with their intervals and the protocol below."""
    whole = _name_of_all(evaluation)
    classes = [replace(row, label=printable(row.label)) for row in evaluation.classes]
    width = max([len(row.label) for row in classes] + [len(whole)])
    header = f"{'':{width}}  queries" + "".join(f"{metric:>9}" for metric in METRICS)
    lines = [header]
    for row in classes:
        lines.append(
            f"{row.label:{width}}  {row.queries:7}"
            + "".join(f"{row.scores[metric].mean:9.1f}" for metric in METRICS)
        )
    total = sum(row.queries for row in classes)
    overall = evaluation.overall
    lines.append(
        f"{whole:{width}}  {total:7}"
        + "".join(f"{overall[metric].mean:9.1f}" for metric in METRICS)
    )
    for name, end in (("95 % from", "low"), ("95 % to", "high")):
        lines.append(
            f"{name:{width}}  {'':7}"
            + "".join(f"{getattr(overall[metric], end):9.1f}" for metric in METRICS)
        )
    lines += ["", f"{'95 %':{width}}" + "".join(f"{metric:>13}" for metric in METRICS)]
    for row in classes:
        intervals = (f"{row.scores[m].low:.1f}-{row.scores[m].high:.1f}" for m in METRICS)
        lines.append(f"{row.label:{width}}" + "".join(f"{text:>13}" for text in intervals))
    protocol = (printable(f"{name}: {value}") for name, value in evaluation.protocol.items())
    return "\n".join([*lines, "", *protocol])


def _name_of_all(evaluation: Evaluation) -> str:
    """Return what the row of all queries is called, as no kind is."""
    name = "all queries"
    while any(row.label == name for row in evaluation.classes):
        name += " of all kinds"
    return name


def as_rows(evaluation: Evaluation) -> list[dict[str, object]]:
    """Return a row a class and one for all, with the intervals, for CSV and JSON."""
    everything: Sequence[tuple[str, int, dict[str, Score]]] = [
        *((c.label, c.queries, c.scores) for c in evaluation.classes),
        (_name_of_all(evaluation), sum(c.queries for c in evaluation.classes), evaluation.overall),
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


def as_csv(evaluation: Evaluation) -> bytes:
    """Return the rows as a CSV file, each with the protocol."""
    protocol = "; ".join(f"{name}: {value}" for name, value in evaluation.protocol.items())
    rows = [
        {**row, "class": tables.harmless(str(row["class"])), "protocol": tables.harmless(protocol)}
        for row in as_rows(evaluation)
    ]
    return tables.as_csv(list(rows[0]), (list(row.values()) for row in rows))
