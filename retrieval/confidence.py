"""How sure is a match? Calibrated for each collection from its own pictures, not a fixed cut-off.

What a similarity means differs from collection to collection: in one of faces, strangers reach
0.8; in one of everything, hardly 0.3. So a similarity is measured against those between pairs of
the collection drawn at random, nearly all unrelated: by how many of their standard deviations does
it exceed their middle? Middle and spread are taken from the lower half, which related pairs (one in
ten, where there are ten kinds) do not reach.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from retrieval.reduction import Matrix

PAIRS = 5_000  # the middle is known to a fiftieth of the spread then

# In spreads. They were set on Corel-1k and the pictures that ship with the app; `python -m
# tests.measure_confidence` measures what they are worth there, and README tells it.
BOUNDS = (3.25, 4.75, 6.0)
# Where all pictures are of different things hardly any similarity is high, and one that is many
# spreads above the middle may be chance: of 41 photos of anything 13 in 126 results, between 0.33
# and 0.46, would be called very similar, and are not. So these similarities are wanted as well.
FLOORS = (0.0, 0.3, 0.5)
# The same with colours or texture, whose similarities hardly reach as far above unrelated ones.
OTHER_BOUNDS = (2.5, 3.5, 4.5)
REACH = 0.5  # spreads from the last bound to 1, at least
# A similarity of the subject, which in Corel-1k hardly any but bursts and repeats reach. That of
# colours is often as high between pictures of quite other things.
SAME = 0.97


class Confidence(IntEnum):
    """How near a match is, in five steps."""

    NONE = 0  # nothing here really matches
    LOOSE = 1  # loosely related
    SIMILAR = 2
    VERY = 3  # very similar
    SAME = 4  # almost the same picture


@dataclass(frozen=True)
class Calibration:
    """What unrelated pictures of one collection are like."""

    middle: float  # similarity
    spread: float  # similarity, one standard deviation
    subject_only: bool = True  # what is compared; with colours or texture nothing is the same

    def score(self, similarity: float) -> float:
        """Return by how many standard deviations a similarity exceeds that of unrelated ones."""
        return (similarity - self.middle) / self.spread

    def judge(self, similarity: float) -> Confidence:
        """Say how sure a match of this similarity is."""
        if self.subject_only and similarity >= SAME:
            return Confidence.SAME
        score = self.score(similarity)
        if not self.subject_only:
            return Confidence(sum(score >= bound for bound in OTHER_BOUNDS))
        reached = (
            score >= bound and similarity >= floor
            for bound, floor in zip(BOUNDS, FLOORS, strict=True)
        )
        return Confidence(sum(reached))


def bounds_of(subject_only: bool) -> tuple[float, ...]:
    """Return the scores at which loosely related, similar and very similar begin."""
    return BOUNDS if subject_only else OTHER_BOUNDS


def calibrate(vectors: Matrix, subject_only: bool = True) -> Calibration:
    """Measure the similarities of unrelated pictures among unit embeddings `(n, k)`.

    Args:
        subject_only: whether they are embeddings of the subject, without colours and texture.
    """
    n = len(vectors)
    if n < 10:
        # Too few to measure: of photos of all kinds the bundled model gives (-0.02, 0.07), of the
        # pictures that ship with the app, which have a style in common, (0.14, 0.12).
        return Calibration(0.05, 0.1) if subject_only else Calibration(0.0, 0.2, False)
    generator = np.random.default_rng(0)
    a = generator.integers(0, n, PAIRS)
    b = (a + generator.integers(1, n, PAIRS)) % n
    similarities = np.einsum("nk,nk->n", vectors[a], vectors[b])
    low, middle = np.percentile(similarities, [15.87, 50])
    # In a collection of near-equals (all of them faces, say) the spread would reach beyond 1, and
    # nothing could match: the scale always ends there.
    reach = bounds_of(subject_only)[-1] + REACH
    spread = min(float(middle - low), (1 - float(middle)) / reach)
    return Calibration(float(middle), max(spread, 0.005), subject_only)
