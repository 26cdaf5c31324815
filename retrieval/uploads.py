"""Files on their way from a browser into a collection: received whole, then moved in together."""

import math
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from retrieval.collection import Collection
from retrieval.errors import (
    COLLECTION_GONE,
    TOO_LONG,
    LookalikeError,
    explain_os_error,
    is_too_long,
)
from retrieval.files import composed, in_units, replace_file, sha256_of_file
from retrieval.images import SUFFIXES, lies_passed_over
from retrieval.incoming import TableBounds, Tables
from retrieval.records import PASSING
from retrieval.zips import LOOK_BYTES, MAX_NAMED, ZipBounds, free_name, storable, unpack

BUNDLE = ".lookalike"
SPARE_BYTES = 200 * 2**20  # left free on the disk
STRANGERS_SPARE_BYTES = 2 * 2**30  # the same by visitors, so that the owner can go on
STRANGERS_BYTES = 4 * 2**30  # of what all visitors are sending
OPEN = 8  # uploads under way of one visitor
OPEN_IN_ALL = 64
OPEN_AT_ONE_ADDRESS = 48  # a class has one, as has whoever makes up cookies: neither takes all
IDLE_SECONDS = 60.0  # after which one gives way to others, when there are so many
MAX_UNPACKED_BYTES = 40 * 2**30  # of all zips of an upload
# What all zips of an upload may hold: 20 times the pictures that there is room for, since a Mac
# packs a hidden file with each; no fewer than a zip of some thousand photos has, of which the first
# are taken; and no more than twice what the owner may add.
MIN_ENTRIES, MAX_ENTRIES = 10_000, 100_000
MAX_LEFT_OUT = 10_000  # files of an upload whose names are kept with the reason
UNREAD = (
    "Your browser could not read it. Check that it is still there and may be opened, and fetch it "
    "from the cloud if need be; then add it again."
)


@dataclass(frozen=True)
class UploadBounds:
    """What may be handed over at once."""

    files: int
    bytes: int
    file_bytes: int  # of a picture; a zip may have all of `bytes`

    def as_sentence(self) -> str:
        """Say so to whoever is about to upload."""
        return (
            f"Up to {self.files:,} pictures and {in_units(self.bytes)} at once, "
            f"{in_units(self.file_bytes)} each."
        )


@dataclass
class Upload:
    """Files that one visitor is sending."""

    folder: Path
    visitor: str
    bounds: UploadBounds
    address: str = ""  # the visitor's own in the network
    owner: bool = False
    promised: int = 0  # bytes that the browser has said will come
    touched: float = field(default_factory=time.monotonic)
    files: int = 0
    bytes: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)  # name and sentence
    others: int = 0  # files that are no pictures, which the browser has not sent
    numbers: dict[Path, int] = field(default_factory=dict)  # of names that come again

    @property
    def spare(self) -> int:
        """How many bytes it leaves free on the disk."""
        return SPARE_BYTES if self.owner else STRANGERS_SPARE_BYTES

    @property
    def most(self) -> int:
        """How many bytes may come."""
        told = self.bounds.bytes if self.owner else max(0, self.promised) + LOOK_BYTES
        return min(self.bounds.bytes, told)

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
    unnamed: int = 0  # files left out after so many that no more are named
    others: int = 0  # files that are no pictures

    def skip(self, name: str, why: str) -> None:
        """Leave a file out."""
        if len(self.skipped) < MAX_NAMED:
            self.skipped.append((name, why))
        else:
            self.unnamed += 1


