"""The map of a collection as it is kept: a cell for each picture, and sheets that show many.

A sheet is one picture of a square of cells, transparent where there is none. So a browser moves
thousands of pictures by drawing a handful, and loads only the sheets that it looks at.
"""

import hashlib
import io
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from retrieval.collection import Collection
from retrieval.errors import COLLECTION_GONE, LookalikeError
from retrieval.files import replace_when_done
from retrieval.images import open_picture
from retrieval.layout import lay_out, snap_to_grid
from retrieval.records import Embeddings

SHEET = 1024  # pixels along each side of a sheet
CELLS = (4, 32)  # pixels along each side of a cell, on the sheets of each level
SLACK = 1.3  # cells for each picture: the others are the gaps between groups
QUALITY = 72
UNKNOWN = (150, 150, 150)  # where a thumbnail cannot be read
# Part of every map's name: changed when maps are drawn another way, so that old ones are not shown.
STYLE = b"2"

Grid = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Atlas:
    """A map that has been drawn; its sheets are read from its file when they are asked for."""

    path: Path
    ids: npt.NDArray[np.int64]  # (n,), the pictures' ids
    cells: Grid  # (n, 2), column and row of each picture
    size: tuple[int, int]  # columns and rows

    @property
    def name(self) -> str:
        """Hexadecimal digits that stand for the pictures and their vectors."""
        return self.path.stem.removeprefix("map-")

    def sheet(self, level: int, column: int, row: int) -> bytes | None:
        """Return a sheet as WebP, None where there is nothing to see."""
        broken = (OSError, KeyError, ValueError, zipfile.BadZipFile)
        with suppress(*broken), self.path.open("rb") as opened, np.load(opened) as file:
            return bytes(file[_sheet_name(level, column, row)].tobytes())
        return None


def draw_atlas(collection: Collection, folder: Path) -> Atlas:
    """Draw the map of a collection, or open it where it lies in `folder` already.

    A map of the collection as it was before is deleted. Takes 4 seconds for each 1,000 pictures.

    Raises:
        LookalikeError: when the disk is full, or the collection is gone.
    """
    held = collection.embeddings()
    path = folder / f"map-{_digest(held)}.npz"
    with suppress(LookalikeError):
        return open_atlas(path)
    places = snap_to_grid(lay_out(held.vectors), SLACK)
    cells = np.floor(places * np.ceil(np.sqrt(SLACK * len(places)))).astype(np.int32)
    cells -= cells.min(axis=0, initial=np.iinfo(np.int32).max)
    size = cells.max(axis=0, initial=-1) + 1
    sheets = _draw_sheets(collection, held.ids, cells)
    if not collection.folder.is_dir():  # deleted in the meantime: nothing of it is to come back
        raise LookalikeError(COLLECTION_GONE)
    with replace_when_done(path) as temporary, temporary.open("wb") as file:
        # Not compressed: pictures are already, and a sheet is to be read without the others.
        kept: dict[str, Any] = {"ids": held.ids, "cells": cells, "size": size, **sheets}
        np.savez(file, **kept)
    for other in folder.glob("map-*.npz"):
        if other != path:
            with suppress(OSError):  # on Windows, while a browser reads it
                other.unlink()
    return open_atlas(path)


def open_atlas(path: Path) -> Atlas:
    """Open a map that was drawn earlier.

    Raises:
        LookalikeError: when there is none, or its file is damaged.
    """
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            ids, cells, size = file["ids"], file["cells"], file["size"]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LookalikeError("That map is not here any more. Open it again.") from error
    return Atlas(path, ids, cells, (int(size[0]), int(size[1])))


def _digest(held: Embeddings) -> str:
    digest = hashlib.sha256(STYLE)
    digest.update(held.ids.astype("<i8").tobytes())
    digest.update(np.ascontiguousarray(held.vectors, "<f4").data)
    return digest.hexdigest()[:32]


def _draw_sheets(
    collection: Collection, ids: npt.NDArray[np.int64], cells: Grid
) -> dict[str, npt.NDArray[np.uint8]]:
    """Draw the sheets of both levels, each as the bytes of a file, by name."""
    hashes = {picture.id: picture.sha256 for picture in collection.listing.pictures()}
    far, near = CELLS
    sheets: dict[str, npt.NDArray[np.uint8]] = {}
    far_sheets: dict[tuple[int, int], Image.Image] = {}
    blocks = cells // (SHEET // near)
    order = np.lexsort((blocks[:, 0], blocks[:, 1]))
    starts = np.flatnonzero(np.any(np.diff(blocks[order], axis=0, prepend=-1), axis=1))
    for rows in np.split(order, starts[1:]) if len(order) else []:
        block = blocks[rows[0]]
        sheet = Image.new("RGBA", (SHEET, SHEET))
        for row in rows:
            jpeg = collection.thumbnail(hashes.get(int(ids[row]), ""))
            left, top = (int(at) for at in (cells[row] - block * (SHEET // near)) * near)
            sheet.paste(_tile(jpeg, near - 2), (left + 1, top + 1))
        sheets[_sheet_name(1, *block)] = _encode(sheet)
        # The same in small, at its place on the sheet that shows all of it from afar.
        share = near // far
        place = (int(block[0]) // share, int(block[1]) // share)
        small = sheet.reduce(share)
        wide = far_sheets.setdefault(place, Image.new("RGBA", (SHEET, SHEET)))
        left, top = (int(at) % share * small.width for at in block)
        wide.paste(small, (left, top))
    for place, wide in far_sheets.items():
        sheets[_sheet_name(0, *place)] = _encode(wide)
    return sheets


def _tile(jpeg: bytes | None, side: int) -> Image.Image:
    """Return the middle of a thumbnail, as a small square."""
    try:
        picture = open_picture(jpeg or b"", at_least=side).image
    except LookalikeError:
        return Image.new("RGB", (side, side), UNKNOWN)
    return ImageOps.fit(picture, (side, side), Image.Resampling.BILINEAR)


def _encode(sheet: Image.Image) -> npt.NDArray[np.uint8]:
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=QUALITY, method=2)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def _sheet_name(level: int, column: int, row: int) -> str:
    return f"sheet-{level}-{column}-{row}"
