"""Checking a collection: is everything in it that should be, and whole; and mending what can be."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval.collection import Collection, model_facts
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError, PictureError
from retrieval.files import inside, modified_of, sha256_of_file
from retrieval.images import check_thumbnail
from retrieval.lost import give_up, readable, zeroed
from retrieval.lost_facts import card_fingerprint, width_of
from retrieval.mending import mend_database, mend_thumbnails, note_all_anew
from retrieval.milvus import MilvusGallery
from retrieval.moving import fill_gaps, lacking_in
from retrieval.records import PASSING, Aspect, PictureRecord
from retrieval.schema import COLUMNS, DATABASE, THUMBNAILS
from retrieval.settings import PYTHON
from retrieval.store import Store, held_alone
from retrieval.thumbnails import draw_thumbnails, folder_of_photos
from retrieval.vectors import are_directions
from retrieval.whole_files import broken_files

LOST = "its vector is lost"
# Of records that were made anew.
RETURNING = (
    " Not all names of pictures that were taken out could be read, so some may come back: look "
    "through the collection, and take them out again."
)
HOMELESS = (
    " Where its photos are is not known any more. Where they lie in a folder of yours, tell it: "
    "{python} -m retrieval index FOLDER --name {name}"
)
DOUBTFUL = (
    " Nothing says any more what made its vectors, and no photo is here to try it, so they are "
    "taken for those of the model in use. If it finds nothing alike, index its pictures again "
    "under another name."
)
CONTRADICTORY = (
    "What it says of its model contradicts itself, so it is taken for none's. Index its pictures "
    "again under another name, or delete it and open its file again."
)
DANGLING = "content NOT IN (SELECT id FROM contents)"
# What pictures are compared by beside the subject, in words.
OTHERS: dict[Aspect, str] = {
    "colour": "colours",
    "texture": "texture",
    "sketch": "light and dark, by which copies are known,",
}


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a collection."""

    sentence: str
    repaired: bool = False
    returning: bool = False  # whether pictures that were taken out may come back
    harmless: bool = False  # whether it only takes room, and the collection is whole all the same


def check_collection(
    folder: Path, repair: bool = False, embedder: Callable[[], Embedder] | None = None
) -> list[Finding]:
    """Verify a collection: both files, every vector, every thumbnail, and what belongs together.

    With `repair`, a file that is damaged is set aside and made anew of what can be read of it,
    thumbnails are drawn again, pictures whose vectors are lost are marked, so that building reads
    just them again, and what nobody uses is dropped. What could not be read again is kept. The
    photos themselves are never touched.

    Args:
        embedder: opens the model, for one that does not say (any more) rightly what it was made
            with.

    Raises:
        LookalikeError: when there is no collection, it cannot be read just now, or nothing can be
            read of it any more.
    """
    broken = broken_files(folder)
    if broken and not repair:
        return [Finding(f"{name} {why}.") for name, why in broken.items()]
    findings = []
    if broken:
        with held_alone(folder, lambda: folder.name):
            for name, why in broken.items():
                more, returning = "", False
                if name == DATABASE:
                    mended = mend_database(folder, embedder)
                    aside, returning = mended.aside, mended.returning
                    more = RETURNING if returning else ""
                    more += (
                        HOMELESS.format(python=PYTHON, name=folder.name) if mended.homeless else ""
                    )
                    more += DOUBTFUL if mended.doubtful else ""
                else:
                    aside = mend_thumbnails(folder)
                told = f"{name} {why}. It was rebuilt from what could be read of it"
                kept = f", and set aside as {aside}" if (folder / aside).exists() else ""
                findings.append(Finding(f"{told}{kept}.{more}", True, returning))
    with Collection(folder) if repair else Collection.to_read(folder) as collection:
        if DATABASE in broken:
            note_all_anew(collection)
        if not repair:
            # By them the contents are judged.
            facts = list(_check_facts(collection, False, embedder))
            return facts or list(_check_contents(collection, False))
        with collection.building():
            if THUMBNAILS in broken:
                draw_thumbnails(collection, collection.prune())
            findings += _check_facts(collection, True, embedder)
            findings += _check_contents(collection, True, anew=DATABASE in broken)
            return findings


