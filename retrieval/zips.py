"""Zip files from anybody: what is safe in them is unpacked, the rest is named with its reason."""

import errno
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from retrieval.disk_names import free_name, storable
from retrieval.errors import TOO_LONG, LookalikeError, explain_os_error, is_too_long
from retrieval.folders import ARCHIVES, SUFFIXES, lies_passed_over
from retrieval.settings import MAX_FILE_BYTES
from retrieval.staging import LOOK_BYTES

CHUNK = 2**20
BLOCK = 4096  # bytes that the smallest file or folder takes on most disks
MAX_NAMED = 1_000  # files that are left out with their names; the others are counted
MAX_NAMED_CHARACTERS = 200
# What zipfile and the unpackers below it raise at broken bytes, beside OSError without a number.
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, ValueError, RuntimeError, IndexError, KeyError, MemoryError),
)
# The table at the end of the file, before it is read into memory: names of 250 characters and
# what zipfile keeps of each.
MAX_TABLE_BYTES = 24 * 2**20
TABLE_BYTES = 600  # of each entry that may come, at most; several zips are read at once
# What stands at the end of a zip: its last record without the comment, and before it what there is
# for large files, a locator and the record that it names.
END_BYTES, LOCATOR_BYTES, LARGE_BYTES = 22, 20, 56
# Ways to pack an entry that are unpacked piece by piece. Of the others zipfile unpacks a megabyte
# at once, whatever comes of it: of 1.2 kB packed by bzip2 3 GB, and of 1 MB by LZMA 7.
PLAIN = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
UNUSUAL = "It is packed in an unusual way. Make the zip again, with the usual method (Deflate)."


@dataclass(frozen=True)
class ZipBounds:
    """What one zip file may hold at most."""

    entries: int = 50_000  # of all kinds, folders too
    file_bytes: int = MAX_FILE_BYTES
    total_bytes: int = 20 * 2**30
    pictures: int = 50_000  # that are unpacked, the first by their names; the others are listed
    tables: int = 50_000  # the same of CSV files


class ZippedFile(NamedTuple):
    """A picture or table of a zip file."""

    path: PurePosixPath  # in the zip; with a number, where another one had that name
    place: Path  # where it lies now
    size: int | None  # in bytes; None when it was one too many, and was not unpacked


@dataclass
class Unpacked:
    """What a zip file held."""

    files: list[ZippedFile] = field(default_factory=list)
    pictures: int = 0  # that it was tried to unpack
    tables: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)  # entry and sentence
    unnamed: int = 0  # entries that were left out after so many that no more are named
    others: int = 0  # files that are no pictures
    entries: int = 0  # all that it holds

    def counts(self, relative: PurePosixPath, bounds: ZipBounds) -> bool:
        """Count a picture or table; return whether there is still room for one of its kind."""
        if relative.suffix.lower() == ".csv":
            has_room = self.tables < bounds.tables
            self.tables += has_room
        else:
            has_room = self.pictures < bounds.pictures
            self.pictures += has_room
        return has_room

    def leave_out(self, name: str, why: str) -> None:
        """Note an entry that is not unpacked, with a sentence; after many, only how many."""
        if len(self.skipped) < MAX_NAMED:
            self.skipped.append((name[:MAX_NAMED_CHARACTERS], why))
        else:
            self.unnamed += 1


class _SkipError(Exception):
    """One entry is left out, with a sentence."""


