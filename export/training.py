"""Training by distillation: the steps, the average of the weights, the checkpoints.

"Knowledge distillation: A good teacher is patient and consistent", Beyer et al. 2022: student and
teachers look at the same crop, for long.
"""

import copy
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from export.errors import StoppedError
from export.losses import distances, relation
from export.measuring import Agreement, Retrieval, Targets, agreement, ask, ask_whole, slices
from export.photos import Photos, resize, rows_at
from export.recipe import BETWEEN_LINES, Budget, Recipe, seed_for, set_rates
from export.spoiling import as_seen
from export.student import THIRD_BLOCK, Student, save_parts, save_state
from export.teachers import Teacher
from retrieval.errors import LookalikeError
from retrieval.files import replace_when_done

CENTRE_PHOTOS = 4096  # whose mean embedding is the centre of a teacher's embeddings
CHECKPOINT = "checkpoint.pt"
RESULT = "vgg16"
SYNCHRONISE = 10  # steps between looks at a loss, for which a GPU has to be waited for


@dataclass(frozen=True)
class Workshop:
    """What a run works with: all on one device."""

    teachers: Sequence[Teacher]
    photos: Photos  # to learn from
    held_out: Photos  # never learned from
    retrieval: Retrieval | None  # None where there are no pictures to measure it on
    folder: Path  # of checkpoints and results
    parts: Path | None  # where the results are laid once more, in parts
    say: Callable[[str], None]
    begun: float  # `time.monotonic()` when the time began to count
    start: str = ""  # SHA-256 of the weights that the student began from


