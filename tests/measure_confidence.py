# ruff: noqa: T201  (it is a command, and prints)
"""What the words of "how sure" are worth: `python -m tests.measure_confidence`.

For each step of `retrieval.confidence`: of the first 24 results of every picture of Corel-1k
and of the shipped collection (itself left out), how many show its kind; and how near the best match
is when Corel-1k is asked for CIFAR-10's kinds, of which it holds horses, and buses beside trucks
and cars. The data lie in `../shared/data`, or where LOOKALIKE_DATA says; the bundled model and its
PCA are measured.
"""

import argparse
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrieval import settings
from retrieval.confidence import Calibration, Confidence, calibrate
from retrieval.embedding import Embedder, open_embedder
from retrieval.features import extract_files
from retrieval.folders import find_images
from retrieval.ranking import rank
from retrieval.reduction import Matrix
from retrieval.reranking import CANDIDATES, reorder

K = 24
DATA = Path(os.environ.get("LOOKALIKE_DATA") or settings.PROJECT.parent / "shared" / "data")
STARTER = settings.ASSETS / "starter" / "pictures"


def main() -> None:
    """Measure, and print a line for each step."""
    parser = argparse.ArgumentParser(prog="python -m tests.measure_confidence", description=__doc__)
    parser.parse_args()
    if not (DATA / "corel1k").is_dir():
        parser.error(f"There is no folder corel1k in {DATA}. Say in LOOKALIKE_DATA where it is.")
    embedder = open_embedder(settings.BUNDLED_MODEL, settings.BUNDLED_PCA, gpu=False)
    print(f"{embedder.describe()}, {embedder.extractor.provider}")
    calibration, vectors = None, None
    for name, folder in (("Corel-1k", DATA / "corel1k"), ("shipped pictures", STARTER)):
        embeddings, kinds = embed(embedder, list(find_images(folder)))
        own = calibrate(embeddings)
        show(name, own, embeddings, np.array(kinds))
        if calibration is None:
            calibration, vectors = own, embeddings
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(DATA / "cifar10-part.zip") as archive:
            archive.extractall(folder)
        queries, _ = embed(embedder, list(find_images(next(Path(folder).glob("*/queries")))))
    assert calibration is not None
    assert vectors is not None
    best = steps_of(nearest(queries, vectors)[1][:, :1], calibration)
    said = ", ".join(
        f"{100 * (best == step).mean():.0f} % {step.name}" for step in reversed(Confidence)
    )
    print(f"Best match in Corel-1k for kinds that it hardly holds: {said}")


def nearest(
    queries: Matrix, vectors: Matrix, leave_one_out: bool = False
) -> tuple[np.ndarray, Matrix]:
    """Return rows and similarities `(q, K)` as the app ranks, its neighbours' say included."""
    ids = np.empty((len(queries), K), np.int64)
    similarities = np.empty((len(queries), K), np.float32)
    for i, query in enumerate(queries):
        rows, cosines = rank(query[None], vectors, CANDIDATES + leave_one_out)
        others = rows[0] != i if leave_one_out else np.full(len(rows[0]), True)
        first, cosines = rows[0][others], cosines[0][others]
        order, reranked = reorder(query[None], vectors[first], cosines)
        ids[i], similarities[i] = first[order[:K]], reranked[:K]
    return ids, similarities


def steps_of(similarities: Matrix, calibration: Calibration) -> np.ndarray:
    """Return how sure matches of these similarities are, in steps of `Confidence`."""
    return np.array([[calibration.judge(float(one)) for one in row] for row in similarities])


def embed(embedder: Embedder, files: Sequence[Path]) -> tuple[Matrix, list[str]]:
    """Return the embeddings `(n, k)` of pictures, and the names of the folders that they are in."""
    features, read, _ = extract_files(files, embedder.extractor)
    return embedder.project(features), [path.parent.name for path in read]


def show(name: str, calibration: Calibration, vectors: Matrix, kinds: np.ndarray) -> None:
    """Print which share of the results has the query's kind, step by step."""
    ids, similarities = nearest(vectors, vectors, leave_one_out=True)
    same = kinds[ids] == kinds[:, None]
    steps = steps_of(similarities, calibration)
    for step in reversed(Confidence):
        if inside := int((steps == step).sum()):
            print(
                f"{name}, {step.name}: {100 * same[steps == step].mean():.0f} % of "
                f"{inside:,} results show the query's kind"
            )


if __name__ == "__main__":
    main()