def unpack(
    archive: Path, folder: Path, bounds: ZipBounds, look: Callable[[], None] = lambda: None
) -> Unpacked:
    """Unpack the pictures and CSV files of a zip into an empty folder.

    Args:
        look: called before the first file, and each time `LOOK_BYTES` have been written; what it
            raises, since the disk is nearly full, ends the unpacking.

    Of more than `bounds` allows, the names are returned all the same: they are neither written to
    the disk nor read.

    Raises:
        LookalikeError: when it is no zip, has too many entries, or the disk is full. Whatever is
            wrong with a single entry only costs that entry.
    """
    result = Unpacked()
    with _naming_the_cure(archive):
        check_table(archive, min(MAX_TABLE_BYTES, TABLE_BYTES * max(bounds.entries, 1_000)))
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            result.entries = len(entries)
            if len(entries) > bounds.entries:
                raise LookalikeError(
                    f"The zip file holds {len(entries):,} files; at most {bounds.entries:,} can be "
                    "taken at once, of all zips. Make several smaller ones, and add one after the "
                    "other."
                )
            if len(entries) > bounds.pictures:  # or the disk would go to and fro
                entries = sorted(entries, key=_name_of)
            left = bounds.total_bytes
            writing = _Writing(look)
            for entry in entries:
                name = _name_of(entry)
                if entry.is_dir() or _is_hidden(name):
                    continue
                try:
                    relative = _checked(entry, name, bounds.file_bytes, left)
                    if relative is None:
                        result.others += 1
                    elif result.counts(relative, bounds):
                        place, size = _extract(opened, entry, folder / relative, writing)
                        left -= size
                        result.files.append(ZippedFile(relative.with_name(place.name), place, size))
                    else:
                        result.files.append(ZippedFile(relative, folder / relative, None))
                except _SkipError as reason:
                    result.leave_out(name, str(reason))
    return result


@contextmanager
def _naming_the_cure(archive: Path) -> Iterator[None]:
    """Raise LookalikeError, with a sentence, for whatever is wrong with all of a zip."""
    damaged = f"{archive.name} is damaged or not a zip file. Make it again and try again."
    try:
        yield
    except NotImplementedError as error:
        raise LookalikeError(
            f"{archive.name} is of a kind of zip that cannot be read. Make an ordinary one."
        ) from error
    except (zipfile.LargeZipFile, *BROKEN) as error:
        raise LookalikeError(damaged) from error
    except OSError as error:
        if is_of_the_file(error):
            raise LookalikeError(damaged) from error
        raise explain_os_error(error, archive) from error


def is_of_the_file(error: OSError) -> bool:
    """Whether broken bytes are to blame, and not the disk.

    bz2 gives no number; a table that leads to before the beginning is an invalid place to go to.
    """
    return error.errno in (None, errno.EINVAL)


def check_table(archive: Path, most: int = MAX_TABLE_BYTES) -> None:
    """Refuse a table of contents that would fill the memory, before zipfile reads all of it.

    Raises:
        LookalikeError: when it has more bytes than `most`.
        BadZipFile: when there is none.
    """
    size = archive.stat().st_size
    with archive.open("rb") as file:
        file.seek(max(0, size - END_BYTES - 65_535 - LOCATOR_BYTES - LARGE_BYTES))
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) < at + END_BYTES:
            raise zipfile.BadZipFile
        # For large files there is a second record, and before the end a locator that says where.
        # zipfile believes the record before the locator, from Python 3.14 on the one that the
        # locator names; nothing else counts, so that neither can be hidden by another.
        beside = named = None
        locator = at - LOCATOR_BYTES
        if locator >= 0 and tail.startswith(b"PK\6\7", locator):
            beside = _table_of(tail[max(0, locator - LARGE_BYTES) : locator])
            place = struct.unpack_from("<Q", tail, locator + 8)[0]
            if place < size:
                file.seek(place)
                named = _table_of(file.read(LARGE_BYTES))
    table = struct.unpack_from("<L", tail, at + 12)[0]
    if beside is not None and table == 0xFFFFFFFF:
        table = 0  # "see the second record", which every Python does then
    if max(table, beside or 0, named or 0) > most:
        raise LookalikeError(
            "The zip file holds far too many files to be taken at once. Make several smaller ones."
        )


def _table_of(record: bytes) -> int | None:
    """Return the bytes of the table as a record for large files has them; None when it is none."""
    if len(record) < LARGE_BYTES or not record.startswith(b"PK\6\6"):
        return None
    return int(struct.unpack_from("<Q", record, 40)[0])


