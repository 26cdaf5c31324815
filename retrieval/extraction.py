"""Extraction that need not run here: what to read, what comes of it, and writing that down.

Workers, on this machine or on others (`retrieval.cluster`), turn jobs into entries and contents;
this process alone writes, in batches. So a worker that dies loses and doubles nothing: what it had
not handed over is done again by another, and what is done twice is known by path and content.
"""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from retrieval.captions import UnreadTable, captioned
from retrieval.changes import Changes, none_left, recaption
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError, PictureError, is_for_memory, why_unread
from retrieval.files import modified_of
from retrieval.folders import is_picture
from retrieval.images import read_bounded
from retrieval.indexing import Bounds, Prepared, Step, compute, decode
from retrieval.looking import is_touched
from retrieval.model import available_cpus
from retrieval.objects import Bucket, thumbnail_name
from retrieval.paths import NOT_TEXT, as_text, label_of, name_of
from retrieval.records import PASSING, Content, Entry, Move
from retrieval.thumbnails import draw_thumbnails

BATCH = 16  # files in one job


@dataclass(frozen=True)
class Source:
    """Where pictures are: a folder that every worker sees under this path, or a URL."""

    root: str
    is_url: bool

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return the bytes of a picture.

        Raises:
            PictureError: when it cannot be read.
        """
        if self.is_url:
            return Bucket(self.root).read(name, max_bytes)
        return read_bounded(Path(self.root, name), max_bytes)


@dataclass(frozen=True)
class Plan:
    """What there is to do to bring a collection up to date with its source."""

    to_read: tuple[Entry, ...]  # without a content yet; with a problem where it is known already
    vanished: tuple[str, ...]
    unchanged: int
    moved: tuple[Move, ...] = ()  # the same bytes at another path
    recaptioned: tuple[tuple[str, str, str], ...] = ()  # path, label, details of known pictures
    unread_tables: tuple[UnreadTable, ...] = ()
    touched: tuple[str, ...] = ()  # those of `to_read` that are known, of another date


Done = list[tuple[Entry, Content | None]]
Run = Callable[[Sequence[Sequence[Entry]]], Iterator[Done]]  # batches in, what came of them out
Each = Callable[[Callable[[Entry], Prepared], Sequence[Entry]], Iterable[Prepared]]


def plan_folder(changes: Changes, root: Path) -> Plan:
    """Plan what the changes of a folder ask for."""
    entries = []
    for path in changes.to_read:
        name = name_of(path, root)
        label, details = captioned(name, label_of(name), changes.captions)
        try:
            status = path.stat()
            size, modified = status.st_size, modified_of(status)
        except OSError:
            size = modified = 0  # reading it will say why
        # Workers open files by the names that are kept, and by this one there is none.
        problem = None if as_text(str(path)) == str(path) else NOT_TEXT
        entries.append(Entry(name, size, modified, label, None, problem, details))
    return Plan(
        tuple(entries),
        changes.vanished,
        changes.unchanged,
        changes.moved,
        changes.recaptioned,
        changes.unread_tables,
        changes.touched,
    )


def plan_bucket(collection: Collection, bucket: Bucket) -> Plan:
    """Compare what lies below a URL with what a collection knows of it, by size and time.

    Raises:
        LookalikeError: when the storage cannot be asked, or has none of the pictures any more.
    """
    collection.try_to_deliver()  # what turns out to be lost is read again
    files = bucket.list()
    known, excluded = collection.listing.files(), collection.excluded.paths()
    if known and not any(map(is_picture, files)):
        # As of a disk that is not mounted: no storage says that there is no such folder.
        raise LookalikeError(none_left(bucket.url, len(known)))
    unread: list[UnreadTable] = []
    captions = bucket.captions(files, unread.append)
    pictures = {name: files[name] for name in files if is_picture(name) and name not in excluded}
    here = {name: then for name, then in collection.listing.captions().items() if name in pictures}
    recaptioned, unread_tables = recaption(collection, here, captions, unread)
    entries = []
    for name, (size, modified) in pictures.items():
        if known.get(name) != (size, modified):
            label, details = captioned(name, label_of(name), captions)
            entries.append(Entry(name, size, modified, label, None, details=details))
    vanished = tuple(name for name in known if name not in pictures)
    unchanged = len(pictures) - len(entries)
    return Plan(
        tuple(entries),
        vanished,
        unchanged,
        recaptioned=recaptioned,
        unread_tables=unread_tables,
        touched=tuple(
            entry.path
            for entry in entries
            if entry.path in known and is_touched(known[entry.path], entry.size)
        ),
    )


def carry_out(collection: Collection, plan: Plan, run: Run) -> Generator[Step, None, None]:
    """Do what is planned; yield after each batch that is on disk.

    Raises:
        BusyError: when the collection is being changed by another window or process.
    """
    with collection.building():
        collection.deliver()  # what could not be told before, or this run has to wait for
        if plan.vanished or plan.moved:
            collection.write([], vanished=plan.vanished, moved=plan.moved)
        if plan.recaptioned:
            collection.caption(plan.recaptioned)
        total, done, unreadable = len(plan.to_read), 0, 0
        yield Step(0, total, 0, 0)
        batches = [plan.to_read[at : at + BATCH] for at in range(0, total, BATCH)]
        for results in run(batches):
            contents = [content for _, content in results if content]
            collection.write([entry for entry, _ in results], contents)
            done += len(results)
            unreadable += sum(entry.problem is not None for entry, _ in results)
            yield Step(done, total, done - unreadable, unreadable)
        # A power cut may have left records whose thumbnails were still on their way to the disk.
        draw_thumbnails(collection, collection.prune())
        collection.tune()


def here(source: Source, embedder: Embedder, bounds: Bounds) -> Run:
    """Return what works on this machine, several batches at a time."""

    def run(batches: Sequence[Sequence[Entry]]) -> Iterator[Done]:
        work = partial(extract, source=source, embedder=embedder, bounds=bounds)
        with ThreadPoolExecutor(available_cpus()) as pool:
            for start in range(0, len(batches), 64):  # a bounded way ahead
                yield from pool.map(work, batches[start : start + 64])

    return run


def extract(
    entries: Sequence[Entry],
    source: Source,
    embedder: Embedder,
    bounds: Bounds,
    each: Each = map,
) -> Done:
    """Read pictures and describe them; thumbnails of a URL's pictures are written there.

    Args:
        each: reads and decodes each of them, one after another or, as a pool's `map`, at once.
    """
    prepare = partial(_prepare, source=source, embedder=embedder, bounds=bounds)
    prepared, computed = compute(list(each(prepare, entries)), embedder)
    contents = {content.sha256: content for content in computed}
    if source.is_url:
        bucket = Bucket(source.root)
        for content in contents.values():
            bucket.write(thumbnail_name(content.sha256), content.thumbnail)
        contents = {sha: replace(content, thumbnail=b"") for sha, content in contents.items()}
    done = [item.entry for item in prepared]
    done = [replace(entry, sha256=None) if entry.problem else entry for entry in done]
    return [(entry, contents.get(entry.sha256 or "")) for entry in done]


def _prepare(entry: Entry, source: Source, embedder: Embedder, bounds: Bounds) -> Prepared:
    data = None
    if entry.problem:
        return Prepared(entry)
    try:
        data = source.read(entry.path, bounds.bytes)
        known = replace(entry, sha256=hashlib.sha256(data).hexdigest())
        return decode(known, data, embedder, bounds)
    except (PictureError, OSError, MemoryError) as error:
        passes = data is None or is_for_memory(error)
        if passes and entry.size <= bounds.bytes:
            entry = replace(entry, modified=PASSING)
        return Prepared(replace(entry, problem=why_unread(error, entry.path)))
