"""Opening a collection that came in one file, see `retrieval.bundle`.

Nothing in it is trusted: it is read row by row into a collection of our own making.
"""

import io
import json
import re
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from retrieval import colour, sketch
from retrieval.bundle import FORMAT_VERSION, MAGIC, Photos, member
from retrieval.bundle_photos import PhotoWriter
from retrieval.caption_tables import keep_captions
from retrieval.captions import MAX_TEXT
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError, PictureError, explain_os_error
from retrieval.files import remove_tree, sha256_of_file
from retrieval.images import check_thumbnail
from retrieval.library import OPENING, folder_of, folders_in, need_library, settle
from retrieval.lost import give_up
from retrieval.paths import as_text, require_text
from retrieval.records import Aspect, Content, Entry
from retrieval.reduction import Matrix
from retrieval.schema import COLUMNS, ORIGINALS
from retrieval.settings import MAX_PIXELS
from retrieval.terminal import printable
from retrieval.vectors import are_directions
from retrieval.zips import BROKEN, PLAIN, UNUSUAL, check_table, is_of_the_file

MAX_PICTURES = 1_000_000
MAX_TEXT_BYTES = 1_000 * 2**20
MAX_THUMBNAIL_BYTES = 2**20
TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")  # signs that turn the writing around
BATCH = 256
LOCK = ".lock"


def unpack_bundle(path: Path, library: Path, embedder: Embedder, name: str | None = None) -> Path:
    """Open a packed collection: make it a new one of the library, and return its folder.

    Raises:
        LookalikeError: when it is damaged, or was made with another model, PCA or preprocessing, or
            the name is no text.
    """
    require_text(Path(), name or "")
    with _opened(path) as bundle:
        manifest = _manifest(bundle, path)
        _require(manifest, embedder)
        names = (name, manifest.get("name"), path.stem, "pictures")
        title = next(filter(None, (_said(one or "") for one in names)))[:80]
        try:
            with _making(library, title) as making:
                _read_into(bundle, manifest, making, title, embedder)
                folder = settle(making, library, title)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise LookalikeError(_damaged(path)) from error
        except OSError as error:
            if is_of_the_file(error):
                raise LookalikeError(_damaged(path)) from error
            raise explain_os_error(error, path) from error
    return folder


@contextmanager
def _making(library: Path, title: str) -> Iterator[Path]:
    """Yield a place for a collection called `title`, which is moved to its own in the end.

    It has the name of that already, by which errors call it. So half a collection is never seen,
    and others may open the same file meanwhile. What a kill has left of others is deleted first:
    nobody holds its lock, and it may have gigabytes.
    """
    need_library(library)
    for lock in library.glob(f"{OPENING}*{LOCK}"):
        with suppress(Timeout, OSError):
            with FileLock(lock, timeout=0):
                remove_tree(lock.with_suffix(""))
            lock.unlink(missing_ok=True)
    making = library / f"{OPENING}{secrets.token_hex(4)}"
    lock = making.with_suffix(LOCK)
    try:
        with FileLock(lock):
            try:
                yield folder_of(making, title)
            finally:
                remove_tree(making)
    finally:
        with suppress(OSError):  # Windows keeps it while another one looks at it
            lock.unlink()


def photos_of(collection: Collection) -> Photos:
    """Return how many photos came along when a collection was opened, and how many did not.

    That is none of either when it was packed without them, or never.
    """
    fact = collection.store.fact
    return Photos(int(fact("photos_packed", "0")), int(fact("photos_missing", "0")))


def is_packed(path: Path) -> bool:
    """Whether a file says of itself that it is a packed collection."""
    with suppress(LookalikeError), _opened(path) as bundle:
        return bool(_manifest(bundle, path))
    return False


def open_once(path: Path, folder: Path, embedder: Embedder) -> Path:
    """Open a packed collection, unless this very file was opened into `folder` before.

    What was opened there from another file is deleted. Returns the collection's own folder.
    """
    library = folder / sha256_of_file(path)[:16]
    known = next(iter(folders_in(library)), None)
    if known is not None:
        return known
    remove_tree(folder)
    return unpack_bundle(path, library, embedder)


