"""Files on their way from a browser into a collection: received whole, then moved in together."""

import math
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from retrieval.collection import Collection
from retrieval.errors import TOO_LONG, LookalikeError, explain_os_error, is_too_long
from retrieval.files import sha256_of_file
from retrieval.images import SUFFIXES
from retrieval.zips import ZipBounds, free_name, storable, unpack

BUNDLE = ".lookalike"
SPARE_BYTES = 200 * 2**20  # left free on the disk
LOOK_BYTES = 16 * 2**20  # that may come between two looks at what is free
OPEN = 8  # uploads under way of one visitor
OPEN_IN_ALL = 64
MAX_UNPACKED_BYTES = 40 * 2**30  # of all zips of an upload
MAX_LEFT_OUT = 10_000  # files of an upload whose names are kept with the reason


@dataclass(frozen=True)
class UploadBounds:
    """What may be handed over at once."""

    files: int
    bytes: int
    file_bytes: int  # of a picture; a zip may have all of `bytes`

    def as_sentence(self) -> str:
        """Say so to whoever is about to upload."""
        return (
            f"Up to {self.files:,} pictures and {_size(self.bytes)} at once, "
            f"{_size(self.file_bytes)} each."
        )


@dataclass
class Upload:
    """Files that one visitor is sending."""

    folder: Path
    visitor: str
    bounds: UploadBounds
    touched: float = field(default_factory=time.monotonic)
    files: int = 0
    bytes: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)  # name and sentence
    others: int = 0  # files that are no pictures, which the browser has not sent

    def leave_out(self, name: str, why: str) -> None:
        """Note a file that cannot be taken; the others can.

        Raises:
            LookalikeError: when there are too many of them to be remembered.
        """
        if len(self.left_out) >= MAX_LEFT_OUT:
            raise LookalikeError(
                f"More than {MAX_LEFT_OUT:,} of these files cannot be taken. {why}"
            )
        self.left_out.append((name[:200], why))


@dataclass
class Taken:
    """What an upload brought into a collection's folder."""

    files: int = 0  # pictures
    tables: int = 0  # CSV files
    skipped: list[tuple[str, str]] = field(default_factory=list)  # name and sentence
    others: int = 0  # files that are no pictures


