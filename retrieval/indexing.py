"""Bring a collection up to date with a folder: read what is new or changed, forget what is gone."""

import hashlib
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.captions import Caption, captioned, read_captions
from retrieval.collection import Collection, Content, Entry, Move
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError, PictureError, explain_os_error
from retrieval.files import sha256_of_file
from retrieval.images import (
    THUMBNAIL_SIDE,
    find_images,
    open_picture,
    preprocess,
    read_bounded,
    scale_for,
    thumbnail,
)
from retrieval.model import available_cpus
from retrieval.sketch import describe_layout


@dataclass(frozen=True)
class Bounds:
    """What a single file may be at most."""

    bytes: int = 300 * 2**20
    pixels: int = 200_000_000


@dataclass(frozen=True)
class Changes:
    """How a folder differs from what a collection knows of it."""

    to_read: tuple[Path, ...]  # new or changed since
    vanished: tuple[str, ...]  # known, but no longer there
    unchanged: int
    unreadable_folders: tuple[str, ...]  # their pictures are kept as they are known
    changed: tuple[str, ...] = ()  # those of `to_read` that are known, with other bytes
    moved: tuple[Move, ...] = ()  # the same bytes at another path
    captions: Mapping[str, Caption] = field(default_factory=dict)  # what the CSVs say of all
    recaptioned: tuple[tuple[str, str, str], ...] = ()  # path, label, details of known pictures

    @property
    def new(self) -> int:
        """How many files are there that were not."""
        return len(self.to_read) - len(self.changed)

    @property
    def any(self) -> bool:
        """Whether there is anything to apply."""
        return bool(self.to_read or self.vanished or self.moved or self.recaptioned)


@dataclass(frozen=True)
class Step:
    """How far indexing has come; everything counted in `done` is on disk."""

    done: int
    total: int
    ready: int
    unreadable: int


@dataclass(frozen=True)
class _Prepared:
    """A file after the part of the work that runs in threads."""

    entry: Entry
    pixels: npt.NDArray[np.uint8] | None = None  # (side, side, 3), None when nothing is to compute
    width: int = 0
    height: int = 0
    taken: str | None = None
    thumbnail: bytes = b""


@dataclass
class _Claims:
    """Which contents are known or being read, so that no two threads read the same one."""

    taken: set[str]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, sha256: str) -> bool:
        with self._lock:
            if sha256 in self.taken:
                return False
            self.taken.add(sha256)
            return True


def find_changes(collection: Collection, root: Path) -> Changes:
    """Compare the pictures below `root` with what the collection knows, by size and time.

    New files as large as one that vanished are read, and where the bytes are the same as well the
    file has only moved. Pictures that were taken out of the collection are passed over.
    """
    if not root.is_dir():
        # Visitors read this too, and are not to learn where it lies.
        raise LookalikeError(
            f"There is no folder {root.name} any more. If it is on another disk, connect that disk."
        )
    known = collection.files()
    excluded = collection.excluded()
    closed: list[str] = []

    def note(error: OSError) -> None:
        closed.append(_relative(Path(str(error.filename)), root))

    to_read: dict[str, Path] = {}
    seen = set()
    for path in find_images(root, note):
        name = _relative(path, root)
        if name in excluded:
            continue
        seen.add(name)
        try:
            status = path.stat()
            if known.get(name) == (status.st_size, status.st_mtime_ns):
                continue
        except OSError:
            pass  # reading it will say why
        to_read[name] = path
    vanished = {
        name: size
        for name, (size, _) in known.items()
        if name not in seen and not any(_is_below(name, folder) for folder in closed)
    }
    captions = read_captions(root)
    new = {name: path for name, path in to_read.items() if name not in known}
    moved = _find_moves(collection, vanished, new, captions)
    for move in moved:
        del vanished[move.old], to_read[move.new.path]
    recaptioned = []
    for name, now in collection.captions().items():
        then = captioned(name, label_of(name), captions)
        if name in seen and then != now:
            recaptioned.append((name, *then))
    return Changes(
        tuple(to_read.values()),
        tuple(vanished),
        len(seen) - len(to_read) - len(moved),
        tuple(closed),
        tuple(name for name in to_read if name in known),
        moved,
        captions,
        tuple(recaptioned),
    )


def _find_moves(
    collection: Collection,
    vanished: Mapping[str, int],
    new: Mapping[str, Path],
    captions: Mapping[str, Caption],
) -> tuple[Move, ...]:
    """Pair vanished files with new ones of the same bytes."""
    sizes = set(vanished.values())
    by_content: dict[str, list[str]] = {}
    for name, sha256 in collection.hashes(vanished):
        by_content.setdefault(sha256, []).append(name)
    moved = []
    for name, path in new.items():
        try:
            status = path.stat()
            if status.st_size not in sizes:
                continue
            old_names = by_content.get(sha256_of_file(path))
        except OSError:
            continue
        if old_names:
            label, details = captioned(name, label_of(name), captions)
            entry = Entry(name, status.st_size, status.st_mtime_ns, label, None, details=details)
            moved.append(Move(old_names.pop(0), entry))
    return tuple(moved)