def _read_into(
    bundle: zipfile.ZipFile, manifest: dict[str, Any], folder: Path, title: str, embedder: Embedder
) -> None:
    n = int(manifest["contents"])
    if not 0 <= n <= MAX_PICTURES:
        raise ValueError
    with_photos = bool(manifest.get("photos"))
    root = folder / ORIGINALS if with_photos else None
    with Collection.create(folder, title, root, embedder) as collection:
        contents = list(_json_lines(bundle, "contents.jsonl", n))
        vectors = {aspect: _vectors(bundle, aspect, n, embedder) for aspect in COLUMNS}
        torn = {aspect: _blank_torn(rows, aspect) for aspect, rows in vectors.items()}
        hashes = [_sha256(line["sha256"]) for line in contents]
        if len(set(hashes)) != n:
            raise ValueError
        for start in range(0, n, BATCH):
            rows = range(start, min(n, start + BATCH))
            batch = []
            for row in rows:
                line = contents[row]
                batch.append(
                    Content(
                        hashes[row],
                        _side(line["width"]),
                        _side(line["height"]),
                        _taken(line.get("taken")),
                        vectors["subject"][row],
                        _thumbnail(bundle, hashes[row]),
                        vectors["colour"][row],
                        vectors["texture"][row],
                        vectors["sketch"][row],
                    )
                )
            collection.write([], batch)
        known = set(hashes)
        entries, wanted = [], []
        for number, line in enumerate(_json_lines(bundle, "pictures.jsonl", MAX_PICTURES), start=1):
            entries.append(_entry(line, number, known))
            wanted.append(str(line.get("photo") or line.get("sha256")))
        photos = Photos(0, _size(manifest.get("missing", 0)))
        if with_photos:
            writer = PhotoWriter(bundle, folder / ORIGINALS, entries, wanted)
            entries = keep_captions(folder / ORIGINALS, writer.take_all())
            photos = Photos(writer.taken, len(entries) - writer.taken)
            collection.mark_unfinished(writer.to_read > 0)
        for start in range(0, len(entries), 4 * BATCH):
            collection.write(entries[start : start + 4 * BATCH])
        give_up(collection.store, (hashes[row] for row in torn["subject"]))
        if photos != Photos():
            told = {"photos_packed": str(photos.packed), "photos_missing": str(photos.missing)}
            collection.store.note(told)


def _require(manifest: dict[str, Any], embedder: Embedder) -> None:
    """Say which part does not fit, if one does not."""
    if manifest.get("fingerprint") == embedder.fingerprint:
        return
    ours, theirs = embedder.card.to_metadata(), manifest.get("card")
    theirs = theirs if isinstance(theirs, dict) else {}
    differing = [key for key, value in ours.items() if str(theirs.get(key)) != value]
    if any(key.endswith("weights_sha256") for key in differing):
        what = "another model"
    elif differing:
        what = "the same network, but its pictures were prepared in another way"
    else:
        what = "the same model, but another PCA"
    raise LookalikeError(
        f"This collection was made with {what} ({_said(manifest.get('embedder'))[:200]}), and here "
        f"it is {embedder.describe()}. Start the app with that model, or index the pictures again."
    )


def _said(text: object) -> str:
    """Return a line of what a stranger's file says, as a page and a terminal can show it."""
    return printable(as_text(TURNING.sub("", " ".join(str(text).split()))))


def _entry(line: dict[str, Any], number: int, known: set[str]) -> Entry:
    path = str(line["path"])
    if len(path) > 4_000 or "\0" in path:
        raise ValueError
    path = _led_inside(path, number)
    captions = line.get("captions") or {}
    # As far as a table gives them.
    captions = {str(k)[:MAX_TEXT]: str(v)[:MAX_TEXT] for k, v in captions.items()}
    details = json.dumps(captions, ensure_ascii=False)
    sha256 = line.get("sha256")
    if sha256 is None:
        problem = str(line["problem"])[:1_000]
        return Entry(path, _size(line["size"]), _time(line["modified"]), "", None, problem)
    if sha256 not in known:
        raise ValueError
    return Entry(
        path,
        _size(line["size"]),
        _time(line["modified"]),
        str(line["label"])[:1_000],
        sha256,
        None,
        details if captions else "",
    )


def _led_inside(path: str, number: int) -> str:
    """Return the path of a line; one that leads out of any folder gets one of its own instead."""
    where = PurePath(path)  # as this system reads it: others have drives and backslashes
    if not where.anchor and ".." not in where.parts:
        return path
    parts = (part for part in where.parts if part not in ("..", where.anchor))
    return "/".join((f"elsewhere {number}", *parts))


