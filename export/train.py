r"""The command `python -m export train`: a VGG-16 of our own, by distillation.

A student with VGG-16's convolutions learns to see what stronger ImageNet networks see on unlabelled
photos. Wanted beside the repository, in `../shared/data` or where --data says: `photos/*.zip`,
`teacher/*.onnx`, and `corel1k/`, which is only measured on and may be left out.

On a GPU, for 30 minutes, all three teachers:

    python3 -m export train --minutes 30 --sides 112@0 160@0.45 224@0.75 --hold 0.6 --rate 0.1 \
        --views 20 --mixup 0.2 --spoiled 0.3 --sharpened 0.15 --tiled 0.2 --classes 0.5 \
        --relations 30 --start assets/models/lookalike-vgg16.onnx

On a CPU, in the background, from where the shipped model stands, at the 224 pixels of the app:

    nohup nice -n 19 python3 -m export train --minutes 120 --last-block --kept 0.2 \
        --sides 224@0 --spoiled 0.5 --beside 128 --batch 48 \
        --start assets/models/lookalike-vgg16.onnx > training.log 2>&1 &

--start takes any VGG-16 trunk: folded, as in a model of ours, it is given back its batch
normalisation, and heads that it lacks are fitted to it before the first step.

Behind the trunk fc1 and fc2 learn, which take its pooled map (GeM) and add to it; with --hidden 0
there are none, and the heads stand behind the map's mean.

Killed, the same command goes on from its last checkpoint. The results lie in the --run folder:
`vgg16.safetensors`, folded, for `python -m export --layer fc2 --pool gem --half --weights FILE`,
and `vgg16-start.safetensors`, with batch normalisation and heads, for another `--start`. Of a trunk
alone `--layer pool5` is taken, and `python -m export connect --model FILE` makes fully connected
layers for a model that was exported from it.

--parts FOLDER lays the results there too, in files under 16 MiB each. `.ci/lent-gpu.md` tells how
to train on a machine that takes the data only in pieces.

Try --fp32 on a processor that does not multiply bfloat16 by itself (avx512_bf16 or amx_bf16 in
/proc/cpuinfo). Forward and backward of the trunk at 64 pixels, batches of 64, pictures a second:
two cores of a Zen 4, 24 in floats and 49 in bfloat16; of a Sapphire Rapids whose AMX is hidden, 32
and 22.

What runs have taught. On two cores twice, the second time from where the first had ended: 97 and
102 minutes, 88,320 and 147,712 pictures, the two MobileNets at 160 pixels as teachers. Then once on
an H200, from where those had ended, for all that a lease of 15 minutes leaves:

    --minutes 10.6 --mixup 0.3 --views 20 --sides 96@0 112@0.3 128@0.55 160@0.82

2,884,608 pictures in 9.2 minutes of steps, each photo 63 times. The average of the weights, on
held-out photos (cosine and agreement with the teachers of that run) and on Corel-1k (mean pooling,
no PCA):

    run  minute  pixels  cosine  top-1   P@10  hit@10   mAP
      1       1      64   0.172  13.1%   86.9    98.4  73.0   the first trunk, and new heads
      1      38      64   0.475  25.6%   87.6    98.6  75.3
      1      76      80   0.493  27.1%   88.9    99.1  77.8
      1      97      96   0.491  27.5%   89.3    99.2  78.0
      2       2      64   0.514  25.2%   87.7    98.8  75.5   its trunk, and heads fitted to it
      2      38      64   0.530  28.3%   87.4    98.4  76.2
      2      76      80   0.548  30.7%   89.1    99.1  78.0
      2     102      96   0.552  30.9%   89.5    99.2  78.9
    GPU       1      96   0.590  35.2%   89.7    99.3  79.0   three teachers at 224 pixels
    GPU       4      96   0.667  50.2%   92.6    99.4  82.2
    GPU       6     112   0.692  54.7%   92.4    99.3  82.1
    GPU       9     128   0.701  53.9%   93.2    99.6  83.4
    GPU    10.6     160   0.707  56.4%   92.9    99.5  82.9

What it rests on: how many pictures are seen. The loss still fell when the rate had come to zero,
and the cosine of what is learned (0.727) is little above that of held-out photos, so more time is
worth more than more photos. Teachers: the three together reach P@10 96.3 and mAP 90.0 on Corel-1k
made as small as the photos, the two MobileNets 96.0 and 89.1; at 160 pixels instead of 224 these
two reach 95.1 and 87.6, at 128 pixels 94.4 and 86.1. On the H200 the teachers take more than half
of the time (130 of 255 microseconds a picture at 96 pixels); --views 20 asks them about 20 crops of
each photo and then shows these again, at 8,670 pictures a second instead of 3,550 (112 pixels).
The step from 128 to 160 pixels at the end brought agreement, and nothing on Corel-1k. Decoding took
46 seconds there, beside another program. The app looks at 224 pixels all the same: objects, of
which a crop shows more than a whole picture does, are then as large as training has shown them
(README's table; "Fixing the train-test resolution discrepancy", Touvron et al. 2019).

Then, on two cores again, only the last block, at 224 pixels, half of the pictures spoiled (JPEG,
blur, few pixels; the teachers saw them as they were), for 50 minutes:

    --last-block --sides 224@0 --spoiled 0.5 --beside 128 --batch 48 --kept 0.2

15,264 pictures, nearly each learned from twice, by a script of these losses that had the first four
blocks computed in 8 bits by OpenVINO (34 ms a picture at 224 pixels; in bfloat16 by torch it is
twice that). On held-out photos KL and cosine distance went from 0.245 and 0.342 to 0.201 and 0.330
at 224 pixels, from 0.177 and 0.305 to 0.134 and 0.304 at 128. The result lies between the trunk
before and this one (PCA of 1,500 photos; half of CIFAR-10's part; 100 spoiled queries of Corel-1k,
P@10):

    share of     Corel-1k     CIFAR-10   shipped pictures   JPEG of quality   blur of 4 pixels
    the new    P@10   mAP   P@10   mAP     P@10    mAP          5     10          in 384
       0       94.3  85.5   61.4  38.4     88.8   85.8       32.4   66.5           46.0
       0.5     94.2  85.2   63.1  40.5     88.6   85.0       48.5   79.6           71.1
       0.8     94.2  85.0   63.8  41.3     88.0   84.4       64.6   84.3           75.9   taken
       1       94.2  84.8   64.3  41.8     87.6   84.0       72.0   86.0           79.6

So at 224 pixels a trunk that has seen photos of 112 enlarged, and pictures with little in them, is
worth more for these than it loses for sharp ones, and a few thousand pictures are enough: after 12
minutes and 4,512 pictures it had 1.5 of the 2.9 points of P@10 on CIFAR-10, and 35 of the 40 of
JPEGs of quality 5. Sharp photos of more than 112 pixels would be needed to gain there as well.

Last on an H200 again, with fc1 and fc2 behind the trunk, all of it learning, from what then
shipped; the command is the first one above with --minutes 10.2 and --views 10. 2,537,472 pictures
in 8.9 minutes of steps, each photo 55 times. On held-out photos, whole, and on Corel-1k without
PCA:

    minute  pixels    KL   cosine  top-1   P@10  hit@10   mAP
       1.3     112          0.666  49.8%   93.5    99.3  82.6   what shipped, heads fitted to it
       3.8     112  0.137   0.706  57.8%   94.2    99.4  85.1
       6.3     160  0.112   0.721  58.4%   94.9    99.5  86.7
       8.9     224  0.110   0.719  56.1%   95.1    99.6  87.1
      10.2     224  0.106   0.721  56.1%   95.1    99.7  87.1

In 8 bits and with a PCA of 2,000 photos, P@10 and mAP, before and after: Corel-1k 94.8, 87.2 and
95.1, 87.2; half of CIFAR-10's part 65.4, 46.8 and 76.1, 59.6; the shipped pictures 87.1, 83.8 and
85.7, 82.8; JPEGs of quality 5 found in 77.5 and 85.9, blurred by 4 pixels in 384 89.0 and 90.7.
The teachers cost a quarter of the time (3,350 pictures a second while they are asked, 7,600 after,
at 112 pixels); holding the first two blocks is worth half as much again (4,200 and 6,300 at 160).
The KL still fell at every size, so more time is worth more again.

Not tried: other rates, weights of the losses, shares of the schedule or --low than the first
trunk's, the papers' or guesses; what is new in the last run one by one (--classes 0.5, --relations,
--tiled, --sharpened, --hold); the teachers made faster (they are run layer by layer).
"""

