r"""The command `python -m export train`: a VGG-16 of our own, by distillation.

A student with VGG-16's convolutions learns to see what stronger ImageNet networks see on unlabelled
photos. Wanted beside the repository, in `../shared/data` or where --data says: `photos/*.zip`,
`teacher/*.onnx`, and `corel1k/`, which is only measured on and may be left out. What the runs have
taught stands in `export/recipe.py`.

On a GPU, for 30 minutes, all three teachers:

    python3 -m export train --minutes 30 --sides 112@0 160@0.45 224@0.75 --hold 0.6 --rate 0.1 \
        --views 20 --mixup 0.2 --spoiled 0.3 --sharpened 0.15 --tiled 0.2 --classes 0.5 \
        --relations 30 --start assets/models/lookalike-vgg16.onnx

On a CPU, in the background, from where the shipped model stands, at the 224 pixels of the app:

    nohup nice -n 19 python3 -m export train --minutes 120 --last-block --kept 0.2 \
        --sides 224@0 --spoiled 0.5 --beside 128 --batch 48 \
        --start assets/models/lookalike-vgg16.onnx > training.log 2>&1 &

--start takes any VGG-16 trunk: folded, as in a model of ours, it is given back its batch
normalisation, and heads that it lacks are fitted to it before the first step. Behind the trunk fc1
and fc2 learn, which take its pooled map (GeM) and add to it; with --hidden 0 there are none, and
the heads stand behind the map's mean.

Killed, the same command goes on from its last checkpoint. The results lie in the --run folder:
`vgg16.safetensors`, folded, for `python -m export --layer fc2 --pool gem --half --weights FILE`,
and `vgg16-start.safetensors`, with batch normalisation and heads, for another `--start`. Of a trunk
alone `--layer pool5` is taken, and `python -m export connect --model FILE` makes fully connected
layers for a model that was exported from it.

--parts FOLDER lays the results there too, in files under 16 MiB each. `.ci/lent-gpu.md` tells how
to train on a machine that takes the data only in pieces. Try --fp32 on a processor that does not
multiply bfloat16 by itself (avx512_bf16 or amx_bf16 in /proc/cpuinfo).
"""

import argparse
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from export.data import TEACHERS, data_folder, open_device, open_photos
from export.recipe import HIDDEN, Budget, Recipe
from retrieval.errors import LookalikeError
from retrieval.files import need_place
from retrieval.settings import HOME

if TYPE_CHECKING:
    from export.measuring import Retrieval
    from export.training import Run

# Photos by which a folded trunk is given back its batch normalisation, up to this side.
START_PHOTOS, START_SIDE = 256, 112
RATE = 0.2
LAST_BLOCK_RATE = 2e-4  # AdamW's
# What an option has to be at least.
LEAST = {
    "hidden": 0,
    "views": 0,
    "steps": 1,
    "batch": 1,
    "width": 1,
    "photos": 1,
    "teacher_side": 32,
    "classes": 0,
    "relations": 0,
    "measure_every": 0,
    "save_every": 0,
}
SCHEDULE = ("96@0", "112@0.3", "128@0.55", "160@0.82")


def parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m export train`."""
    parser = argparse.ArgumentParser(
        prog="python -m export train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="fit the whole schedule into so many minutes")
    length.add_argument("--steps", type=int, help="take so many steps, however long they take")
    add("--data", type=Path, metavar="FOLDER", help="photos, teachers, evaluation pictures")
    add(
        "--run",
        type=Path,
        metavar="FOLDER",
        default=HOME / "training",
        help="where checkpoints and results go (default: .lookalike/training)",
    )
    add("--parts", type=Path, metavar="FOLDER", help="lay the results there too, under 16 MiB each")
    add("--start", type=Path, nargs="+", metavar="FILE", help="a trunk to begin from")
    add("--teachers", nargs="+", choices=TEACHERS, default=list(TEACHERS), help="default: all")
    add("--teacher-side", type=int, default=224, help="pixels that teachers see (default 224)")
    add(
        "--sides",
        nargs="+",
        default=list(SCHEDULE),
        metavar="SIDE@SHARE",
        help=f"pixels, and from which share of the schedule on (default: {' '.join(SCHEDULE)})",
    )
    add("--batch", type=int, default=512, help="photos a step (default 512)")
    add(
        "--rate", type=float, help="the highest learning rate (default 0.2, with --last-block 2e-4)"
    )
    add("--warm-up", type=float, default=0.03, help="share of the schedule (default 0.03)")
    add("--low", type=float, default=0.3, help="smallest share of a photo cropped (default 0.3)")
    add("--mixup", type=float, default=0.0, help="share of pictures mixed with others (default 0)")
    add("--spoiled", type=float, default=0.0, help="share shown as JPEG, blur or few pixels")
    add("--sharpened", type=float, default=0.0, help="share shown sharpened, none of them spoiled")
    add("--tiled", type=float, default=0.0, help="share cut out of four photos laid together")
    add("--classes", type=float, default=1.0, help="weight of the teachers' classes (default 1)")
    add("--relations", type=float, default=0.0, help="weight of the cosines between pictures")
    add(
        "--hidden",
        type=int,
        default=HIDDEN,
        help=f"numbers that leave fc1 (default {HIDDEN}); 0: none",
    )
    add("--hold", type=float, default=1.0, help="share from which on blocks 1 and 2 stand still")
    add(
        "--beside",
        type=int,
        default=0,
        metavar="SIDE",
        help="show each crop at this side too, unspoiled (default: no)",
    )
    add("--kept", type=float, default=0.0, help="share of the start's weights in the result")
    add("--last-block", action="store_true", help="let the last block and what is behind it learn")
    add(
        "--views",
        type=int,
        default=0,
        metavar="N",
        help="show the same N crops of each photo again and again, so that the teachers are asked "
        "only once (about 9 kB of memory each; default: always new ones)",
    )
    add("--seed", type=int, default=0)
    add("--fp32", action="store_true", help="no bfloat16: for processors that do not know it")
    add("--device", help="cuda or cpu (default: cuda where it is)")
    add("--photos", type=int, metavar="N", help="read only so many photos")
    add(
        "--width",
        type=int,
        default=64,
        help="channels of the first convolution (default 64, VGG-16's; others are for trying "
        "out, and cannot be exported)",
    )
    add("--measure-every", type=float, default=5.0, metavar="MINUTES", help="default 5")
    add("--save-every", type=float, default=2.0, metavar="MINUTES", help="checkpoints; default 2")
    return parser


def run(arguments: argparse.Namespace, say: Callable[[str], None]) -> str:
    """Train as the arguments say; return a line about the result.

    Raises:
        LookalikeError: when something is missing, does not fit, or the loss stops being a number.
    """
    begun = time.monotonic()
    import torch

    from export.student import Student
    from export.teachers import open_teachers
    from export.training import CHECKPOINT, RESULT, Run, Workshop
    from export.weights import read_weights

    _check(arguments)
    need_place(arguments.run / CHECKPOINT, ".pt")
    if arguments.parts:
        need_place(arguments.parts / f"{RESULT}.safetensors", ".safetensors")
    recipe = _recipe(arguments)
    budget = Budget(
        arguments.minutes, arguments.steps, arguments.measure_every, arguments.save_every
    )
    device = open_device(arguments.device)
    torch.manual_seed(arguments.seed)
    torch.backends.cudnn.benchmark = True
    data = arguments.data or data_folder()
    teachers = open_teachers(data / "teacher", arguments.teachers, device)
    student = Student(arguments.teachers, arguments.width, arguments.hidden)
    weights = read_weights(*arguments.start) if arguments.start else None

    photos, held_out = open_photos(data, arguments.photos, say)
    start = ""
    if weights:
        side = recipe.side_at(0.0)
        # As many pixels, whatever the side: the first map of 256 of 224 pixels takes 3 GB.
        n = max(1, round(START_PHOTOS * min(1, (START_SIDE / side) ** 2)))
        student.start_from(weights.state, photos.whole(slice(held_out, held_out + n), side))
        start = weights.sha256
    photos = photos.to(device)
    say(f"{len(photos):,} photos decoded in {time.monotonic() - begun:.0f} s, to {device}")
    workshop = Workshop(
        teachers=teachers,
        photos=photos[held_out:],
        held_out=photos[:held_out],
        retrieval=_open_retrieval(data / "corel1k", say),
        folder=arguments.run,
        parts=arguments.parts,
        say=say,
        begun=begun,
        start=start,
    )
    training = Run(student, recipe, budget, workshop)
    with _asked_to_stop(training):
        return training.train()


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be trained, before anything is read.

    Raises:
        LookalikeError: when an option, or two of them together, cannot be used.
    """
    from export.teachers import GOOGLENET_SIDE

    if "googlenet" in arguments.teachers and arguments.teacher_side != GOOGLENET_SIDE:
        raise LookalikeError(
            "GoogLeNet sees 224 pixels only. Leave out --teacher-side, or name --teachers "
            "mobilenet_v2_a mobilenet_v2_b."
        )
    _schedule(arguments.sides)
    if arguments.beside and not _is_side(arguments.beside):
        raise LookalikeError("--beside takes pixels, a multiple of 16 from 32 to 448.")
    for name in ("spoiled", "sharpened", "tiled", "hold", "kept", "mixup", "low", "warm_up"):
        if not 0 <= getattr(arguments, name) <= 1:
            raise LookalikeError(f"--{name.replace('_', '-')} takes a share, from 0 to 1.")
    if arguments.spoiled + arguments.sharpened > 1:
        raise LookalikeError("--spoiled and --sharpened together must be at most 1.")
    for name, least in LEAST.items():
        value = getattr(arguments, name)
        if value is not None and not least <= value < math.inf:  # nor is it nan
            raise LookalikeError(f"--{name.replace('_', '-')} must be at least {least}.")
    if not 0 <= arguments.seed < 2**32:
        raise LookalikeError("--seed takes a number from 0 to 4294967295.")
    if len(set(arguments.teachers)) < len(arguments.teachers):
        raise LookalikeError("--teachers names one twice. Name each once.")
    if (arguments.kept or arguments.last_block) and not arguments.start:
        raise LookalikeError("--kept and --last-block need weights to begin from. Name --start.")
    for name in ("minutes", "rate"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < math.inf:
            raise LookalikeError(f"--{name} must be more than 0.")


def _recipe(arguments: argparse.Namespace) -> Recipe:
    """Return the recipe that the arguments name."""
    rate = LAST_BLOCK_RATE if arguments.last_block else RATE
    if arguments.rate is not None:
        rate = arguments.rate
    return Recipe(
        sides=_schedule(arguments.sides),
        batch=arguments.batch,
        rate=rate,
        warm_up=arguments.warm_up,
        low=arguments.low,
        class_weight=arguments.classes,
        relation_weight=arguments.relations,
        tiled=arguments.tiled,
        mixup=arguments.mixup,
        spoiled=arguments.spoiled,
        sharpened=arguments.sharpened,
        hold=arguments.hold,
        beside=arguments.beside,
        last_block=arguments.last_block,
        kept=arguments.kept,
        teacher_side=arguments.teacher_side,
        views=arguments.views,
        half=not arguments.fp32,
        seed=arguments.seed,
    )


@contextmanager
def _asked_to_stop(training: "Run") -> Iterator[None]:
    """Let Ctrl+C and SIGTERM end the training after the step it is at; a second one ends it now."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def stop(number: int, frame: FrameType | None) -> None:
        training.stop()
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in signals:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _open_retrieval(folder: Path, say: Callable[[str], None]) -> "Retrieval | None":
    from export.measuring import Retrieval
    from export.stored import list_pictures, readable

    if not folder.is_dir():
        say(f"There is no Corel-1k at {folder}, so only held-out photos are measured.")
        return None
    return Retrieval(readable(list_pictures(folder), say))


def _schedule(words: Sequence[str]) -> tuple[tuple[int, float], ...]:
    """Read sides and where they begin: 64@0 96@0.8.

    Raises:
        LookalikeError: when they are no schedule.
    """
    try:
        pairs = [word.split("@") for word in words]
        sides = tuple((int(side), float(start)) for side, start in pairs)
    except ValueError:
        sides = ()
    starts = [start for _, start in sides]
    right = sides and starts[0] == 0 and starts == sorted(set(starts)) and starts[-1] < 1
    right = right and not any(math.isnan(start) for start in starts)
    if not right or not all(_is_side(side) for side, _ in sides):
        raise LookalikeError(
            "--sides takes pixels, multiples of 16 from 32 to 448, each with the share of the "
            "schedule at which it begins, the first with 0: --sides 96@0 128@0.4 224@0.9"
        )
    return sides


def _is_side(pixels: int) -> bool:
    """Whether a trunk can be trained on pictures of that side."""
    return pixels % 16 == 0 and 32 <= pixels <= 448
