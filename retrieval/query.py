"""What is asked: pictures to be like and unlike, what counts about them, and which may be found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.embedding import Aspects
from retrieval.feedback import combine
from retrieval.reduction import Matrix

SHAPES = ("landscape", "portrait", "square")


@dataclass(frozen=True)
class Weights:
    """How much each aspect counts: the ranking is by the weighted mean of their cosines."""

    subject: float = 1.0
    colour: float = 0.0
    texture: float = 0.0

    def __post_init__(self) -> None:
        parts = (self.subject, self.colour, self.texture)
        if not all(0 <= part <= 1 for part in parts):
            raise ValueError(f"weights from 0 to 1, not {parts}")

    @property
    def total(self) -> float:
        """Their sum, by which the weighted sum is divided."""
        return self.subject + self.colour + self.texture


SUBJECT_ONLY = Weights()


@dataclass(frozen=True)
class Filters:
    """Which pictures may be found; what is empty or None lets all pass."""

    label: str = ""
    folder: str = ""  # "trips/2024": in it or in a folder below it
    shape: str = ""  # one of SHAPES
    megapixels: float = 0.0  # at least
    since: str = ""  # "2024-07-31": taken on that day or later
    until: str = ""
    words: str = ""  # in what a CSV beside the pictures says of them

    @property
    def empty(self) -> bool:
        """Whether all pictures pass."""
        return self == NO_FILTERS


NO_FILTERS = Filters()


def join_aspects(positives: Sequence[Aspects], negatives: Sequence[Aspects]) -> Aspects:
    """Make one query of several pictures, aspect by aspect (see `retrieval.feedback`).

    Each of the given holds one row; so does the result.
    """

    def joined(name: str) -> Matrix:
        rows = [getattr(picture, name) for picture in positives]
        far = [getattr(picture, name) for picture in negatives]
        width = rows[0].shape[1] if rows else 0
        if rows and not width:
            return np.zeros((1, 0), np.float32)
        nothing = np.zeros((0, width), np.float32)
        return combine(
            np.concatenate(rows) if rows else nothing, np.concatenate(far) if far else nothing
        )

    return Aspects(joined("subject"), joined("colour"), joined("texture"))


def weigh(query: Aspects, weights: Weights) -> Matrix:
    """Return the vector whose product with a picture's joined vectors is the weighted mean.

    That is `(1, k + c + t)`; with the subject alone, `(1, k)`.

    Raises:
        ValueError: when nothing counts.
    """
    if not weights.total:
        raise ValueError("at least one aspect has to count")
    if weights == SUBJECT_ONLY:
        return query.subject
    parts = [
        weights.subject * query.subject,
        weights.colour * query.colour,
        weights.texture * query.texture,
    ]
    row: Matrix = np.hstack(parts).astype(np.float32) / np.float32(weights.total)
    return row


def balance(weights: Weights, widths: Sequence[int]) -> Matrix:
    """Return the root of each number's weight, so that products of two are weighted means.

    Args:
        widths: how many numbers the subject, the colours and the texture have.
    """
    parts = (weights.subject, weights.colour, weights.texture)
    roots: Matrix = np.sqrt(np.repeat(parts, widths) / weights.total).astype(np.float32)
    return roots
