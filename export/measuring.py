"""How good a student is while it learns: held-out photos, and retrieval on Corel-1k."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from export.photos import Photos
from export.stored import Stored
from export.student import Student
from export.teachers import Teacher
from retrieval.evaluation import METRICS, Labelled, measure_queries
from retrieval.images import open_picture
from retrieval.preprocessing import Preprocessing, preprocess
from retrieval.reduction import to_unit

SHOWN = ("P@10", "hit@10", "mAP")


@dataclass(frozen=True)
class Targets:
    """What the teachers say of pictures."""

    logits: Tensor  # (n, 1000), their log-probabilities averaged
    embeddings: tuple[Tensor, ...]  # (n, d) of each teacher

    def half(self) -> "Targets":
        """Return the same in 16 bits, to be kept."""
        return Targets(self.logits.half(), tuple(each.half() for each in self.embeddings))


def ask(teachers: Sequence[Teacher], pictures: Tensor) -> Targets:
    """Ask the teachers about RGB pictures from 0 to 255, `(n, 3, s, s)`."""
    answers = [teacher(pictures) for teacher in teachers]
    logits = torch.stack([logits for logits, _ in answers]).mean(0)
    return Targets(logits, tuple(embedding for _, embedding in answers))


def ask_whole(
    teachers: Sequence[Teacher], photos: Photos, side: int, batch: int, wanted: int
) -> Targets:
    """Ask the teachers about the first `wanted` photos, whole."""
    parts = [ask(teachers, photos.whole(rows, side)) for rows in slices(wanted, batch)]
    embeddings = zip(*(part.embeddings for part in parts), strict=True)
    return Targets(
        torch.cat([part.logits for part in parts]), tuple(torch.cat(each) for each in embeddings)
    )


@dataclass(frozen=True)
class Agreement:
    """How far the student says on held-out photos what the teachers say."""

    cosine: float  # of centred embeddings, mean over photos and teachers
    top1: float  # share of photos whose most likely class is the teachers'


@torch.no_grad()
def agreement(
    student: Student,
    photos: Photos,
    targets: Targets,
    centres: Sequence[Tensor],
    side: int,
    batch: int,
) -> Agreement:
    """Hold the student, in evaluation mode, against the teachers on whole photos."""
    cosines, right = [], []
    for rows in slices(len(photos), batch):
        _, logits, embeddings = student(photos.whole(rows, side))
        right.append(logits.argmax(1) == targets.logits[rows].argmax(1))
        for ours, theirs, centre in zip(embeddings, targets.embeddings, centres, strict=True):
            cosines.append(F.cosine_similarity(ours.float(), theirs[rows] - centre))
    return Agreement(float(torch.cat(cosines).mean()), float(torch.cat(right).float().mean()))


class Retrieval:
    """Leave one out on readable pictures, each in the folder of its class; never trained on.

    Whole pictures, cosine, no PCA: a little below what the app reaches with its PCA.
    """

    def __init__(self, pictures: Sequence[Stored]) -> None:
        self._labels = tuple(picture.path.parent.name for picture in pictures)
        # Twice the largest side of a schedule is enough to shrink from.
        self._images = [open_picture(picture.read(), 448).image for picture in pictures]

    @torch.no_grad()
    def measure(self, student: Student, side: int, batch: int) -> dict[str, float]:
        """Return P@10, hit@10 and mAP in percent, of a student in evaluation mode."""
        how = Preprocessing(side=side, fit="squash", interpolation="bilinear", resize=side)
        device = student.mean.device
        features = []
        for rows in slices(len(self._images), batch):
            pictures = np.stack([preprocess(image, how) for image in self._images[rows]])
            planes = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float()
            features.append(student.described(planes).cpu().numpy())
        labelled = Labelled(to_unit(np.concatenate(features)), self._labels)
        means = 100 * measure_queries(labelled, labelled, leave_one_out=True).mean(axis=0)
        return {name: float(means[METRICS.index(name)]) for name in SHOWN}


def slices(n: int, batch: int) -> Iterator[slice]:
    """Yield `n` rows in batches."""
    return (slice(start, min(start + batch, n)) for start in range(0, n, batch))
