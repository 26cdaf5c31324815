"""What building takes of memory for 1,000 and for 10,000 pictures: `python -m tests.bench_memory`.

Each run is a process of its own, with a network that takes the mean colour, so that the program is
measured and not the model. The pictures are tiny, since what grows with their number is asked for,
and not what one of them takes to decode.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.indexing import index_folder
from tests.made import encode, mean_colour, noise
from tests.memory import peak_megabytes

SIZE = (96, 72)


def make(folder: Path, n: int) -> None:
    """Write `n` tiny pictures, ten scenes with other bytes at the end of each."""
    scenes = [encode(noise(SIZE, seed), "JPEG") for seed in range(10)]
    for i in range(n):
        (folder / f"{i:05}.jpg").write_bytes(scenes[i % 10] + b"%d" % i)


def build(folder: Path, into: Path) -> float:
    """Build, and return the most memory that this process has had, in MB."""
    embedder = mean_colour()
    with Collection.create(into, "b", folder, embedder) as collection:
        for _ in index_folder(collection, folder, embedder, find_changes(collection, folder)):
            pass
    return peak_megabytes()


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build:
        print(build(*arguments.build))
        return
    for n in (1_000, 10_000):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "photos"
            folder.mkdir()
            make(folder, n)
            started = time.perf_counter()
            paths = [str(folder), str(Path(temporary) / "collection")]
            command = [sys.executable, "-m", "tests.bench_memory", "--build", *paths]
            root = Path(__file__).resolve().parent.parent
            peak = float(subprocess.check_output(command, cwd=root, text=True))
            seconds = time.perf_counter() - started
            print(f"{n:6,} pictures: {peak:.0f} MB, {seconds:.0f} s")


if __name__ == "__main__":
    main()