def _check_facts(
    collection: Collection, repair: bool, embedder: Callable[[], Embedder] | None
) -> Iterator[Finding]:
    """Compare what is noted of the model with the vectors, and with the model in use."""
    store = collection.store
    model, card = _opened(embedder), card_fingerprint(store.fact("card"))
    fingerprint = store.fact("fingerprint")
    if model and collection.is_nearly_of(model):
        if repair:
            store.note({"fingerprint": model.fingerprint})
        yield Finding("A letter is wrong in what it says of its model.", repair)
    elif not fingerprint.startswith(card) and not (model and fingerprint == model.fingerprint):
        yield Finding(CONTRADICTORY)
    if model and not collection.is_of(model):
        model = None  # it can tell nothing
    if model and card != model.card.fingerprint:
        if repair:
            store.note(model_facts(model))
        yield Finding("It does not describe the model that it was made with.", repair)
    dimension = int(store.fact("dimension"))
    with store.view() as database:
        width = model.dimension if model else width_of(database) or dimension
    if width != dimension:
        if repair:
            with store.change() as database:
                database.execute(
                    "UPDATE facts SET value = ? WHERE key = 'dimension'", (str(width),)
                )
        yield Finding(f"It says that its vectors have {dimension} numbers, not {width}.", repair)


def _opened(embedder: Callable[[], Embedder] | None) -> Embedder | None:
    """Return the model in use; where there is none, a collection is checked without it."""
    try:
        return embedder() if embedder else None
    except LookalikeError:
        return None


def _check_contents(collection: Collection, repair: bool, anew: bool = False) -> Iterator[Finding]:
    """Look through vectors, thumbnails and captions.

    Args:
        anew: the records were just made anew, so what belongs to none may belong to one that could
            not be read; it is kept until the next time.
    """
    store = collection.store
    lost = _wrong_vectors(collection)
    waiting = set() if collection.place else set(zeroed(store).values())
    here = readable(store, waiting)
    if collection.unfinished:
        waiting -= here  # about to be read
    known = collection.listing.known_contents()
    bare, kept = _wrong_thumbnails(collection, known)
    pictures = _by_content(collection)
    yield from _check_records(collection, repair)
    spoiled = {aspect: _spoiled(store, aspect) for aspect in OTHERS}
    if repair:
        for aspect, hashes in spoiled.items():
            if hashes:
                _blank(store, aspect, hashes)
    mended = _mend_contents(collection, lost, bare) if repair else set()
    if repair and waiting & here:
        collection.mark_unfinished(True)
        mended |= waiting & here
    wrong = bare | lost | dict.fromkeys(waiting, LOST)
    for sha256, copies in pictures.items():
        if sha256 in wrong:
            kept_as_it_is = repair and sha256 not in mended
            why = wrong[sha256] + (", and its photo is not here as it was" if kept_as_it_is else "")
            for picture in copies:
                yield Finding(f"{picture.path}: {why}.", sha256 in mended)
        for aspect, hashes in spoiled.items():
            if sha256 in hashes:
                for picture in copies:
                    yield Finding(f"{picture.path}: its {OTHERS[aspect]} cannot be read.", repair)
    yield from _check_elsewhere(collection, repair)
    unused = (known - pictures.keys()) | (kept - known)
    if unused and not anew:
        if repair:
            collection.prune()
        freeing = "" if repair else " Freed by: check --repair, or the next run of index."
        told = f"{_strays(len(unused))}, which only takes room.{freeing}"
        yield Finding(told, repair, harmless=True)
    yield from _check_captions(collection, repair)