import argparse
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from export.data import TEACHERS, data_folder, open_device, open_photos
from export.recipe import HIDDEN
from retrieval.errors import LookalikeError
from retrieval.settings import HOME

if TYPE_CHECKING:
    from export.measuring import Retrieval
    from export.training import Run

# Photos by which a folded trunk is given back its batch normalisation, up to this side.
START_PHOTOS, START_SIDE = 256, 112
RATE = 0.2
LAST_BLOCK_RATE = 2e-4  # AdamW's
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
    add("--teachers", nargs="+", choices=TEACHERS, default=list(TEACHERS))
    add("--teacher-side", type=int, default=224, help="pixels that teachers see (default 224)")
    add(
        "--sides",
        nargs="+",
        default=list(SCHEDULE),
        metavar="SIDE@SHARE",
        help="pixels, and from which share of the schedule on (default: %(default)s)",
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
    add("--width", type=int, default=64, help="channels of the first convolution; 64 is VGG-16")
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

    from export.recipe import Budget, Recipe
    from export.student import Student
    from export.teachers import GOOGLENET_SIDE, open_teachers
    from export.training import Run, Workshop
    from export.weights import read_weights

    if "googlenet" in arguments.teachers and arguments.teacher_side != GOOGLENET_SIDE:
        raise LookalikeError(
            "GoogLeNet sees 224 pixels only. Leave out --teacher-side, or name --teachers "
            "mobilenet_v2_a mobilenet_v2_b."
        )
    rate = LAST_BLOCK_RATE if arguments.last_block else RATE
    if arguments.rate is not None:
        rate = arguments.rate
    recipe = Recipe(
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
    if arguments.beside and not _is_side(arguments.beside):
        raise LookalikeError("--beside takes pixels, a multiple of 16 from 32 to 448.")
    for name in ("spoiled", "sharpened", "tiled", "hold", "kept", "mixup", "low", "warm_up"):
        if not 0 <= getattr(arguments, name) <= 1:
            raise LookalikeError(f"--{name.replace('_', '-')} takes a share, from 0 to 1.")
    if arguments.spoiled + arguments.sharpened > 1:
        raise LookalikeError("--spoiled and --sharpened together must be at most 1.")
    for name, least in (("hidden", 0), ("views", 0), ("steps", 1), ("batch", 1), ("width", 1)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise LookalikeError(f"--{name} must be at least {least}.")
    if len(set(arguments.teachers)) < len(arguments.teachers):
        raise LookalikeError("--teachers names one twice. Name each once.")
    if (arguments.kept or arguments.last_block) and not arguments.start:
        raise LookalikeError("--kept and --last-block need weights to begin from. Name --start.")
    if arguments.minutes is not None and not arguments.minutes > 0:
        raise LookalikeError("--minutes must be more than 0.")
    budget = Budget(
        arguments.minutes, arguments.steps, arguments.measure_every, arguments.save_every
    )
    device = open_device(arguments.device)
    torch.manual_seed(arguments.seed)
    torch.backends.cudnn.benchmark = True
    data = arguments.data or data_folder()
    teachers = open_teachers(data / "teacher", arguments.teachers, device)
    student = Student(arguments.teachers, arguments.width, arguments.hidden)

    photos, held_out = open_photos(data, arguments.photos, say)
    start = ""
    if arguments.start:
        weights, side = read_weights(*arguments.start), recipe.side_at(0.0)
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
    """Read sides and where they begin: 64@0 96@0.8."""
    try:
        pairs = [word.split("@") for word in words]
        sides = tuple((int(side), float(start)) for side, start in pairs)
    except ValueError:
        sides = ()
    starts = [start for _, start in sides]
    right = sides and starts[0] == 0 and starts == sorted(set(starts)) and starts[-1] < 1
    if not right or not all(_is_side(side) for side, _ in sides):
        raise LookalikeError(
            "--sides takes pixels, multiples of 16 from 32 to 448, each with the share of the "
            "schedule at which it begins, the first with 0: --sides 96@0 128@0.4 224@0.9"
        )
    return sides


def _is_side(pixels: int) -> bool:
    """Whether a trunk can be trained on pictures of that side."""
    return pixels % 16 == 0 and 32 <= pixels <= 448
