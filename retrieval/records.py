"""What a collection holds, as it is written and as it is read."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from retrieval.reduction import Matrix

Aspect = Literal["subject", "colour", "texture", "sketch"]


@dataclass(frozen=True)
class Content:
    """What was computed from the bytes of one file."""

    sha256: str
    width: int
    height: int
    taken: str | None
    embedding: Matrix  # (k,), unit
    thumbnail: bytes  # JPEG
    colour: Matrix | None = None  # (c,), unit
    texture: Matrix | None = None  # (t,), unit
    sketch: Matrix | None = None  # (s,), unit, by which copies are known


# The time of a file that looks changed to the next run, which reads it again: it could not even be
# read, for a reason that may pass (it was locked, not permitted, not there just then), or the
# vectors of its content are lost (`retrieval.lost`).
PASSING = -1


@dataclass(frozen=True)
class Entry:
    """One file, as it is to be written: with the hash of a content, or the reason for none."""

    path: str  # relative to the pictures' folder, with forward slashes
    size: int  # bytes
    modified: int  # nanoseconds since 1970
    label: str  # the first subfolder, or what a CSV says; "" for none
    sha256: str | None
    problem: str | None = None
    details: str = ""  # what a CSV says beside the label, as a JSON object; "" for nothing


@dataclass(frozen=True)
class PictureRecord:
    """One picture of a collection, as it is shown."""

    id: int
    path: str
    label: str
    size: int
    width: int
    height: int
    taken: str | None
    sha256: str
    details: str = ""

    @property
    def captions(self) -> dict[str, str]:
        """What a CSV beside the pictures says of this one, by column."""
        return captions_in(self.details)


def captions_in(details: str) -> dict[str, str]:
    """Return captions by column, from a JSON object; none where that is torn (`check` mends it)."""
    with suppress(ValueError):
        captions = json.loads(details or "{}")
        if isinstance(captions, dict):
            return captions
    return {}


@dataclass(frozen=True)
class Move:
    """A file that is known by another path: only the path changes."""

    old: str
    new: Entry  # its sha256 is not used


@dataclass(frozen=True)
class Embeddings:
    """All embeddings of a collection at one revision, row by row."""

    ids: npt.NDArray[np.int64]  # (n,), the pictures' ids
    vectors: Matrix  # (n, k), unit
    revision: int
    # (n,), the contents' ids, and how often a vector of a content had been changed by then; not of
    # those from another gallery.
    contents: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    rewritten: str = ""

    def rows_of(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the row of each of some pictures; some other's for one that is not here."""
        at = np.searchsorted(self.ids, ids, sorter=self._by_id)
        rows: npt.NDArray[np.int64] = self._by_id[np.minimum(at, len(self.ids) - 1)]
        return rows

    @cached_property
    def _by_id(self) -> npt.NDArray[np.int64]:
        return np.argsort(self.ids)
