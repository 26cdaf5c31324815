"""The paper's Table 1 beside what the same data give here, for every meaning that it could have.

Krupa et al. 2022, "Deep Learning-Based Image Extraction" (doi 10.47852/bonviewAIA2202326), print
one "accuracy" for Corel and one for CIFAR-10, and do not say of what. So all five metrics are
measured, by one protocol, for networks with and without PCA and for two baselines.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image

from retrieval.cifar import Pictures, Split
from retrieval.compare import embed
from retrieval.embedding import describe
from retrieval.errors import LookalikeError
from retrieval.evaluation import METRICS, Evaluation, Labelled, SelfTest
from retrieval.features import extract_files
from retrieval.images import preprocess
from retrieval.model import FeatureExtractor
from retrieval.reduction import Matrix, Reduction

BATCH = 32
Track = Callable[[Any], Iterator[Any]]


@dataclass(frozen=True)
class DataSet:
    """A data set of the paper, with the protocol that it is measured by."""

    name: str
    collection: Pictures
    queries: Pictures | None  # None leaves one out
    printed: float  # what the paper's Table 1 prints, in percent


@dataclass(frozen=True)
class System:
    """What makes embeddings: a network or a baseline, with the PCAs to try."""

    extractor: FeatureExtractor
    reductions: tuple[Reduction | None, ...] = (None,)


def corel(pictures: Pictures) -> DataSet:
    """Return Corel-1k (Wang et al. 2001): every picture is asked, and left out of its ranking."""
    return DataSet("Corel-1k", pictures, None, 99.8)


def cifar10(split: Split) -> DataSet:
    """Return CIFAR-10: the test pictures are asked, the training pictures are the collection."""
    return DataSet("CIFAR-10", split.collection, split.queries, 98.26)


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
            Labelled(embed(features, reduction), data.collection.labels),
            None if asked is None else Labelled(embed(asked[0], reduction), asked[1]),
            describe(card, reduction),
        )
        found.append(test.summarise(list(test.rank())))
    return found


def as_table(data: DataSet, evaluations: Sequence[Evaluation], missing: Sequence[str] = ()) -> str:
    """Lay the paper's figure and ours out for a terminal, metric by metric.

    Args:
        missing: a line for each system that is not here, saying how to get it.
    """
    best = evaluations[0]
    names = [one.protocol["model"] for one in evaluations]
    width = max(len(name) for name in [*names, "the paper, Table 1"])
    lines = [
        data.name,
        f"{'':{width}}" + "".join(f"{metric:>8}" for metric in METRICS),
        f"{'the paper, Table 1':{width}}"
        + f"{data.printed:8.2f}  (one number, of which of these it does not say)",
    ]
    for name, one in zip(names, evaluations, strict=True):
        scores = "".join(f"{one.overall[metric].mean:8.1f}" for metric in METRICS)
        lines.append(f"{name:{width}}{scores}")
    for label, end in (("95 % of the first, from", "low"), ("95 % of the first, to", "high")):
        ends = "".join(f"{getattr(best.overall[metric], end):8.1f}" for metric in METRICS)
        lines.append(f"{label:{width}}{ends}")
    lines += missing
    nearest = min(METRICS, key=lambda metric: abs(best.overall[metric].mean - data.printed))
    lines += [
        "",
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
    parts: list[Matrix] = []
    held: list[Any] = []
    end = object()
    for pixels in chain(track(pictures.pixels), [end]):
        if pixels is not end:
            held.append(preprocess(Image.fromarray(pixels), how))
        if held and (pixels is end or len(held) == BATCH):
            parts.append(extractor.extract(np.stack(held)))
            held = []
    return np.concatenate(parts)
