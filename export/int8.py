"""The command `python -m export int8`: a model in 8 bits, for CPUs, or a refusal with figures."""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto
from tqdm import tqdm

from export.comparing import (
    LEAST_COSINE,
    DataSet,
    Row,
    as_table,
    compare,
    cosine,
    data_sets,
    outputs_of,
)
from export.data import data_folder
from export.quantising import (
    correct_biases,
    measure_ranges,
    quantise,
    read_float,
    small_layers,
    weighted_layers,
)
from export.stored import BATCH, Pixels, list_pictures, prepare, spread
from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.family import int8_path
from retrieval.files import need_place, replace_when_done
from retrieval.model import OnnxExtractor
from retrieval.preprocessing import Preprocessing
from retrieval.reduction import load_pca

LEAST_PHOTOS = 500
HELD_OUT = 128  # photos that choose between the candidates, calibrated on by none
CORRECTED_ON = 96  # of the photos to calibrate on, those that biases are corrected by
# Layers in float take longer (the first convolution 5 % in batches of 8, though a picture alone is
# then 9 % faster) and more room, so all are in 8 bits where every output then keeps this cosine
# with the float model's, far from where a ranking would change. The features keep more of it than
# the map of places, which is only drawn.
ENOUGH = 0.999
# Where it does not, a layer stays in float if the outputs then turn away by less than half.
WORTH = 2.0


def parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m export int8`."""
    parser = argparse.ArgumentParser(prog="python -m export int8", description=__doc__)
    parser.add_argument(
        "--model",
        type=Path,
        default=settings.BUNDLED_MODEL,
        metavar="FILE",
        help="the float model, made by `python -m export` (default: the bundled one)",
    )
    parser.add_argument(
        "--photos",
        type=Path,
        metavar="FOLDER|ZIP",
        help="photos to calibrate on and to choose by: a folder of them or of ZIPs, or a ZIP "
        f"(at least {LEAST_PHOTOS + HELD_OUT}; default: photos in the --data folder)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the .onnx file to write (default: beside the model, ending in -int8.onnx)",
    )
    parser.add_argument(
        "--calibrate",
        type=int,
        default=512,
        metavar="N",
        help=f"how many photos to calibrate on, at least {LEAST_PHOTOS} (default 512); they and "
        f"{HELD_OUT} more to choose by are spread over all that there are",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="where corel1k or cifar10-part.zip lie, or both, to compare on (default: "
        "../shared/data)",
    )
    return parser


@dataclass(frozen=True)
class Candidate:
    """One way to store the model in 8 bits, and how near it stays to the float model."""

    method: str
    in_float: tuple[NodeProto, ...]
    model: onnx.ModelProto
    cosines: dict[str, float]  # of each output, mean over the held-out photos

    @property
    def loss(self) -> float:
        """How far the outputs turn away, on average."""
        return float(np.mean([1 - value for value in self.cosines.values()]))

    def describe(self) -> str:
        """Say in one line what it is and how near it stays."""
        kept = ", ".join(layer.name for layer in self.in_float) or "nothing"
        near = ", ".join(f"{name} {value:.5f}" for name, value in self.cosines.items())
        return f"{self.method}, {kept} in float: cosine of {near}"


def run(arguments: argparse.Namespace, say: Callable[[str], object]) -> str:
    """Quantise, compare and write, and return the figures.

    Args:
        say: hears of each step.

    Raises:
        LookalikeError: when 8 bits cost too much, or something needed is not there.
    """
    if arguments.calibrate < LEAST_PHOTOS:
        raise LookalikeError(f"--calibrate must be at least {LEAST_PHOTOS}.")
    output: Path = arguments.output or int8_path(arguments.model)
    if output.resolve() == arguments.model.resolve():
        raise LookalikeError("--output is the model itself. Name another file.")
    need_place(output, ".onnx")
    model = read_float(arguments.model)
    data: Path = arguments.data or data_folder()
    sets = _data_sets(data, say)
    how = OnnxExtractor(arguments.model, gpu=False).card.preprocessing
    photos = arguments.photos or data / "photos"
    calibration, held_out = _photos(photos, arguments.calibrate + HELD_OUT, how)
    best = choose(model, calibration, held_out, say)
    with replace_when_done(output) as temporary:
        temporary.write_bytes(best.model.SerializeToString())
        ints = OnnxExtractor(temporary, gpu=False)
        rows = _compare(arguments.model, ints, sets)
        say(as_table(rows))
        failures = [
            f"held-out photos: mean cosine of {name} {value:.4f}, not {LEAST_COSINE}"
            for name, value in best.cosines.items()
            if not value >= LEAST_COSINE
        ]
        failures += [failure for row in rows for failure in row.failures()]
        if failures:
            raise LookalikeError(
                f"8 bits cost too much, so nothing was written. {'; '.join(failures)}. Calibrate "
                "on more photos, or use the float model."
            )
    before, after = (path.stat().st_size / 2**20 for path in (arguments.model, output))
    return f"{output}: {after:.1f} MB, the float model {before:.1f} MB; {best.describe()}"


def _data_sets(folder: Path, say: Callable[[str], object]) -> list[DataSet]:
    """Return what there is to compare on; without anything nobody could tell what 8 bits cost."""
    sets, missing = data_sets(folder)
    if not sets:
        raise LookalikeError(
            f"There is nothing in {folder} to compare on. Name a folder with corel1k or "
            "cifar10-part.zip: --data FOLDER"
        )
    for one in missing:
        say(f"Not compared on {one}, which is not there.")
    return sets


def _photos(source: Path, wanted: int, how: Preprocessing) -> tuple[Pixels, Pixels]:
    """Return the photos to calibrate on and those to choose by, preprocessed."""
    left = list_pictures(source)
    tell = _bar("photos", min(wanted, len(left)))
    parts: list[Pixels] = []
    found = 0
    while left and found < wanted:  # once, unless some cannot be read and others take their place
        chosen = spread(left, wanted - found)
        drawn = set(chosen)
        left = [photo for photo in left if photo not in drawn]
        for chunk, pixels in prepare(chosen, how):
            parts.append(pixels)
            found += len(chunk)
            tell(len(chunk))
    if found < LEAST_PHOTOS + HELD_OUT:
        raise LookalikeError(
            f"{source} has {found:,} readable photos, and calibrating takes "
            f"{LEAST_PHOTOS + HELD_OUT}. Name a folder with more."
        )
    photos = np.concatenate(parts)
    # Spread as well, since neighbours in a pack may be of one kind.
    out = np.zeros(len(photos), bool)
    out[np.linspace(0, len(photos) - 1, HELD_OUT).round().astype(int)] = True
    return photos[~out], photos[out]


def choose(
    model: onnx.ModelProto,
    calibration: Pixels,
    held_out: Pixels,
    say: Callable[[str], object],
) -> Candidate:
    """Return the best candidate, by photos that it was not calibrated on."""
    ranges = measure_ranges(model, _batches(calibration))
    expected = outputs_of(model, held_out)
    some = calibration[:: max(1, len(calibration) // CORRECTED_ON)][:CORRECTED_ON]
    by = [some[start : start + BATCH] for start in range(0, len(some), BATCH)]
    first, *_, last = weighted_layers(model)
    ways: list[tuple[NodeProto, ...]] = [(first,)]
    if last.op_type == "Gemm" and last not in small_layers(model):
        ways.append((first, last))

    def attempt(method: str, *in_float: NodeProto, corrected: bool = True) -> Candidate:
        source = correct_biases(model, ranges[method], by, in_float) if corrected else model
        small = quantise(source, ranges[method], in_float)
        cosines = {
            name: float(cosine(expected[name], values).mean())
            for name, values in outputs_of(small, held_out).items()
        }
        candidate = Candidate(method, in_float, small, cosines)
        say(candidate.describe() + ("" if corrected else ", biases as they were"))
        return candidate

    tried = (attempt(method, first, corrected=False) for method in ranges)
    method = min(tried, key=lambda one: one.loss).method
    best = min(attempt(method), attempt(method, corrected=False), key=lambda one: one.loss)
    for in_float in ways:
        if min(best.cosines.values()) >= ENOUGH:
            break
        other = attempt(method, *in_float)
        if WORTH * other.loss < best.loss:
            best = other
    return best


def _batches(photos: Pixels) -> Iterator[Pixels]:
    tell = _bar("calibrating", len(photos))
    for start in range(0, len(photos), BATCH):
        batch = photos[start : start + BATCH]
        yield batch
        tell(len(batch))


def _compare(model: Path, ints: OnnxExtractor, sets: list[DataSet]) -> list[Row]:
    floats = OnnxExtractor(model, gpu=False)
    pca = settings.pca_path(model)
    reduction = load_pca(pca, floats.card) if pca.is_file() else None
    return [row for one in sets for row in compare(one, floats, ints, reduction, _bar)]


def _bar(name: str, total: int) -> Callable[[int], object]:
    bar = tqdm(total=total, unit="picture", desc=name, file=sys.stderr)

    def tell(n: int) -> None:
        bar.update(n)
        if bar.n >= total:
            bar.close()

    return tell
