# ruff: noqa: T201  (it is a command, and prints)
"""The command `python -m tests.measure_cleaning`: what cleaning a query up gains and what it costs.

Each query is a picture of Corel-1k, spoiled; its own original is left out of the collection, which
is not spoiled. P@10 is measured with the query as it is, cleaned up, and cleaned up only where the
rule asks for it. It takes some minutes, and is no test: what it prints stands in README.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from retrieval import settings
from retrieval.cleaning import clean_up, needs_cleaning
from retrieval.embedding import Embedder, open_embedder
from retrieval.evaluation import bootstrap
from retrieval.features import extract_files
from retrieval.folders import find_images
from retrieval.images import open_picture
from retrieval.ranking import rank
from tests.made import embed_image

KINDS = ("unspoiled", "slightly noisy", "noisy", "blurred", "dark", "heavily compressed")
TREATMENTS = ("as it is", "cleaned", "by rule")


def degrade(image: Image.Image, kind: str, seed: int) -> Image.Image:
    """Spoil a picture as cameras and websites do; the same seed spoils it the same way."""
    generator = np.random.default_rng(seed)
    match kind:
        case "unspoiled":
            return image
        case "slightly noisy":
            return _with_noise(np.asarray(image, np.float32), 16, generator)
        case "noisy":  # a small sensor at night
            return _with_noise(np.asarray(image, np.float32), 40, generator)
        case "blurred":  # out of focus: a sixtieth of the width
            return image.filter(ImageFilter.GaussianBlur(image.width / 60))
        case "dark":  # two to three stops too short, with the noise that comes with it
            light = (np.asarray(image, np.float32) / 255) ** 1.5 * 255 * 0.25
            return _with_noise(light, 3, generator)
        case "heavily compressed":
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=5)
            return Image.open(buffer).convert("RGB")
        case _:
            raise ValueError(f"nothing is spoiled by {kind!r}")


def _with_noise(
    pixels: np.ndarray, standard_deviation: float, generator: np.random.Generator
) -> Image.Image:
    noisy = pixels + generator.normal(0, standard_deviation, pixels.shape)
    return Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8))


def measure(folder: Path, embedder: Embedder, count: int) -> None:
    """Print the table for `count` queries, evenly spread over the folder's pictures."""
    features, paths, _ = extract_files(list(find_images(folder)), embedder.extractor)
    vectors = embedder.reduction.project(features) if embedder.reduction else features
    labels = np.array([path.parent.name for path in paths])
    rows = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    print(f"P@10 in %, {len(rows)} queries, {len(paths)} pictures, leave one out; 95 % intervals")
    print(f"{embedder.describe()}\n")
    print(f"{'query':20}" + "".join(f"{name:>10}" for name in TREATMENTS), end="")
    print(f"{'cleaned - as it is':>28}{'treated by rule':>18}")
    for kind in KINDS:
        scores = np.zeros((len(rows), len(TREATMENTS)))
        treated = np.zeros(len(rows), bool)
        for i, row in enumerate(rows):
            image = degrade(open_picture(paths[row]).image, kind, seed=int(row))
            treated[i] = needs_cleaning(image)
            for j, query in enumerate((image, clean_up(image))):
                found, _ = rank(embed_image(embedder, query), vectors, 11)
                others = [other for other in found[0] if other != row][:10]
                scores[i, j] = (labels[others] == labels[row]).mean()
            scores[i, 2] = scores[i, 1 if treated[i] else 0]
        low, high = 100 * bootstrap(scores[:, 1:2] - scores[:, 0:1])[:, 0]
        means = 100 * scores.mean(axis=0)
        print(f"{kind:20}" + "".join(f"{mean:10.1f}" for mean in means), end="")
        print(f"{means[1] - means[0]:+10.1f} ({low:+5.1f} to {high:+5.1f})", end="")
        print(f"{100 * treated.mean():16.0f} %", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure with the bundled model."""
    data = os.environ.get("LOOKALIKE_DATA", settings.PROJECT.parent / "shared" / "data")
    parser = argparse.ArgumentParser(prog="python -m tests.measure_cleaning", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(data) / "corel1k")
    parser.add_argument("--queries", type=int, default=300)
    arguments = parser.parse_args(argv)
    if not arguments.folder.is_dir():
        parser.error(f"There is no folder {arguments.folder}. Name one, or set LOOKALIKE_DATA.")
    embedder = open_embedder(settings.BUNDLED_MODEL, settings.BUNDLED_PCA, gpu=False)
    measure(arguments.folder, embedder, arguments.queries)
    return 0


if __name__ == "__main__":
    sys.exit(main())
