"""A collection in one file, to be opened on another computer.

An ordinary zip, stored unpacked since pictures pack no further:

    manifest.json      what it is: name, counts, model, PCA, preprocessing
    contents.jsonl     a line for each content: its SHA-256, width, height, time taken
    pictures.jsonl     a line for each file: path, label, captions, and its content or problem
    subject.f4, colour.f2 ...    the vectors, a row for each line of contents.jsonl
    thumbnails/SHA256.jpg
    photos/SHA256.jpg  the photos themselves, only when asked for

`retrieval.unbundling` opens it again.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.files import replace_when_done
from retrieval.originals import open_original
from retrieval.records import Aspect, PictureRecord
from retrieval.schema import COLUMNS

FORMAT_VERSION = 1
MAGIC = "lookalike-collection"


def pack(collection: Collection, path: Path, photos: bool = False, problems: bool = True) -> None:
    """Write a collection into one file, whole or not at all.

    Args:
        photos: put the photos themselves in as well, those that are still where they were.
        problems: tell of the files that could not be read, too.
    """
    pictures = collection.pictures()
    contents = list({picture.sha256: picture for picture in pictures}.values())
    rows = {picture.id: row for row, picture in enumerate(contents)}
    with replace_when_done(path) as temporary, zipfile.ZipFile(temporary, "w") as bundle:
        for aspect, (_, kind) in COLUMNS.items():
            held = collection.embeddings(aspect)
            vectors = np.zeros((len(contents), held.vectors.shape[1]), kind)
            for id_, vector in zip(held.ids, held.vectors, strict=True):
                if int(id_) in rows:
                    vectors[rows[int(id_)]] = vector
            bundle.writestr(member(aspect), vectors.tobytes())
            del held, vectors
        bundle.writestr("contents.jsonl", _lines(_content_line(picture) for picture in contents))
        bundle.writestr("pictures.jsonl", _lines(_picture_lines(collection, pictures, problems)))
        kept = 0
        for picture in contents:
            jpeg = collection.thumbnail(picture.sha256)
            if not jpeg:
                raise LookalikeError(
                    f"{picture.path} has lost its small picture, and without it nobody could open "
                    "the file. Mend the collection with: python -m retrieval check --repair"
                )
            bundle.writestr(f"thumbnails/{picture.sha256}.jpg", jpeg)
            kept += photos and _put_photo(bundle, collection, picture)
        manifest = {
            "format": MAGIC,
            "version": FORMAT_VERSION,
            "name": collection.name,
            "pictures": len(pictures),
            "contents": len(contents),
            "photos": kept,
            **collection.provenance(),
        }
        bundle.writestr("manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1))


def _put_photo(bundle: zipfile.ZipFile, collection: Collection, picture: PictureRecord) -> bool:
    source = open_original(collection, picture)
    if source is None:
        return False
    # Without the file's time: ZIP knows none before 1980, and the collection has it anyway.
    member = zipfile.ZipInfo(f"photos/{picture.sha256}{PurePosixPath(picture.path).suffix.lower()}")
    with source:
        member.file_size = os.fstat(source.fileno()).st_size
        with bundle.open(member, "w") as target:
            shutil.copyfileobj(source, target, 2**20)
    return True


def _content_line(picture: PictureRecord) -> dict[str, Any]:
    return {
        "sha256": picture.sha256,
        "width": picture.width,
        "height": picture.height,
        "taken": picture.taken,
    }


def _picture_lines(
    collection: Collection, pictures: list[PictureRecord], problems: bool
) -> Iterator[dict[str, Any]]:
    files = collection.files()
    for picture in pictures:
        size, modified = files.get(picture.path, (picture.size, 0))
        line = {"path": picture.path, "size": size, "modified": modified, "label": picture.label}
        yield {**line, "captions": picture.captions, "sha256": picture.sha256}
    for path, problem in collection.problems() if problems else ():
        size, modified = files.get(path, (0, 0))
        yield {"path": path, "size": size, "modified": modified, "label": "", "problem": problem}


def _lines(rows: Iterator[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def member(aspect: Aspect) -> str:
    """Return the name of the file that holds the vectors of an aspect."""
    return f"{aspect}{COLUMNS[aspect][1].replace('<', '.')}"
