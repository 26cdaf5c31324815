"""Bring a collection up to date with a folder: read what is new or changed, forget what is gone."""

import hashlib
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.captions import Caption, captioned
from retrieval.changes import Changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import PictureError, is_for_memory, why_unread
from retrieval.files import modified_of
from retrieval.images import open_picture, read_bounded, thumbnail_to_keep
from retrieval.model import available_cpus
from retrieval.paths import NOT_TEXT, as_text, label_of, name_of
from retrieval.preprocessing import preprocess, scale_for
from retrieval.records import PASSING, Content, Entry
from retrieval.settings import MAX_FILE_BYTES, MAX_PIXELS
from retrieval.sketch import describe_layout
from retrieval.thumbnails import draw_thumbnails

AT_ONCE = 4  # batches that the network computes at one time, at most
NOT_FINITE = (
    "The model gave no usable numbers for it. Open it in a picture editor and save it again."
)
WORTH_IT = 100  # files; for fewer, opening the network once more takes longer than it saves


@dataclass(frozen=True)
class Bounds:
    """What a single file may be at most."""

    bytes: int = MAX_FILE_BYTES
    pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Step:
    """How far indexing has come; everything counted in `done` is on disk."""

    done: int
    total: int
    ready: int
    unreadable: int


@dataclass(frozen=True)
class Prepared:
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
        collection.deliver()  # what could not be told before, or this run has to wait for
        if changes.vanished or changes.moved:
            collection.write([], vanished=changes.vanished, moved=changes.moved)
        collection.caption(changes.recaptioned)
        again = collection.to_read_again()  # lost: not known until they are computed
        claims = _Claims(collection.listing.known_contents() - again)
        failed: dict[str, Entry] = {}  # of which a content could not be read, for its copies
        waiting: list[Entry] = []  # copies of a content that another thread is reading
        done = ready = unreadable = 0
        total = len(changes.to_read)
        yield Step(0, total, 0, 0)
        files = _prepare_all(changes, root, embedder, claims, bounds)
        for prepared, contents in _compute_all(files, embedder, batch, total):
            computed = {content.sha256 for content in contents}
            entries: list[Entry] = []
            for item in prepared:
                if item.entry.problem is not None and item.entry.sha256:
                    failed[item.entry.sha256] = item.entry
                (entries if item.entry.sha256 in computed else waiting).append(item.entry)
            again -= computed
            known = computed | collection.listing.known_among(
                {e.sha256 for e in waiting if e.sha256}
            )
            known -= again
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
        # A power cut may have left records whose thumbnails were still on their way to the disk.
        draw_thumbnails(collection, collection.prune())
        collection.tune()


def _settle(entry: Entry, known: set[str], failed: dict[str, Entry]) -> Entry | None:
    """Return the entry as it can be written now, or None while its content is still being read."""
    if entry.problem is not None:
        return replace(entry, sha256=None)
    assert entry.sha256 is not None
    if entry.sha256 in known:
        return entry
    if entry.sha256 in failed:
        first = failed[entry.sha256]
        # What may pass for the one may pass for its copies.
        modified = PASSING if first.modified == PASSING else entry.modified
        return replace(entry, sha256=None, problem=first.problem, modified=modified)
    return None


def _compute_all(
    files: Generator[Prepared, None, None], embedder: Embedder, size: int, total: int
) -> Iterator[tuple[list[Prepared], list[Content]]]:
    """Yield batches in order with what comes of them; several at once where that is faster.

    Those are half as large, since what a network holds meanwhile grows with the pictures in it.
    """
    calls = min(available_cpus(), AT_ONCE)
    beside = embedder.side_by_side(calls) if calls > 1 and total >= WORTH_IT else None
    with closing(files):
        if beside is None:
            for batch in _batches(files, size):
                yield compute(batch, embedder)
            return
        pending: deque[Future[tuple[list[Prepared], list[Content]]]] = deque()
        pool = ThreadPoolExecutor(calls, thread_name_prefix="network")
        try:
            for batch in _batches(files, max(1, size // 2)):
                pending.append(pool.submit(compute, batch, beside))
                while len(pending) > calls or (pending and pending[0].done()):
                    yield pending.popleft().result()
            for done in pending:
                yield done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def compute(prepared: list[Prepared], embedder: Embedder) -> tuple[list[Prepared], list[Content]]:
    """Return the files again, with a problem where nothing comes of one, and what comes of them."""
    fresh = [(item, item.pixels) for item in prepared if item.pixels is not None]
    if not fresh:
        return prepared, []
    stacked = np.stack([pixels for _, pixels in fresh])
    aspects, sketches = embedder.describe_pictures(stacked), describe_layout(stacked)
    finite = [bool(np.isfinite(row).all()) for row in np.hstack([aspects.subject, aspects.texture])]
    bad = {id(item) for (item, _), is_finite in zip(fresh, finite, strict=True) if not is_finite}
    told = [
        replace(item, entry=replace(item.entry, problem=NOT_FINITE)) if id(item) in bad else item
        for item in prepared
    ]
    return told, [
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
        if finite[row]
    ]


def _prepare_all(
    changes: Changes, root: Path, embedder: Embedder, claims: _Claims, bounds: Bounds
) -> Generator[Prepared, None, None]:
    """Yield the files in order, prepared by threads that run a bounded way ahead."""
    workers = available_cpus()
    pending: deque[Future[Prepared]] = deque()
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
) -> Prepared:
    name = name_of(path, root)
    label, details = captioned(name, label_of(name), captions)
    size = modified = 0
    sha256: str | None = None

    def entry(problem: str | None = None) -> Entry:
        return Entry(name, size, modified, label, sha256, problem, details)

    try:
        status = path.stat()
        size, modified = status.st_size, modified_of(status)
        if as_text(str(path)) != str(path):
            raise PictureError(NOT_TEXT)
        data = read_bounded(path, bounds.bytes)
        sha256 = hashlib.sha256(data).hexdigest()
        if not claims.claim(sha256):
            return Prepared(entry())
        return decode(entry(), data, embedder, bounds)
    except (PictureError, OSError, MemoryError) as error:
        problem = why_unread(error, path)
        passes = sha256 is None or is_for_memory(error)
        if passes and size <= bounds.bytes and as_text(str(path)) == str(path):
            modified = PASSING
        return Prepared(entry(problem))


def decode(entry: Entry, data: bytes, embedder: Embedder, bounds: Bounds) -> Prepared:
    """Prepare a picture of these bytes for the network, with the thumbnail that is kept of it.

    Raises:
        PictureError: when it cannot be read.
    """
    how = embedder.card.preprocessing
    picture = open_picture(data, scale_for(how), bounds.pixels)
    return Prepared(
        entry,
        preprocess(picture.image, how),
        picture.width,
        picture.height,
        picture.taken,
        thumbnail_to_keep(picture.image),
    )


def _batches(items: Iterator[Prepared], size: int) -> Iterator[list[Prepared]]:
    """Group so that each batch has `size` pictures to compute, or many files that need nothing."""
    batch: list[Prepared] = []
    heavy = 0
    for item in items:
        batch.append(item)
        heavy += item.pixels is not None
        if heavy == size or len(batch) == 32 * size:
            yield batch
            batch, heavy = [], 0
    if batch:
        yield batch