class Uploads:
    """The uploads under way; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}
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
        self._find_place(visitor, address, owner, size)
        upload = Upload(folder, visitor, bounds, address, owner, size, others=max(0, others))
        try:
            folder.mkdir(parents=True)
            free = shutil.disk_usage(folder).free
            if size + upload.spare > free:
                self._drop_idle(visitor)  # what was broken off is in nobody's way
                free = shutil.disk_usage(folder).free
        except OSError as error:
            raise explain_os_error(error, "What you send") from error
        if size + upload.spare > free:
            folder.rmdir()
            raise LookalikeError(
                f"The disk has {in_units(free)} left, too little for {in_units(size)} of "
                "pictures. Free some space and try again."
            )
        with self._lock:
            self._uploads[name] = upload
        return name

    def _drop_idle(self, visitor: str) -> None:
        """Drop what a visitor has broken off."""
        now = time.monotonic()
        for name, upload in list(self._uploads.items()):
            if upload.visitor == visitor and now - upload.touched >= IDLE_SECONDS:
                self.drop(name, visitor)

    def _find_place(self, visitor: str, address: str, owner: bool, size: int) -> None:
        """See that there is a place for one more upload; perhaps an idle one gives way.

        Raises:
            LookalikeError: when there is none.
        """

        def own() -> int:
            return sum(upload.visitor == visitor for upload in list(self._uploads.values()))

        if own() >= OPEN:
            self._drop_idle(visitor)
        with self._lock:
            under_way = dict(self._uploads)
        neighbours = {
            name: upload
            for name, upload in under_way.items()
            if address and upload.address == address
        }
        full = LookalikeError(
            "Too many pictures are on their way already. Wait until they are here, then try again."
        )
        if own() >= OPEN:
            raise full
        if owner:
            return
        strangers = [upload for upload in under_way.values() if not upload.owner]
        if sum(max(one.promised, one.bytes) for one in strangers) + size > STRANGERS_BYTES:
            raise full
        if len(neighbours) >= OPEN_AT_ONE_ADDRESS:
            others = neighbours
        elif len(under_way) >= OPEN_IN_ALL:
            others = under_way
        else:
            return
        name, idle = min(others.items(), key=lambda item: item[1].touched)
        if time.monotonic() - idle.touched < IDLE_SECONDS:
            raise full
        self.drop(name, idle.visitor)

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
            require_room(part.parent, upload.spare)
            with part.open("wb") as file:
                receiver = Receiver(upload, file.write, most)
                yield receiver
            if receiver.received > most:
                upload.leave_out(filename, _too_large(most))
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(part, free_name(path, numbers=upload.numbers))
        except OSError as error:
            if is_too_long(error, path):
                upload.leave_out(filename, TOO_LONG)
                return
            raise explain_os_error(error, relative.name) from error
        finally:
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
        upload.touched = time.monotonic()
        upload.leave_out(filename, UNREAD if size is None else _too_large(most))

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
        tables: TableBounds | None = None,
    ) -> Taken:
        """Unpack the zips of an upload and move all of its pictures into a collection's folder.

        Files that the collection has, under the same path and with the same bytes, are dropped;
        a path that is taken gets a number.

        Args:
            folder: where the collection's originals lie.
            strip: leave out a folder that holds everything, rather than make a label of it.
            room: how many pictures there is room for by now, where that is bounded.
            tables: what the folder may hold of them, those that are there already too.
        """
        upload = self._find(name, visitor)
        upload.touched = math.inf  # nothing comes any more, and it may take long
        try:
            most = upload.bounds.files
            most = most if room is None else min(most, room)
            kept = Tables(folder, tables or TableBounds())
            taken = self._take(upload, collection, folder, strip, most, kept)
        finally:
            upload.touched = time.monotonic()
        self.drop(name, visitor)
        return taken

    def _take(
        self,
        upload: Upload,
        collection: Collection,
        folder: Path,
        strip: bool,
        most: int,
        tables: Tables,
    ) -> Taken:
        staged = upload.folder / "files"
        taken = Taken(others=upload.others)
        for name, why in upload.left_out:
            taken.skip(name, why)
        pictures = sorted(_unpacked(upload, staged, taken))
        tops = {path.parts[0] if len(path.parts) > 1 else "" for path, _ in pictures}
        top = next(iter(tops)) if len(tops) == 1 else ""
        known, excluded = collection.files(), collection.excluded()
        strip = strip or _is_known(pictures, top, known)
        names: list[str] = []
        unfinished = collection.unfinished
        numbers: dict[Path, int] = {}
        renamed: dict[str, dict[str, str]] = {}  # of each zip, and of what came in none
        pictures.sort(key=lambda item: _is_table(item[0]))  # last: they follow the pictures' names
        try:
            for relative, source in pictures:
                if strip and top:
                    relative = relative.relative_to(top)
                together = renamed.setdefault(source.relative_to(upload.folder).parts[0], {})
                place, why = folder / relative, ""
                try:
                    if _is_table(relative):
                        why = tables.admit(place, source, together)
                    elif taken.files >= most:
                        why = f"Only {most:,} pictures fit in here."
                        if _is_taken(place, folder, known):
                            together[composed(relative.as_posix())] = ""
                    else:
                        found = _place(
                            collection, folder, relative, source, known, excluded, numbers
                        )
                        if found is None:
                            continue
                        if found != place:
                            together[composed(relative.as_posix())] = found.name
                        place = found
                    if why:
                        taken.skip(str(relative), why)
                        continue
                    if not names:  # also after a kill the page offers to go on
                        collection.mark_unfinished(True)
                    _move(source, place, folder)
                except OSError as error:
                    if not is_too_long(error, folder / relative):
                        raise
                    taken.skip(str(relative), TOO_LONG)
                    continue
                names.append(place.relative_to(folder).as_posix())
                if _is_table(relative):
                    taken.tables += 1
                else:
                    taken.files += 1
        except OSError as error:
            raise explain_os_error(error, "What you sent") from error
        if not names:
            collection.mark_unfinished(unfinished)
        collection.readmit(names)  # one may have been taken out before
        return taken

    def has(self, name: str, visitor: str) -> bool:
        """Whether an upload of a visitor is here, and not in a collection yet."""
        return self._of(name, visitor) is not None

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

    def drop(self, name: str, visitor: str) -> None:
        """Forget an upload and what is left of it."""
        with self._lock:
            upload = self._uploads.get(name)
            if upload is None or upload.visitor != visitor:
                return
            del self._uploads[name]
        shutil.rmtree(upload.folder, ignore_errors=True)
        if upload.folder.exists():
            self._leftovers.add(upload.folder)

    def sweep(self, older_than: float) -> None:
        """Drop the uploads that nothing has come for in so many seconds."""
        now = time.monotonic()
        for name, upload in list(self._uploads.items()):
            if now - upload.touched > older_than:
                self.drop(name, upload.visitor)
        for folder in list(self._leftovers):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                self._leftovers.discard(folder)

    def _of(self, name: str, visitor: str) -> Upload | None:
        upload = self._uploads.get(name)
        return upload if upload is not None and upload.visitor == visitor else None

    def _find(self, name: str, visitor: str) -> Upload:
        upload = self._of(name, visitor)
        if upload is None:
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
            require_room(self.upload.folder, self.upload.spare)
        self.received += len(chunk)
        self.upload.bytes += len(chunk)
        self.upload.touched = time.monotonic()
        bounds = self.upload.bounds
        if self.upload.bytes > self.upload.most or self.upload.files > bounds.files:
            raise LookalikeError(f"This is too much at once. {bounds.as_sentence()}")
        if self.into and self.received <= self.most:
            self.into(chunk)


def was_cut_short(folder: Path) -> bool:
    """Whether files lie in the folder of uploads that were on their way when the app ended."""
    return any(path.is_file() for path in folder.rglob("*"))


def _too_large(most: int) -> str:
    return f"The file is larger than {in_units(most)}. Save a smaller copy."


def require_room(folder: Path, spare: int = SPARE_BYTES) -> None:
    """Leave some space on the disk to everything else, so many bytes.

    Raises:
        LookalikeError: when hardly any is left.
    """
    if shutil.disk_usage(folder).free < spare:
        raise LookalikeError("The disk is full. Free some space and try again.")


def _unpacked(upload: Upload, staged: Path, taken: Taken) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield the relative paths of the pictures, and where they lie, those inside of zips too."""
    # A picture packs badly, so what comes out is about as much as went in; allow for other kinds.
    left = min(4 * upload.bounds.bytes, MAX_UNPACKED_BYTES)
    entries = min(max(20 * upload.bounds.files, MIN_ENTRIES), MAX_ENTRIES)
    for number, path in enumerate(sorted(path for path in staged.rglob("*") if path.is_file())):
        relative = PurePosixPath(path.relative_to(staged).as_posix())
        suffix = path.suffix.lower()
        if lies_passed_over(str(relative)):
            continue  # a page sends none, and what is not seen there would never be deleted
        if suffix == ".zip":
            inside = upload.folder / f"zip-{number:06}-{secrets.token_hex(6)}"  # sorted as they are
            bounds = ZipBounds(entries, upload.bounds.file_bytes, left)
            try:
                result = unpack(
                    path, inside, bounds, lambda: require_room(upload.folder, upload.spare)
                )
            except LookalikeError as error:
                taken.skip(path.name, str(error))
                shutil.rmtree(inside, ignore_errors=True)
                continue
            finally:
                path.unlink()
            entries -= result.entries
            for name, why in result.skipped:
                taken.skip(f"{path.name}: {name}", why)
            taken.unnamed += result.unnamed
            taken.others += result.others
            for file in inside.rglob("*"):
                if file.is_file():
                    left -= file.stat().st_size
                    yield PurePosixPath(file.relative_to(inside).as_posix()), file
        elif suffix in SUFFIXES or _is_table(path):
            yield relative, path
        else:
            taken.others += 1


