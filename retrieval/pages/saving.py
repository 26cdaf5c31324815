"""Results to take away, as files that a visitor downloads."""

import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from PIL import Image

from retrieval import settings
from retrieval.collection import Collection
from retrieval.errors import LookalikeError, explain_os_error
from retrieval.images import open_picture
from retrieval.packing import Packed, save_csv, save_zip
from retrieval.pages import words
from retrieval.search import Match
from retrieval.sheets import save_contact_sheet
from retrieval.temporary import make_room

# In the order of `words.SAVE_KINDS`.
NAMES = ("lookalike.zip", "lookalike.csv", "lookalike.png", "lookalike.pdf")


def save_results(
    kind: str,
    queries: Sequence[bytes],
    matches: Sequence[Match],
    collections: dict[str, Collection],
    originals: bool,
    notes: Sequence[str] = (),
) -> tuple[Path, Packed]:
    """Write results as one of `words.SAVE_KINDS`.

    Args:
        queries: the pictures that were searched with, as JPEGs.
        originals: whether the pictures' own files may leave the computer.
        notes: what a sheet is to say of the results, a line each.

    Returns:
        The file, in a folder of its own, and what went into a ZIP.

    Raises:
        LookalikeError: when there is nothing to save, no such kind, no room for it, or the disk is
            full.
    """
    if kind not in words.SAVE_KINDS:
        raise LookalikeError(words.NO_REQUEST)
    if not matches:
        raise LookalikeError(words.NOTHING_TO_SAVE)
    name = NAMES[words.SAVE_KINDS.index(kind)]
    # Only photos can fill so large a ZIP; a table, a sheet or thumbnails are like an upload.
    large = originals and name.endswith(".zip")
    needed = settings.MAX_SAVED_BYTES if large else settings.MAX_UPLOAD_BYTES
    most = settings.TEMPORARY_BYTES - needed
    if not make_room(settings.TEMPORARY, most, settings.TEMPORARY_SPARED):
        raise LookalikeError(words.NO_ROOM)
    try:
        settings.DOWNLOADS.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(dir=settings.DOWNLOADS)) / name
    except OSError as error:
        raise explain_os_error(error, name) from error
    if path.suffix == ".zip":
        return path, save_zip(matches, collections, path, needed, originals)
    if path.suffix == ".csv":
        save_csv(matches, path)
    else:
        images: list[Image.Image] = [open_picture(jpeg).image for jpeg in queries]
        names = ", ".join(sorted({collection.name for collection in collections.values()}))
        told = [names, *notes, date.today().isoformat()]
        save_contact_sheet(images, matches, collections, path, words.SHEET_TITLE, told)
    return path, Packed(0, 0, 0)
