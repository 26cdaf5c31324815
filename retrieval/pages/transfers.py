"""The addresses by which files come and go: uploads, the table of problems, packed collections."""

import asyncio
import json
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from retrieval import settings
from retrieval.bundle import pack
from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.pages.sessions import own_address_of, visitor_of
from retrieval.shelf import Shelf
from retrieval.staging import UploadBounds, require_room
from retrieval.tables import as_csv, harmless
from retrieval.uploads import Uploads

# A header of our own: other sites cannot send it without asking first, and are told no.
HEADER = "x-lookalike"
MOST_TOLD = 10**15  # files or bytes of an upload; in a sentence more would have no end


def upload_routes(
    uploads: Uploads, bounds_of: Callable[[Request], UploadBounds], access: Access
) -> list[Route]:
    """Return the routes by which a page hands over files.

    `POST uploads` with `{"files": n, "bytes": n, "others": n}` answers `{"upload": name}`; the last
    counts files that stay where they are, since they are no pictures. Then each file is the body
    of a `POST uploads/NAME`, with its relative path in the header `X-Name`, and in `X-Modified`
    when it was last changed, in milliseconds since 1970. One that is larger than a file may be is
    left out; it need not be sent, when its bytes are in `X-Size`. What was
    broken off is given up by a `POST uploads/NAME` with `X-Drop`; one with `X-There` is answered by
    `{"there": false}` once it has been taken into a collection, or is not here any more. A file of
    which no answer came is sent again under the same mark, in `X-Try`, unless that answer has
    `{"got": true}`.
    """

    async def begin(request: Request) -> Response:
        if HEADER not in request.headers:
            return refusal_response(words.RELOAD, 403)
        try:
            wanted = json.loads(await body_of(request, 10_000))
            files, size = int(wanted["files"]), int(wanted["bytes"])
            others = int(wanted.get("others", 0))
            if not all(0 <= told <= MOST_TOLD for told in (files, size, others)):
                raise ValueError
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return refusal_response(words.RELOAD, 400)
        try:
            name = await run_in_threadpool(
                lambda: uploads.begin(
                    visitor_of(request),
                    files,
                    size,
                    bounds_of(request),
                    others,
                    own_address_of(request),
                    access.is_owner(request),
                )
            )
        except LookalikeError as error:
            return refusal_response(str(error), 413)
        return JSONResponse({"upload": name})

    async def receive(request: Request) -> Response:
        if HEADER not in request.headers:
            return refusal_response(words.RELOAD, 403)
        filename = unquote(request.headers.get("x-name", ""))
        name, mark = request.path_params["name"], request.headers.get("x-try", "")
        if "x-drop" in request.headers:
            await run_in_threadpool(uploads.drop, name, visitor_of(request))
            return Response(status_code=204)
        if "x-there" in request.headers:
            visitor = visitor_of(request)
            got = uploads.has_got(name, visitor, mark)
            return JSONResponse({"there": uploads.has(name, visitor), "got": got})
        try:
            if "x-size" in request.headers:
                told = request.headers["x-size"]
                size = None if told == "unread" else int(told)
                uploads.leave_out(name, visitor_of(request), filename, size)
                return Response(status_code=204)
            modified = float(request.headers.get("x-modified", 0)) / 1000
            visitor = visitor_of(request)
            with uploads.receiving(name, visitor, filename, mark, modified) as receiver:
                async for chunk in request.stream():
                    await run_in_threadpool(receiver.write, chunk)
        except LookalikeError as error:
            return refusal_response(str(error), 413)
        except ValueError:
            return refusal_response(words.RELOAD, 400)
        except ClientDisconnect:
            pass  # nobody is left to be told, and the half-sent file is gone
        return Response(status_code=204)

    return [
        Route("/uploads", begin, methods=["POST"]),
        Route("/uploads/{name}", receive, methods=["POST"]),
    ]