def _wrong_vectors(collection: Collection) -> dict[str, str]:
    """Return what is wrong with the vectors of contents, by their SHA-256."""
    dimension = int(collection.store.fact("dimension"))
    elsewhere = collection.place is not None
    lost = {}
    for sha256, embedding in _vectors(collection.store):
        if elsewhere and not embedding:
            continue
        if why := _wrong_with(embedding, dimension):
            lost[sha256] = why
    return lost


def _wrong_thumbnails(
    collection: Collection, known: AbstractSet[str]
) -> tuple[dict[str, str], set[str]]:
    """Return what is wrong with the thumbnails of contents, by their SHA-256, and who has one.

    Args:
        known: the contents of which there should be one.
    """
    bare = {}
    kept = set()
    for sha256, jpeg in _thumbnails(collection.store):
        kept.add(sha256)
        if sha256 in known and not _is_jpeg(jpeg):
            bare[sha256] = "its thumbnail is damaged"
    if not collection.url:  # those of object storage lie there
        for sha256 in known - kept:
            bare[sha256] = "its thumbnail is missing"
    return bare, kept


def _check_records(collection: Collection, repair: bool) -> Iterator[Finding]:
    """Find the pictures whose content is not there; mended, they are read by the next run."""
    without = _without_content(collection.store)
    if without and repair:
        _have_read_again(collection)
    yield from (Finding(f"{path}: what was computed of it is lost.", repair) for path in without)


def _check_captions(collection: Collection, repair: bool) -> Iterator[Finding]:
    """Find captions that are no captions; mended, the picture keeps its label and has none."""
    for path, (label, details) in collection.listing.captions().items():
        try:
            if details and not isinstance(json.loads(details), dict):
                raise ValueError
        except ValueError:
            if repair:
                collection.caption([(path, label, "")])
            yield Finding(f"{path}: its captions cannot be read.", repair)


def _mend_contents(
    collection: Collection,
    lost: Mapping[str, str],
    bare: Mapping[str, str],
) -> set[str]:
    """Mend contents as far as their photos are here, and return their SHA-256.

    Vectors that are `lost` are computed again by the next run; thumbnails are drawn. Where a letter
    is wrong in a SHA-256 the photo is read again by that run.
    """
    if collection.place:  # these are only what was left here by a move
        collection.exact.forget(lost)
        again = set(lost)
    else:
        again = give_up(collection.store, lost, zeros=True)
    again |= draw_thumbnails(collection, bare.keys() - again)
    return again | give_up(collection.store, _misnamed(collection, bare.keys() - again))


def _misnamed(collection: Collection, hashes: AbstractSet[str]) -> set[str]:
    """Return the contents that have a photo of the noted size and time, but not of those bytes."""
    root, found = folder_of_photos(collection), set()
    known = collection.listing.files()
    for picture in collection.listing.pictures():
        if picture.sha256 in hashes and (real := inside(root, picture.path)):
            with suppress(OSError):
                status = real.stat()
                same = (status.st_size, modified_of(status)) == known.get(picture.path)
                if same and sha256_of_file(real) != picture.sha256:
                    found.add(picture.sha256)
    return found


def _check_elsewhere(collection: Collection, repair: bool) -> Iterator[Finding]:
    """Compare the pictures with those in Milvus, where the vectors are in one.

    Mended, it is told of all that it lacks, and of those there that are no pictures here; those
    whose vectors are nowhere are read again by the next run, as far as their photos are here.
    """
    gallery = collection.gallery
    if not isinstance(gallery, MilvusGallery):
        return
    collection.deliver()
    lacking = fill_gaps(collection, gallery) if repair else lacking_in(collection, gallery)
    if lacking:
        total, mended = len(collection.listing.ids()), False
        if repair:
            still = collection.listing.pictures(lacking_in(collection, gallery))
            hashes = {picture.sha256 for picture in still}
            mended = hashes == readable(collection.store, hashes)
        has = total - len(lacking)
        yield Finding(f"Milvus has the vectors of {has:,} of {total:,} pictures.", mended)
    there = gallery.ids()
    strangers = np.setdiff1d(there, collection.listing.ids())
    if len(strangers):
        if repair:
            gallery.remove(strangers.tolist())
        yield Finding(f"{_strays(len(strangers), ' in Milvus')}.", repair)


