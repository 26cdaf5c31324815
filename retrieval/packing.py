"""Results to take away: as a table, and as a ZIP of the pictures."""

import io
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from retrieval.collection import Collection
from retrieval.files import replace_when_done
from retrieval.originals import open_original
from retrieval.search import Match
from retrieval.tables import as_csv, harmless

# No rank: the results may stand in another order than by their similarity.
COLUMNS = ("place", "similarity", "path", "label", "width", "height", "taken", "copy of")


def save_csv(matches: Sequence[Match], path: Path) -> None:
    """Write results as CSV, a row each, whole or not at all.

    Below a result stand its copies, with its place, and its path as what they are copies of.

    Raises:
        LookalikeError: when the file cannot be written.
    """
    rows = (
        (
            place,
            f"{one.similarity:.6f}",
            harmless(one.picture.path),
            harmless(one.picture.label),
            one.picture.width,
            one.picture.height,
            harmless(one.picture.taken or ""),
            "" if one is match else harmless(match.picture.path),
        )
        for place, match in enumerate(matches, start=1)
        for one in (match, *match.copies)
    )
    with replace_when_done(path) as temporary:
        temporary.write_bytes(as_csv(COLUMNS, rows))


@dataclass(frozen=True)
class Packed:
    """What went into a ZIP, by count."""

    originals: int
    thumbnails: int  # where the original cannot be read, or would not have fitted
    left_out: int  # where there was neither, or no room for either
    away: int = 0  # of the thumbnails, those whose original belongs in a folder that is known
    too_large: int = 0  # of the thumbnails, those whose original would not have fitted


def save_zip(
    matches: Sequence[Match],
    collections: Mapping[str, Collection],
    path: Path,
    max_bytes: int,
    originals: bool = True,
) -> Packed:
    """Write the pictures of results as a ZIP, in their order, whole or not at all.

    Each is the original where it lies in its collection's folder and can be read, else the
    thumbnail. Names begin with the place, so no two are the same, and are safe on any disk. The
    copies of a result lie in a folder that begins with its place, and come last: they are not to
    take the room of a result.
    Pictures are copied in pieces and not compressed again.

    Args:
        collections: where the matches come from, by their keys.
        max_bytes: all pictures together; an original that does not fit any more gives way to its
            thumbnail.
        originals: False packs thumbnails only.

    Raises:
        LookalikeError: when the file cannot be written.
    """
    counts = {"originals": 0, "thumbnails": 0, "left out": 0, "away": 0, "too large": 0}
    left = max_bytes
    with replace_when_done(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, match in _named(matches):
            picture, collection = match.picture, collections[match.key]
            fits = True
            if originals and (file := open_original(collection, picture)):
                with file:
                    status = os.fstat(file.fileno())
                    fits = status.st_size <= left
                    if fits and _can_be_read(file):
                        _add(archive, name, file, status.st_size, status.st_mtime)
                        counts["originals"] += 1
                        left -= status.st_size
                        continue
            small = collection.thumbnail(picture.sha256)
            if small and len(small) <= left:
                name = str(PurePosixPath(name).with_suffix("")) + " (small).jpg"
                _add(archive, name, io.BytesIO(small), len(small), time.time())
                counts["thumbnails"] += 1
                if not fits:
                    counts["too large"] += 1
                elif originals and collection.root is not None:
                    counts["away"] += 1
                left -= len(small)
            else:
                counts["left out"] += 1
    return Packed(*counts.values())


def _named(matches: Sequence[Match]) -> Iterator[tuple[str, Match]]:
    """Yield each result with its name in a ZIP, and then the copies of all."""
    digits = len(str(len(matches)))
    for place, match in enumerate(matches, start=1):
        yield f"{place:0{digits}} {_safe_name(match.picture.path)}", match
    for place, match in enumerate(matches, start=1):
        places = len(str(len(match.copies)))
        for number, copy in enumerate(match.copies, start=1):
            name = _safe_name(copy.picture.path)
            yield f"{place:0{digits}} copies/{number:0{places}} {name}", copy


def _can_be_read(file: BinaryIO) -> bool:
    """Whether all of a file can be read, before it is half in a ZIP; then the system still has it.

    A bad sector of a disk shows on the way only.
    """
    try:
        while file.read(2**20):
            pass
        file.seek(0)
    except OSError:
        return False
    return True


def _add(archive: zipfile.ZipFile, name: str, file: BinaryIO, size: int, modified: float) -> None:
    # ZIP knows no time before 1980 and none after 2107.
    when = datetime.fromtimestamp(min(max(modified, 315_619_200), 4_354_732_800))
    info = zipfile.ZipInfo(name, when.timetuple()[:6])
    info.file_size = size  # decides whether the entry needs the form for over 4 GB
    info.external_attr = 0o644 << 16
    with archive.open(info, "w") as target:
        shutil.copyfileobj(file, target, 2**20)


def _safe_name(path: str) -> str:
    """Return the file name of a path so that Windows, macOS and Linux all take it."""
    name = PurePosixPath(path).name.encode(errors="replace").decode()
    # Forbidden characters, controls, and the marks that turn the direction of writing around.
    name = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]', "_", name)
    stem, suffix = os.path.splitext(name)
    # File systems take 255 bytes, and the place and "(small)" want some.
    stem = stem.encode()[:200].decode(errors="ignore").rstrip(". ")
    return (stem or "picture") + suffix[:16]
