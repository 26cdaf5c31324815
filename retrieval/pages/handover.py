"""Files that pass between a visitor and the server under names that tell nothing.

Gradio tells a browser where on the server its upload lies, and takes any such path back. Here a
path never leaves: who sends a file, or is to have one, gets a name that nobody can guess and that
works for them alone.
"""

import secrets
import threading
from collections import OrderedDict
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.fetching import fetch_picture
from retrieval.images import read_bounded
from retrieval.pages import words
from retrieval.pages.access import Access
from retrieval.pages.sessions import visitor_of

# As what a file is shown: the types that a browser draws, and never a page.
KINDS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "image/jpeg"),
    **{f".{name}": f"image/{name}" for name in ("png", "webp", "gif", "bmp", "avif", "heic")},
    **dict.fromkeys((".tif", ".tiff"), "image/tiff"),
}
# What few browsers draw; such a picture is sent to them decoded.
UNSHOWABLE = frozenset({".heic", ".heif", ".hif", ".tif", ".tiff", ".dib"})


class Handover:
    """The names of files, and whose they are; safe to use from several threads."""

    def __init__(self, most: int = 10_000, of_one: int = 100) -> None:
        """Know no name yet.

        Args:
            most: names that are kept; the oldest are forgotten.
            of_one: those of one visitor, who is not to push out those of others.
        """
        self._most = most
        self._of_one = of_one
        self._files: OrderedDict[str, tuple[Path, str]] = OrderedDict()
        self._lock = threading.Lock()
        self._fetching = threading.Lock()

    def offer(self, path: Path, visitor: str) -> str:
        """Return the name under which a visitor reaches a file, `TOKEN/FILENAME`."""
        name = f"{secrets.token_urlsafe(16)}/{path.name}"
        with self._lock:
            self._files[name] = (path, visitor)
            theirs = [known for known, (_, owner) in self._files.items() if owner == visitor]
            for known in theirs[: -self._of_one]:
                del self._files[known]
            while len(self._files) > self._most:
                self._files.popitem(last=False)
        return name

    def find(self, name: str, visitor: str) -> Path:
        """Return the file of a name.

        Raises:
            LookalikeError: when there is none, or it is another visitor's.
        """
        path, owner = self._files.get(name, (None, ""))
        if path is None or owner != visitor or not path.is_file():
            raise LookalikeError(words.NOT_SENT)
        return path

    def read_upload(self, name: str, request: object) -> bytes:
        """Return the bytes of an upload.

        Raises:
            LookalikeError: when it is not there, or too large.
        """
        return read_bounded(self.find(name, visitor_of(request)), settings.MAX_UPLOAD_BYTES)

    def read_picture(self, sent: str, request: object, access: Access) -> bytes:
        """Return the bytes of a picture that was sent: an upload by its name, or a web address.

        Raises:
            LookalikeError: when it is not there, too large, or may not be fetched now.
        """
        if not sent.startswith(("http://", "https://")):
            return self.read_upload(sent, request)
        if access.is_owner(request):
            return fetch_picture(sent, settings.MAX_UPLOAD_BYTES, settings.FETCH_SECONDS)
        if not settings.FETCH_FOR_VISITORS:
            raise LookalikeError(words.NO_FETCHING)
        # It takes as long as another server likes, and few search at once: one of them at a time
        # may wait for that, so that those with uploads go on.
        if not self._fetching.acquire(blocking=False):
            raise LookalikeError(words.BUSY)
        try:
            return fetch_picture(sent, settings.MAX_UPLOAD_BYTES, settings.FETCH_SECONDS)
        finally:
            self._fetching.release()


def handover_routes(handover: Handover) -> list[Route]:
    """Serve `files/NAME`, and what Gradio's page takes for the address of its upload."""

    def file(request: Request) -> Response:
        try:
            path = handover.find(request.path_params["name"], visitor_of(request))
        except LookalikeError as error:
            return Response(str(error), 404, media_type="text/plain")
        kind = KINDS.get(path.suffix.lower())
        return FileResponse(
            path,
            media_type=kind or "application/octet-stream",
            filename=path.name,
            content_disposition_type="inline" if kind else "attachment",
            headers={"Cache-Control": "private, no-store"},
        )

    return [Route("/files/{name:path}", file), Route("/gradio_api/file={name:path}", file)]