def _name_of(entry: zipfile.ZipInfo) -> str:
    """Return the name of an entry; many programs write UTF-8 without saying so."""
    name = entry.orig_filename
    if not entry.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _is_hidden(name: str) -> bool:
    parts = (part for part in name.split("/") if part not in (".", ".."))
    return lies_passed_over("/".join(parts)) or name.startswith("__MACOSX/")


def _checked(entry: zipfile.ZipInfo, name: str, most: int, left: int) -> PurePosixPath | None:
    """Return where an entry may go, None when it is no picture.

    Args:
        most: bytes that it may have.
        left: bytes that all together may still have.
    """
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise _SkipError("It is a link to another file. Put the picture itself into the zip.")
    relative = storable(name)
    if relative is None:
        raise _SkipError("Its path leads out of the zip, or is too long. Give it a plain name.")
    suffix = relative.suffix.lower()
    if suffix in ARCHIVES:
        raise _SkipError("A zip inside of a zip is not opened. Unpack it and add it by itself.")
    if suffix not in SUFFIXES and suffix != ".csv":
        return None
    if entry.flag_bits & 0x1:
        raise _SkipError("It is protected by a password. Make the zip without one.")
    if entry.compress_type not in PLAIN:
        raise _SkipError(UNUSUAL)
    # Deflate packs 1,032 to 1 at best, and a picture is packed already.
    if entry.file_size > 1_100 * max(entry.compress_size, 1) + 1_000:
        raise _SkipError("It claims to grow beyond all measure. It looks like a zip bomb.")
    # No more than the entry claims is ever read, so the claim can be judged instead.
    if entry.file_size > most:
        raise _SkipError("The file is too large. Save a smaller copy.")
    if entry.file_size > left:
        raise _SkipError("The zip holds more than can be taken at once. Make several smaller ones.")
    return relative


@dataclass
class _Writing:
    """What is remembered from one file that is written to the next."""

    look: Callable[[], None]
    since: int = LOOK_BYTES  # bytes since the last look; the first one is at once
    numbers: dict[Path, int] = field(default_factory=dict)  # of names that come again
    folders: set[Path] = field(default_factory=set)  # that are there

    def count(self, size: int) -> None:
        """Count bytes that are about to be written, and look whether there is room for them."""
        self.since += size
        if self.since >= LOOK_BYTES:
            self.look()
            self.since = 0


def _extract(
    opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, writing: _Writing
) -> tuple[Path, int]:
    """Write one entry; return where it lies, and its bytes.

    Right there: nobody else looks into that folder, and what is not whole is deleted.
    """
    place: Path | None = None
    written = 0
    try:
        writing.count(BLOCK * len(path.parts))  # empty files and their folders fill a disk as well
        if path.parent not in writing.folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            writing.folders.add(path.parent)
        free = free_name(path, numbers=writing.numbers)
        with free.open("xb") as output:
            place = free
            for chunk in _chunks(opened, entry):
                writing.count(len(chunk))
                output.write(chunk)
                written += len(chunk)
        whole, place = place, None
        return whole, written
    except (FileExistsError, NotADirectoryError) as error:
        raise _SkipError("A file and a folder in the zip have the same name.") from error
    except OSError as error:
        if not is_too_long(error, path):
            raise
        raise _SkipError(TOO_LONG) from error
    finally:
        if place:
            with suppress(FileNotFoundError):
                place.unlink()


def _chunks(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Read an entry in pieces; what is wrong with its bytes only costs the entry."""
    damaged = "It is damaged inside of the zip. Make the zip again."
    try:
        with opened.open(entry) as packed:
            while chunk := packed.read(CHUNK):
                yield chunk
    except NotImplementedError as error:
        raise _SkipError(UNUSUAL) from error
    except BROKEN as error:
        raise _SkipError(damaged) from error
    except OSError as error:
        if is_of_the_file(error):
            raise _SkipError(damaged) from error
        raise
