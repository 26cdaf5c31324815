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

    @classmethod
    def bounded(cls, *shares: float) -> "Weights":
        """Return what a browser or an address says, brought into the bounds."""
        return cls(*(min(1.0, share) if share >= 1e-3 else 0.0 for share in shares))

    def __post_init__(self) -> None:
        parts = (self.subject, self.colour, self.texture)
        # One that is hardly more than nothing would be nothing in 32 bits.
        if not all(part == 0 or 1e-6 <= part <= 1 for part in parts):
            raise ValueError(f"weights from 0 to 1, not {parts}")

    @property
    def total(self) -> float:
        """Their sum, by which the weighted sum is divided."""
        return self.subject + self.colour + self.texture

    @property
    def subject_only(self) -> bool:
        """Whether neither colours nor texture count."""
        return not self.colour and not self.texture


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

    Each of the given holds one row; so does the result. An aspect that is not known of a picture,
    in a collection of an earlier version, does not count there: it has no numbers, or zeros.
    """

    def joined(name: str) -> Matrix:
        near: list[Matrix] = [getattr(picture, name) for picture in positives]
        rows = [row for row in near if row.any()]
        far = [row for row in (getattr(picture, name) for picture in negatives) if row.any()]
        width = rows[0].shape[1] if rows else 0
        if near and not rows:
            return near[0]
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


def fit(query: Aspects, widths: Sequence[int]) -> Aspects:
    """Return the query without what a collection does not know, and zeros for what it lacks itself.

    Args:
        widths: how many numbers the collection has of the subject, the colours and the texture.
    """

    def fitted(vector: Matrix, width: int) -> Matrix:
        return vector if vector.shape[1] == width else np.zeros((len(vector), width), np.float32)

    parts = (query.subject, query.colour, query.texture)
    return Aspects(*(fitted(part, width) for part, width in zip(parts, widths, strict=True)))


def balance(weights: Weights, widths: Sequence[int]) -> Matrix:
    """Return the root of each number's weight, so that products of two are weighted means.

    Args:
        widths: how many numbers the subject, the colours and the texture have.
    """
    parts = (weights.subject, weights.colour, weights.texture)
    roots: Matrix = np.sqrt(np.repeat(parts, widths) / weights.total).astype(np.float32)
    return roots
