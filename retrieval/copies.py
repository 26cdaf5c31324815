"""The near-duplicates of a whole collection: groups of pictures, the one to keep first."""

from dataclasses import dataclass
from datetime import datetime

from retrieval.collection import Collection
from retrieval.duplicates import find_groups
from retrieval.errors import LookalikeError
from retrieval.records import PASSING, PictureRecord
from retrieval.sketch import COPY

CHANGED = "The collection was changed while it was compared. Open this page again."
LATEST = 4_102_444_800  # the year 2100, in seconds since 1970


@dataclass(frozen=True)
class Copy:
    """One picture of a group."""

    picture: PictureRecord
    # "2024-07-31": when it was taken, or its file was written where that is not known; "" for what
    # is waited for, as it has lost its vectors.
    date: str
    same_as: PictureRecord | None  # the first of its group whose bytes are the very same


Group = tuple[Copy, ...]  # two and more, the one to keep first


def find_copies(collection: Collection) -> tuple[Group, ...]:
    """Group the pictures that are copies of each other, the largest group first.

    Every content is compared with every other, so it takes n squared: 2 seconds for 10,000.

    Raises:
        LookalikeError: as soon as the collection is changed or gone, since what is found then is of
            no use, and other collections wait for their turn.
    """
    held = collection.embeddings("sketch")
    pictures = {picture.id: picture for picture in collection.listing.pictures()}
    # Files of the same bytes are copies whatever they show, and need no comparing.
    contents: dict[str, list[PictureRecord]] = {}
    rows: list[int] = []
    for row, id_ in enumerate(held.ids):
        picture = pictures.get(int(id_))
        if picture is None:  # taken out since the vectors were read
            continue
        if picture.sha256 not in contents:
            rows.append(row)
        contents.setdefault(picture.sha256, []).append(picture)
    alike = list(contents.values())

    def check() -> None:
        if collection.revision != held.revision:
            raise LookalikeError(CHANGED)

    grouped = find_groups(held.vectors[rows], COPY, check) if rows else []
    merged = [[picture for row in group for picture in alike[row]] for group in grouped]
    seen = {int(row) for group in grouped for row in group}
    merged += [group for row, group in enumerate(alike) if row not in seen and len(group) > 1]
    written = {path: modified for path, (_, modified) in collection.listing.files().items()}
    groups = [_arrange(group, written) for group in merged]
    return tuple(sorted(groups, key=len, reverse=True))


def seconds_for(pictures: int) -> float:
    """Estimate how long `find_copies` takes, in seconds, as measured on two processors."""
    return 2.0e-8 * pictures**2


def spare_bytes(groups: tuple[Group, ...]) -> int:
    """Return the size of all pictures but the first of each group."""
    return sum(copy.picture.size for group in groups for copy in group[1:])


def _arrange(pictures: list[PictureRecord], written: dict[str, int]) -> Group:
    """Put the best one first: most pixels, then the largest file, then the oldest known to be so.

    Of equals it is the one with the shortest name, which is rarely "Copy of ...".
    """

    def date(picture: PictureRecord) -> str:
        modified = written.get(picture.path, PASSING)
        if picture.taken or modified == PASSING:
            return picture.taken or ""
        # Bounded, since a collection may come from somebody else and say anything.
        seconds = min(max(modified // 10**9, 0), LATEST)
        return datetime.fromtimestamp(seconds).isoformat(" ")

    def place(picture: PictureRecord) -> tuple[int, int, bool, str, int, str]:
        pixels, when = picture.width * picture.height, date(picture)
        return -pixels, -picture.size, not when, when, len(picture.path), picture.path

    best = sorted(pictures, key=place)
    first: dict[str, PictureRecord] = {}
    copies = []
    for picture in best:
        copies.append(Copy(picture, date(picture)[:10], first.get(picture.sha256)))
        first.setdefault(picture.sha256, picture)
    return tuple(copies)
