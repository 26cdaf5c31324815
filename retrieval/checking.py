"""Checking a collection: is everything in it that should be, and whole; and mending what can be."""

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from retrieval.collection import Collection
from retrieval.database import connect
from retrieval.errors import LookalikeError
from retrieval.milvus import MilvusGallery
from retrieval.outbox import Outbox
from retrieval.schema import COLUMNS, DATABASE, THUMBNAILS
from retrieval.store import Store
from retrieval.writing import forget_contents


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a collection."""

    sentence: str
    repaired: bool = False


def check_collection(folder: Path, repair: bool = False) -> list[Finding]:
    """Verify a collection: both files, every vector, every thumbnail, and what belongs together.

    With `repair`, pictures that have lost something are forgotten, so that building reads just them
    again, and what nobody uses is dropped. The photos themselves are never touched.

    Raises:
        LookalikeError: when there is no collection, or its file cannot be read at all.
    """
    findings = list(_check_files(folder))
    if findings:
        return findings
    with Collection(folder) as collection:
        if not repair:
            return list(_check_contents(collection, False))
        with collection.building():
            findings = list(_check_contents(collection, True))
            if findings:
                collection.mark_unfinished(True)
            return findings


def _check_files(folder: Path) -> Iterator[Finding]:
    if not (folder / DATABASE).is_file():
        raise LookalikeError(f"There is no collection in {folder.name}. Check the name.")
    if not (folder / THUMBNAILS).is_file():
        yield Finding(f"{THUMBNAILS} is missing. Index the pictures again.")
        return
    for name in (DATABASE, THUMBNAILS):
        try:
            with closing(connect(folder / name)) as database:
                answers = [row[0] for row in database.execute("PRAGMA integrity_check(5)")]
        except (LookalikeError, sqlite3.DatabaseError):
            answers = ["it is no database any more"]
        if answers != ["ok"]:
            yield Finding(
                f"{name} is damaged ({'; '.join(answers)[:300]}). Delete the collection and index "
                "the pictures again; the pictures themselves are untouched."
            )


def _check_contents(collection: Collection, repair: bool) -> Iterator[Finding]:
    lost: dict[str, str] = {}  # why a content has to be computed again, by its SHA-256
    store = collection.store
    dimension = int(collection.provenance()["dimension"])
    elsewhere = collection.place is not None
    for sha256, embedding in _vectors(store):
        if elsewhere and not embedding:
            continue
        if why := _wrong_with(embedding, dimension):
            lost[sha256] = why
    known = collection.known_contents()
    kept = set()
    for sha256, jpeg in _thumbnails(store):
        kept.add(sha256)
        if sha256 in known and not _is_jpeg(jpeg):
            lost[sha256] = "its thumbnail is damaged"
    if not collection.url:  # those of object storage lie there
        for sha256 in known - kept:
            lost[sha256] = "its thumbnail is missing"
    paths = _paths_by_content(store)
    for sha256, why in sorted(lost.items(), key=lambda item: paths.get(item[0], [""])[0]):
        for path in paths.get(sha256, []):
            yield Finding(f"{path}: {why}.", repair)
    if repair and lost:
        forget_contents(store, lost)
        collection.prune()
    yield from _check_elsewhere(collection, repair)
    unused = (known - set(paths)) | (kept - known)
    if unused:
        if repair:
            collection.prune()
        yield Finding(f"{len(unused):,} entries belong to no picture and waste room.", repair)
    for path, (_, details) in collection.captions().items():
        try:
            if details and not isinstance(json.loads(details), dict):
                raise ValueError
        except ValueError:
            if repair:
                collection.caption([(path, collection.captions()[path][0], "")])
            yield Finding(f"{path}: its captions cannot be read.", repair)


def _check_elsewhere(collection: Collection, repair: bool) -> Iterator[Finding]:
    """Compare the pictures with those in Milvus, where the vectors are in one.

    Mended, it is told of all that it lacks, and of those there that are no pictures here; those
    whose vectors are nowhere are forgotten.
    """
    gallery = collection.gallery
    if not isinstance(gallery, MilvusGallery):
        return
    collection.deliver()
    there, here = gallery.ids(), np.array(collection.ids(), np.int64)
    lacking = np.setdiff1d(here, there)
    if len(lacking):
        if repair:
            with collection.store.transaction() as database:
                Outbox(collection.store).note(database, lacking.tolist())
            collection.deliver()
        has = len(here) - len(lacking)
        yield Finding(f"Milvus has the vectors of {has:,} of {len(here):,} pictures.", repair)
    strangers = np.setdiff1d(there, here)
    if len(strangers):
        if repair:
            gallery.remove(strangers.tolist())
        yield Finding(f"{len(strangers):,} entries in Milvus belong to no picture.", repair)


def _vectors(store: Store) -> Iterator[tuple[str, bytes]]:
    """Yield SHA-256 and stored vector of each content."""
    with store.held():
        yield from store.database.execute("SELECT sha256, embedding FROM contents")


def _thumbnails(store: Store) -> Iterator[tuple[str, bytes]]:
    """Yield SHA-256 and JPEG of each thumbnail."""
    with store.held():
        yield from store.thumbnails.execute("SELECT sha256, jpeg FROM thumbnails")


def _paths_by_content(store: Store) -> dict[str, list[str]]:
    """Return the paths of the pictures of each content, by its SHA-256."""
    paths: dict[str, list[str]] = {}
    for sha256, path in store.rows(
        "SELECT sha256, path FROM pictures JOIN contents ON content = contents.id ORDER BY path"
    ):
        paths.setdefault(sha256, []).append(path)
    return paths


def _wrong_with(embedding: bytes, dimension: int) -> str:
    """Say what is wrong with a stored vector; "" for nothing."""
    if len(embedding) != 4 * dimension:
        return f"its vector has not {dimension} numbers"
    vector = np.frombuffer(embedding, COLUMNS["subject"][1])
    if not np.isfinite(vector).all():
        return "its vector holds what is no number"
    length = float(np.linalg.norm(vector))
    # A picture of a single flat colour may have no direction at all.
    return "" if length == 0 or abs(length - 1) < 1e-3 else "its vector is not of length 1"


def _is_jpeg(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.load()
    except (OSError, ValueError, SyntaxError):
        return False
    return True
