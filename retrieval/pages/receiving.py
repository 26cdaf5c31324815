"""Pictures on their way to Gradio's route for uploads: one file a request, and no more.

Gradio's parser keeps in memory whatever is no file, and reads it in any of Python's encodings; of
some a megabyte takes hours, in which no page is answered.
"""

import asyncio
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gradio import route_utils, routes
from starlette.concurrency import run_in_threadpool
from starlette.formparsers import MultiPartException

from retrieval import settings
from retrieval.pages import words
from retrieval.pages.asgi import Asgi, Message, Noting, Receive, Send, answer_until, send_whole
from retrieval.settings import UPLOADS_AT_ONCE, UPLOADS_OPEN, UPLOADS_OPEN_AT_ONE_ADDRESS
from retrieval.temporary import make_room

# What browsers and programs send. A character set is left out: it is nobody's but a stranger's.
FORM = re.compile(
    r'multipart/form-data;\s*boundary=("[^"\\]{1,100}"|[^\s;,"]{1,100})', re.IGNORECASE
)
MAX_PROGRESS = 1_000  # uploads of which is known how far they are
# Pages that are told so: Gradio looks 20 times a second whether there is news for each, and with a
# thousand of them nobody else is answered for half a second.
MAX_TOLD = 100
LOOKS_PAUSE = 10  # times what a look for room has taken goes by before the next
SLOW_AFTER = 10.0  # seconds after which it counts how fast an upload comes
EVENTS = b"text/event-stream; charset=utf-8"
DONE = b'data: {"msg": "done"}\n\n'  # what Gradio says when all of an upload is here


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


class Room:
    """Looks whether there is room for uploads, once for all that come at nearly the same time.

    A look at 20,000 files takes a third of a second, and many may ask for it in that time.
    """

    def __init__(self, look: Callable[[], bool] = has_room) -> None:
        """Look by `look`, which may take a while, in a thread of its own."""
        self._look = look
        self._looking = asyncio.Lock()
        self._has_room = False
        self._holds_until = 0.0  # `time.monotonic()`

    async def has_room(self) -> bool:
        """Whether there was room at the last look, which is not long ago: a tenth of the time goes
        into looking, at most."""
        async with self._looking:
            started = time.monotonic()
            if started >= self._holds_until:
                self._has_room = await run_in_threadpool(self._look)
                ended = time.monotonic()
                self._holds_until = ended + LOOKS_PAUSE * (ended - started)
            return self._has_room


class Arriving:
    """The uploads that come at the moment, or other requests that are large."""

    def __init__(self, most: int, most_at_once: int = UPLOADS_AT_ONCE) -> None:
        """Bound how many bytes there are of all together, and how many uploads."""
        self._most = most
        self._most_at_once = most_at_once
        self._bytes = 0  # of all that are coming
        self._coming: dict[_Coming, None] = {}  # the oldest first
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
    def counted(
        self, receive: Receive, most: int, visitor: str = "", address: str = ""
    ) -> Iterator[Receive]:
        """Yield what passes an upload on until it breaks off, is too large, or has to give way.

        Gradio deletes what has come of it for this error alone.

        Args:
            address: the visitor's own in the network; "" where it is not known.
        """
        mine = _Coming(visitor, address, time.monotonic())
        self._coming[mine] = None
        own = [one for one in self._coming if one.visitor == visitor != ""]
        self._let_go(own[:-UPLOADS_OPEN])
        # Not those that have just gone.
        near = [one for one in self._coming if one.address == address != ""]
        self._let_go(near[:-UPLOADS_OPEN_AT_ONE_ADDRESS])
        if len(self._coming) > self._most_at_once:
            self._let_go([self._slowest()])

        async def receive_upload() -> Message:
            message = await _unless(mine.gone, receive)
            came = len(message.get("body", b""))
            mine.bytes += came
            if mine in self._coming:
                self._bytes += came
            if mine.bytes > most:
                raise MultiPartException(words.LARGE_REQUEST)
            self._keep_room()
            if mine.gone.is_set():
                raise MultiPartException(words.NO_ROOM)
            if message["type"] == "http.disconnect":
                raise MultiPartException(words.NO_REQUEST)
            return message

        try:
            yield receive_upload
        finally:
            if mine in self._coming:
                self._let_go([mine])

    def _slowest(self) -> "_Coming":
        """Return who gives way to a new one: whoever holds their place without sending much."""
        now = time.monotonic()
        old = [one for one in self._coming if now - one.since > SLOW_AFTER]
        if old:
            return min(old, key=lambda one: one.bytes / (now - one.since))
        return next(iter(self._coming))

    def _keep_room(self) -> None:
        """Let go of the oldest of whoever sends most, until there is room again."""
        while self._bytes > self._most:
            sent: Counter[str] = Counter()
            for one in self._coming:
                sent[one.sender] += one.bytes
            [(most, _)] = sent.most_common(1)
            self._let_go([next(one for one in self._coming if one.sender == most)])

    def _let_go(self, those: "Iterable[_Coming]") -> None:
        for one in those:
            del self._coming[one]
            self._bytes -= one.bytes
            one.gone.set()


@dataclass(eq=False)
class _Coming:
    """An upload that is not whole yet."""

    visitor: str
    address: str
    since: float  # `time.monotonic()`
    bytes: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)  # set when it has to give way

    @property
    def sender(self) -> str:
        """Whom it counts for: whoever has an address can make up as many visitors."""
        return self.address or self.visitor


class Telling:
    """The pages that are being told how far their uploads are, the oldest first."""

    def __init__(self, most: int = MAX_TOLD) -> None:
        """Bound how many there are of all visitors."""
        self._most = most
        self._told: dict[str, _Told] = {}

    async def tell(
        self, app: Asgi, scope: Message, receive: Receive, send: Send, visitor: str, upload: str
    ) -> None:
        """Have `app` tell it until all has come, or until others need the room: then it is "done".

        One page is told of an upload, the last that asks.
        """
        own = [name for name, told in self._told.items() if told.visitor == visitor != ""]
        if upload in self._told:
            self._end(upload)
        elif len(own) >= UPLOADS_OPEN:
            self._end(own[0])
        elif len(self._told) >= self._most:
            self._end(next(iter(self._told)))
        mine, answer = _Told(visitor), Noting(send)
        self._told[upload] = mine
        try:
            await answer_until(mine.ended, app, scope, receive, answer)
        finally:
            if self._told.get(upload) is mine:
                del self._told[upload]
        if not mine.ended.is_set():
            return
        if answer.unfinished:
            await send({"type": "http.response.body", "body": DONE})
        elif not answer.begun:
            await send_whole(DONE, EVENTS, 200, send)

    def _end(self, upload: str) -> None:
        self._told.pop(upload).ended.set()


@dataclass(eq=False)
class _Told:
    """A page that is told how far an upload is."""

    visitor: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # set when it has to give way


async def _unless(gone: asyncio.Event, receive: Receive) -> Message:
    """Return what comes next.

    Raises:
        MultiPartException: when the upload gives way before that.
    """
    coming, going = asyncio.ensure_future(receive()), asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait((coming, going), return_when=asyncio.FIRST_COMPLETED)
        if coming.done():
            return coming.result()
        raise MultiPartException(words.NO_ROOM)
    finally:
        coming.cancel()
        going.cancel()


def drop_parts() -> None:
    """Delete uploads that are not whole, which Gradio leaves behind when the disk is full.

    Whatever else is on its way then could not be written either.
    """
    for part in settings.RECEIVED.glob("tmp*"):
        if part.is_file():
            part.unlink(missing_ok=True)
