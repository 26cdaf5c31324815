"""Turns uploads and pictures of collections into the parts that a query is made of."""

import hashlib
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from retrieval import settings
from retrieval.cleaning import clean_up, needs_cleaning
from retrieval.errors import PictureError
from retrieval.images import crop, open_picture, thumbnail, turn
from retrieval.originals import open_original
from retrieval.pages import words
from retrieval.pages.asking import Box, Cleaning, Part
from retrieval.pages.markup import name_of, thumbnail_address
from retrieval.preprocessing import preprocess, scale_for
from retrieval.report import data_uri
from retrieval.search import Placed
from retrieval.workspace import Workspace

# Pixels of an upload that are kept, so that parts of it can be cut out and described: of the long
# side twice the first, or as many as leave so many of the short one, up to the second. That is
# 1280 x 960 of 4:3, and 4000 x 500 of 8:1.
PREVIEW_SIDE, MAX_PREVIEW = 640, 4000
MOST_KEPT = 2**20  # bytes of what is kept of an upload for as long as its page is remembered
CHIP_SIDE = 96
Pixels = npt.NDArray[np.uint8]


class PartMaker:
    """Makes parts of a query with the model of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def of_upload(self, data: bytes, cleaning: Cleaning) -> tuple[Part, tuple[float, float]]:
        """Open an upload; return it, and the seconds for opening it and for its features.

        Raises:
            PictureError: when it cannot be read.
        """
        started = time.perf_counter()
        how = self.workspace.embedder.card.preprocessing
        needed = max(scale_for(how), PREVIEW_SIDE)
        image = open_picture(data, needed, settings.MAX_UPLOAD_PIXELS).image
        sha256 = hashlib.sha256(data).hexdigest()
        decoded = time.perf_counter()
        part = self._described(Part(words.QUERY, token=sha256[:12], sha256=sha256), image, cleaning)
        extracted = time.perf_counter()
        long = PREVIEW_SIDE * max(image.size) // min(image.size)
        part = replace(part, jpeg=_jpeg(image, max(2 * PREVIEW_SIDE, min(long, MAX_PREVIEW))))
        return replace(part, first=(part, cleaning)), (decoded - started, extracted - decoded)

    def cropped(self, upload: Part, quarters: int, box: Box | None, cleaning: Cleaning) -> Part:
        """Return an upload that lies otherwise, or of which another part counts.

        It is made of the upload as it came, so that nothing is lost by doing so again and again.

        Args:
            quarters: by which it is turned clockwise, from 0 to 3.
            box: the part of it, as it lies then; all of it for None.
        """
        if not quarters and box is None and upload.first and upload.first[1] == cleaning:
            whole, wanted, previewed = upload.first[0], upload.wanted, upload.previewed
            return replace(whole, first=upload.first, wanted=wanted, previewed=previewed)
        part = replace(upload, quarters=quarters, crop=box)
        return self._described(part, picture_of(part), cleaning)

    def of_picture(self, placed: Placed, wanted: bool, visitor: str) -> Part:
        """Return a picture of a collection.

        Raises:
            LookalikeError: when it is not there any more, or is another visitor's.
        """
        key, id_ = placed
        searcher = self.workspace.shelf.searcher(key, visitor)
        record = searcher.record(id_)
        return Part(
            name_of(record),
            thumbnail_address(key, record),
            searcher.aspects(id_),
            wanted,
            placed,
            sha256=record.sha256,
        )

    def pixels(self, part: Part, visitor: str) -> Pixels:
        """Return what the network sees of a part, `(side, side, 3)`."""
        if part.placed:
            return self.pixels_of(part.placed, visitor)
        assert part.pixels is not None  # every upload has them
        return part.pixels

    def pixels_of(self, placed: Placed, visitor: str) -> Pixels:
        """Return what the network sees of a picture of a collection, `(side, side, 3)`.

        From the picture's own file, where that is still there and can be read; else from the
        thumbnail, whose compression changes the features a little.
        """
        key, id_ = placed
        searcher = self.workspace.shelf.searcher(key, visitor)
        record = searcher.record(id_)
        how = self.workspace.embedder.card.preprocessing
        with suppress(PictureError, OSError):
            if file := open_original(searcher.collection, record):
                with file:
                    return preprocess(open_picture(file.read(), scale_for(how)).image, how)
        return preprocess(open_picture(searcher.thumbnail(record)).image, how)

    def jpeg(self, part: Part, visitor: str) -> bytes:
        """Return what a part shows, as a JPEG."""
        if part.placed:
            searcher = self.workspace.shelf.searcher(part.placed[0], visitor)
            return searcher.thumbnail(searcher.record(part.placed[1]))
        if part.treated:
            return part.treated
        if part.crop is None and not part.quarters:
            return part.jpeg
        return _jpeg(picture_of(part), 2 * PREVIEW_SIDE)

    def preview(self, upload: Part) -> bytes:
        """Return an upload for a page, as a JPEG: small, since an answer carries it.

        All of it, as it came: `crop.js` turns it, and draws the box.
        """
        return thumbnail(open_picture(upload.jpeg).image, PREVIEW_SIDE)

    def _described(self, part: Part, image: Image.Image, cleaning: Cleaning) -> Part:
        """Compute what a picture is compared by, cleaned up where that is wanted."""
        treated = b""
        if cleaning == "always" or (cleaning == "auto" and needs_cleaning(image)):
            image = clean_up(image)
            treated = _jpeg(image, PREVIEW_SIDE)
        embedder = self.workspace.embedder
        pixels = preprocess(image, embedder.card.preprocessing)
        aspects = embedder.describe_pictures(pixels[None])
        chip = data_uri(thumbnail(image, CHIP_SIDE), "image/jpeg")
        return replace(part, aspects=aspects, address=chip, pixels=pixels, treated=treated)


def picture_of(upload: Part) -> Image.Image:
    """Return what of an upload counts, as it lies, before it is cleaned up."""
    return crop(turn(open_picture(upload.jpeg).image, upload.quarters), upload.crop)


def _jpeg(image: Image.Image, side: int) -> bytes:
    """Return a JPEG at most `side` pixels long, of high quality unless it is large for that."""
    for quality in (92, 80, 60):
        jpeg = thumbnail(image, side, quality, optimize=False)
        if len(jpeg) <= MOST_KEPT:
            break
    return jpeg
