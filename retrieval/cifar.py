"""CIFAR-10 (Krizhevsky 2009): from folders of pictures, from the official archive, or fetched.

The archive holds pickles that are not ours, so they are read by an unpickler that knows arrays of
numbers and nothing else.
"""

import hashlib
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from retrieval.errors import BusyError, LookalikeError, explain_os_error
from retrieval.fetching import trusting_context
from retrieval.files import composed
from retrieval.folders import find_images
from retrieval.pickles import ArrayUnpickler

# As published on https://www.cs.toronto.edu/~kriz/cifar.html, where the MD5 stands too.
ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
ARCHIVE = "cifar-10-python.tar.gz"
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
COLLECTION_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
QUERY_BATCHES = ("test_batch",)
# A batch is 30.7 MB of pixels and some names.
MAX_BATCH_BYTES = 64 * 2**20

TRIES = 5
TIMEOUT = 30  # seconds without a byte
PIECE = 2**18  # bytes

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """Pictures with a class each: files, or pixels of one size."""

    labels: tuple[str, ...]  # n of them
    files: tuple[Path, ...] = ()  # n of them, or none where there are pixels
    pixels: Pixels | None = None  # (n, h, w, 3), RGB

    def __post_init__(self) -> None:
        n = len(self.files) if self.pixels is None else len(self.pixels)
        if n != len(self.labels):
            raise ValueError(f"{n} pictures with {len(self.labels)} labels")


@dataclass(frozen=True)
class Split:
    """A data set as a protocol wants it: what is searched, and what is asked."""

    collection: Pictures
    queries: Pictures


def read_cifar10(source: Path, md5: str = MD5) -> Split:
    """Read CIFAR-10: the test pictures are the queries, the training pictures the collection.

    Args:
        source: a folder with the subfolders `queries` and `collection` (or `test` and `train`), a
            folder for each class in them; the official python archive; or a folder holding it.
        md5: what the archive's MD5 has to be.

    Raises:
        LookalikeError: when it is none of these, or the archive is damaged or not the official one.
    """
    if source.is_dir():
        for asked, searched in (("queries", "collection"), ("test", "train")):
            if (source / asked).is_dir() and (source / searched).is_dir():
                return Split(
                    read_classes(source / searched, "CIFAR-10"),
                    read_classes(source / asked, "CIFAR-10"),
                )
        source = source / ARCHIVE
    if not source.is_file():
        raise LookalikeError(
            f"There is no CIFAR-10 at {source}. Name a folder with the subfolders queries and "
            f"collection, or {ARCHIVE} from {ADDRESS}, or write: --cifar10 download"
        )
    if md5_of(source) != md5:
        if source.name != ARCHIVE:
            raise LookalikeError(
                f"{source.name} is not the official {ARCHIVE} (its MD5 is not {md5}). If it is an "
                "archive of pictures, unpack it and name its folder; or write: --cifar10 download"
            )
        raise LookalikeError(
            f"{source.name} is damaged or not the official archive (its MD5 is not {md5}). Delete "
            "it and download it again with: --cifar10 download"
        )
    try:
        with tarfile.open(source, "r:gz") as archive:
            return Split(
                _join([_read_batch(archive, name) for name in COLLECTION_BATCHES]),
                _join([_read_batch(archive, name) for name in QUERY_BATCHES]),
            )
    except LookalikeError:
        raise
    except Exception as error:  # hostile bytes make readers raise whatever they like
        raise LookalikeError(
            f"{source.name} is not CIFAR-10's python archive. Delete it and download it again "
            "with: --cifar10 download"
        ) from error


def read_classes(folder: Path, what: str) -> Pictures:
    """List the pictures of a folder that has a subfolder for each class.

    Raises:
        LookalikeError: when it has fewer than two classes with pictures.
    """
    if not folder.is_dir():
        raise LookalikeError(f"There is no folder {folder}. Check the name and try again.")
    files, labels = [], []
    for path in find_images(folder):
        inside = path.relative_to(folder).parts
        if len(inside) > 1:
            files.append(path)
            labels.append(composed(inside[0]))
    if len(set(labels)) < 2:
        raise LookalikeError(
            f"{folder} is not {what}: it needs a subfolder with pictures for each class."
        )
    return Pictures(tuple(labels), tuple(files))


