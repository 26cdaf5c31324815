"""The errors that a person can mend: each message says what happened and then the cure."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)  # what a disk says
COLLECTION_GONE = "That collection is not here any more. Reload the page."
TOO_LONG = "Its path is too long for this disk. Shorten its name, or those of its folders."
WINDOWS_PATH = 248  # characters from which on Windows may find a path too long


class LookalikeError(Exception):
    """Something went wrong that the reader of the message can put right.

    Every other exception is a bug and keeps its traceback.
    """


class PictureError(LookalikeError):
    """One picture cannot be used; the rest of the run goes on."""


def too_large(pixels: int, max_pixels: int) -> PictureError:
    """Return what is said of a picture with too many pixels."""
    return PictureError(
        f"The picture has {pixels / 1e6:,.0f} megapixels; at most {max_pixels / 1e6:,.0f} can be "
        "opened. Save a smaller copy."
    )


class BusyError(LookalikeError):
    """Another window or process is changing the same collection."""


class UnfitError(LookalikeError):
    """A collection is whole, and not one for this program or model, however often it is tried."""


def explain_os_error(error: OSError, path: Path | str) -> LookalikeError:
    """Turn an operating-system error at `path` into a sentence with its cure."""
    name = Path(path).name or str(path)
    if is_too_long(error, path):
        return LookalikeError(f"{name}: {TOO_LONG}")
    if is_held(error):
        return LookalikeError(f"{name} is used by another program. Close it there, and try again.")
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return LookalikeError(
                f"The disk is full. {name} could not be written. Free some space and try again; "
                "what was finished before is kept."
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return LookalikeError(
                f"{name} may not be opened or written here. Close it in other programs, check its "
                "permissions, or choose another folder."
            )
        case errno.EISDIR:
            return LookalikeError(f"{name} is a folder. Name a file in it.")
        case errno.ENOENT:
            return LookalikeError(f"{name} does not exist. Check the name and try again.")
        case errno.EEXIST | errno.ENOTDIR:
            return LookalikeError(
                f"{name} cannot be written there: a part of its path is a file, not a folder. Name "
                "another folder, or move that file away."
            )
        case _:
            reason = error.strerror or type(error).__name__
            return LookalikeError(f"{name}: {reason}. Check the disk and try again.")


@contextmanager
def closed_folders_explained() -> Iterator[None]:
    """Turn the error of a closed folder, in which it cannot be seen what there is, into a sentence.

    Raises:
        LookalikeError: in its place.
    """
    try:
        yield
    except PermissionError as error:
        if error.filename is None:
            raise
        raise explain_os_error(error, error.filename) from error


def why_unread(error: Exception, path: Path | str) -> str:
    """Say why a single file could not be read: by the error that its reading or decoding raised."""
    if isinstance(error, MemoryError):
        return "There is not enough memory for it. Close other programs and look for changes again."
    return str(explain_os_error(error, path) if isinstance(error, OSError) else error)


def is_for_memory(error: Exception) -> bool:
    """Whether memory was what an error came of."""
    return isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)


def is_held(error: OSError) -> bool:
    """Whether another program holds a file, or a part of it, which Windows counts as forbidden."""
    return getattr(error, "winerror", None) in (32, 33)


def is_too_long(error: OSError, path: Path | str) -> bool:
    """Whether an error says that a path is too long; Windows says that there is no such file."""
    if os.name == "nt" and error.errno == errno.ENOENT:
        return len(os.path.abspath(path)) >= WINDOWS_PATH
    return error.errno == errno.ENAMETOOLONG