def _vectors(bundle: zipfile.ZipFile, aspect: Aspect, n: int, embedder: Embedder) -> Matrix:
    """Return the vectors `(n, k)` of an aspect, `(n, 0)` where they are of another length here."""
    kind = np.dtype(COLUMNS[aspect][1])
    data = _read(bundle, member(aspect), n * kind.itemsize * 20_000)
    width = len(data) // (n * kind.itemsize) if n else 0
    if len(data) != n * width * kind.itemsize:
        raise ValueError
    if aspect == "subject" and n and width != embedder.dimension:
        raise ValueError
    if width != _width(aspect, embedder):  # of an earlier version, or of nothing we know
        return np.zeros((n, 0), np.float32)
    vectors = np.frombuffer(data, kind).reshape(n, width)
    if not np.isfinite(vectors).all() or (n and np.abs(vectors).max(initial=0) > 1.01):
        raise ValueError
    return vectors.astype(np.float32)


def _blank_torn(vectors: Matrix, aspect: Aspect) -> npt.NDArray[np.int64]:
    """Put zeros in the place of vectors of which a part was lost before they were packed.

    Returns which those are. A longer one would come before all others in every search, and no
    damage makes such: ValueError.
    """
    torn = np.flatnonzero(~are_directions(vectors, aspect))
    if (np.linalg.norm(vectors[torn], axis=1) > 1).any():
        raise ValueError
    vectors[torn] = 0
    return torn


def _width(aspect: Aspect, embedder: Embedder) -> int:
    """Return how many numbers an aspect has here."""
    texture = embedder.texture.dimension if embedder.texture else 0
    widths = {"colour": colour.DIMENSION, "sketch": sketch.DIMENSION, "texture": texture}
    return widths.get(aspect, embedder.dimension)


def _thumbnail(bundle: zipfile.ZipFile, sha256: str) -> bytes:
    """Return a thumbnail, having looked at its head: it is served to browsers as it is."""
    data = _read(bundle, f"thumbnails/{sha256}.jpg", MAX_THUMBNAIL_BYTES)
    try:
        check_thumbnail(data)
    except PictureError as error:
        raise ValueError from error
    return data


def _manifest(bundle: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(_read(bundle, "manifest.json", 2**20))
        if manifest["format"] != MAGIC:
            raise ValueError
        version = int(manifest["version"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise LookalikeError(
            f"{path.name} is damaged or not a collection of Lookalike. Download it again."
        ) from error
    if version > FORMAT_VERSION:
        raise LookalikeError(
            f"{path.name} was made by a newer version of this program. Update this one."
        )
    return manifest  # type: ignore[no-any-return]


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        if path.is_dir():
            raise LookalikeError(f"{path.name or path} is a folder. Name a file in it.")
        if not path.is_file():
            raise LookalikeError(f"There is no file {path.name}. Check the name and try again.")
        check_table(path, 400 * 2**20)
        with zipfile.ZipFile(path) as bundle:
            if any(entry.compress_type not in PLAIN for entry in bundle.infolist()):
                raise LookalikeError(f"{path.name} cannot be opened. {UNUSUAL}")
            yield bundle
    except (*BROKEN, NotImplementedError) as error:
        raise LookalikeError(_damaged(path)) from error
    except OSError as error:
        if is_of_the_file(error):
            raise LookalikeError(_damaged(path)) from error
        raise explain_os_error(error, path) from error


def _read(bundle: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a member; KeyError where there is none, ValueError when it is too large."""
    size = bundle.getinfo(name).file_size
    if size > most:
        raise ValueError
    with bundle.open(name) as file:
        # With the size, beyond which nothing is unpacked: without it, zipfile unpacks whatever is
        # packed and then cuts it off.
        return file.read(size)


def _json_lines(bundle: zipfile.ZipFile, name: str, most: int) -> Iterator[dict[str, Any]]:
    if bundle.getinfo(name).file_size > MAX_TEXT_BYTES:
        raise ValueError
    with bundle.open(name) as file:
        for number, line in enumerate(io.TextIOWrapper(file, "utf-8")):
            if number >= most:
                raise ValueError
            yield json.loads(line)


def _sha256(text: Any) -> str:
    if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError
    return text


def _size(number: Any) -> int:
    if not isinstance(number, int) or not 0 <= number < 2**62:
        raise ValueError
    return number


def _side(number: Any) -> int:
    """Return how many pixels a side of a picture has."""
    if not 1 <= _size(number) <= MAX_PIXELS:
        raise ValueError
    return int(number)


def _taken(text: Any) -> str | None:
    """Return when a picture was taken, as `images` writes it; None where that is no time."""
    try:
        return str(datetime.strptime(str(text)[:19], "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return None


def _time(number: Any) -> int:
    """Nanoseconds since 1970, or before it, as far as the database holds them."""
    if not isinstance(number, int) or not -(2**62) < number < 2**62:
        raise ValueError
    return number


def _damaged(path: Path) -> str:
    return f"{path.name} is damaged, and nothing of it was taken. Download it again."