class Uploads:
    """The uploads under way; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}

    def begin(
        self, visitor: str, files: int, size: int, bounds: UploadBounds, others: int = 0
    ) -> str:
        """Make room for an upload and return its name, which nobody else can guess.

        Args:
            others: how many files are no pictures and stay where they are; only to be told.

        Raises:
            LookalikeError: when it is too much, or the disk has no room for it.
        """
        if not bounds.files:
            raise LookalikeError(
                "You have as many pictures here as you can keep. Delete a collection, then add "
                "others."
            )
        if files > bounds.files:
            raise LookalikeError(
                f"These are {files:,} files; at most {bounds.files:,} can be added at once. Add "
                "them in several goes."
            )
        if size > bounds.bytes:
            raise LookalikeError(
                f"These are {_size(size)}; at most {_size(bounds.bytes)} can be added at once. Add "
                "them in several goes."
            )
        name = secrets.token_urlsafe(16)
        folder = self._folder / name
        with self._lock:
            under_way = [upload.visitor for upload in self._uploads.values()]
        if under_way.count(visitor) >= OPEN or len(under_way) >= OPEN_IN_ALL:
            raise LookalikeError(
                "Too many pictures are on their way already. Wait until they are here, then try "
                "again."
            )
        try:
            folder.mkdir(parents=True)
            free = shutil.disk_usage(folder).free
        except OSError as error:
            raise explain_os_error(error, "The upload") from error
        if size + SPARE_BYTES > free:
            folder.rmdir()
            raise LookalikeError(
                f"The disk has {_size(free)} left, too little for {_size(size)} of pictures. Free "
                "some space and try again."
            )
        with self._lock:
            self._uploads[name] = Upload(folder, visitor, bounds, others=max(0, others))
        return name

    @contextmanager
    def receiving(self, name: str, visitor: str, filename: str) -> Iterator["Receiver"]:
        """Yield what takes the bytes of one file; the file counts when all of them have come.

        One that is too large, or has no name or path that can be kept, is left out: its bytes are
        dropped, and `take` tells of it.

        Raises:
            LookalikeError: when there is no such upload, or all of it is too much.
        """
        upload = self._find(name, visitor)
        relative = storable(filename)
        if relative is None:
            yield Receiver(upload, None, upload.bounds.bytes)
            upload.leave_out(filename, "This is not a name that can be kept. Rename the file.")
            return
        path = upload.folder / "files" / relative
        part = upload.folder / f"{secrets.token_hex(8)}.part"
        most = _bound_of(relative, upload.bounds)
        try:
            _require_room(part.parent)
            with part.open("wb") as file:
                receiver = Receiver(upload, file.write, most)
                yield receiver
            if receiver.received > most:
                upload.leave_out(filename, _too_large(most))
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(part, free_name(path))
        except OSError as error:
            if is_too_long(error, path):
                upload.leave_out(filename, TOO_LONG)
                return
            raise explain_os_error(error, relative.name) from error
        finally:
            with suppress(FileNotFoundError):
                part.unlink()

    def leave_out(self, name: str, visitor: str, filename: str, size: int) -> None:
        """Note a file that was not sent since it has so many bytes, more than one may have.

        Raises:
            LookalikeError: when there is no such upload, or the file could have been taken.
        """
        upload = self._find(name, visitor)
        most = _bound_of(PurePosixPath(filename), upload.bounds)
        if size <= most:
            raise LookalikeError("Reload the page and try again.")
        upload.touched = time.monotonic()
        upload.leave_out(filename, _too_large(most))

    def bundles(self, name: str, visitor: str) -> list[Path]:
        """Return the packed collections among the files of an upload."""
        upload = self._find(name, visitor)
        return sorted((upload.folder / "files").glob(f"*{BUNDLE}"))

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
    ) -> Taken:
        """Unpack the zips of an upload and move all of its pictures into a collection's folder.

        Files that the collection has, under the same path and with the same bytes, are dropped;
        a path that is taken gets a number.

        Args:
            folder: where the collection's originals lie.
            strip: leave out a folder that holds everything, rather than make a label of it.
            room: how many pictures there is room for by now, where that is bounded.
        """
        upload = self._find(name, visitor)
        upload.touched = math.inf  # nothing comes any more, and it may take long
        try:
            most = upload.bounds.files
            most = most if room is None else min(most, room)
            taken = self._take(upload, collection, folder, strip, most)
        finally:
            upload.touched = time.monotonic()
        self.drop(name, visitor)
        return taken

    def _take(
        self, upload: Upload, collection: Collection, folder: Path, strip: bool, most: int
    ) -> Taken:
        staged = upload.folder / "files"
        taken = Taken(skipped=list(upload.left_out), others=upload.others)
        pictures = sorted(_unpacked(upload, staged, taken))
        tops = {path.parts[0] if len(path.parts) > 1 else "" for path, _ in pictures}
        top = next(iter(tops)) if len(tops) == 1 else ""
        known = collection.files()
        names: list[str] = []
        try:
            for relative, source in pictures:
                if strip and top:
                    relative = relative.relative_to(top)
                if taken.files >= most:
                    taken.skipped.append((str(relative), f"Only {most:,} pictures fit in here."))
                    continue
                try:
                    place = _place(collection, folder, relative, source, known)
                    if place is None:
                        continue
                    place.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(source, place)
                except OSError as error:
                    if not is_too_long(error, folder / relative):
                        raise
                    taken.skipped.append((str(relative), TOO_LONG))
                    continue
                names.append(place.relative_to(folder).as_posix())
                if place.suffix.lower() in SUFFIXES:
                    taken.files += 1
                else:
                    taken.tables += 1
        except OSError as error:
            raise explain_os_error(error, folder) from error
        collection.readmit(names)  # one may have been taken out before
        return taken

    def title(self, name: str, visitor: str) -> str:
        """Return what to call these files: after the one folder or zip that they came in."""
        staged = self._find(name, visitor).folder / "files"
        tops = list(staged.iterdir()) if staged.is_dir() else []
        if len(tops) == 1 and (tops[0].is_dir() or tops[0].suffix.lower() == ".zip"):
            return tops[0].name if tops[0].is_dir() else tops[0].stem
        return ""

    def drop(self, name: str, visitor: str) -> None:
        """Forget an upload and what is left of it."""
        with self._lock:
            upload = self._uploads.get(name)
            if upload is None or upload.visitor != visitor:
                return
            del self._uploads[name]
        shutil.rmtree(upload.folder, ignore_errors=True)

    def sweep(self, older_than: float) -> None:
        """Drop the uploads that nothing has come for in so many seconds."""
        now = time.monotonic()
        for name, upload in list(self._uploads.items()):
            if now - upload.touched > older_than:
                self.drop(name, upload.visitor)

    def _find(self, name: str, visitor: str) -> Upload:
        upload = self._uploads.get(name)
        if upload is None or upload.visitor != visitor:
            raise LookalikeError("That upload is not here any more. Drop the pictures again.")
        return upload


@dataclass
class Receiver:
    """Takes the bytes of one file, no more than are allowed."""

    upload: Upload
    into: Callable[[bytes], int] | None  # None drops them
    most: int
    received: int = 0

    def write(self, chunk: bytes) -> None:
        """Take some bytes; of a file that is too large the rest is dropped.

        It is read all the same: a browser that is answered in the middle of a file takes it for a
        lost connection.

        Raises:
            LookalikeError: when the upload is too large.
        """
        if not self.received:
            self.upload.files += 1
        if self.received // LOOK_BYTES != (self.received + len(chunk)) // LOOK_BYTES:
            _require_room(self.upload.folder)
        self.received += len(chunk)
        self.upload.bytes += len(chunk)
        self.upload.touched = time.monotonic()
        bounds = self.upload.bounds
        if self.upload.bytes > bounds.bytes or self.upload.files > bounds.files:
            raise LookalikeError(f"This is too much at once. {bounds.as_sentence()}")
        if self.into and self.received <= self.most:
            self.into(chunk)


def _too_large(most: int) -> str:
    return f"The file is larger than {_size(most)}. Save a smaller copy."


def _require_room(folder: Path) -> None:
    """Leave some space on the disk to everything else.

    Raises:
        LookalikeError: when hardly any is left.
    """
    if shutil.disk_usage(folder).free < SPARE_BYTES:
        raise LookalikeError("The disk is full. Free some space and try again.")


def _unpacked(upload: Upload, staged: Path, taken: Taken) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield the relative paths of the pictures, and where they lie, those inside of zips too."""
    # A picture packs badly, so what comes out is about as much as went in; allow for other kinds.
    left = min(4 * upload.bounds.bytes, MAX_UNPACKED_BYTES)
    for path in sorted(path for path in staged.rglob("*") if path.is_file()):
        relative = PurePosixPath(path.relative_to(staged).as_posix())
        suffix = path.suffix.lower()
        if suffix == ".zip":
            inside = upload.folder / f"zip-{secrets.token_hex(6)}"
            bounds = ZipBounds(file_bytes=upload.bounds.file_bytes, total_bytes=left)
            try:
                result = unpack(path, inside, bounds)
            except LookalikeError as error:
                taken.skipped.append((path.name, str(error)))
                continue
            finally:
                path.unlink()
            taken.skipped += [(f"{path.name}: {name}", why) for name, why in result.skipped]
            taken.others += result.others
            for file in inside.rglob("*"):
                if file.is_file():
                    left -= file.stat().st_size
                    yield PurePosixPath(file.relative_to(inside).as_posix()), file
        elif suffix in SUFFIXES or suffix == ".csv":
            yield relative, path
        else:
            taken.others += 1


def _place(
    collection: Collection,
    folder: Path,
    relative: PurePosixPath,
    source: Path,
    known: dict[str, tuple[int, int]],
) -> Path | None:
    """Return where a file is to go, None when the collection has it there already."""

    def is_taken(path: Path) -> bool:
        return path.exists() or path.relative_to(folder).as_posix() in known

    place = folder / relative
    if is_taken(place) and source.suffix.lower() != ".csv":
        name = relative.as_posix()
        here = [sha256 for _, sha256 in collection.hashes([name])]
        if place.exists() and not here:
            here = [sha256_of_file(place)]
        if sha256_of_file(source) in here:
            return None
        return free_name(place, is_taken)
    return place  # a newer table takes the place of the older one


def _bound_of(path: PurePath, bounds: UploadBounds) -> int:
    return bounds.bytes if path.suffix.lower() in (".zip", BUNDLE) else bounds.file_bytes


def _size(bytes_: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if bytes_ < 1024 or unit == "GB":
            break
        bytes_ /= 1024
    return f"{bytes_:,.0f} {unit}" if bytes_ >= 10 or unit == "bytes" else f"{bytes_:,.1f} {unit}"
