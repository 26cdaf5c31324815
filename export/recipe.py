"""What decides how a student is trained: the recipe, the time it has, its learning rates and seeds.

What the runs of `python -m export train` have taught. On two cores twice, the second time from
where the first had ended: 97 and 102 minutes, 88,320 and 147,712 pictures, the two MobileNets at
160 pixels as teachers. Then once on an H200, from where those had ended, for all that a lease of 15
minutes leaves:

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
shipped; the command is the first one of `export/train.py` with --minutes 10.2 and --views 10.
2,537,472 pictures in 8.9 minutes of steps, each photo 55 times. On held-out photos, whole, and on
Corel-1k without PCA:

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

With --fp32 and without, forward and backward of the trunk at 64 pixels, batches of 64, pictures a
second: two cores of a Zen 4, 24 in floats and 49 in bfloat16; of a Sapphire Rapids whose AMX is
hidden, 32 and 22.

Not tried: other rates, weights of the losses, shares of the schedule or --low than the first
trunk's, the papers' or guesses; what is new in the last run one by one (--classes 0.5, --relations,
--tiled, --sharpened, --hold); the teachers made faster (they are run layer by layer).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

HIDDEN = 1216  # numbers that leave fc1: as many as a model's file of 32 MB has room for
BETWEEN_LINES = 20.0  # seconds from one line of losses to the next


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is learned; a run goes on only with the recipe it began with."""

    # Pixels a side, and the share of the schedule at which they begin.
    sides: tuple[tuple[int, float], ...] = ((96, 0.0), (128, 0.4), (192, 0.75), (224, 0.9))
    batch: int = 512
    rate: float = 0.2  # the highest learning rate
    # AdamW's, of fully connected layers and the heads behind them: SGD at the trunk's rate, which
    # its normalisations bear, throws these far off.
    connected_rate: float = 1e-3
    warm_up: float = 0.03  # share of the schedule in which the rate rises
    momentum: float = 0.9  # Nesterov's
    decay: float = 1e-4  # of matrices only
    clip: float = 5.0  # the largest norm of the gradient
    temperature: float = 2.0
    class_weight: float = 1.0  # of the KL divergence, beside temperature squared
    embedding_weight: float = 8.0  # of the cosine distance
    relation_weight: float = 0.0  # of how alike pictures are to one another
    low: float = 0.3  # the smallest share of a photo that is cropped
    tiled: float = 0.0  # share of the crops that are cut out of four photos laid together
    mixup: float = 0.0  # share of the pictures that are mixed with another
    spoiled: float = 0.0  # share of the pictures that the student sees spoiled
    sharpened: float = 0.0  # share of all that it sees sharpened, none of them spoiled
    beside: int = 0  # pixels a side at which it sees the same crops once more, unspoiled; 0: not
    # Share of the schedule at which the first two blocks begin to stand still: by then they have
    # learned what they will, and a step without them takes two thirds of the time.
    hold: float = 1.0
    # Only the last block and what lies behind it learn, by AdamW, and no normalisation follows the
    # pictures.
    last_block: bool = False
    # Share of the trunk's first weights in what is written ("Robust fine-tuning of zero-shot
    # models", Wortsman et al. 2022): what it could do before, it then does nearly as well.
    kept: float = 0.0
    teacher_side: int = 224
    # Different crops of each photo, after which they and what was said of them come again; 0 is
    # never. Where the teachers take most of the time, the student sees twice as many that way.
    views: int = 0
    half_life: float = 0.01  # of the average of the weights, as a share of the schedule
    half: bool = True  # bfloat16 where autocast allows it
    seed: int = 0

    def side_at(self, progress: float) -> int:
        """Return the side at a share of the schedule."""
        return [side for side, start in self.sides if start <= progress][-1]

    def crop_side(self, side: int) -> int:
        """Return the side of the crops that teachers and a student that sees `side` look at."""
        # What comes again has to be what it was, whatever the student's side has become.
        sides = [each for each, _ in self.sides] if self.views else [side]
        return max(*sides, self.beside, self.teacher_side)

    def rate_at(self, progress: float) -> float:
        """Return the learning rate."""
        return self.rate * share_of_rate(progress, self.warm_up)

    def shares(self) -> list[tuple[int, float]]:
        """Return each side with the share of the schedule that it has."""
        ends = [start for _, start in self.sides[1:]] + [1.0]
        return [(side, end - start) for (side, start), end in zip(self.sides, ends, strict=True)]


@dataclass(frozen=True)
class Budget:
    """How long to train: minutes in all, kills and pauses not counted, or a number of steps."""

    minutes: float | None = None
    steps: int | None = None
    measure_every: float = 5.0  # minutes
    save_every: float = 2.0  # minutes


def seed_for(seed: int, number: int) -> int:
    """Return the seed of what is drawn for a step, an epoch or a file, by its number in a run.

    No run has a million of them, so what one draws never comes again in a run of another seed.
    """
    return seed * 1_000_003 + number


def share_of_rate(progress: float, warm_up: float) -> float:
    """Return which share of the highest learning rate a share of the schedule has.

    It rises straight for `warm_up` of the schedule, and is half a cosine down to zero after that.
    """
    if progress < warm_up:
        return progress / warm_up
    done = min((progress - warm_up) / (1 - warm_up), 1.0)
    return (1 + math.cos(math.pi * done)) / 2


def set_rates(optimizer: "torch.optim.Optimizer", progress: float, warm_up: float) -> None:
    """Give each group of parameters the learning rate of a share of the schedule."""
    for group in optimizer.param_groups:
        group["lr"] = share_of_rate(progress, warm_up) * group["highest"]
