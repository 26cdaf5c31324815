"""Thumbnails that were lost, drawn once more of the photos that are still here."""

import hashlib
import os
from collections.abc import Collection as Group
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from retrieval.collection import Collection
from retrieval.errors import PictureError
from retrieval.files import inside
from retrieval.images import THUMBNAIL_SIDE, open_picture, read_bounded, thumbnail_to_keep
from retrieval.model import available_cpus
from retrieval.records import PictureRecord
from retrieval.schema import ORIGINALS
from retrieval.settings import MAX_FILE_BYTES

AT_ONCE = 64  # that are drawn before they are written


def draw_thumbnails(collection: Collection, hashes: Group[str]) -> set[str]:
    """Draw the thumbnails of contents whose photos are here with the bytes they had.

    Args:
        hashes: the SHA-256 of the contents.

    Returns:
        Those of the contents that have one now.
    """
    if not hashes:
        return set()
    copies: dict[str, list[PictureRecord]] = {}
    for picture in collection.listing.pictures():
        if picture.sha256 in hashes:
            copies.setdefault(picture.sha256, []).append(picture)
    root, wanted = folder_of_photos(collection), list(copies.values())
    drawn: set[str] = set()
    with ThreadPoolExecutor(available_cpus(), thread_name_prefix="draw") as pool:
        for start in range(0, len(wanted), AT_ONCE):
            part = wanted[start : start + AT_ONCE]
            jpegs = pool.map(lambda pictures: _draw(root, pictures), part)
            rows = [(p[0].sha256, jpeg) for p, jpeg in zip(part, jpegs, strict=True) if jpeg]
            with collection.store.thumbnails() as database:
                database.executemany("INSERT OR REPLACE INTO thumbnails VALUES (?, ?)", rows)
            drawn.update(sha256 for sha256, _ in rows)
    return drawn


def folder_of_photos(collection: Collection) -> Path:
    """Return the folder that the photos of a collection are in, if they are here."""
    return collection.root or collection.folder / ORIGINALS


def _draw(root: Path, pictures: Sequence[PictureRecord]) -> bytes:
    """Return the thumbnail of one of some copies; nothing where none is there as it was."""
    for picture in pictures:
        data = read_photo(root, picture.path)
        if hashlib.sha256(data).hexdigest() == picture.sha256:
            with suppress(PictureError, MemoryError):
                image = open_picture(data, 2 * THUMBNAIL_SIDE).image
                return thumbnail_to_keep(image)
    return b""


def read_photo(root: Path, path: str) -> bytes:
    """Return the bytes of a photo; none where they cannot be read."""
    real = inside(root, path)
    try:
        # They were taken once, so this only bounds what has changed since.
        return read_bounded(real, MAX_FILE_BYTES) if real and os.path.isfile(real) else b""
    except (PictureError, MemoryError):
        return b""
