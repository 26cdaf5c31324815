"""Uploads under way: who may send how much, and the files as they come; each is received whole."""

import math
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import BinaryIO

from retrieval.collection import Collection
from retrieval.disk_names import free_name, storable
from retrieval.errors import (
    TOO_LONG,
    LookalikeError,
    explain_os_error,
    is_too_long,
)
from retrieval.files import in_units, remove_tree, replace_file
from retrieval.folders import is_picture
from retrieval.incoming import TableBounds, Tables
from retrieval.settings import (
    UPLOAD_EMPTY_SECONDS,
    UPLOAD_IDLE_SECONDS,
    UPLOAD_WAITS_SECONDS,
    UPLOADS_OPEN,
    UPLOADS_OPEN_AT_ONE_ADDRESS,
    UPLOADS_OPEN_IN_ALL,
    VISITORS_BYTES,
)
from retrieval.staging import Upload, UploadBounds, look_is_due, require_room, too_little
from retrieval.taking import Taken, take_in

BUNDLE = ".lookalike"
MARK = 32  # letters of a mark by which a browser knows a file
NO_NAME = "This is not a name that can be kept. Rename the file."
FULL = "Too many pictures are on their way already. Wait until they are here, then try again."
UNREAD = (
    "Your browser could not read it. Check that it is still there and may be opened, and fetch it "
    "from the cloud if need be; then add it again."
)