def _strays(n: int, where: str = "") -> str:
    """Say that so many entries are of no picture."""
    if n == 1:
        return f"1 entry{where} belongs to no picture"
    return f"{n:,} entries{where} belong to no picture"


def _vectors(store: Store) -> Iterator[tuple[str, bytes]]:
    """Yield SHA-256 and stored vector of each content."""
    with store.held():
        yield from store.database.execute("SELECT sha256, embedding FROM contents")


def _spoiled(store: Store, aspect: Aspect) -> set[str]:
    """Return the contents whose vector of an aspect is none, by their SHA-256.

    None at all is in order: earlier versions knew fewer aspects.
    """
    column, kind = COLUMNS[aspect]
    itemsize = np.dtype(kind).itemsize
    kept = f"FROM contents WHERE length({column}) > 0"
    with store.held():
        # Counted here, since SQLite would sort the vectors themselves for it.
        lengths = Counter(
            width for (width,) in store.database.execute(f"SELECT length({column}) {kept}")
        )
        widths = ((n, width) for width, n in lengths.items() if not width % itemsize)
        # Of two that are as frequent the longer one, since something is missing more easily.
        whole = max(widths, default=(0, 0))[1]
        vectors = store.database.execute(f"SELECT sha256, {column} {kept}")
        return {
            sha256
            for sha256, blob in vectors
            if len(blob) != whole or not are_directions(np.frombuffer(blob, kind)[None], aspect)[0]
        }


def _without_content(store: Store) -> list[str]:
    """Return the paths of pictures whose content is not there."""
    return [path for (path,) in store.rows(f"SELECT path FROM pictures WHERE {DANGLING}")]


def _have_read_again(collection: Collection) -> None:
    """Have pictures whose content is not there read by the next run; their captions are kept."""
    with collection.store.change() as database:
        database.execute(
            f"UPDATE pictures SET content = NULL, problem = ?, modified = ? WHERE {DANGLING}",
            ("What was known of it is lost. Look for changes, so that it is read again.", PASSING),
        )
    collection.mark_unfinished(True)


def _blank(store: Store, aspect: Aspect, hashes: AbstractSet[str]) -> None:
    """Leave out vectors that cannot be read, and have their photos read again where they are here.

    Without an aspect a picture is found by the others all the same.
    """
    with store.change() as database:
        database.executemany(
            f"UPDATE contents SET {COLUMNS[aspect][0]} = x'' WHERE sha256 = ?",
            [(sha256,) for sha256 in hashes],
        )
    give_up(store, readable(store, hashes))


def _thumbnails(store: Store) -> Iterator[tuple[str, bytes]]:
    """Yield SHA-256 and JPEG of each thumbnail."""
    with store.thumbnails() as database:
        yield from database.execute("SELECT sha256, jpeg FROM thumbnails")


def _by_content(collection: Collection) -> dict[str, list[PictureRecord]]:
    """Return the pictures of each content, by its SHA-256, in the order of their paths."""
    found: dict[str, list[PictureRecord]] = {}
    for picture in collection.listing.pictures():
        found.setdefault(picture.sha256, []).append(picture)
    return found


def _wrong_with(embedding: bytes, dimension: int) -> str:
    """Say what is wrong with a stored vector; "" for nothing."""
    if len(embedding) != 4 * dimension:
        return f"its vector does not have {dimension} numbers"
    vector = np.frombuffer(embedding, COLUMNS["subject"][1])
    if not np.isfinite(vector).all():
        return "its vector contains a value that is not a number"
    return "" if are_directions(vector[None], "subject")[0] else "its vector is not of length 1"


def _is_jpeg(data: bytes) -> bool:
    try:
        check_thumbnail(data, whole=True)
    except PictureError:
        return False
    return True
