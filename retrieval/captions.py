"""Captions: a CSV beside the pictures, `filename,label,...`, that says what is on them.

The first row names the columns. `filename` is relative to the CSV's folder; `label` takes the place
of the subfolder's name; every other column is kept as a detail by which one can filter.
"""

import csv
import io
import json
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from retrieval.images import is_passed_over

MAX_BYTES = 64 * 2**20
MAX_COLUMNS = 40
MAX_TEXT = 2_000  # characters of one value


@dataclass(frozen=True)
class Caption:
    """What a CSV says of one picture."""

    label: str | None  # None when it has no column of that name, or nothing in it
    details: str  # the other columns as a JSON object, "" for none


def read_captions(
    root: Path, on_unread: Callable[[Path], None] = lambda folder: None
) -> dict[str, Caption]:
    """Return the captions of the pictures below a folder, by `caption_key` of their path.

    A CSV without a column `filename` is not meant for us and is passed over.

    Args:
        on_unread: told of a folder when a table in it is there and cannot be read, as while Excel
            has it open: what it says of the pictures below is not known.
    """
    captions: dict[str, Caption] = {}
    for path in _find_tables(root, lambda error: on_unread(Path(error.filename))):
        try:
            if path.stat().st_size > MAX_BYTES:
                continue
            text = decode(path.read_bytes())
        except OSError:
            on_unread(path.parent)
            continue
        folder = PurePosixPath(path.parent.relative_to(root).as_posix())
        for filename, caption in parse_captions(text):
            captions[caption_key(str(folder / filename))] = caption
    return captions


def parse_captions(text: str) -> Iterator[tuple[str, Caption]]:
    """Yield file name and caption of each row that has a name."""
    head = text.split("\n", 1)[0]
    # Excel writes semicolons where the comma separates decimals.
    delimiter = max(",;\t", key=head.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [name.strip().casefold() for name in next(rows, [])][:MAX_COLUMNS]
        if "filename" not in columns:
            return
        for row in rows:
            values = {
                column: value.strip()[:MAX_TEXT]
                for column, value in zip(columns, row, strict=False)
                if column and value.strip()
            }
            filename = values.pop("filename", "").replace("\\", "/")
            if not filename or ".." in filename.split("/"):
                continue
            label = values.pop("label", None)
            details = json.dumps(values, ensure_ascii=False) if values else ""
            yield filename.removeprefix("./"), Caption(label, details)
    except csv.Error:
        return  # a broken row ends the table; what came before it counts


def caption_key(path: str) -> str:
    """Return a path as captions are looked up by: macOS writes accents apart from their letters."""
    return unicodedata.normalize("NFC", path)


def captioned(path: str, folder_label: str, captions: Mapping[str, Caption]) -> tuple[str, str]:
    """Return label and details of the picture at `path`; the folder's label where none is given."""
    caption = captions.get(caption_key(path)) if captions else None
    if caption is None:
        return folder_label, ""
    return (folder_label if caption.label is None else caption.label), caption.details


def decode(table: bytes) -> str:
    """Return the text of a CSV, whichever program has written it."""
    try:
        return table.decode("utf-8-sig")
    except UnicodeDecodeError:
        return table.decode("cp1252", "replace")  # what Excel writes on Windows


def _find_tables(root: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    for parent, folders, names in os.walk(root, onerror=on_error):
        folders[:] = sorted(name for name in folders if not is_passed_over(name))
        for name in sorted(names):
            if name.lower().endswith(".csv") and not is_passed_over(name):
                path = Path(parent, name)
                if not os.path.islink(path):  # Path.is_symlink raises when it cannot tell
                    yield path
