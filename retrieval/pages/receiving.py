"""Pictures on their way to Gradio's route for uploads: one file a request, and no more.

Gradio's parser keeps in memory whatever is no file, and reads it in any of Python's encodings; of
some a megabyte takes hours, in which no page is answered.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from gradio import route_utils, routes
from starlette.formparsers import MultiPartException

from retrieval import settings
from retrieval.pages import words
from retrieval.pages.sessions import Message, Receive
from retrieval.temporary import make_room

# What browsers and programs send. A character set is left out: it is nobody's but a stranger's.
FORM = re.compile(
    r'multipart/form-data;\s*boundary=("[^"\\]{1,100}"|[^\s;,"]{1,100})', re.IGNORECASE
)
MAX_PROGRESS = 1_000  # uploads of which is known how far they are


class OneFile(route_utils.GradioMultiPartParser):
    """Gradio's parser, which stops at what is no file, and at a second one."""

    def on_headers_finished(self) -> None:
        """Look at what a part is, before any of it is kept."""
        super().on_headers_finished()
        if self._current_part.file is None or self._current_files > 1:
            raise MultiPartException(words.NO_REQUEST)


def guard_uploads() -> None:
    """Have Gradio take uploads by our parser, from now on."""
    route_utils.GradioMultiPartParser = OneFile  # type: ignore[misc]


def has_room() -> bool:
    """Whether one more upload fits in what temporary files may take, the oldest of which give way.

    A page needs its upload no more once it has been answered, nor a file that it has downloaded.
    """
    most = settings.TEMPORARY_BYTES - settings.MAX_UPLOAD_BYTES
    return make_room(settings.TEMPORARY, most, settings.TEMPORARY_SPARED)


class Arriving:
    """The uploads that come at the moment."""

    def __init__(self) -> None:
        self._bytes = 0
        self._progress: OrderedDict[str, None] = OrderedDict()

    def note_progress(self, upload: str) -> None:
        """Remember that somebody asks how far an upload is, and have Gradio forget older ones."""
        self._progress[upload] = None
        self._progress.move_to_end(upload)
        while len(self._progress) > MAX_PROGRESS:
            oldest, _ = self._progress.popitem(last=False)
            routes.file_upload_statuses._statuses.pop(oldest, None)
            routes.file_upload_statuses._signals.pop(oldest, None)

    @contextmanager
    def counted(self, receive: Receive, most: int) -> Iterator[Receive]:
        """Yield what passes an upload on until it breaks off, or it or all of them are too large.

        Gradio deletes what has come of it for this error alone.
        """
        received = 0

        async def receive_upload() -> Message:
            nonlocal received
            message = await receive()
            size = len(message.get("body", b""))
            received += size
            self._bytes += size
            if received > most:
                raise MultiPartException(words.LARGE_REQUEST)
            if self._bytes > settings.TEMPORARY_BYTES:
                raise MultiPartException(words.NO_ROOM)
            if message["type"] == "http.disconnect":
                raise MultiPartException(words.NO_REQUEST)
            return message

        try:
            yield receive_upload
        finally:
            self._bytes -= received


def drop_parts() -> None:
    """Delete uploads that are not whole, which Gradio leaves behind when the disk is full.

    Whatever else is on its way then could not be written either.
    """
    for part in settings.RECEIVED.glob("tmp*"):
        if part.is_file():
            part.unlink(missing_ok=True)