class Run:
    """One training, which can be killed at any moment and goes on from its last checkpoint.

    With a budget of minutes the schedule follows the clock, so a machine that slows down sees fewer
    pictures and still ends in time at a learning rate of zero.
    """

    def __init__(
        self, student: Student, recipe: Recipe, budget: Budget, workshop: Workshop
    ) -> None:
        self.recipe, self._budget, self._in = recipe, budget, workshop
        self._device = workshop.photos.pixels.device
        self.student = student.to(self._device).to(memory_format=torch.channels_last)
        if recipe.last_block:
            self.student.hold_all_but_the_last_block()
        self.average = copy.deepcopy(self.student).eval().requires_grad_(False)
        # Only where something of it is kept: it takes as much room as the student.
        self._first = copy.deepcopy(self.student.brought()) if recipe.kept else {}
        self._optimizers = _optimizers(self.student, recipe)
        self.step = 0
        self.seconds = 0.0  # of earlier starts of this run
        self._learned = 0.0  # seconds of earlier starts that went by after they had got going
        self._going_since = math.inf  # `time.monotonic()` when this start got going
        self._reserve = 0.0  # seconds that the end takes: the last measurement, and writing
        self._followed = 0.0  # how much of the schedule was done when the average last moved
        self._best = -1.0
        self._centres: tuple[Tensor, ...] = ()
        self._targets: Targets | None = None
        self._said: dict[int, Targets] = {}  # by the teachers of each batch that comes again
        self._holding = False  # whether the first blocks stand still
        self._stopping = False

    @property
    def elapsed(self) -> float:
        """Seconds that this run has taken, earlier starts included."""
        return self.seconds + time.monotonic() - self._in.begun

    @property
    def learned(self) -> float:
        """Seconds of `elapsed` since the schedule began, getting going left out."""
        return self._learned + max(time.monotonic() - self._going_since, 0.0)

    @property
    def progress(self) -> float:
        """How much of the schedule is done, from 0 to 1."""
        if self._budget.steps is not None:
            return min(self.step / self._budget.steps, 1.0)
        assert self._budget.minutes is not None
        # What was needed to get going is no part of the schedule, or it would begin in its middle.
        left = 60 * self._budget.minutes - self._reserve - self.elapsed
        return self.learned / (self.learned + left) if left > 0 else 1.0

    def stop(self) -> None:
        """Make `train` write a checkpoint and return after the step that it is at."""
        self._stopping = True

    def train(self) -> str:
        """Train to the end and write the result; return a line about it.

        Raises:
            LookalikeError: when the checkpoint is another recipe's, or the loss is not a number.
        """
        self._resume()
        self._look_around()
        say, saved = self._in.say, time.monotonic()
        cost = self._measure()
        self._reserve = self._cost_at_the_end(cost)
        if self.progress >= 1 and not self.step:
            raise LookalikeError(
                f"The --minutes were over before the first step, so nothing was written: getting "
                f"ready took {self.elapsed / 60:.1f}, and the end takes {self._reserve / 60:.1f}. "
                "Name more."
            )
        measured = lined = self._going_since = time.monotonic()
        since, sums = self.step, torch.zeros(3, device=self._device)
        while (progress := self.progress) < 1:
            if progress >= self.recipe.hold and not self._holding:
                self._hold()
            sums += self._one_step(progress)
            if self._stopping:
                self._save()
                raise StoppedError(
                    f"Stopped after step {self.step:,}. The same command goes on from there."
                )
            now = time.monotonic()
            if self.step % SYNCHRONISE == 0 or now - lined > BETWEEN_LINES:
                total, kl, cosine = (sums / (self.step - since)).tolist()
                if not math.isfinite(total):
                    raise LookalikeError(
                        "The loss is not a number any more. Start again with a lower --rate, in "
                        "another --run folder."
                    )
                now = time.monotonic()
                if now - lined > BETWEEN_LINES:
                    pictures = (self.step - since) * self.recipe.batch
                    say(
                        f"{self._when()} KL {kl:.3f}, embeddings {cosine:.3f}, "
                        f"rate {self.recipe.rate_at(progress):.4f}, "
                        f"{pictures / (now - lined):,.0f} pictures/s"
                    )
                    lined, since = now, self.step
                    sums.zero_()
            # Never more than a twentieth of the time for measuring.
            if now - measured > max(60 * self._budget.measure_every, 20 * cost):
                cost = self._measure()
                self._reserve = self._cost_at_the_end(cost)
                self._save()
                measured = lined = saved = time.monotonic()
                since = self.step
                sums.zero_()
            elif now - saved > 60 * self._budget.save_every:
                self._save()
                saved = time.monotonic()
        self._measure(last=True)
        self._save()
        pictures = self.step * self.recipe.batch
        return (
            f"{self._in.folder / RESULT}.safetensors: {self.step:,} steps, {pictures:,} pictures, "
            f"{self.elapsed / 60:.1f} minutes"
        )

    # --- one step ---

    def _one_step(self, progress: float) -> Tensor:
        """Learn from one batch; return loss, KL and cosine distance, still on the device."""
        recipe, photos = self.recipe, self._in.photos
        # Of what is left out behind fc1, so that a run that was killed goes on to the same weights.
        torch.manual_seed(seed_for(recipe.seed, self.step))
        batch = self.step
        if recipe.views:
            batch %= max(recipe.views * len(photos) // recipe.batch, 1)
        generator = torch.Generator().manual_seed(seed_for(recipe.seed, batch))
        rows = rows_at(batch, recipe.batch, len(photos), recipe.seed)
        side = recipe.side_at(progress)
        crops = photos.crop(rows, recipe.crop_side(side), generator, recipe.low, recipe.tiled)
        if recipe.mixup:
            crops = _mix(crops, recipe.mixup, generator)
        for optimizer in self._optimizers:
            set_rates(optimizer, progress, recipe.warm_up)
        targets = self._said.get(batch)
        if targets is None:
            targets = ask(self._in.teachers, resize(crops, recipe.teacher_side))
            if recipe.views:
                # In 16 bits at once, for the same reason.
                targets = self._said[batch] = targets.half()
        self.student.zero_grad(set_to_none=True)
        losses = self._learn(self.student.train(), crops, side, targets, generator)
        torch.nn.utils.clip_grad_norm_(_parameters(self._optimizers[0]), recipe.clip)
        for optimizer in self._optimizers:
            optimizer.step()
        self.step += 1
        self._follow(progress)
        return losses

    def _learn(
        self,
        student: Student,
        crops: Tensor,
        side: int,
        targets: Targets,
        generator: torch.Generator,
    ) -> Tensor:
        """Find the gradients of a batch; return loss, KL and cosine distance `(3,)`."""
        recipe = self.recipe
        seen = as_seen(resize(crops, side), recipe.spoiled, recipe.sharpened, generator)
        shown = [seen, resize(crops, recipe.beside)] if recipe.beside else [seen]
        found = []
        for pictures in shown:  # one after the other, so that only one's maps are in memory
            losses = self._losses(student, pictures, targets)
            torch.autograd.backward(losses[0])
            found.append(losses.detach())
        return torch.stack(found).mean(0)

    def _losses(self, student: Student, pictures: Tensor, targets: Targets) -> Tensor:
        """Return loss, KL and cosine distance `(3,)` of a student that sees `pictures`."""
        recipe = self.recipe
        with torch.autocast(self._device.type, torch.bfloat16, enabled=recipe.half):
            features, logits, embeddings = student(pictures)
        kl, cosine = distances(logits, embeddings, targets, self._centres, recipe.temperature)
        total = recipe.class_weight * recipe.temperature**2 * kl
        total = total + recipe.embedding_weight * cosine
        if recipe.relation_weight:
            total = total + recipe.relation_weight * relation(features, targets, self._centres)
        return torch.stack([total, kl, cosine])

    @torch.no_grad()
    def _follow(self, progress: float) -> None:
        """Move the average towards the student; its half-life is a share of the schedule."""
        # After a measurement that took longer than the one before, less may be done than was.
        done = max(progress - self._followed, 0.0)
        self._followed = progress
        keep = min(0.5 ** (done / self.recipe.half_life), (1 + self.step) / (10 + self.step))
        theirs = self.student.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - keep)

    def _hold(self) -> None:
        """Let the first blocks stand still as their average is: it is less noisy."""
        ours, theirs = self.student.features, self.average.features
        ours[:THIRD_BLOCK].load_state_dict(theirs[:THIRD_BLOCK].state_dict())
        self.student.hold_first_blocks()
        self._holding = True

    # --- before the first step ---

    def _look_around(self) -> None:
        """Find the teachers' centres and what they say of held-out photos; plan the schedule."""
        recipe, inside = self.recipe, self._in
        if not self._centres:
            wanted = min(CENTRE_PHOTOS, len(inside.photos))
            answers = ask_whole(
                inside.teachers, inside.photos, recipe.teacher_side, recipe.batch, wanted
            )
            self._centres = tuple(embedding.mean(0) for embedding in answers.embeddings)
            if self.student.lacks_heads:
                self._fit_heads(answers)
        self._targets = ask_whole(
            inside.teachers,
            inside.held_out,
            recipe.teacher_side,
            recipe.batch,
            len(inside.held_out),
        )
        if self._budget.minutes is None:
            return
        left = max(0.0, 60 * self._budget.minutes - self.elapsed)
        expected = 0.0
        start = 0.0
        for side, share in recipe.shares():
            rate = self._pictures_per_second(side, start >= recipe.hold)
            start += share
            expected += rate * share * left
            inside.say(f"{side} pixels: {rate:,.0f} pictures/s, {share:.0%} of the time")
        inside.say(
            f"{len(inside.photos):,} photos, {left / 60:.1f} minutes: about {expected:,.0f} "
            f"pictures, {expected / len(inside.photos):,.1f} times each"
        )

    @torch.no_grad()
    def _fit_heads(self, answers: Targets) -> None:
        """Give a trunk that came without heads such as suit it."""
        side, photos, wanted = self.recipe.side_at(0.0), self._in.photos, len(answers.logits)
        self.student.eval()
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.recipe.half):
            pooled = [
                self.student.before_heads(photos.whole(rows, side))
                for rows in slices(wanted, self.recipe.batch)
            ]
        embeddings = [
            each - centre for each, centre in zip(answers.embeddings, self._centres, strict=True)
        ]
        self.student.fit_heads(torch.cat(pooled), answers.logits, embeddings)
        self.average.load_state_dict(self.student.state_dict())

    def _pictures_per_second(self, side: int, holding: bool) -> float:
        """Time one step's work at `side` on a copy, which leaves the student as it is."""
        student = copy.deepcopy(self.student)
        if holding:
            student.hold_first_blocks()
        student.train()
        # A processor takes seconds for a whole batch, and is as fast with a part of it; a GPU is
        # not, and chooses its algorithms for the batch that comes.
        small = self._device.type == "cpu"
        n = min(16 if small else self.recipe.batch, self.recipe.batch)
        rows = torch.arange(n) % len(self._in.photos)
        generator = torch.Generator().manual_seed(0)
        seconds = math.inf
        for _ in range(2 if small else 5):
            begun = time.monotonic()
            crop_side = self.recipe.crop_side(side)
            crops = self._in.photos.crop(rows, crop_side, generator, self.recipe.low)
            targets = ask(self._in.teachers, resize(crops, self.recipe.teacher_side))
            float(self._learn(student, crops, side, targets, generator)[0])
            if not small:
                torch.cuda.synchronize()
            seconds = min(seconds, time.monotonic() - begun)
        return n / seconds

    # --- measuring and keeping ---

    def _measure(self, last: bool = False) -> float:
        """Measure what would be the result, and write it where it is better; return the seconds."""
        begun = time.monotonic()
        side = self.recipe.side_at(1.0 if last else self.progress)
        assert self._targets is not None
        result = self._result()
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.recipe.half):
            found = agreement(
                result,
                self._in.held_out,
                self._targets,
                self._centres,
                side,
                self.recipe.batch,
            )
            figures = (
                self._in.retrieval.measure(result, side, self.recipe.batch)
                if self._in.retrieval
                else {}
            )
        self._in.say(self._when() + _figures(found, figures))
        # The schedule's last is taken whatever it is: only there the rate has come to zero. What
        # has learned nothing yet is no result.
        if self.step and (last or found.cosine > self._best):
            self._best = found.cosine
            self._write(result)
        return time.monotonic() - begun

    def _cost_at_the_end(self, cost: float) -> float:
        """Return what a measurement will cost at the last side, from what it costs now."""
        now, end = self.recipe.side_at(self.progress), self.recipe.side_at(1.0)
        return 1.2 * cost * (end / now) ** 2 + 1

    def _when(self) -> str:
        side = self.recipe.side_at(self.progress)
        return f"[{self.elapsed / 60:6.1f} min {self.progress:4.0%} {side} px step {self.step:,}] "

    def _write(self, result: Student) -> None:
        folded, unfolded = result.folded(), result.unfolded()
        for stem, state in ((RESULT, folded), (f"{RESULT}-start", unfolded)):
            save_state(state, self._in.folder / f"{stem}.safetensors")
            if self._in.parts:
                save_parts(state, self._in.parts, stem)

    def _result(self) -> Student:
        """Return the average of the weights, between which and the first ones the result lies."""
        if not self.recipe.kept:
            return self.average
        result = copy.deepcopy(self.average)
        for name, value in result.state_dict().items():
            if name in self._first and value.is_floating_point():
                value.lerp_(self._first[name].to(value), self.recipe.kept)
        return result

    def _save(self) -> None:
        state = {
            "recipe": self._recipe_text(),
            "step": self.step,
            "seconds": self.elapsed,
            "learned": self.learned,
            "followed": self._followed,
            "best": self._best,
            "holding": self._holding,
            "student": self.student.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "centres": list(self._centres),
        }
        with replace_when_done(self._in.folder / CHECKPOINT) as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        path = self._in.folder / CHECKPOINT
        if not path.is_file():
            return
        try:
            kept: dict[str, Any] = torch.load(path, self._device, weights_only=True)
        except Exception as error:  # torch.load raises whatever damaged bytes make it raise
            raise LookalikeError(f"{path} is damaged. Delete it to start again.") from error
        if kept["recipe"] != self._recipe_text():
            raise LookalikeError(
                f"{path} was made with other options, photos or --start weights. Repeat them, or "
                "name another --run folder."
            )
        self.student.load_state_dict(kept["student"])
        self.average.load_state_dict(kept["average"])
        for optimizer, state in zip(self._optimizers, kept["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self._centres = tuple(kept["centres"])
        self.step, self.seconds = kept["step"], kept["seconds"]
        self._followed, self._best = kept["followed"], kept["best"]
        self._learned = kept["learned"]
        self._holding = kept["holding"]
        if self._holding:
            self.student.hold_first_blocks()
        self._in.say(f"Going on after step {self.step:,}, {self.seconds / 60:.1f} minutes in.")

    def _recipe_text(self) -> str:
        others = {
            "teachers": [teacher.name for teacher in self._in.teachers],
            "shapes": [list(value.shape) for value in self.student.state_dict().values()],
            "start": self._in.start,
            "photos": len(self._in.photos),
        }
        return json.dumps({**asdict(self.recipe), **others})


def _figures(found: Agreement, figures: dict[str, float]) -> str:
    text = f"held out: cosine {found.cosine:.4f}, top-1 agreement {found.top1:.1%}"
    if figures:
        text += "; Corel-1k: " + ", ".join(f"{name} {x:.1f}" for name, x in figures.items())
    return text


def _optimizers(student: Student, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return what moves the trunk, and what the layers behind it where these are apart."""
    behind = [student.connected, student.cls, student.emb] if student.connected else []
    apart = {p for module in behind if module for p in module.parameters()}
    trunk = _groups((p for p in student.parameters() if p not in apart), recipe)
    if recipe.last_block:
        # Where normalisations stand still, a kernel's length counts, and one rate does not suit
        # all kernels.
        first: torch.optim.Optimizer = torch.optim.AdamW(trunk, lr=recipe.rate)
    else:
        first = torch.optim.SGD(trunk, lr=recipe.rate, momentum=recipe.momentum, nesterov=True)
    optimizers = [first]
    if apart:
        rest = _groups((p for p in student.parameters() if p in apart), recipe)
        optimizers.append(torch.optim.AdamW(rest, lr=recipe.connected_rate))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["highest"] = group["lr"]
    return optimizers


def _groups(parameters: Iterable[Parameter], recipe: Recipe) -> list[dict[str, Any]]:
    """Part matrices and kernels, which are drawn to zero, from the others."""
    learning = [p for p in parameters if p.requires_grad]
    return [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": recipe.decay},
        {"params": [p for p in learning if p.ndim == 1], "weight_decay": 0.0},
    ]


def _parameters(optimizer: torch.optim.Optimizer) -> list[Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _mix(pictures: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Mix a share of the pictures with others of the batch, as mixup does: Zhang et al. 2018.

    The teachers see the mixtures too, as in Beyer et al. 2022.
    """
    drawn = torch.rand(2, len(pictures), generator=generator).to(pictures.device)
    other = torch.where(drawn[0] < share, drawn[1], 0.0).view(-1, 1, 1, 1)
    return torch.lerp(pictures, pictures.flip(0), other)
