"""Folders: the pictures that lie in them, and what else does and is nobody's picture."""

import os
import platform
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from retrieval.errors import LookalikeError, explain_os_error
from retrieval.paths import called
from retrieval.settings import COLLECTIONS, EMPTIED, HOME, PUBLISHED

# Of `images.FORMATS`, in small letters.
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "tif", "tiff"),
        *("bmp", "dib", "heic", "heif", "hif", "avif"),
        "mpo",  # of a camera with two lenses: a JPEG, and behind it another
    )
)
# What pictures may be in all the same, in small letters; as in `retrieval/pages/sending.js`.
ARCHIVES = frozenset({".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".lookalike"})
RAW = frozenset(
    f".{suffix}"
    for suffix in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dng", "erf", "iiq", "kdc", "mrw", "nef", "nrw"),
        *("orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
# Folders of systems, in small letters: their bins, whose photos somebody has deleted, the small
# copies and the snapshots that network drives keep, and what a repair of a disk has found.
# `retrieval/pages/sending.js` has the same ones.
SYSTEM_FOLDERS = frozenset(
    (
        *("$recycle.bin", "system volume information", "lost+found"),
        *("@eadir", "#recycle", "#snapshot", "@recycle"),
    )
)
# Where Photos, of macOS, keeps what it was handed, in small letters; all else are its small copies.
PHOTOS_LIBRARY = ".photoslibrary"
PHOTOS_ORIGINALS = ("originals", "masters")
KEPT_BY_US = (HOME, COLLECTIONS, PUBLISHED, *EMPTIED)
JUNCTION = 0xA0000003  # `stat.IO_REPARSE_TAG_MOUNT_POINT`, which only Windows' Python knows
PICTURE_SECONDS = 5.0  # for a folder in which there seems to be no picture
MARKS_HIDE = platform.system() in ("Windows", "Darwin")


def is_passed_over(name: str, parent: str = "") -> bool:
    """Whether a file or folder of that name is nobody's picture: hidden, or the system's own.

    Args:
        parent: the name of the folder it lies in.
    """
    if parent.casefold().endswith(PHOTOS_LIBRARY) and name.casefold() not in PHOTOS_ORIGINALS:
        return True
    return name.startswith(".") or name.casefold() in SYSTEM_FOLDERS


def lies_passed_over(path: str) -> bool:
    """Whether a relative path leads to, or through, what is passed over."""
    parts = path.split("/")
    return any(map(is_passed_over, parts, ["", *parts]))


def is_hidden(status: os.stat_result) -> bool:
    """Whether a file or folder has the mark by which Windows or macOS hides it."""
    return bool(
        getattr(status, "st_file_attributes", 0) & stat.FILE_ATTRIBUTE_HIDDEN
        or getattr(status, "st_flags", 0) & stat.UF_HIDDEN
    )


def walk(
    folder: Path, on_error: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder, and the names of the files in it, sorted; without what is passed over.

    So is what the app keeps, where it lies in there: other people's pictures are among it.
    """
    ours = set(_ours_in(folder))
    for parent, folders, names in os.walk(folder, onerror=on_error):
        within = os.path.basename(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not is_passed_over(name, within)
            and (path := os.path.join(parent, name)) not in ours
            and not _is_marked(path)
        )
        yield parent, sorted(name for name in names if not is_passed_over(name, within))


def _ours_in(folder: Path) -> Iterator[str]:
    """Yield the paths below a folder at which the app keeps something."""
    root = os.path.realpath(folder)
    for place in map(os.path.realpath, KEPT_BY_US):
        with suppress(ValueError):  # on another drive
            if place != root and os.path.commonpath((place, root)) == root:
                yield os.path.join(folder, os.path.relpath(place, root))


def _is_marked(folder: str) -> bool:
    """Whether a folder is hidden, or leads elsewhere by one of Windows' junctions.

    Asked of the disk only where that can be.
    """
    if not MARKS_HIDE:
        return False
    try:
        status = os.lstat(folder)
    except OSError:  # entering it will say why
        return False
    return is_hidden(status) or getattr(status, "st_reparse_tag", 0) == JUNCTION


def is_picture(name: str) -> bool:
    """Whether a file is a picture by its name."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def find_images(folder: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield the picture files below `folder`, sorted within each folder.

    Suffixes count in any case; hidden files and folders (`._IMG_1.jpg`, `.thumbnails`) are passed
    over, and so are the system's own (`SYSTEM_FOLDERS`); a symbolic link counts only when it is a
    file that lies inside `folder`. Folders that cannot be read are handed to `on_error`.
    """
    root = folder.resolve()
    for parent, names in walk(folder, on_error):
        for name in names:
            if not is_picture(name):
                continue
            path = Path(parent, name)
            # realpath, since Path.resolve raises on a link to itself.
            if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(root):
                continue
            try:
                status = path.stat()
                is_file = stat.S_ISREG(status.st_mode) and not is_hidden(status)
            except OSError as error:
                # It is there but cannot even be measured (its path is too long for Windows, say);
                # reading it will say why. A link that leads nowhere is nothing.
                is_file = isinstance(error, PermissionError) or not os.path.islink(path)
            if is_file:
                yield path


def require_pictures(root: Path) -> None:
    """Refuse a folder in which there is no picture, as far as that shows within some seconds.

    What cannot be looked through in time, or fails as a disk does, may hold some.

    Raises:
        LookalikeError: when there is none, or the folder may not be opened.
    """
    errors: list[OSError] = []
    suffixes: set[str] = set()
    end = time.monotonic() + PICTURE_SECONDS
    for _, names in walk(root, errors.append):
        if any(map(is_picture, names)):
            return
        suffixes.update(PurePosixPath(name).suffix.lower() for name in names)
        if time.monotonic() > end:
            return
    for error in errors:
        if str(error.filename) == str(root):
            raise explain_os_error(error, root)
        if not isinstance(error, PermissionError):
            return
    sentences = [f"There is no picture in {called(root)}."]
    if errors:
        sentences.append("Folders in it that may not be opened were passed over.")
    if suffixes & ARCHIVES:
        sentences.append(
            "It holds zips or other archives: unpack them there, or drop the zips on the page."
        )
    if suffixes & RAW:
        sentences.append("It holds cameras' raw files, which are not read: export them as JPEG.")
    if not suffixes & (ARCHIVES | RAW):
        sentences.append(
            "Choose another folder. If the pictures are on another disk, connect that first."
        )
    raise LookalikeError(" ".join(sentences))
