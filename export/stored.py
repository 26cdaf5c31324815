"""Pictures in folders and ZIPs, read where they lie: photos to calibrate on, sets to compare on."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from retrieval.errors import LookalikeError, PictureError
from retrieval.images import SUFFIXES, Preprocessing, find_images, open_picture, preprocess
from retrieval.model import available_cpus

Pixels = npt.NDArray[np.uint8]
BATCH = 8


@dataclass(frozen=True)
class Stored:
    """A picture that is read when it is needed."""

    path: PurePosixPath  # below the folder, or inside the ZIP
    read: Callable[[], bytes]


def list_pictures(source: Path) -> list[Stored]:
    """List the pictures of a folder, of the ZIPs right in it, or of one ZIP, in order.

    Raises:
        LookalikeError: when there are none, or a ZIP is damaged.
    """
    if source.is_dir():
        found = [
            Stored(PurePosixPath(path.relative_to(source).as_posix()), path.read_bytes)
            for path in find_images(source)
        ]
        for pack in sorted(source.glob("*.zip")):
            found += _in_zip(pack)
    elif source.is_file():
        found = _in_zip(source)
    else:
        raise LookalikeError(f"There are no photos at {source}. Name a folder or a ZIP of them.")
    if not found:
        raise LookalikeError(f"There is no picture in {source}. Name a folder or a ZIP of photos.")
    return found


def _in_zip(pack: Path) -> list[Stored]:
    try:
        archive = ZipFile(pack)
    except (BadZipFile, OSError) as error:
        raise LookalikeError(f"{pack.name} is damaged or not a ZIP. Copy it again.") from error
    paths = sorted(PurePosixPath(name) for name in archive.namelist())
    return [
        Stored(path, partial(archive.read, str(path)))
        for path in paths
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]


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

    remaining = iter(pictures)
    with ThreadPoolExecutor(available_cpus()) as pool:
        coming = list(islice(remaining, batch))
        futures = [pool.submit(decode, picture) for picture in coming]
        while coming:
            chunk, decoded = coming, [future.result() for future in futures]
            # The next batch is decoded while the network is busy with this one.
            coming = list(islice(remaining, batch))
            futures = [pool.submit(decode, picture) for picture in coming]
            pairs = [(c, d) for c, d in zip(chunk, decoded, strict=True) if d is not None]
            if pairs:
                yield [c for c, _ in pairs], np.stack([d for _, d in pairs])
