"""A collection in one file, to be opened on another computer.

An ordinary zip, stored unpacked since pictures pack no further:

    manifest.json      what it is: name, counts, model, PCA, preprocessing
    contents.jsonl     a line for each content: its SHA-256, width, height, time taken
    pictures.jsonl     a line for each file: path, label, captions, and its content or problem;
                       and the SHA-256 of its photo, where that is not the one of the content
    subject.f4, colour.f2 ...    the vectors, a row for each line of contents.jsonl
    thumbnails/SHA256.jpg
    photos/SHA256.jpg  the photos themselves, by their bytes, only when asked for

`retrieval.unbundling` opens it again.
"""

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.files import modified_of, replace_when_done, sha256_of
from retrieval.originals import has_original, open_original
from retrieval.records import PASSING, Aspect, PictureRecord
from retrieval.schema import COLUMNS
from retrieval.settings import MAX_FILE_BYTES, PYTHON
from retrieval.staging import look_is_due, require_room
from retrieval.vectors import read_all

FORMAT_VERSION = 1
MAGIC = "lookalike-collection"
LATEST = 2**62 - 1  # nanoseconds since 1970: in the year 2116


@dataclass(frozen=True)
class Photos:
    """How many files of a collection came along in its packed one, and how many did not."""

    packed: int = 0
    missing: int = 0


