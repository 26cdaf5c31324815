"""The command `python -m export choose`: how to use a trunk, measured on two collections together.

Which pooling, how many components, how much whitening, which side, squash or crop, one look or two
(the picture and its mirror image). The network runs once for each side, fit and mirror image, and
what it gives is kept in the --keep folder; everything else is computed from that.

    python3 -m export choose --weights .lookalike/training/vgg16.safetensors

On two CPU cores all sides take a night: begin with `--sides 96 128 --fits squash --photos 2000`.
The rows are sorted by the mean of P@10 and mAP on Corel-1k (leave one out) and on the CIFAR-10 part
(1,000 queries against 5,000). A row's cost is that of the network for one picture, in GMAC.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from export.data import data_folder, open_device
from export.stored import Pixels, Stored, list_packs, list_pictures, readable, split_part
from retrieval.errors import LookalikeError
from retrieval.evaluation import METRICS, Labelled, measure_queries
from retrieval.features import ahead
from retrieval.files import need_place, replace_when_done
from retrieval.images import open_picture
from retrieval.model import GEM_FLOOR, GEM_POWER, ModelCard, OnnxExtractor
from retrieval.preprocessing import Preprocessing, preprocess
from retrieval.reduction import Matrix, Reduction, project, to_unit
from retrieval.settings import HOME

if TYPE_CHECKING:
    from torch import Tensor

    from export.network import FeatureNetwork

POOLINGS = ("mean", "gem", "max")
FITS = ("squash", "crop")
SIDES = (96, 128, 160, 192, 224)
MIRRORED = 64  # pixels, as the bundled model has it
GMAC_AT_224 = 15.35
SHOWN = ("P@1", "P@10", "hit@10", "mAP")
BATCH = 32
PHOTOS = 20_000  # the PCA's

Pictures = Sequence[Stored]
# From pictures (n, side, side, 3) to the maps of the last block, (n, 512, side/32, side/32).
Maps = Callable[[Pixels], "Tensor"]
Measured = npt.NDArray[np.float64]  # SHOWN, in percent


@dataclass(frozen=True)
class Sets:
    """What is measured on, and what the PCA is fitted on."""

    corel: Pictures
    corel_labels: tuple[str, ...]
    queries: Pictures
    query_labels: tuple[str, ...]
    collection: Pictures
    collection_labels: tuple[str, ...]
    photos: Pictures


@dataclass(frozen=True)
class Features:
    """One pooling of all of them, at one side and fit; `n` rows each."""

    corel: Matrix
    queries: Matrix
    collection: Matrix


@dataclass(frozen=True)
class Row:
    """One way to use the trunk, and what it reaches."""

    side: int
    fit: str
    mirrored: bool
    pooling: str
    components: int  # 0: no PCA
    whitening: float
    corel: Measured
    cifar: Measured

    @property
    def score(self) -> float:
        """The mean of P@10 and mAP of both collections."""
        at = [SHOWN.index("P@10"), SHOWN.index("mAP")]
        return float(np.mean([self.corel[at], self.cifar[at]]))

    @property
    def cost(self) -> float:
        """GMAC for one picture."""
        return GMAC_AT_224 * (self.side / 224) ** 2 * (2 if self.mirrored else 1)


def parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m export choose`."""
    parser = argparse.ArgumentParser(
        prog="python -m export choose",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--weights", type=Path, nargs="+", required=True, metavar="FILE", help="the trunk")
    add("--data", type=Path, metavar="FOLDER", help="the data (default: ../shared/data)")
    add(
        "--keep",
        type=Path,
        metavar="FOLDER",
        default=HOME / "choices",
        help="where features are kept (default: .lookalike/choices)",
    )
    add("--sides", type=int, nargs="+", default=list(SIDES))
    add("--fits", nargs="+", choices=FITS, default=list(FITS))
    add("--components", type=int, nargs="+", default=[0, 64, 128, 256, 512], help="0: no PCA")
    add("--whitening", type=float, nargs="+", default=[0.0, 0.25, 0.5])
    add(
        "--mirror-small",
        type=int,
        default=MIRRORED,
        metavar="PIXELS",
        help="show pictures of at most so many pixels at half the side, mirrored, as `python -m "
        f"export` does (default {MIRRORED}; 0: enlarge them like all others)",
    )
    add("--no-mirror", action="store_true", help="do not try the mean with the mirror image")
    add("--photos", type=int, default=PHOTOS, metavar="N", help="for the PCA (default 20,000)")
    add("--rows", type=int, default=40, help="how many rows to print; 0 for all (default 40)")
    add("--device", help="cuda or cpu (default: cuda where it is)")
    return parser


def run(arguments: argparse.Namespace, say: Callable[[str], None]) -> str:
    """Measure as the arguments say; return the table.

    Raises:
        LookalikeError: when weights or data are missing, or nothing is left to be tried.
    """
    from export.network import build_network
    from export.weights import read_weights

    _check(arguments)
    need_place(arguments.keep / "features.npz", ".npz")
    weights = read_weights(*arguments.weights)
    device = open_device(arguments.device)
    network = build_network(weights.state, "pool5").to(device)
    sets = open_sets(arguments.data or data_folder(), arguments.photos, say)
    most = min(len(sets.photos) - 1, network.dimension)
    reductions = [
        (k, whitening)
        for k, whitening in product(arguments.components, arguments.whitening)
        if k <= most and (k or not whitening)
    ]
    if not reductions:
        raise LookalikeError(
            f"Nothing is left to try: {len(sets.photos):,} photos give at most {most} components, "
            "and without a PCA there is no whitening. Name fewer --components, or --whitening 0."
        )
    if beyond := sorted(k for k in arguments.components if k > most):
        say(
            f"Not tried with {', '.join(map(str, beyond))} components: {len(sets.photos):,} photos "
            f"give at most {most}."
        )
    looks = (False,) if arguments.no_mirror else (False, True)
    rows: list[Row] = []
    for side, fit in product(arguments.sides, arguments.fits):
        resize = side * 256 // 224 if fit == "crop" else side
        small = min(arguments.mirror_small, side)
        how = Preprocessing(side, fit, "bilinear", resize, mirrored=small)
        extract = _extractor(network, weights.sha256, how, arguments.keep, say)
        photos = extract(sets.photos, "photos", False)
        found = {
            (what, mirror): extract(getattr(sets, what), what, mirror)
            for what, mirror in product(("corel", "queries", "collection"), looks)
        }
        for mirrored, pooling in product(looks, POOLINGS):
            parts = [
                np.mean([found[what, look][pooling] for look in looks[: 1 + mirrored]], axis=0)
                for what in ("corel", "queries", "collection")
            ]
            whole = fit_reduction(photos[pooling])
            for k, whitening in reductions:
                reduction = whole.variant(k, whitening) if k else None
                corel, cifar = measure(Features(*parts), sets, reduction)
                rows.append(Row(side, fit, mirrored, pooling, k, whitening, corel, cifar))
        best = max(rows, key=lambda row: row.score)
        say(f"{side} pixels, {fit}: measured; the best so far is {_cells(best)}")
    return as_table(rows, arguments.rows or len(rows))


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be measured, before a night is spent.

    Raises:
        LookalikeError: when an option, or two of them together, cannot be used.
    """
    from export.network import STRIDE

    if not all(side % STRIDE == 0 and STRIDE <= side <= 1024 for side in arguments.sides):
        raise LookalikeError(f"--sides must be multiples of {STRIDE} up to 1024.")
    for name, least in (("components", 0), ("photos", 2), ("rows", 0), ("mirror_small", 0)):
        if np.min(getattr(arguments, name)) < least:
            raise LookalikeError(f"--{name.replace('_', '-')} must be at least {least}.")
    if not 0 <= min(arguments.whitening) <= max(arguments.whitening) <= 1:
        raise LookalikeError("--whitening must be from 0 to 1.")


def _extractor(
    network: "FeatureNetwork",
    weights_sha256: str,
    how: Preprocessing,
    keep: Path,
    say: Callable[[str], None],
) -> Callable[[Pictures, str, bool], dict[str, Matrix]]:
    """Return what gives the features of pictures as `how` shows them, kept in a folder.

    It takes the pictures, what they are called there, and whether to look at their mirror images.
    """
    stem = f"{weights_sha256[:12]}-{how.side}-{how.fit}-small{how.mirrored}-gem{GEM_POWER:g}"
    maps = cache(partial(open_maps, network, weights_sha256, how))

    def extract(pictures: Pictures, what: str, mirror: bool) -> dict[str, Matrix]:
        name = f"{stem}-{what}-{_digest(pictures)}{'-mirror' * mirror}.npz"
        return kept_features(keep / name, maps, pictures, how, mirror, say)

    return extract


def _digest(pictures: Pictures) -> str:
    """Return what tells data from other data: a hash of names and sizes, in their order."""
    told = "".join(f"{picture.path} {picture.size}\n" for picture in pictures)
    return f"{len(pictures)}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def as_table(rows: Sequence[Row], wanted: int) -> str:
    """Lay out the best rows, then the best of each side and number of looks, for their cost."""
    ordered = sorted(rows, key=lambda row: -row.score)
    cheapest: dict[float, Row] = {}
    for row in ordered:
        cheapest.setdefault(row.cost, row)
    names = ["side", "fit", "looks", "pooling", "PCA", "whitening", "GMAC"]
    names += [f"Corel {name}" for name in SHOWN] + [f"CIFAR {name}" for name in SHOWN] + ["mean"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    lines += [_cells(row) for row in ordered[:wanted]]
    lines += ["", "The best of each cost:", "", *lines[:2]]
    lines += [_cells(cheapest[cost]) for cost in sorted(cheapest)]
    return "\n".join(lines)


def _cells(row: Row) -> str:
    figures = [f"{x:.1f}" for x in (row.cost, *row.corel, *row.cifar, row.score)]
    looks, components = "2" if row.mirrored else "1", str(row.components or "none")
    cells = [str(row.side), row.fit, looks, row.pooling, components, f"{row.whitening:g}", *figures]
    return "| " + " | ".join(cells) + " |"


def measure(
    features: Features, sets: Sets, reduction: Reduction | None
) -> tuple[Measured, Measured]:
    """Return what features reach on Corel-1k and on the CIFAR-10 part."""
    corel = Labelled(project(features.corel, reduction), sets.corel_labels)
    collection = Labelled(project(features.collection, reduction), sets.collection_labels)
    queries = Labelled(project(features.queries, reduction), sets.query_labels)
    columns = [METRICS.index(name) for name in SHOWN]
    of_corel = measure_queries(corel, corel, leave_one_out=True).mean(axis=0)
    of_cifar = measure_queries(collection, queries, leave_one_out=False).mean(axis=0)
    return 100 * of_corel[columns], 100 * of_cifar[columns]


def fit_reduction(features: Matrix) -> Reduction:
    """Fit a PCA of all components on features `(n, d)`, made unit; `variant` takes fewer."""
    unit = to_unit(features)
    mean = unit.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(unit - mean, rowvar=False, dtype=np.float64))
    k = min(len(unit) - 1, len(values))
    return Reduction(
        mean=mean,
        components=np.ascontiguousarray(vectors[:, ::-1].T[:k], dtype=np.float32),
        scale=np.ones(k, np.float32),
        whitening=0.0,
        fitted_on=len(unit),
        variance=values[::-1][:k].astype(np.float32),
    )


def kept_features(
    path: Path,
    maps: Callable[[], Maps],
    pictures: Pictures,
    how: Preprocessing,
    mirror: bool,
    say: Callable[[str], None],
) -> dict[str, Matrix]:
    """Return the pooled maps `(n, 512)` under each pooling's name, from `path` where they are."""
    if not path.is_file():
        say(f"{path.stem}: {len(pictures):,} pictures ...")
        pooled = pool_maps(maps(), pictures, how, mirror)
        with replace_when_done(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **pooled)
    with np.load(path) as kept:
        return {name: kept[name] for name in POOLINGS}


def open_maps(network: "FeatureNetwork", weights_sha256: str, how: Preprocessing) -> Maps:
    """Return what computes the maps: torch on a GPU, and on a CPU ONNX Runtime, faster there."""
    import torch

    from export.onnx_file import write_onnx

    device = network.mean.device
    if device.type != "cpu":
        return lambda batch: network(torch.from_numpy(batch).to(device))[1]
    card = ModelCard("trunk", "pool5", "mean", network.dimension, weights_sha256, how)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trunk.onnx"
        write_onnx(network, card, path)
        extractor = OnnxExtractor(path, gpu=False)
    return lambda batch: torch.from_numpy(extractor.extract_with_map(batch)[1])


def pool_maps(
    maps_of: Maps, pictures: Pictures, how: Preprocessing, mirror: bool
) -> dict[str, Matrix]:
    """Run the network over pictures; return the maps `(n, 512)`, pooled in every way."""
    import torch

    def prepare(picture: Stored) -> Pixels:
        shaped = preprocess(open_picture(picture.read()).image, how)
        return np.ascontiguousarray(shaped[:, ::-1]) if mirror else shaped

    pooled: dict[str, list[Matrix]] = {name: [] for name in POOLINGS}
    with torch.inference_mode():
        for chunk in ahead(pictures, prepare, BATCH):
            maps = maps_of(np.stack([pixels for _, pixels in chunk]))
            powers = maps.clamp(min=GEM_FLOOR).pow(GEM_POWER).mean((2, 3)).pow(1 / GEM_POWER)
            for name, values in zip(
                POOLINGS, (maps.mean((2, 3)), powers, maps.amax((2, 3))), strict=True
            ):
                pooled[name].append(values.cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in pooled.items()}


def open_sets(data: Path, photos: int, say: Callable[[str], None]) -> Sets:
    """Find Corel-1k, the CIFAR-10 part and the first `photos` photos in the data's folder.

    What cannot be read is said, and left out.

    Raises:
        LookalikeError: when one of them is missing.
    """
    corel, cifar = data / "corel1k", data / "cifar10-part.zip"
    packed = list_packs(data / "photos")
    for there, what in (
        (corel.is_dir(), corel),
        (cifar.is_file(), cifar),
        (len(packed) > 1, "photos"),
    ):
        if not there:
            raise LookalikeError(f"There is no {what} in {data}. Name the data with --data.")
    of_corel, collection, queries, some = (
        readable(pictures, say)
        for pictures in (list_pictures(corel), *split_part(cifar), packed[:photos])
    )
    for found, what in ((of_corel, corel), (collection, cifar), (queries, cifar), (some, "photos")):
        if len(found) < 2:
            raise LookalikeError(f"Of {what} hardly a picture can be read. Copy it again.")
    return Sets(
        corel=of_corel,
        corel_labels=_labels(of_corel),
        queries=queries,
        query_labels=_labels(queries),
        collection=collection,
        collection_labels=_labels(collection),
        photos=some,
    )


def _labels(pictures: Pictures) -> tuple[str, ...]:
    return tuple(picture.path.parent.name for picture in pictures)
