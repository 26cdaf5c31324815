"""Files that are either written whole or not at all, and what lies inside of a folder."""

import glob
import hashlib
import io
import os
import secrets
import shutil
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from retrieval.errors import LookalikeError, explain_os_error

MARKED_BYTES = 4096  # at the beginning of a file, where a result of ours has its mark
ABANDONED_SECONDS = 3600.0  # without a change, after which what is half made is a kill's
TRIES = 10 if sys.platform == "win32" else 1


@contextmanager
def replace_when_done(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path`.

    On any error, a kill excepted, the temporary file is removed and `path` is as it was. Where that
    is a link, it stays one, and what it leads to is replaced.
    Raises LookalikeError when the disk is full or the folder cannot be written.
    """
    if os.path.islink(path):
        path = Path(os.path.realpath(path))
    temporary = part_in(path.parent, f".{path.name}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.open("xb").close()
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        replace_file(temporary, path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


class _OnlyTried(Exception):
    """Ends the writing of a file that was begun to see whether it can be."""


def need_place(path: Path | None, *kinds: str, mark: bytes = b"") -> None:
    """Raise a LookalikeError where a result cannot be written, before minutes are spent on it.

    It is tried, and no trace is left.

    Args:
        kinds: how the names of such results end, in small letters. A file that is there is written
            over only when its name does: a photo that was named by mistake is not to be lost.
        mark: what such results hold near their beginning. A file that is there and does not is
            somebody's own, as a table of labels is, and not written over either.
    """
    if path is None:
        return
    if os.path.isdir(path):
        raise LookalikeError(f"{path} is a folder. Name a file in it.")
    if os.path.exists(path) and not os.path.isfile(path):  # a device, which would be replaced
        raise LookalikeError(f"{path} is there already, and is no file. Name another one.")
    if os.path.isfile(path) and path.suffix.lower() not in kinds:
        raise LookalikeError(
            f"{path} is there already, and its name does not end in {' or '.join(kinds)}, so it is "
            "not written over. Name another file, or delete that one first."
        )
    if mark and os.path.isfile(path):
        try:
            with path.open("rb") as file:
                begins = file.read(MARKED_BYTES)
        except OSError as error:
            raise explain_os_error(error, path) from error
        if begins and mark not in begins:
            raise LookalikeError(
                f"{path} is there already, and is no such result of this program, so it is not "
                "written over. Name another file, or delete that one first."
            )
    missing = [folder for folder in path.parents if not os.path.exists(folder)]
    try:
        with suppress(_OnlyTried), replace_when_done(path):
            raise _OnlyTried
    finally:
        for folder in missing:  # the deepest first
            with suppress(OSError):
                folder.rmdir()


def clear_parts(path: Path, older_than: float = ABANDONED_SECONDS) -> None:
    """Delete what kills have left beside `path` of writing it, unless it is still being written.

    Args:
        older_than: for how many seconds nothing was written to it.
    """
    for part in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > older_than:
                part.unlink()


def replace_file(source: Path, target: Path) -> None:
    """Do what `os.replace` does; on Windows, wait a moment where another program has a file open.

    There virus scanners look at each new file for some milliseconds, in which neither it can be
    moved, nor a folder that it lies in.
    """
    for _ in range(TRIES - 1):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            time.sleep(0.1)
    os.replace(source, target)


def same_folder(one: Path | None, other: Path) -> bool:
    """Whether two paths lead to one folder, however they are written; None leads nowhere.

    On macOS and Windows other letters (capitals, accents apart) may name the same one.
    """
    with suppress(OSError, ValueError):  # one of them is not there
        return one is not None and (one == other or os.path.samefile(one, other))
    return False


def remove_tree(folder: Path) -> None:
    """Delete a folder and what is in it, as far as that can be done now.

    Windows reaches what lies deeper than 260 letters by a prefix only.
    """
    path = os.path.abspath(folder)
    if sys.platform == "win32":
        path = rf"\\?\UNC{path[1:]}" if path.startswith(r"\\") else rf"\\?\{path}"
    shutil.rmtree(path, ignore_errors=True)


def part_in(folder: Path, start: str = ".") -> Path:
    """Return a name in a folder, that nothing has, for what is still being written.

    Not by `tempfile`: on Windows it takes a folder that may not be written for one where the name
    is taken, and tries others for hours (CPython's issue 66305).
    """
    return folder / f"{start}{secrets.token_hex(4)}.part"


def inside(folder: Path, path: str) -> Path | None:
    """Return where a path of a record really leads from a folder; None when that is out of it.

    A collection may come from somebody else, and say that its pictures lie anywhere.
    """
    try:
        real = Path(os.path.realpath(folder / path))
        return real if real.is_relative_to(os.path.realpath(folder)) else None
    except (OSError, ValueError):  # a name that no disk can have
        return None


def composed(name: str) -> str:
    """Return a name as people type it, accents and letters in one; macOS may keep them apart."""
    return unicodedata.normalize("NFC", name)


def modified_of(status: os.stat_result) -> int:
    """Return when a file was changed, in nanoseconds since 1970, as far as SQLite can keep it.

    A broken clock dates a file 1601, and in nanoseconds that is no number of 64 bits.
    """
    return max(-(2**63), min(2**63 - 1, status.st_mtime_ns))


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return sha256_of(file)


def first_of_each(paths: Sequence[Path]) -> list[int]:
    """Return of each file the row of the first with its bytes, which is its own where it is that.

    What cannot be read has no equal. Only files of equal size are read.
    """
    sizes = [path.stat().st_size if path.is_file() else -1 for path in paths]
    often = Counter(sizes)
    seen: dict[str, int] = {}
    first = []
    for row, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        sha256 = ""
        if often[size] > 1:
            with suppress(OSError):
                sha256 = sha256_of_file(path)
        first.append(seen.setdefault(sha256, row) if sha256 else row)
    return first


def sha256_of(file: io.BufferedReader) -> str:
    """Return the SHA-256 of what is left of an open file, read in pieces."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def in_units(bytes_: float) -> str:
    """Say a number of bytes in the unit that suits it, as bounds are counted: 1 KB is 1,024."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if bytes_ < 1023.5 or unit == "GB":  # or it would be rounded up to 1,024 of them
            break
        bytes_ /= 1024
    return f"{bytes_:,.0f} {unit}" if bytes_ >= 10 or unit == "bytes" else f"{bytes_:,.1f} {unit}"
