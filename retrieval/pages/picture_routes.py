"""The addresses of a collection's pictures: small ones, and, for the owner, their own files."""

import asyncio
import re
from contextlib import suppress
from pathlib import PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retrieval import settings
from retrieval.collection import Collection
from retrieval.errors import LookalikeError, PictureError
from retrieval.images import open_picture, thumbnail
from retrieval.originals import open_original
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.pages.handover import KINDS, UNSHOWABLE
from retrieval.pages.sessions import visitor_of
from retrieval.pages.transfers import attachment
from retrieval.records import PictureRecord
from retrieval.shelf import Shelf

QUALITY = 92  # of a JPEG that stands for a file that browsers cannot show
PART_SIDE = 4096  # pixels of one that is only looked at, or that a part is searched of


def thumbnail_route(shelf: Shelf) -> Route:
    """Serve `thumbnails/KEY/SHA256.jpg`: what a collection keeps, and no file of the disk."""

    def thumbnail(request: Request) -> Response:
        sha256 = request.path_params["sha256"]
        try:
            key, visitor = request.path_params["key"], visitor_of(request)
            collection = shelf.searcher(key, visitor).collection
            jpeg = collection.thumbnail(sha256) if re.fullmatch("[0-9a-f]{64}", sha256) else None
        except LookalikeError:
            jpeg = None
        if jpeg is None:
            return Response(words.NO_PICTURE_THERE, 404)
        # The address names the content, so it never changes.
        forever = {"Cache-Control": "private, max-age=31536000, immutable"}
        return Response(jpeg, media_type="image/jpeg", headers=forever)

    return Route("/thumbnails/{key}/{sha256}.jpg", thumbnail)


def original_route(shelf: Shelf, access: Access) -> Route:
    """Serve `originals/KEY/ID`: a picture's own file, to the owner at this computer alone.

    What browsers cannot show, such as HEIC, comes as a JPEG of the same size. With `?part=1` it
    comes as a smaller one, as does what is larger than a picture to search with may be.
    """
    # Each is decoded in full. Who goes fast from one to the next asks for many, and gives them up.
    making = asyncio.Semaphore(1)

    def find(request: Request) -> tuple[Collection, PictureRecord] | None:
        if access.is_public or not access.is_owner(request):
            return None
        try:
            searcher = shelf.searcher(request.path_params["key"], visitor_of(request))
            return searcher.collection, searcher.record(request.path_params["id"])
        except LookalikeError:
            return None

    def nothing() -> Response:
        return Response(words.NO_PICTURE_THERE, 404)

    async def original(request: Request) -> Response:
        found = await run_in_threadpool(find, request)
        if found is None:
            return nothing()
        collection, record = found
        in_part = "part" in request.query_params
        is_large = (
            record.width * record.height > settings.MAX_UPLOAD_PIXELS
            or record.size > settings.MAX_UPLOAD_BYTES
        )
        is_shown = PurePosixPath(record.path).suffix.lower() not in UNSHOWABLE
        if is_shown and not (is_large and in_part):
            return await run_in_threadpool(_original, collection, record) or nothing()
        async with making:
            if await request.is_disconnected():
                return nothing()
            side = PART_SIDE if in_part else None
            return await run_in_threadpool(_original_as_jpeg, collection, record, side) or nothing()

    return Route("/originals/{key}/{id:int}", original)


def _original(collection: Collection, record: PictureRecord) -> Response | None:
    """Answer with a picture's own file; None where that is not there or cannot be read."""
    data = _read_original(collection, record)
    path = PurePosixPath(record.path)
    return None if data is None else _shown(data, path.name, KINDS.get(path.suffix.lower(), ""))


def _original_as_jpeg(
    collection: Collection, record: PictureRecord, side: int | None
) -> Response | None:
    """The same as a JPEG whose long side is at most `side` pixels; as it is for None."""
    data = _read_original(collection, record)
    if data is None:
        return None
    try:
        image = open_picture(data, max_pixels=settings.MAX_PIXELS).image
    except PictureError as error:
        return Response(str(error), 415, media_type="text/plain")
    jpeg = thumbnail(image, side or max(image.size), QUALITY, optimize=False)
    return _shown(jpeg, f"{PurePosixPath(record.path).stem}.jpg", "image/jpeg")


def _read_original(collection: Collection, record: PictureRecord) -> bytes | None:
    file = open_original(collection, record)
    if file is None:
        return None
    with file, suppress(OSError):
        return file.read()
    return None


def _shown(data: bytes, name: str, kind: str) -> Response:
    """Answer with a file that the browser shows."""
    named = attachment(name)["content-disposition"].replace("attachment", "inline")
    return Response(data, media_type=kind, headers={"content-disposition": named})
