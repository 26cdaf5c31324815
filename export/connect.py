"""The command `python -m export connect`: fully connected layers for a trunk of our own.

VGG-16 sees through fc1 and fc2, and so do the features of Krupa et al. 2022; its own take the whole
map, 25,088 numbers, and are nine tenths of its 528 MB. These take the pooled map, 512 numbers, and
add to it what a trunk's training throws away with its heads: how the teachers' classes and
embeddings follow from what the trunk has seen. The trunk itself stands still, so its features of a
crop are computed once and learned from many times, in minutes where a trunk takes hours.

    python3 -m export connect --model trunk-int8.onnx

The model is to have the trunk that they will stand behind; layers that it has already do not count.
The result, `connected.safetensors` in the --run folder, is one more file for --weights, and takes
the place of such layers in the one before:

    python3 -m export --layer fc2 --pool gem --weights vgg16.safetensors connected.safetensors ...

Killed, the same command goes on after the last photos that it has kept. Two cores of a Zen 4 look
at 16 crops a second, teachers included, by the 8-bit trunk at 224 pixels; 45,568 crops are learned
from 20 times in four minutes.

With --together the trunk's last block learns too, from what the blocks before it, in 8 bits, make
of the crops; its result is a whole trunk, `vgg16.safetensors`:

    python3 -m export connect --together 4 --kept 0.7

What the runs have taught stands in `export/connecting.py`.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from export.data import TEACHERS, data_folder, open_photos
from export.recipe import HIDDEN
from retrieval.errors import LookalikeError
from retrieval.family import int8_path
from retrieval.files import need_place
from retrieval.settings import BUNDLED_MODEL, HOME

if TYPE_CHECKING:
    from export.crops import Examples
    from export.last_block import LastBlock

RESULT = "connected.safetensors"
WHOLE = "vgg16.safetensors"  # the trunk too, where some of it has learned
SOME, SAME = 64, 0.98  # crops whose features tell a trunk from others, and by which cosine


def parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m export connect`."""
    parser = argparse.ArgumentParser(
        prog="python -m export connect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--model",
        type=Path,
        metavar="FILE",
        help="an exported model with the trunk; one in 8 bits is much faster on a CPU (default: "
        "the bundled one, with --together in 8 bits)",
    )
    add("--data", type=Path, metavar="FOLDER", help="photos and teachers")
    add("--run", type=Path, metavar="FOLDER", default=HOME / "connecting")
    add("--photos", type=int, metavar="N", help="read only so many photos")
    add("--views", type=int, default=1, help="crops of each photo (default 1)")
    add(
        "--hidden",
        type=int,
        default=HIDDEN,
        help=f"numbers that leave fc1 (default {HIDDEN})",
    )
    add("--epochs", type=int, default=20, help="how often each crop is learned from (default 20)")
    add(
        "--together",
        type=int,
        default=0,
        metavar="EPOCHS",
        help="then let the trunk's last block learn too, so many times from each crop; takes a "
        "--model in 8 bits, and 100 kB of memory a crop (default: not)",
    )
    add(
        "--start",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="with --together, the weights of that model's trunk (default: the bundled one's)",
    )
    add("--kept", type=float, default=0.0, help="share of the start's weights in that result")
    add("--fp32", action="store_true", help="no bfloat16: for processors that do not know it")
    add("--seed", type=int, default=0)
    return parser


def run(arguments: argparse.Namespace, say: Callable[[str], None]) -> str:
    """Collect what there is to learn from, learn, and write; return a line about the result.

    Raises:
        LookalikeError: when something is missing, or what was kept is of other options.
    """
    import torch

    from export.connecting import Lessons, Plan
    from export.crops import Views, collect
    from export.last_block import BeforeLastBlock, LastBlock
    from export.student import halve, save_state
    from export.teachers import open_teachers
    from export.weights import read_weights
    from retrieval.model import OnnxExtractor

    _check(arguments)
    views = Views(arguments.views, seed=arguments.seed)
    plan = Plan(
        hidden=arguments.hidden,
        epochs=arguments.epochs,
        together=arguments.together,
        kept=arguments.kept,
        seed=arguments.seed,
    )
    output = arguments.run / (WHOLE if plan.together else RESULT)
    need_place(output, output.suffix)
    begun = time.monotonic()
    data = arguments.data or data_folder()
    bundled = int8_path(BUNDLED_MODEL) if plan.together else BUNDLED_MODEL
    model: Path = arguments.model or bundled
    teachers = open_teachers(data / "teacher", TEACHERS, torch.device("cpu"))
    trunk: OnnxExtractor | BeforeLastBlock
    block, weights = None, {}
    if plan.together:
        start = read_weights(*(arguments.start or [BUNDLED_MODEL])).state
        weights = {key: value for key, value in start.items() if key.startswith("features.")}
        trunk = BeforeLastBlock(model, arguments.run)
        block = LastBlock(weights, trunk.scale, half=not arguments.fp32)
    else:
        trunk = OnnxExtractor(model, gpu=False)
    photos, held_out = open_photos(data, arguments.photos, say)
    found = collect(trunk, teachers, photos, held_out, views, arguments.run, say)
    examples = found[held_out:]
    if block and not _same_trunk(block, examples):
        raise LookalikeError(
            "--start is another trunk than that of --model. Name the weights that it was made from."
        )
    learned = Lessons(examples, found[:held_out], plan, say, block).learn(arguments.run)
    save_state({**halve(weights), **learned}, output)
    minutes = (time.monotonic() - begun) / 60
    return f"{output}: {len(examples):,} crops, {plan.epochs} times each, {minutes:.0f} minutes"


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be learned, before anything is read.

    Raises:
        LookalikeError: when an option, or two of them together, cannot be used.
    """
    for name in ("views", "hidden", "epochs", "photos"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise LookalikeError(f"--{name} must be at least 1.")
    for name in ("seed", "together"):
        if getattr(arguments, name) < 0:
            raise LookalikeError(f"--{name} must be at least 0.")
    if not 0 <= arguments.kept <= 1:
        raise LookalikeError("--kept takes a share, from 0 to 1.")
    if arguments.start and not arguments.together:
        raise LookalikeError("--start is for --together. Name how many epochs, or leave it out.")
    if arguments.kept and not arguments.together:
        raise LookalikeError("--kept is for --together. Name how many epochs, or leave it out.")


def _same_trunk(block: "LastBlock", examples: "Examples") -> bool:
    """Say whether a block makes of what it takes what the model made of it in 8 bits."""
    import torch

    some = examples[:SOME]
    assert some.taken is not None
    with torch.no_grad():
        cosines = torch.cosine_similarity(block(some.taken), some.pooled)
    return bool(cosines.mean() > SAME)