def index_folder(
    collection: Collection,
    root: Path,
    embedder: Embedder,
    changes: Changes,
    batch: int = 8,
    bounds: Bounds | None = None,
) -> Generator[Step, None, None]:
    """Apply `changes`: yield after each batch that is on disk; stop iterating to cancel.

    Decoding and resizing run in threads ahead of the network, and a bounded number of pictures is
    held at a time. A file that cannot be read is recorded with the reason, and the run goes on.

    Raises:
        BusyError: when the collection is being changed by another window or process.
        LookalikeError: for another model's collection, a full disk, a vanished folder.
    """
    collection.require(embedder)
    bounds = bounds or Bounds()
    with collection.building():
        if changes.vanished or changes.moved:
            collection.write([], vanished=changes.vanished, moved=changes.moved)
        collection.caption(changes.recaptioned)
        claims = _Claims(collection.known_contents())
        failed: dict[str, str] = {}  # why a content could not be read, for its copies
        waiting: list[Entry] = []  # copies of a content that another thread is reading
        done = ready = unreadable = 0
        total = len(changes.to_read)
        yield Step(0, total, 0, 0)
        for prepared in _batches(_prepare_all(changes, root, embedder, claims, bounds), batch):
            contents = _compute(prepared, embedder)
            computed = {content.sha256 for content in contents}
            entries: list[Entry] = []
            for item in prepared:
                if item.entry.problem is not None and item.entry.sha256:
                    failed[item.entry.sha256] = item.entry.problem
                (entries if item.entry.sha256 in computed else waiting).append(item.entry)
            known = computed | collection.known_among({e.sha256 for e in waiting if e.sha256})
            still: list[Entry] = []
            for entry in waiting:
                settled = _settle(entry, known, failed)
                (entries if settled else still).append(settled or entry)
            waiting = still
            collection.write(entries, contents)
            done += len(entries)
            unreadable += sum(entry.problem is not None for entry in entries)
            ready = done - unreadable
            yield Step(done, total, ready, unreadable)
        if waiting:
            raise RuntimeError("a copy was left without its content")
        collection.prune()


def label_of(path: str) -> str:
    """Return the label that a relative path gives: its first folder, or "" outside of any."""
    folder, slash, _ = path.partition("/")
    return folder if slash else ""


def _settle(entry: Entry, known: set[str], failed: dict[str, str]) -> Entry | None:
    """Return the entry as it can be written now, or None while its content is still being read."""
    if entry.problem is not None:
        return replace(entry, sha256=None)
    assert entry.sha256 is not None
    if entry.sha256 in known:
        return entry
    if entry.sha256 in failed:
        return replace(entry, sha256=None, problem=failed[entry.sha256])
    return None


def _compute(prepared: list[_Prepared], embedder: Embedder) -> list[Content]:
    fresh = [(item, item.pixels) for item in prepared if item.pixels is not None]
    if not fresh:
        return []
    stacked = np.stack([pixels for _, pixels in fresh])
    aspects, sketches = embedder.describe_pictures(stacked), describe_layout(stacked)
    return [
        Content(
            item.entry.sha256 or "",
            item.width,
            item.height,
            item.taken,
            aspects.subject[row],
            item.thumbnail,
            aspects.colour[row],
            aspects.texture[row],
            sketches[row],
        )
        for row, (item, _) in enumerate(fresh)
    ]


def _prepare_all(
    changes: Changes, root: Path, embedder: Embedder, claims: _Claims, bounds: Bounds
) -> Iterator[_Prepared]:
    """Yield the files in order, prepared by threads that run a bounded way ahead."""
    workers = available_cpus()
    pending: deque[Future[_Prepared]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for path in changes.to_read:
            pending.append(
                pool.submit(_prepare, path, root, embedder, claims, bounds, changes.captions)
            )
            if len(pending) >= 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare(
    path: Path,
    root: Path,
    embedder: Embedder,
    claims: _Claims,
    bounds: Bounds,
    captions: Mapping[str, Caption],
) -> _Prepared:
    name = _relative(path, root)
    label, details = captioned(name, label_of(name), captions)
    size = modified = 0
    sha256: str | None = None

    def entry(problem: str | None = None) -> Entry:
        return Entry(name, size, modified, label, sha256, problem, details)

    try:
        status = path.stat()
        size, modified = status.st_size, status.st_mtime_ns
        if _text(str(path)) != str(path):
            raise PictureError("The file's name is not valid text. Rename it.")
        data = read_bounded(path, bounds.bytes)
        sha256 = hashlib.sha256(data).hexdigest()
        if not claims.claim(sha256):
            return _Prepared(entry())
        how = embedder.card.preprocessing
        picture = open_picture(data, scale_for(how), bounds.pixels)
        return _Prepared(
            entry(),
            preprocess(picture.image, how),
            picture.width,
            picture.height,
            picture.taken,
            thumbnail(picture.image, THUMBNAIL_SIDE),
        )
    except (PictureError, OSError) as error:
        problem = str(error if isinstance(error, PictureError) else explain_os_error(error, path))
        return _Prepared(entry(problem))


def _batches(items: Iterator[_Prepared], size: int) -> Iterator[list[_Prepared]]:
    """Group so that each batch has `size` pictures to compute, or many files that need nothing."""
    batch: list[_Prepared] = []
    heavy = 0
    for item in items:
        batch.append(item)
        heavy += item.pixels is not None
        if heavy == size or len(batch) == 32 * size:
            yield batch
            batch, heavy = [], 0
    if batch:
        yield batch


def _relative(path: Path, root: Path) -> str:
    try:
        return _text(path.relative_to(root).as_posix())
    except ValueError:
        return _text(path.as_posix())


def _text(name: str) -> str:
    """Replace what no database or page can hold: bytes of a name that are no text."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_below(name: str, folder: str) -> bool:
    return folder == "." or name.startswith(folder + "/")