def pack(collection: Collection, path: Path, photos: bool = False, problems: bool = True) -> Photos:
    """Write a collection into one file, whole or not at all; tell of the photos in it.

    Args:
        photos: put the photos themselves in as well, those that are still where they were, and the
            files that could not be read.
        problems: tell of the files that could not be read, too.

    Raises:
        LookalikeError: when the file cannot be written, the disk has no room for the photos, none
            of them is there, or the small one of a picture is lost.
    """
    if photos:
        _require_photos(collection)
    with replace_when_done(path) as temporary, zipfile.ZipFile(temporary, "w") as bundle:
        pictures, contents = _put_vectors(bundle, collection)
        bundle.writestr("contents.jsonl", _lines(_content_line(picture) for picture in contents))
        for picture in contents:
            jpeg = collection.thumbnail(picture.sha256)
            if not jpeg:
                raise LookalikeError(
                    f"{picture.path} has lost its small picture, and without it nobody could open "
                    f"the file. Mend the collection with: {PYTHON} -m retrieval check --repair"
                )
            bundle.writestr(f"thumbnails/{picture.sha256}.jpg", jpeg)
        put, others = Photos(), dict[str, dict[str, Any]]()
        if photos:
            put, others = _put_photos(bundle, path.parent, collection, pictures, problems)
        lines = _picture_lines(collection, pictures, problems, others)
        bundle.writestr("pictures.jsonl", _lines(lines))
        manifest = {
            "format": MAGIC,
            "version": FORMAT_VERSION,
            "name": collection.name,
            "pictures": len(pictures),
            "contents": len(contents),
            "photos": put.packed,
            "missing": put.missing,
            **collection.provenance(),
        }
        bundle.writestr("manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1))
    return put


def _require_photos(collection: Collection) -> None:
    """Refuse to pack photos of which not one is there: an earlier file may have them."""
    pictures = collection.listing.pictures()
    if not pictures or any(has_original(collection, picture) for picture in pictures):
        return
    if collection.root is None:
        raise LookalikeError(
            f"The photos of {collection.name} are not here. Pack it without the photos."
        )
    raise LookalikeError(
        f"None of the photos of {collection.name} is there now. If they are on another disk, "
        "connect it; or pack without the photos."
    )


def _put_vectors(
    bundle: zipfile.ZipFile, collection: Collection
) -> tuple[list[PictureRecord], list[PictureRecord]]:
    """Put in the vectors; return the pictures, and of those with the same content the last one."""
    here = collection.place is None
    # All of one moment, whatever is read anew meanwhile. What is in Milvus changes by itself.
    with collection.store.view() if here else nullcontext():
        pictures = collection.listing.pictures()
        contents = list({picture.sha256: picture for picture in pictures}.values())
        rows = {picture.id: row for row, picture in enumerate(contents)}
        for aspect, (_, kind) in COLUMNS.items():
            held = read_all(collection.store, aspect) if here else collection.embeddings(aspect)
            vectors = np.zeros((len(contents), held.vectors.shape[1]), kind)
            for id_, vector in zip(held.ids, held.vectors, strict=True):
                if int(id_) in rows:
                    vectors[rows[int(id_)]] = vector
            bundle.writestr(member(aspect), vectors.tobytes())
            del held, vectors
    return pictures, contents


def _put_photos(
    bundle: zipfile.ZipFile,
    folder: Path,
    collection: Collection,
    pictures: list[PictureRecord],
    problems: bool,
) -> tuple[Photos, dict[str, dict[str, Any]]]:
    """Put in the files as they are now, each content once, but for those too large to be read.

    Args:
        folder: where the bundle is written, whose disk is left some room.

    Returns:
        How many, and what their lines in `pictures.jsonl` say more, by path.
    """
    packed = missing = written = 0
    others: dict[str, dict[str, Any]] = {}
    known, inside = collection.listing.files(), set()
    unread = [_unread(path) for path, _ in collection.listing.problems()] if problems else []
    for picture in (*pictures, *unread):
        source = open_original(collection, picture)
        if source is None:
            missing += 1
            continue
        with source:
            status = os.fstat(source.fileno())
            if status.st_size > MAX_FILE_BYTES:
                missing += 1
                continue
            unchanged = known.get(picture.path) == (status.st_size, modified_of(status))
            if unchanged and picture.sha256 in inside:
                packed += 1
                continue
            try:
                # Before it is copied, since the name is the hash; then the system still has it.
                sha256 = sha256_of(source)
            except OSError:
                missing += 1
                continue
            if sha256 not in inside:
                suffix = PurePosixPath(picture.path).suffix.lower()
                # Without the file's time: ZIP knows none before 1980, and the collection has it.
                member = zipfile.ZipInfo(f"photos/{sha256}{suffix}")
                member.file_size = status.st_size
                source.seek(0)
                with bundle.open(member, "w") as target:
                    while chunk := source.read(2**20):
                        if look_is_due(written, len(chunk)):
                            require_room(folder)
                        target.write(chunk)
                        written += len(chunk)
                inside.add(sha256)
        packed += 1
        if not picture.sha256 and not unchanged:
            others[picture.path] = {"photo": sha256, "modified": PASSING}
        elif sha256 != picture.sha256:
            others[picture.path] = {"photo": sha256}
    return Photos(packed, missing), others


def _unread(path: str) -> PictureRecord:
    """Stand in for a file that could not be read."""
    return PictureRecord(0, path, "", 0, 0, 0, None, "")


def _content_line(picture: PictureRecord) -> dict[str, Any]:
    return {
        "sha256": picture.sha256,
        "width": picture.width,
        "height": picture.height,
        "taken": picture.taken,
    }


def _picture_lines(
    collection: Collection,
    pictures: list[PictureRecord],
    problems: bool,
    others: Mapping[str, Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:
    # A broken clock may date a file 1601; no program that opens this takes what is so far off.
    files = {
        path: (size, max(-LATEST, min(LATEST, modified)))
        for path, (size, modified) in collection.listing.files().items()
    }
    for picture in pictures:
        size, modified = files.get(picture.path, (picture.size, 0))
        line = {"path": picture.path, "size": size, "modified": modified, "label": picture.label}
        line |= {"captions": picture.captions, "sha256": picture.sha256}
        yield {**line, **others.get(picture.path, {})}
    for path, problem in collection.listing.problems() if problems else ():
        size, modified = files.get(path, (0, 0))
        line = {"path": path, "size": size, "modified": modified, "label": "", "problem": problem}
        yield {**line, **others.get(path, {})}


def _lines(rows: Iterator[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def member(aspect: Aspect) -> str:
    """Return the name of the file that holds the vectors of an aspect."""
    return f"{aspect}{COLUMNS[aspect][1].replace('<', '.')}"
