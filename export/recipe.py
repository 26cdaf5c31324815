"""What decides how a student is trained: the recipe, the time it has, and its learning rates."""

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
    # Share of the pictures that the student sees spoiled, and pixels a side at which it sees the
    # same crops once more, unspoiled; 0 is not at all.
    spoiled: float = 0.0
    sharpened: float = 0.0  # share of all that it sees sharpened, none of them spoiled
    beside: int = 0
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