def _is_known(
    pictures: Sequence[tuple[PurePosixPath, Path]], top: str, known: Mapping[str, tuple[int, int]]
) -> bool:
    """Whether a folder is the one that a collection was made of, dropped again.

    Then its files lie where they did, rather than all once more below its name: most of those
    whose path is known, without that name, are as large as they were.
    """
    if not top:
        return False
    sizes = [
        (known[name][0], source.stat().st_size)
        for relative, source in pictures
        if (name := relative.relative_to(top).as_posix()) in known
    ]
    same = sum(before == now for before, now in sizes)
    return bool(same) and 2 * same >= len(sizes)


def _place(
    collection: Collection,
    folder: Path,
    relative: PurePosixPath,
    source: Path,
    known: Mapping[str, tuple[int, int]],
    excluded: Container[str],
    numbers: dict[Path, int],
) -> Path | None:
    """Return where a picture is to go, None when the collection has it there already."""
    place = folder / relative
    if _is_taken(place, folder, known):
        name, size = relative.as_posix(), source.stat().st_size
        here = [sha256 for _, sha256 in collection.hashes([name])]
        # What lost its vectors, or could not be read, may come again to the place where it was.
        awaited = not place.exists() and known.get(name, (0, 0))[1] == PASSING
        if awaited and not here:
            return place
        # A file of another size need not be read to be known as another.
        if not here and place.exists() and place.stat().st_size == size:
            here = [sha256_of_file(place)]
        elif here and name in known and known[name][0] != size:
            here = []
        if here and sha256_of_file(source) in here:
            # Taken out, it may lie there still; added again it is let in again.
            return place if awaited or name in excluded else None
        return free_name(place, lambda path: _is_taken(path, folder, known), numbers)
    return place


def _is_taken(place: Path, folder: Path, known: Mapping[str, tuple[int, int]]) -> bool:
    return place.exists() or place.relative_to(folder).as_posix() in known


def _is_table(path: PurePath) -> bool:
    return path.suffix.lower() == ".csv"


def _move(source: Path, place: Path, folder: Path) -> None:
    """Move a file to where it is to be, below a folder of originals.

    Raises:
        LookalikeError: when the collection has just been deleted. Its own folder is not made anew:
            nobody would ever see what lies in there.
    """
    for _ in range(2):  # a folder in it that is empty may just be deleted as such
        try:
            for parent in reversed((place.parent, *place.parent.parents)):
                if parent.is_relative_to(folder) and not parent.is_dir():
                    parent.mkdir(exist_ok=True)
            replace_file(source, place)
            return
        except FileNotFoundError:
            if not folder.parent.is_dir():
                break
    raise LookalikeError(COLLECTION_GONE)


def _bound_of(path: PurePath, bounds: UploadBounds) -> int:
    return bounds.bytes if path.suffix.lower() in (".zip", BUNDLE) else bounds.file_bytes
