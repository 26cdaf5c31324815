"""How a large collection opens, searches and takes memory: `python -m tests.bench_collection`.

Makes a collection of 100,000 pictures (random vectors, small thumbnails) in a temporary folder, and
measures in a process of its own, which has nothing else in its memory. Wanted on two cores: opening
under 2 seconds, a search under 100 ms, 600 MB.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from retrieval import colour, settings, sketch
from retrieval.collection import Collection
from retrieval.embedding import Aspects, Embedder
from retrieval.records import Content, Entry
from retrieval.reduction import to_unit
from retrieval.search import Request, Searcher, search
from tests.made import encode, mean_colour, noise
from tests.memory import peak_megabytes

DIMENSION, TEXTURES = settings.PRINCIPAL_COMPONENTS, settings.TEXTURE_COMPONENTS
BATCH = 1_000
SEARCHES = 20
CHANGES = 5


class Embedder256:
    """Stands in for the bundled model: only its name and dimension are asked for."""

    def __init__(self) -> None:
        plain = mean_colour()
        self.card, self.extractor = plain.card, plain.extractor
        self.fingerprint, self.dimension = "benchmark", DIMENSION

    def describe(self) -> str:
        return "random vectors"


def make(folder: Path, n: int, embedder: Embedder | Embedder256 | None = None) -> None:
    """Write a collection of `n` random pictures, as if made with that embedder."""
    embedder = embedder or Embedder256()
    rng = np.random.default_rng(0)
    thumbnail = encode(noise((96, 72)), "JPEG", quality=60)

    def rows(width: int) -> np.ndarray:
        return to_unit(rng.standard_normal((BATCH, width)).astype(np.float32))

    with Collection.create(folder, "large", folder, embedder) as collection:  # type: ignore[arg-type]
        for start in range(0, n, BATCH):
            vectors = (
                rows(DIMENSION),
                rows(colour.DIMENSION),
                rows(TEXTURES),
                rows(sketch.DIMENSION),
            )
            hashes = [f"{start + i:064x}" for i in range(BATCH)]
            contents = [
                Content(sha, 4000, 3000, None, s, thumbnail, c, t, layout)
                for sha, s, c, t, layout in zip(hashes, *vectors, strict=True)
            ]
            entries = [
                Entry(f"{start // 1000:03}/IMG_{start + i:06}.jpg", 10**6, i, f"{start}", sha)
                for i, sha in enumerate(hashes)
            ]
            collection.write(entries, contents)


def measure(folder: Path) -> dict[str, float]:
    """Open, search, and return seconds, milliseconds and megabytes."""
    before = peak_megabytes()
    embedder = Embedder256()
    started, processor = time.perf_counter(), time.process_time()
    collection = Collection(folder)
    searcher = Searcher(collection, embedder, "large")  # type: ignore[arg-type]
    searcher.embeddings()
    opened, processor = time.perf_counter() - started, time.process_time() - processor
    rng = np.random.default_rng(1)

    def timed() -> float:
        vector = to_unit(rng.standard_normal((1, DIMENSION)).astype(np.float32))
        query = Aspects(vector, np.zeros((1, 0), np.float32), np.zeros((1, 0), np.float32))
        started = time.perf_counter()
        found = search([searcher], query, Request(k=24))
        assert len(found.matches) == 24
        return time.perf_counter() - started

    times = [timed() for _ in range(SEARCHES)]
    changed = []
    for n in range(CHANGES):  # as a build makes one after the other
        vector = to_unit(rng.standard_normal((1, DIMENSION)).astype(np.float32))[0]
        new = Content(f"new{n}", 4000, 3000, None, vector, b"")
        collection.write([Entry(f"new/{n}.jpg", 10**6, n, "new", new.sha256)], [new])
        changed.append(timed())
    collection.close()
    return {
        "open_s": opened,
        "open_cpu_s": processor,
        "first_search_ms": 1e3 * times[0],
        "search_ms": 1e3 * float(np.median(times[1:])),
        "slowest_later_search_ms": 1e3 * max(times[1:]),
        "search_after_a_change_ms": 1e3 * float(np.median(changed)),
        "before_mb": before,
        "peak_mb": peak_megabytes(),
    }


def run(n: int) -> dict[str, float]:
    """Make a collection of `n` pictures, and measure it in another process."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "large"
        make(folder, n)
        command = [sys.executable, "-m", "tests.bench_collection", "--measure", str(folder)]
        root = Path(__file__).resolve().parent.parent
        output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root)
    measured: dict[str, float] = json.loads(output.stdout)
    return measured


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    figures = run(arguments.pictures)
    print(f"{arguments.pictures:,} pictures, {DIMENSION} numbers each, exact search")
    print(
        f"open          {figures['open_s']:8.2f} s    ({figures['open_cpu_s']:.2f} s of processor)"
    )
    print(f"first search  {figures['first_search_ms']:8.0f} ms   (calibrates as well)")
    print(f"search        {figures['search_ms']:8.0f} ms   (median of {SEARCHES - 1})")
    print(f"slowest       {figures['slowest_later_search_ms']:8.0f} ms")
    print(f"after change  {figures['search_after_a_change_ms']:8.0f} ms   (median of {CHANGES})")
    print(f"memory        {figures['peak_mb']:8.0f} MB   ({figures['before_mb']:.0f} MB before)")


if __name__ == "__main__":
    main()