def problems_route(shelf: Shelf, access: Access) -> Route:
    """Serve `problems/KEY.csv`, what could not be read and why, to whoever may change it."""

    def problems(request: Request) -> Response:
        try:
            key, visitor = request.path_params["key"], visitor_of(request)
            collection = shelf.searcher(key, visitor).collection
            if not shelf.may_edit(key, visitor, access.is_owner(request)):
                raise LookalikeError(words.NOT_YOURS)
            rows = [tuple(map(harmless, row)) for row in collection.listing.problems()]
            name = f"{collection.name} - could not be read.csv"
        except LookalikeError as error:
            return Response(str(error), 404, media_type="text/plain")
        table = as_csv(("filename", "problem"), rows)
        return Response(table, media_type="text/csv", headers=attachment(name))

    return Route("/problems/{key}.csv", problems)


def bundle_route(shelf: Shelf, access: Access) -> Route:
    """Serve `bundles/KEY.lookalike`, a collection in one file, to whoever may change it."""
    places = _Places()

    def bundle(request: Request) -> Response:
        key, visitor = request.path_params["key"], visitor_of(request)
        owner = access.is_owner(request)
        if not owner and not places.take(visitor):
            return Response(words.DOWNLOADS_FULL, 429, media_type="text/plain")

        def leave() -> None:
            if not owner:
                places.give_back(visitor)
            if folder is not None:
                folder.cleanup()

        folder = None
        try:
            collection = shelf.searcher(key, visitor).collection
            if not shelf.may_edit(key, visitor, owner):
                raise LookalikeError(words.DOWNLOAD_NOT_YOURS)
            settings.PACKED.mkdir(parents=True, exist_ok=True)
            require_room(settings.PACKED)
            # What Windows does not let go of now goes at the next start.
            folder = tempfile.TemporaryDirectory(dir=settings.PACKED, ignore_cleanup_errors=True)
            path = Path(folder.name) / "collection.lookalike"
            pack(collection, path, photos=request.query_params.get("photos") == "1")
            headers = attachment(f"{collection.name}.lookalike")
        except LookalikeError as error:
            leave()
            return Response(str(error), 403, media_type="text/plain")
        except BaseException:
            leave()
            raise
        return _Lent(path, headers, leave)

    return Route("/bundles/{key}.lookalike", bundle)


class _Places:
    """How many collections are just being packed for each visitor, within bounds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, visitor: str) -> bool:
        """Take a place for a visitor; return whether there was one."""
        with self._lock:
            if (
                self._taken[visitor] >= settings.PACKED_AT_ONCE
                or self._taken.total() >= settings.PACKED_IN_ALL
            ):
                return False
            self._taken[visitor] += 1
            return True

    def give_back(self, visitor: str) -> None:
        with self._lock:
            self._taken[visitor] -= 1
            self._taken = +self._taken  # or who came once would be kept for ever


class _Lent(FileResponse):
    """A file that is given back when it has been sent, or was not.

    Starlette's own background task is left out where the range that is asked for is none.
    """

    def __init__(
        self, path: Path, headers: Mapping[str, str], give_back: Callable[[], None]
    ) -> None:
        super().__init__(path, media_type="application/octet-stream", headers=headers)
        self._give_back = give_back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Not awaited: whoever hangs up ends that, too.
            asyncio.get_running_loop().run_in_executor(None, self._give_back)


async def body_of(request: Request, most: int) -> bytes:
    """Return what a request brings.

    Raises:
        ValueError: when that is more than so many bytes.
    """
    body = b""
    stream: AsyncIterator[bytes] = request.stream()
    with suppress(ClientDisconnect):
        async for chunk in stream:
            body += chunk
            if len(body) > most:
                raise ValueError
    return body


def refusal_response(sentence: str, status: int) -> Response:
    """Return an answer with a sentence, as the page's own scripts read it."""
    return JSONResponse({"error": sentence}, status)


def attachment(name: str) -> dict[str, Any]:
    """Return the headers that have a browser save an answer under a name, and nothing else keep it.

    Not everybody may have it, and a proxy that keeps what does not say so would hand it to all.
    """
    named = f"attachment; filename*=utf-8''{quote(name, safe='')}"
    return {"content-disposition": named, "Cache-Control": "private, no-store"}
