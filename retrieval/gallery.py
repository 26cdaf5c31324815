"""Where the vectors of a collection's pictures are kept and ranked: the one part that engines swap.

`retrieval.exact` keeps them beside the pictures' records and ranks them in memory, which is the
default; `retrieval.milvus` hands both to a Milvus server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retrieval.embedding import Aspects
from retrieval.query import Filters, Weights
from retrieval.records import Aspect, Embeddings
from retrieval.reduction import Matrix

EXACT = "exact"
# What pictures are ranked by. The sketch, by which copies know each other, is only ever read for a
# few pictures at a time and stays with their records.
RANKED: tuple[Aspect, ...] = ("subject", "colour", "texture")


@dataclass(frozen=True)
class Described:
    """A picture as a gallery takes it: what it may be filtered by, and its vectors."""

    id: int
    path: str
    label: str
    width: int
    height: int
    taken: str | None
    vectors: Mapping[Aspect, Matrix]  # (k,), (c,) and (t,), unit; an aspect not kept is left out


@dataclass(frozen=True)
class Ranking:
    """The pictures that are most similar to a query, the most similar first."""

    ids: npt.NDArray[np.int64]  # (k,)
    similarities: Matrix  # (k,), -1 to 1
    compared: int  # pictures that pass the filters, of which these are the best
    method: str = EXACT  # or "approximate, HNSW": how they were found


class Gallery(Protocol):
    """The vectors of pictures, by the pictures' ids."""

    def add(self, pictures: Sequence[Described]) -> None:
        """Take pictures in; one that is known by its id is replaced."""
        ...

    def remove(self, ids: Sequence[int]) -> None:
        """Forget pictures; those that are not known are passed over."""
        ...

    def count(self) -> int:
        """Return how many pictures are known."""
        ...

    def search(self, query: Aspects, weights: Weights, filters: Filters, k: int) -> Ranking:
        """Rank the pictures that pass the filters by the weighted mean of their cosines."""
        ...

    def widths(self) -> dict[Aspect, int]:
        """Return how many numbers each aspect has that is kept."""
        ...

    def fetch(self, ids: Sequence[int], aspect: Aspect) -> Matrix:
        """Return vectors `(n, k)`; zeros where a picture or its aspect is not known."""
        ...

    def read(self, aspect: Aspect) -> Embeddings:
        """Return all vectors of an aspect, in the order of the pictures' paths.

        Raises:
            LookalikeError: when there are too many to be held in memory.
        """
        ...

    def state(self) -> int:
        """Return a number that changes when the pictures do, or many of them."""
        ...

    def sample(self, weights: Weights) -> Matrix:
        """Return vectors of pictures from all over, of which two multiply to a weighted mean."""
        ...
