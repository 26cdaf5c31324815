"""The paper's Table 1 beside what the same data give here, for every meaning that it could have.

Krupa et al. 2022, "Deep Learning-Based Image Extraction" (doi 10.47852/bonviewAIA2202326), print
one "accuracy" for Corel and one for CIFAR-10, and do not say of what. So all five metrics are
measured, by one protocol, for networks with and without PCA and for two baselines.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from retrieval.cifar import Pictures, Split
from retrieval.compare import COMPUTED_BY
from retrieval.embedding import describe
from retrieval.errors import LookalikeError, PictureError
from retrieval.evaluation import METRICS, Evaluation, Labelled, SelfTest
from retrieval.features import ahead, extract_files
from retrieval.images import open_picture
from retrieval.model import FeatureExtractor
from retrieval.preprocessing import preprocess
from retrieval.reduction import Matrix, Reduction, project

BATCH = 32
Track = Callable[[Any], Iterator[Any]]


@dataclass(frozen=True)
class DataSet:
    """A data set of the paper, with the protocol that it is measured by."""

    name: str
    collection: Pictures
    queries: Pictures | None  # None leaves one out
    printed: float  # what the paper's Table 1 prints, in percent
    whole: tuple[int, int]  # queries and pictures of the collection, when nothing is missing

    def shortfall(self) -> str | None:
        """Say what is missing of the data set; None when it is whole."""
        n = len(self.collection.labels)
        asked = n if self.queries is None else len(self.queries.labels)
        if (asked, n) == self.whole:
            return None
        return (
            f"These are not all of {self.name}: {asked:,} queries against {n:,} pictures, where "
            f"the whole has {self.whole[0]:,} against {self.whole[1]:,}. The figures are not those "
            "of the whole, and not comparable with these, in either direction."
        )


@dataclass(frozen=True)
class System:
    """What makes embeddings: a network or a baseline, with the PCAs to try."""

    extractor: FeatureExtractor
    reductions: tuple[Reduction | None, ...] = (None,)


def corel(pictures: Pictures) -> DataSet:
    """Return Corel-1k (Wang et al. 2001): every picture is asked, and left out of its ranking."""
    return DataSet("Corel-1k", pictures, None, 99.8, (1_000, 1_000))


def cifar10(split: Split) -> DataSet:
    """Return CIFAR-10: the test pictures are asked, the training pictures are the collection."""
    return DataSet("CIFAR-10", split.collection, split.queries, 98.26, (10_000, 50_000))


def measure(data: DataSet, system: System, track: Track = iter) -> list[Evaluation]:
    """Measure a system on a data set: one evaluation for each of its PCAs.

    Args:
        track: wraps the pictures to show progress, as tqdm does.

    Raises:
        LookalikeError: when a picture cannot be read: figures with holes cannot be compared.
    """
    card = system.extractor.card
    features = _features(data.collection, system.extractor, track)
    asked = None
    if data.queries is not None:
        asked = (_features(data.queries, system.extractor, track), data.queries.labels)
    found = []
    for reduction in system.reductions:
        test = SelfTest(
            Labelled(project(features, reduction), data.collection.labels),
            None if asked is None else Labelled(project(asked[0], reduction), asked[1]),
            describe(card, reduction),
            notes={
                COMPUTED_BY: system.extractor.provider,
                "identical copies": "kept, as data sets are measured; `evaluate` takes one of each",
            },
        )
        found.append(test.summarise(list(test.rank())))
    return found


def need_readable(data: DataSet, track: Track = iter) -> None:
    """Raise a LookalikeError for the first picture that cannot be read: figures need them all.

    Decoding takes a small part of the time that a network does, which would find it at its end.
    """
    for pictures in (data.collection, data.queries):
        for path in track(pictures.files) if pictures and pictures.files else ():
            try:
                open_picture(path)
            except PictureError as error:
                raise LookalikeError(f"{path}: {error} Mend or replace it.") from error


def as_table(data: DataSet, evaluations: Sequence[Evaluation], missing: Sequence[str] = ()) -> str:
    """Lay the paper's figure and ours out for a terminal, metric by metric.

    Args:
        missing: a line for each system that is not here, saying how to get it.
    """
    best = evaluations[0]
    names = [one.protocol["model"] for one in evaluations]
    title, less = "the paper, Table 1", "the first, less the paper's"
    low, high = "95 % of the first, from", "95 % of the first, to"
    width = max(len(name) for name in (*names, title, less, low, high))

    def row(name: str, values: Sequence[float], form: str = "8.1f") -> str:
        return f"{name:{width}}" + "".join(f"{value:{form}}" for value in values)

    def of(one: Evaluation) -> list[float]:
        return [one.overall[metric].mean for metric in METRICS]

    lines = [
        data.name,
        f"{'':{width}}" + "".join(f"{metric:>8}" for metric in METRICS),
        f"{row(title, [data.printed], '8.2f')}  (one number; which of these, it does not say)",
        *(row(name, of(one)) for name, one in zip(names, evaluations, strict=True)),
        row(less, [value - data.printed for value in of(best)], "+8.1f"),
        row(low, [best.overall[metric].low for metric in METRICS]),
        row(high, [best.overall[metric].high for metric in METRICS]),
        *missing,
        "",
    ]
    shortfall = data.shortfall()
    if shortfall:
        lines.append(shortfall)
    nearest = min(METRICS, key=lambda metric: abs(best.overall[metric].mean - data.printed))
    lines += [
        f"Nearest to the paper's {data.printed:.2f} among the first system's figures: {nearest}.",
        *(f"{key}: {value}" for key, value in best.protocol.items() if key != "model"),
    ]
    return "\n".join(lines)


def _features(pictures: Pictures, extractor: FeatureExtractor, track: Track) -> Matrix:
    if pictures.pixels is None:
        features, read, unread = extract_files(pictures.files, extractor, track)
        if unread:
            raise LookalikeError(f"{unread[0][0]}: {unread[0][1]} Mend or replace it.")
        assert len(read) == len(pictures.labels)
        return features
    how = extractor.card.preprocessing

    def prepare(pixels: Any) -> Any:
        return preprocess(Image.fromarray(pixels), how)

    return np.concatenate(
        [
            extractor.extract(np.stack([shaped for _, shaped in chunk]))
            for chunk in ahead(track(pictures.pixels), prepare, BATCH)
        ]
    )
