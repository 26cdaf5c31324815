"""Several pictures as one query: more like these, less like those."""

import numpy as np

from retrieval.errors import LookalikeError
from retrieval.reduction import Matrix, to_unit

# How much of the mean of the negatives is taken away. Rocchio's relevance feedback is the mean of
# the positives minus a part of the mean of the negatives ("Introduction to Information Retrieval",
# Manning, Raghavan and Schuetze 2008, ch. 9.1.1, which finds 0.15 for text; pictures bear more).
NEGATIVE_SHARE = 0.4


def combine(positives: Matrix, negatives: Matrix) -> Matrix:
    """Return the unit query `(1, k)` for unit vectors `(p, k)` to be near and `(q, k)` to be far.

    Raises:
        LookalikeError: without a positive, or when nothing is left of them.
    """
    if not len(positives):
        raise LookalikeError("Choose at least one picture that the results should be like.")
    query = positives.mean(axis=0)
    if len(negatives):
        query = query - NEGATIVE_SHARE * negatives.mean(axis=0)
    if np.linalg.norm(query) < 1e-6:
        raise LookalikeError(
            "These pictures cancel each other out. Take one of them away and try again."
        )
    return to_unit(query[None])