class Uploads:
    """The uploads under way; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}
        self._coming: dict[tuple[str, str], Receiver] = {}  # by upload and mark
        self._leftovers: set[Path] = set()  # on Windows, what was being written to

    def begin(
        self,
        visitor: str,
        files: int,
        size: int,
        bounds: UploadBounds,
        others: int = 0,
        address: str = "",
        owner: bool = False,
    ) -> str:
        """Make room for an upload and return its name, which nobody else can guess.

        Args:
            others: how many files are no pictures and stay where they are; only to be told.
            address: the visitor's own in the network; "" where it is not known.
            owner: what others send takes no place from them. Others may send what they have
                promised, and no more.

        Raises:
            LookalikeError: when it is too much, or the disk has no room for it.
        """
        if not bounds.files:
            raise LookalikeError(
                "You have as many pictures here as you can keep. Delete a collection, then add "
                "others."
            )
        if files > bounds.files and bounds.in_all:
            raise LookalikeError(
                f"These are {files:,} files, and you can keep {bounds.files:,} more. Leave some "
                "out, or delete a collection first."
            )
        if files > bounds.files:
            raise LookalikeError(
                f"These are {files:,} files; at most {bounds.files:,} can be added at once. Add "
                "them in several goes."
            )
        if size > bounds.bytes:
            raise LookalikeError(
                f"These are {in_units(size)}; at most {in_units(bounds.bytes)} can be added at "
                "once. Add them in several goes."
            )
        name = secrets.token_urlsafe(16)
        folder = self._folder / name
        upload = Upload(folder, visitor, bounds, address, owner, size, others=max(0, others))
        self._claim(name, upload)
        try:
            folder.mkdir(parents=True)
            free = shutil.disk_usage(folder).free
            if size + upload.spare > free:
                self._drop_idle(visitor)  # what was broken off is in nobody's way
                free = shutil.disk_usage(folder).free
            if size + upload.spare > free:
                raise too_little(free, size, "pictures", upload.spare)
        except (OSError, LookalikeError) as error:
            self.drop(name, visitor)
            if isinstance(error, OSError):
                raise explain_os_error(error, "What you send") from error
            raise
        return name

    def _drop_idle(self, visitor: str) -> None:
        """Drop what a visitor has broken off."""
        now = time.monotonic()
        for name, upload in list(self._uploads.items()):
            if upload.visitor == visitor and _is_idle(upload, now):
                self.drop(name, visitor)

    def _claim(self, name: str, upload: Upload) -> None:
        """Give one more upload its place; perhaps idle ones give way.

        Raises:
            LookalikeError: when there is none. Then none has given way.
        """
        # Seen and taken in one go: many may be begun at once.
        with self._lock:
            going = [self._uploads.pop(other) for other in self._in_the_way_of(upload)]
            self._uploads[name] = upload
        for other in going:
            self._remove(other.folder)

    def _in_the_way_of(self, upload: Upload) -> list[str]:
        """Return which idle uploads have to give way to one more, by the bounds for it."""
        mine = {name for name, one in self._uploads.items() if one.visitor == upload.visitor}
        bounded = [(mine, UPLOADS_OPEN, math.inf if upload.owner else VISITORS_BYTES // 4)]
        if not upload.owner:
            strangers = {name: one for name, one in self._uploads.items() if not one.owner}
            near = {name for name, one in strangers.items() if one.address == upload.address}
            bounded += [
                (
                    near if upload.address else set(),
                    UPLOADS_OPEN_AT_ONE_ADDRESS,
                    VISITORS_BYTES // 4 * 3,
                ),
                (set(strangers), UPLOADS_OPEN_IN_ALL, VISITORS_BYTES),
            ]
        going: list[str] = []
        for those, places, room in bounded:
            staying = {name: self._uploads[name] for name in those.difference(going)}
            going += _giving_way(staying, places - 1, room - max(0, upload.promised))
        return going

    @contextmanager
    def receiving(
        self, name: str, visitor: str, filename: str, mark: str = "", modified: float = 0.0
    ) -> Iterator["Receiver"]:
        """Yield what takes the bytes of one file; the file counts when all of them have come.

        One that is too large, or has no name or path that can be kept, is left out: its bytes are
        dropped, and `take` tells of it.

        Args:
            mark: by which the browser knows the file; one that comes again, since the answer was
                lost, is not kept twice. What stands open under that mark, since nobody told that
                the connection was lost, counts no more.
            modified: when it was last changed, in seconds since 1970; 0 where that is not known.

        Raises:
            LookalikeError: when there is no such upload, or all of it is too much.
        """
        upload, mark = self._find(name, visitor), mark[:MARK]
        relative = storable(filename)
        path = upload.folder / "files" / (relative or "")
        part = upload.folder / f"{secrets.token_hex(8)}.part"
        most = _bound_of(relative, upload.bounds) if relative else 0
        receiver = Receiver(upload, most)
        if hanging := self._coming.pop((name, mark), None):
            hanging.forget()
        if mark:
            self._coming[name, mark] = receiver
        settled = False
        try:
            require_room(part.parent, upload.spare)
            with part.open("wb") as file:
                receiver.into = file
                yield receiver
            if receiver.forgotten or mark in upload.marks:
                return
            self._find(name, visitor)  # or what was dropped meanwhile would be made anew
            if relative is None:
                upload.leave_out(filename, NO_NAME)
            elif receiver.received > most:
                upload.leave_out(filename, _too_large(most))
            else:
                _keep(part, free_name(path, numbers=upload.numbers), modified)
            settled = True
        except OSError as error:
            self._find(name, visitor)
            if not is_too_long(error, path):
                raise explain_os_error(error, filename) from error
            upload.leave_out(filename, TOO_LONG)
            settled = True
        finally:
            if settled:
                upload.marks |= {mark} - {""}
            else:  # it is to be sent again, or has come twice
                receiver.forget()
            if self._coming.get((name, mark)) is receiver:
                del self._coming[name, mark]
            with suppress(FileNotFoundError):
                part.unlink()

    def leave_out(self, name: str, visitor: str, filename: str, size: int | None) -> None:
        """Note a file that was not sent since it has so many bytes, more than one may have.

        Args:
            size: None where the browser could not read it; then it may be a folder as well.

        Raises:
            LookalikeError: when there is no such upload, or the file could have been taken.
        """
        upload = self._find(name, visitor)
        most = _bound_of(PurePosixPath(filename), upload.bounds)
        if size is not None and size <= most:
            raise LookalikeError("Reload the page and try again.")
        upload.touched = upload.came = time.monotonic()
        upload.leave_out(filename, UNREAD if size is None else _too_large(most))

    def bundles(self, name: str, visitor: str) -> list[Path]:
        """Return the packed collections among the files of an upload."""
        upload = self._find(name, visitor)
        files = (upload.folder / "files").rglob("*")
        return sorted(path for path in files if path.suffix.lower() == BUNDLE and path.is_file())

    def holds(self, name: str, visitor: str) -> bool:
        """Whether any file of an upload is (still) here."""
        upload = self._find(name, visitor)
        return any(path.is_file() for path in (upload.folder / "files").rglob("*"))

    def take(
        self,
        name: str,
        visitor: str,
        collection: Collection,
        folder: Path,
        strip: bool,
        room: int | None = None,
        tables: TableBounds | None = None,
    ) -> Taken:
        """Unpack the zips of an upload and move all of its pictures into a collection's folder.

        Files that the collection has, under the same path and with the same bytes, are dropped;
        a path that is taken gets a number.

        Args:
            folder: where the collection's originals lie.
            strip: leave out folders that hold everything, rather than make a label of them.
            room: how many pictures there is room for by now, where that is bounded.
            tables: what the folder may hold of them, those that are there already too.
        """
        upload = self._find(name, visitor)
        upload.touched = math.inf  # nothing comes any more, and it may take long
        try:
            most = upload.bounds.files
            most = most if room is None else min(most, room)
            kept = Tables(folder, tables or TableBounds())
            taken = take_in(upload, collection, folder, strip, most, kept)
        finally:
            upload.touched = time.monotonic()
        self.drop(name, visitor)
        return taken

    def has(self, name: str, visitor: str) -> bool:
        """Whether an upload of a visitor is here, and not in a collection yet.

        Whose page asks for it waits for its turn, and has not broken off; a stranger's for so long.
        """
        upload = self._of(name, visitor)
        now = time.monotonic()
        if upload is not None and (upload.owner or now - upload.came < UPLOAD_WAITS_SECONDS):
            upload.touched = max(upload.touched, now)
        return upload is not None

    def has_got(self, name: str, visitor: str, mark: str) -> bool:
        """Whether a file has come whole, which the browser knows by a mark."""
        upload = self._of(name, visitor)
        return upload is not None and mark[:MARK] in upload.marks

    def is_sending(self, visitor: str) -> bool:
        """Whether something of a visitor has come that is not in a collection yet."""
        return any(upload.visitor == visitor for upload in list(self._uploads.values()))

    def title(self, name: str, visitor: str) -> str:
        """Return what to call these files: after the one folder or zip that they came in."""
        staged = self._find(name, visitor).folder / "files"
        tops = list(staged.iterdir()) if staged.is_dir() else []
        if len(tops) == 1 and (tops[0].is_dir() or tops[0].suffix.lower() == ".zip"):
            return tops[0].name if tops[0].is_dir() else tops[0].stem
        return ""

    def sizes(self, name: str, visitor: str) -> dict[str, int]:
        """Return the bytes of the pictures that came, by their paths in what `title` names.

        Those inside of zips are left out.
        """
        top = self._find(name, visitor).folder / "files" / self.title(name, visitor)
        return {
            path.relative_to(top).as_posix(): path.stat().st_size
            for path in top.rglob("*")
            if is_picture(path.name) and path.is_file()
        }

    def drop(self, name: str, visitor: str) -> None:
        """Forget an upload and what is left of it."""
        with self._lock:
            upload = self._uploads.get(name)
            if upload is None or upload.visitor != visitor:
                return
            del self._uploads[name]
        self._remove(upload.folder)

    def _remove(self, folder: Path) -> None:
        remove_tree(folder)
        if folder.exists():
            self._leftovers.add(folder)

    def sweep(self, older_than: float) -> None:
        """Drop the uploads that nothing has come for in so many seconds."""
        now = time.monotonic()
        for name, upload in list(self._uploads.items()):
            if now - upload.touched > older_than:
                self.drop(name, upload.visitor)
        for folder in list(self._leftovers):
            remove_tree(folder)
            if not folder.exists():
                self._leftovers.discard(folder)

    def _of(self, name: str, visitor: str) -> Upload | None:
        upload = self._uploads.get(name)
        return upload if upload is not None and upload.visitor == visitor else None

    def _find(self, name: str, visitor: str) -> Upload:
        upload = self._of(name, visitor)
        if upload is None:
            raise LookalikeError("That upload is not here any more. Add the pictures again.")
        return upload


@dataclass
class Receiver:
    """Takes the bytes of one file, no more than are allowed."""

    upload: Upload
    most: int
    into: BinaryIO | None = None  # None drops them
    received: int = 0
    begun: bool = False  # whether the file counts, be it an empty one
    forgotten: bool = False

    def write(self, chunk: bytes) -> None:
        """Take some bytes; of a file that is too large the rest is dropped.

        It is read all the same: a browser that is answered in the middle of a file takes it for a
        lost connection.

        Raises:
            LookalikeError: when the upload is too large, or the file is just sent again.
        """
        if self.forgotten:
            raise LookalikeError("This file is sent again just now. Wait until it is here.")
        if not self.begun:
            self.begun = True
            self.upload.files += 1
        if look_is_due(self.received, len(chunk)):
            require_room(self.upload.folder, self.upload.spare)
        self.received += len(chunk)
        self.upload.bytes += len(chunk)
        self.upload.begun = True
        self.upload.touched = self.upload.came = time.monotonic()
        bounds = self.upload.bounds
        if self.upload.bytes > self.upload.most or self.upload.files > bounds.files:
            raise LookalikeError(f"This is too much at once. {bounds.as_sentence()}")
        if self.into and self.received <= self.most:
            self.into.write(chunk)

    def forget(self) -> None:
        """Count nothing of what has come, take no more, and give back its room on the disk."""
        if not self.forgotten:
            self.forgotten = True
            self.upload.files -= self.begun
            self.upload.bytes -= self.received
            with suppress(OSError, ValueError):  # it is closed, and deleted right away
                if self.into:
                    self.into.truncate(0)


def _is_idle(upload: Upload, now: float) -> bool:
    # Beginning costs nothing, nor does asking after it: neither keeps the others' places for long.
    is_empty = not (upload.begun or upload.left_out)
    if is_empty and now - upload.came >= UPLOAD_EMPTY_SECONDS:
        return True
    return now - upload.touched >= UPLOAD_IDLE_SECONDS


def _giving_way(uploads: Mapping[str, Upload], places: int, room: float) -> list[str]:
    """Return which uploads give way so that the rest is as many and large at most; idle ones do.

    An idle one has the room of what has come of it, any other that of what was promised.

    Raises:
        LookalikeError: when too few are idle. Then none gives way.
    """
    now = time.monotonic()
    sizes = {
        name: one.bytes if _is_idle(one, now) else max(one.bytes, one.promised)
        for name, one in uploads.items()
    }
    idle = [name for name, one in uploads.items() if _is_idle(one, now)]
    idle.sort(key=lambda name: uploads[name].touched, reverse=True)
    going = []
    while len(sizes) > places or sum(sizes.values()) > room:
        if not idle:
            raise LookalikeError(FULL)
        going.append(idle.pop())
        del sizes[going[-1]]
    return going


def was_cut_short(folder: Path) -> bool:
    """Whether files lie in the folder of uploads that were on their way when the app ended."""
    return any(path.is_file() for path in folder.rglob("*"))


def _too_large(most: int) -> str:
    return f"The file is larger than {in_units(most)}. Save a smaller copy."


def _keep(part: Path, path: Path, modified: float) -> None:
    """Put a file that has come whole into its place, as old as it was in seconds since 1970."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if 0 < modified < time.time():
        with suppress(OSError):  # a time that this disk cannot keep
            os.utime(part, (modified, modified))
    replace_file(part, path)


def _bound_of(path: PurePath, bounds: UploadBounds) -> int:
    return bounds.bytes if path.suffix.lower() in (".zip", BUNDLE) else bounds.file_bytes
