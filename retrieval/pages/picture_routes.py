"""The addresses of a collection's pictures: small ones, and, for the owner, their own files."""

import re
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retrieval import settings
from retrieval.errors import LookalikeError, PictureError
from retrieval.images import open_picture, thumbnail
from retrieval.originals import open_original
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.pages.handover import KINDS, UNSHOWABLE
from retrieval.pages.sessions import visitor_of
from retrieval.pages.transfers import attachment
from retrieval.workspace import Workspace

QUALITY = 92  # of a JPEG that stands for a file that browsers cannot show
PART_SIDE = 4096  # pixels of one that stands for a file that is too large to search with


def thumbnail_route(workspace: Workspace) -> Route:
    """Serve `thumbnails/KEY/SHA256.jpg`: what a collection keeps, and no file of the disk."""

    def thumbnail(request: Request) -> Response:
        sha256 = request.path_params["sha256"]
        try:
            key, visitor = request.path_params["key"], visitor_of(request)
            collection = workspace.searcher(key, visitor).collection
            jpeg = collection.thumbnail(sha256) if re.fullmatch("[0-9a-f]{64}", sha256) else None
        except LookalikeError:
            jpeg = None
        if jpeg is None:
            return Response(words.NO_PICTURE_THERE, 404)
        # The address names the content, so it never changes.
        forever = {"Cache-Control": "private, max-age=31536000, immutable"}
        return Response(jpeg, media_type="image/jpeg", headers=forever)

    return Route("/thumbnails/{key}/{sha256}.jpg", thumbnail)


def original_route(workspace: Workspace, access: Access) -> Route:
    """Serve `originals/KEY/ID`: a picture's own file, to the owner at this computer alone.

    What browsers cannot show, such as HEIC, comes as a JPEG of the same size. With `?part=1`, what
    is larger than a picture to search with may be comes as a smaller one.
    """

    def original(request: Request) -> Response:
        nothing = Response(words.NO_PICTURE_THERE, 404)
        if access.is_public or not access.is_owner(request):
            return nothing
        try:
            searcher = workspace.searcher(request.path_params["key"], visitor_of(request))
            record = searcher.record(request.path_params["id"])
        except LookalikeError:
            return nothing
        file = open_original(searcher.collection, record)
        if file is None:
            return nothing
        path = PurePosixPath(record.path)
        with file:
            data, kind, name = file.read(), KINDS.get(path.suffix.lower(), ""), path.name
        is_large = (
            record.width * record.height > settings.MAX_UPLOAD_PIXELS
            or len(data) > settings.MAX_UPLOAD_BYTES
        )
        reduce = is_large and "part" in request.query_params
        if reduce or path.suffix.lower() in UNSHOWABLE:
            try:
                shown = open_picture(data, max_pixels=settings.MAX_PIXELS).image
            except PictureError as error:
                return Response(str(error), 415, media_type="text/plain")
            side = PART_SIDE if reduce else max(shown.size)
            data, kind = thumbnail(shown, side, QUALITY, optimize=False), "image/jpeg"
            name = f"{path.stem}.jpg"
        named = attachment(name)["content-disposition"].replace("attachment", "inline")
        return Response(data, media_type=kind, headers={"content-disposition": named})

    return Route("/originals/{key}/{id:int}", original)