def download(
    path: Path,
    address: str = ADDRESS,
    md5: str = MD5,
    tell: Callable[[int, int | None], None] = lambda done, total: None,
    wait: float = 1.0,
) -> Path:
    """Fetch the archive to `path`, unless it is there; what a broken-off try left is gone on with.

    Args:
        tell: told how many bytes are there, and of how many, when that is known.
        wait: seconds before the second try, doubled before each further one.

    Raises:
        LookalikeError: when there is no connection, no room, or what came is not the archive.
        BusyError: when another program is fetching it.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two programs writing one file would spoil it for both.
        with FileLock(part.with_name(part.name + ".lock"), timeout=0):
            if not (path.is_file() and md5_of(path) == md5):
                _fetch(part, address, md5, tell, wait)
                part.replace(path)
    except Timeout as error:
        raise BusyError(
            f"Another program is downloading {path.name}. Wait until it has finished."
        ) from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    return path


def _fetch(
    part: Path,
    address: str,
    md5: str,
    tell: Callable[[int, int | None], None],
    wait: float,
) -> None:
    resumed = part.exists()
    for attempt in range(TRIES):
        if attempt:
            time.sleep(wait * 2 ** (attempt - 1))
        try:
            _fetch_rest(part, address, tell)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the part is as long as the whole, or longer
                pass
            elif error.code < 500:
                raise LookalikeError(
                    f"{address} answers {error.code}. Get {ARCHIVE} elsewhere and name it: "
                    "--cifar10 FILE"
                ) from error
            else:
                continue
        except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError):
            continue
        if md5_of(part) == md5:
            return
        # A part that was left by another version of the file spoils the whole: begin anew, once.
        part.unlink()
        if not resumed:
            raise LookalikeError(
                f"What {address} sends is not the published archive (its MD5 is not {md5}). Try "
                "again later, or get it elsewhere and name it: --cifar10 FILE"
            )
        resumed = False
    raise LookalikeError(
        f"{address} cannot be reached, or the connection keeps breaking off. What has come is "
        "kept: check the connection and run it again to go on."
    )


def _fetch_rest(part: Path, address: str, tell: Callable[[int, int | None], None]) -> None:
    """Append what is missing; raise when the connection ends before the file does."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "lookalike"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    opened = urllib.request.urlopen(request, timeout=TIMEOUT, context=trusting_context())
    with cast(HTTPResponse, opened) as answer:
        if answer.status != 206:
            have = 0  # the server sends it from the start
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        tell(have, total)
        with part.open("ab" if have else "wb") as file:
            while piece := answer.read(PIECE):
                file.write(piece)
                have += len(piece)
                tell(have, total)
    # Reading in pieces takes an early end for the end.
    if total is not None and have < total:
        raise ConnectionError(f"{have} of {total} bytes came")


def md5_of(path: Path) -> str:
    """Return the MD5 of a file in hexadecimal: what is published, a check against damage."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise explain_os_error(error, path) from error


def _read_batch(archive: tarfile.TarFile, name: str) -> Pictures:
    member = archive.extractfile(f"cifar-10-batches-py/{name}")
    if member is None:
        raise LookalikeError(f"The archive has no {name}. Download it again.")
    data = member.read(MAX_BATCH_BYTES + 1)
    if len(data) > MAX_BATCH_BYTES:
        raise LookalikeError(f"{name} is too large to be a part of CIFAR-10. Download it again.")
    return read_batch(data)


def read_batch(data: bytes) -> Pictures:
    """Read one pickled batch: rows of 3072 bytes, 1024 red, then green, then blue.

    Raises:
        pickle.UnpicklingError: when it asks for anything but arrays of numbers.
        ValueError: when it is not a batch of CIFAR-10.
    """
    # Python 2 wrote it, whose texts are bytes.
    kept: Any = ArrayUnpickler(data, "bytes").load()
    rows = np.asarray(kept[b"data"])
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3072:
        raise ValueError(f"an array of {rows.dtype}, {rows.shape}")
    labels = tuple(CLASSES[label] for label in kept[b"labels"])
    pixels = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Pictures(labels, pixels=np.ascontiguousarray(pixels))


def _join(parts: list[Pictures]) -> Pictures:
    labels = tuple(label for part in parts for label in part.labels)
    return Pictures(
        labels, pixels=np.concatenate([part.pixels for part in parts if part.pixels is not None])
    )
