"""Pictures in folders and ZIPs, read where they lie: photos to learn from, sets to compare on."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt

from retrieval.errors import LookalikeError, PictureError, explain_os_error
from retrieval.features import ahead
from retrieval.folders import find_images, is_picture
from retrieval.images import open_picture
from retrieval.model import available_cpus
from retrieval.preprocessing import Preprocessing, preprocess
from retrieval.zips import BROKEN

Pixels = npt.NDArray[np.uint8]
BATCH = 8
SMALLEST = 32  # pixels a side: opening a picture for nothing but to see whether it opens


@dataclass(frozen=True)
class Stored:
    """A picture that is read when it is needed."""

    path: PurePosixPath  # below the folder, or inside the ZIP
    size: int  # bytes
    read: Callable[[], bytes]  # raises PictureError


def list_pictures(source: Path) -> list[Stored]:
    """List the pictures of a folder, of the ZIPs right in it, or of one ZIP, in order.

    Raises:
        LookalikeError: when there are none, or a ZIP is damaged.
    """
    if source.is_dir():
        found = [
            Stored(
                PurePosixPath(path.relative_to(source).as_posix()),
                _size_of(path),
                partial(_read_file, path),
            )
            for path in find_images(source)
        ]
        found += list_packs(source)
    elif source.is_file():
        found = _in_zip(source)
    else:
        raise LookalikeError(f"There are no photos at {source}. Name a folder or a ZIP of them.")
    if not found:
        raise LookalikeError(f"There is no picture in {source}. Name a folder or a ZIP of photos.")
    return found


def list_packs(folder: Path) -> list[Stored]:
    """List the pictures of the ZIPs right in a folder, by the names of the ZIPs, then their own.

    Raises:
        LookalikeError: when a ZIP is damaged.
    """
    return [picture for pack in sorted(folder.glob("*.zip")) for picture in _in_zip(pack)]


def split_part(archive: Path) -> tuple[list[Stored], list[Stored]]:
    """List the pictures of the part of CIFAR-10: the collection, and the queries.

    Raises:
        LookalikeError: when one of them is not there, or the ZIP is damaged.
    """
    pictures = list_pictures(archive)
    collection, queries = (
        [picture for picture in pictures if folder in picture.path.parts]
        for folder in ("collection", "queries")
    )
    if not collection or not queries:
        raise LookalikeError(
            f"{archive.name} needs pictures in a folder `collection` and others in `queries`. Name "
            "the folder with the right one: --data FOLDER"
        )
    return collection, queries


def _in_zip(pack: Path) -> list[Stored]:
    try:
        archive = ZipFile(pack)
    except (BadZipFile, OSError) as error:
        raise LookalikeError(f"{pack.name} is damaged or not a ZIP. Copy it again.") from error
    members = [(PurePosixPath(member.filename), member) for member in archive.infolist()]
    return [
        Stored(path, member.file_size, partial(_read_member, archive, member))
        for path, member in sorted(members, key=lambda pair: pair[0])
        if is_picture(path.name) and not path.name.startswith(".") and not member.is_dir()
    ]


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # reading it will say why


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureError(str(explain_os_error(error, path))) from error


def _read_member(archive: ZipFile, member: ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except (*BROKEN, OSError) as error:  # RuntimeError: it asks for a password
        raise PictureError(f"{member.filename} is damaged. Copy the ZIP again.") from error


def readable(pictures: Sequence[Stored], say: Callable[[str], None]) -> list[Stored]:
    """Return the pictures that can be opened, and say which can not."""

    def problem_of(picture: Stored) -> str | None:
        try:
            open_picture(picture.read(), SMALLEST)
        except PictureError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(available_cpus()) as pool:
        problems = list(pool.map(problem_of, pictures))
    for picture, problem in zip(pictures, problems, strict=True):
        if problem:
            say(f"{picture.path} is left out: {problem}")
    return [picture for picture, problem in zip(pictures, problems, strict=True) if not problem]


def spread(pictures: Sequence[Stored], n: int) -> list[Stored]:
    """Return `n` of the pictures, at equal distances, or all when there are fewer."""
    rows = np.linspace(0, len(pictures) - 1, min(n, len(pictures))).round().astype(int)
    return [pictures[row] for row in rows]


def prepare(
    pictures: Sequence[Stored], how: Preprocessing, batch: int = BATCH
) -> Iterator[tuple[list[Stored], Pixels]]:
    """Yield the readable pictures in batches, with their pixels `(n, side, side, 3)`."""

    def decode(picture: Stored) -> Pixels | None:
        try:
            return preprocess(open_picture(picture.read(), 2 * how.resize).image, how)
        except PictureError:
            return None

    for chunk in ahead(pictures, decode, batch):
        pairs = [(picture, pixels) for picture, pixels in chunk if pixels is not None]
        if pairs:
            yield [picture for picture, _ in pairs], np.stack([pixels for _, pixels in pairs])
