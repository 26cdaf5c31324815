"""What 8 bits cost: the features and rankings of an int8 model next to those of the float one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from export.quantising import cpu_session
from export.stored import BATCH, Stored, list_pictures, prepare, split_part
from retrieval.errors import LookalikeError
from retrieval.evaluation import METRICS, Labelled, measure_queries
from retrieval.model import OnnxExtractor
from retrieval.reduction import Matrix, Reduction, project

GATED = ("P@10", "mAP")
MOST_LOST = 0.3  # points
LEAST_COSINE = 0.995

# Told what is worked on and how many pictures it has; what comes back is told how many are done.
Track = Callable[[str, int], Callable[[int], object]]


@dataclass(frozen=True)
class DataSet:
    """Pictures with classes, the names of the folders they lie in."""

    name: str
    collection: list[Stored]
    queries: list[Stored] | None  # None leaves one out


@dataclass(frozen=True)
class Row:
    """How rankings differ on one data set."""

    name: str
    cosine: float  # between float and int8 features, mean over the pictures
    worst: float  # of the one picture that differs most
    before: dict[str, float]  # of each metric in percent, float model
    after: dict[str, float]  # int8 model

    def failures(self) -> list[str]:
        """Say what is not good enough to be used."""
        found = []
        if not self.cosine >= LEAST_COSINE:
            found.append(f"{self.name}: mean cosine {self.cosine:.4f}, not {LEAST_COSINE}")
        for metric in GATED:
            lost = self.before[metric] - self.after[metric]
            if not lost <= MOST_LOST:
                found.append(f"{self.name}: {metric} falls by {lost:.2f} points")
        return found


@dataclass(frozen=True)
class Features:
    """What both models make of the same pictures."""

    floats: Matrix  # (n, d)
    ints: Matrix  # (n, d)
    labels: tuple[str, ...]  # n of them, the folders that the pictures lie in


def data_sets(folder: Path) -> tuple[list[DataSet], list[str]]:
    """Return what there is of Corel-1k and of the part of CIFAR-10 in a folder, and what is not."""
    found, missing = [], []
    corel = folder / "corel1k"
    if corel.is_dir():
        found.append(DataSet("Corel-1k", list_pictures(corel), None))
    else:
        missing.append(f"Corel-1k ({corel})")
    cifar = folder / "cifar10-part.zip"
    if cifar.is_file():
        found.append(DataSet("CIFAR-10, part", *split_part(cifar)))
    else:
        missing.append(f"CIFAR-10, part ({cifar})")
    return found, missing


def compare(
    data: DataSet,
    floats: OnnxExtractor,
    ints: OnnxExtractor,
    reduction: Reduction | None,
    track: Track,
) -> list[Row]:
    """Measure both models on a data set: by their features, and by the PCA where there is one."""
    collection = extract(data.collection, floats, ints, data.name, track)
    queries = collection
    pairs = [collection]
    if data.queries is not None:
        queries = extract(data.queries, floats, ints, f"{data.name}, queries", track)
        pairs.append(queries)
    cosines = np.concatenate([cosine(pair.floats, pair.ints) for pair in pairs])
    rows = []
    ways = [(data.name, None)] + ([(f"{data.name}, PCA", reduction)] if reduction else [])
    for name, how in ways:
        before, after = (
            _measure(
                Labelled(project(ours, how), collection.labels),
                Labelled(project(asked, how), queries.labels),
                data.queries is None,
            )
            for ours, asked in (
                (collection.floats, queries.floats),
                (collection.ints, queries.ints),
            )
        )
        rows.append(Row(name, float(cosines.mean()), float(cosines.min()), before, after))
    return rows


def extract(
    pictures: list[Stored], floats: OnnxExtractor, ints: OnnxExtractor, name: str, track: Track
) -> Features:
    """Compute the features of pictures by both models; unreadable pictures are left out.

    Raises:
        LookalikeError: when none can be read.
    """
    ours, theirs, labels = [], [], []
    tell = track(name, len(pictures))
    for chunk, pixels in prepare(pictures, floats.card.preprocessing, BATCH):
        ours.append(floats.extract(pixels))
        theirs.append(ints.extract(pixels))
        labels += [picture.path.parent.name for picture in chunk]
        tell(len(chunk))
    if not labels:
        raise LookalikeError(
            f"None of the {len(pictures):,} pictures of {name} can be read. Copy them again, or "
            "name the folder with the right ones: --data FOLDER"
        )
    return Features(np.concatenate(ours), np.concatenate(theirs), tuple(labels))


def outputs_of(
    model: onnx.ModelProto, pictures: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[np.float32]]:
    """Run a model on preprocessed pictures and return all its outputs by name."""
    session = cpu_session(model)
    names = [output.name for output in session.get_outputs()]
    parts = [
        session.run(names, {"images": pictures[start : start + BATCH]})
        for start in range(0, len(pictures), BATCH)
    ]
    return {
        name: np.concatenate(values)
        for name, values in zip(names, zip(*parts, strict=True), strict=True)
    }


def cosine(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> Matrix:
    """Return the cosine of each row with its counterpart, of arrays `(n, ...)`."""
    a, b = (part.reshape(len(part), -1).astype(np.float64) for part in (ours, theirs))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # Two rows of zeros agree, and one of them agrees with nothing else.
    same = (np.abs(a) + np.abs(b)).sum(axis=1) == 0
    cosines = np.where(same, 1.0, (a * b).sum(axis=1) / np.maximum(lengths, 1e-30))
    return cosines.astype(np.float32)


def _measure(collection: Labelled, queries: Labelled, leave_one_out: bool) -> dict[str, float]:
    means = 100 * measure_queries(collection, queries, leave_one_out).mean(axis=0)
    return dict(zip(METRICS, means.tolist(), strict=True))


def as_table(rows: Sequence[Row]) -> str:
    """Lay the figures out for a terminal: float, int8 and the difference, in percent."""
    width = max(len(row.name) for row in rows)
    lines = [
        f"{'':{width}}  {'cosine':>8}{'worst':>8}" + "".join(f"{metric:>24}" for metric in GATED)
    ]
    for row in rows:
        figures = "".join(
            f"{row.before[m]:9.2f} ->{row.after[m]:6.2f}{row.after[m] - row.before[m]:+6.2f}"
            for m in GATED
        )
        lines.append(f"{row.name:{width}}  {row.cosine:8.4f}{row.worst:8.4f}{figures}")
    return "\n".join(lines)
