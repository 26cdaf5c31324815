"""Insertion, query time and recall: exact in memory, Milvus FLAT and Milvus HNSW.

`python -m tests.bench_scale 100000 [1000000] [--to http://HOST:19530]`; without an address it
starts a Milvus Lite of its own. The vectors are made up: clouds of 256 numbers, as near to each
other as the pictures of a kind are; queries are drawn from the same clouds.
"""

import argparse
import secrets
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from retrieval.embedding import Aspects
from retrieval.gallery import Described, Ranking
from retrieval.milvus import MilvusGallery
from retrieval.milvus_access import SECONDS, MilvusAwayError, Place
from retrieval.query import Filters, Weights
from retrieval.ranking import rank
from retrieval.records import PictureRecord
from retrieval.reduction import Matrix, to_unit
from retrieval.reranking import CANDIDATES, rerank
from tests.memory import peak_megabytes, peak_of_children
from tests.servers import milvus_lite

WIDTH, CLOUDS, SPREAD = 256, 500, 1.0
QUERIES, K, BATCH = 100, 24, 5_000
FEW = 20  # queries, of which nobody can say what 95 % of them take


class NoRecords:
    """A gallery without a collection: nothing is known of its pictures."""

    def count(self) -> tuple[int, int]:
        return 0, 0

    def ids(self) -> list[int]:
        return []

    def sample(self, n: int) -> list[PictureRecord]:
        return []

    def matching(self, filters: Filters) -> list[int]:
        return []


def make(n: int, seed: int) -> Matrix:
    """Return `n` unit vectors; those of all seeds lie in the same clouds."""
    centres = np.random.default_rng(0).normal(size=(CLOUDS, WIDTH)).astype(np.float32)
    generator = np.random.default_rng(seed)
    made = generator.standard_normal((n, WIDTH), dtype=np.float32)
    made *= SPREAD
    made += centres[generator.integers(0, CLOUDS, n)]
    return to_unit(made)


def show(name: str, n: int, inserting: float, searching: list[float], recall: float) -> None:
    """Print a line; `searching` holds the seconds of each query."""
    asked, median = len(searching), np.median(searching) * 1e3
    worst = f"{np.quantile(searching, 0.95) * 1e3:8.1f} ms" if asked >= FEW else " " * 11
    print(
        f"{n:>9,}  {name:<16} {inserting:8.1f} s {asked:8} {median:8.1f} ms {worst} {recall:6.3f}",
        flush=True,
    )


def measure(n: int, uri: str) -> None:
    """Print a line for each way of ranking `n` vectors."""
    vectors, queries = make(n, 1), make(QUERIES, 2)
    expected, times = [], []
    for query in queries:
        started = time.perf_counter()
        rows, cosines = rank(query[None], vectors, CANDIDATES)
        rerank(query[None], vectors[rows[0]], cosines[0])
        times.append(time.perf_counter() - started)
        expected.append(rows[0][:K])
    show("exact in memory", n, 0.0, times, 1.0)
    name = f"bench_{secrets.token_hex(4)}"
    gallery = MilvusGallery(Place(uri, name), "bench", "made up", NoRecords())
    started = time.perf_counter()
    for start in range(0, n, BATCH):
        gallery.add(
            [
                Described(row, f"{row}.jpg", "", 640, 480, None, {"subject": vectors[row]})
                for row in range(start, min(start + BATCH, n))
            ]
        )
    inserting = time.perf_counter() - started
    assert gallery.count() == n
    nothing = np.zeros((1, 0), np.float32)
    for kind in ("FLAT", "HNSW"):
        started = time.perf_counter()
        gallery.settle([kind])
        building = time.perf_counter() - started
        try:
            gallery.search(Aspects(queries[:1], nothing, nothing), Weights(), Filters(), K)
        except MilvusAwayError:
            print(f"{n:>9,}  Milvus {kind}: a query takes more than {SECONDS:.0f} s", flush=True)
            continue
        times, found = [], 0
        # Milvus Lite takes seconds for each query where it compares with all.
        asked = QUERIES if kind == "HNSW" else 3
        for query, right in zip(queries[:asked], expected[:asked], strict=True):
            started = time.perf_counter()
            ranking: Ranking = gallery.search(
                Aspects(query[None], nothing, nothing), Weights(), Filters(), CANDIDATES
            )
            nearest = gallery.fetch(ranking.ids.tolist(), "subject")
            rerank(query[None], nearest, ranking.similarities)
            times.append(time.perf_counter() - started)
            found += len(set(ranking.ids[:K].tolist()) & set(right.tolist()))
        assert kind in ranking.method or ranking.method == "exact"
        show(f"Milvus {kind}", n, inserting + building, times, found / (asked * K))
    gallery.drop()
    gallery.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="+", type=int)
    parser.add_argument("--to", metavar="URI")
    arguments = parser.parse_args()
    print(
        f"   vectors  ranking           inserting   queries      median        95 %  recall at {K}"
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        uri = arguments.to or stack.enter_context(milvus_lite(folder / "milvus"))[1]
        for n in arguments.sizes:
            measure(n, uri)
    used, served = (megabytes / 2**10 for megabytes in (peak_megabytes(), peak_of_children()))
    print(f"memory at most: {used:.2f} GB here, {served:.2f} GB in Milvus Lite")


if __name__ == "__main__":
    main()
