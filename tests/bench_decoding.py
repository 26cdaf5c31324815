"""Where the time goes when photos of a phone are read: `python -m tests.bench_decoding`.

Makes 200 JPEGs of 24 megapixels, and prints the share of decoding, resizing, inference and writing,
one after the other in one thread, and then how fast the whole runs, where the first two happen in
threads while the network is busy. Decoding must not be what limits it.
"""

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

import numpy as np

from retrieval import settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.commands.bench import make_photos
from retrieval.embedding import Embedder, open_embedder
from retrieval.images import open_picture, thumbnail_to_keep
from retrieval.indexing import index_folder
from retrieval.preprocessing import preprocess, scale_for
from retrieval.records import Content, Entry
from retrieval.sketch import describe_layout

SIZE = (6000, 4000)
BATCH = 8


def measure_stages(folder: Path, into: Path, embedder: Embedder) -> dict[str, float]:
    """Return seconds in each stage, in one thread, one stage after the other."""
    how = embedder.card.preprocessing
    seconds = {"decoding": 0.0, "resizing": 0.0, "inference": 0.0, "writing": 0.0}
    clock = time.perf_counter()

    def spent(stage: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        seconds[stage] += now - clock
        clock = now

    paths = sorted(folder.glob("*.jpg"))
    with Collection.create(into, "stages", folder, embedder) as collection:
        for start in range(0, len(paths), BATCH):
            batch, pixels, thumbnails = paths[start : start + BATCH], [], []
            hashes = []
            clock = time.perf_counter()
            for path in batch:
                data = path.read_bytes()
                hashes.append(hashlib.sha256(data).hexdigest())
                picture = open_picture(data, scale_for(how))
                spent("decoding")
                pixels.append(preprocess(picture.image, how))
                thumbnails.append(thumbnail_to_keep(picture.image))
                spent("resizing")
            stacked = np.stack(pixels)
            aspects, sketches = embedder.describe_pictures(stacked), describe_layout(stacked)
            spent("inference")
            contents = [
                Content(
                    *(sha, *SIZE, None, aspects.subject[i], thumbnails[i]),
                    *(aspects.colour[i], aspects.texture[i], sketches[i]),
                )
                for i, sha in enumerate(hashes)
            ]
            entries = [
                Entry(path.name, 1, 1, "", sha) for path, sha in zip(batch, hashes, strict=True)
            ]
            collection.write(entries, contents)
            spent("writing")
    return seconds


def measure_all(folder: Path, into: Path, embedder: Embedder) -> float:
    """Return the seconds that building takes as the app does it."""
    started = time.perf_counter()
    with Collection.create(into, "all", folder, embedder) as collection:
        for _ in index_folder(collection, folder, embedder, find_changes(collection, folder)):
            pass
        assert collection.listing.count()[1] == 0
    return time.perf_counter() - started


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    n = parser.parse_args().pictures
    pca = settings.BUNDLED_PCA
    embedder = open_embedder(settings.BUNDLED_MODEL, pca, False, settings.texture_path(pca))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "photos"
        folder.mkdir()
        size = make_photos(folder, n, SIZE)
        print(f"{n} JPEGs of 24 megapixels, {size:.1f} MB each, on the CPU")
        seconds = measure_stages(folder, Path(temporary) / "stages", embedder)
        total = sum(seconds.values())
        for stage, spent in seconds.items():
            print(f"{stage:10} {spent / total:6.1%}   {1e3 * spent / n:7.1f} ms a picture")
        whole = measure_all(folder, Path(temporary) / "all", embedder)
        print(f"one after the other {n / total:.1f} a second; building {n / whole:.1f} a second")


if __name__ == "__main__":
    main()
