"""What building takes of memory for 1,000 and for 10,000 pictures: `python -m tests.bench_memory`.

Each run is a process of its own, with a network that takes the mean colour, so that the program is
measured and not the model.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.indexing import index_folder
from tests.made import encode, mean_colour, noise


def make(folder: Path, n: int) -> None:
    """Write `n` pictures of half a megapixel, ten scenes with other bytes at the end of each."""
    scenes = [encode(noise((800, 600), seed, coarse=60), "JPEG") for seed in range(10)]
    for i in range(n):
        (folder / f"{i:05}.jpg").write_bytes(scenes[i % 10] + b"%d" % i)


def build(folder: Path, into: Path) -> float:
    """Build, and return the most memory that this process has had, in MB."""
    import resource

    embedder = mean_colour()
    with Collection.create(into, "b", folder, embedder) as collection:
        for _ in index_folder(collection, folder, embedder, find_changes(collection, folder)):
            pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


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
            paths = [str(folder), str(Path(temporary) / "collection")]
            command = [sys.executable, "-m", "tests.bench_memory", "--build", *paths]
            root = Path(__file__).resolve().parent.parent
            peak = float(subprocess.check_output(command, cwd=root, text=True))
            print(f"{n:6,} pictures: {peak:.0f} MB")


if __name__ == "__main__":
    main()
