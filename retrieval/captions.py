"""Captions: a CSV beside the pictures, `filename,label,...`, that says what is on them.

The first row names the columns. `filename` is relative to the CSV's folder; `label` takes the place
of the subfolder's name; every other column is kept as a detail by which one can filter.
"""

import codecs
import csv
import io
import json
import os
import re
import stat
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TextIO

from retrieval.files import composed
from retrieval.folders import walk

MAX_BYTES = 64 * 2**20
MAX_COLUMNS = 40
MAX_TEXT = 2_000  # characters of one value
MAX_ROW = 2**20  # characters; where a row has more it ends the table, as a broken one does
CHUNK = 2**20
_encode_json = json.JSONEncoder(ensure_ascii=False).encode
Row = tuple[str, list[str], list[str]]  # the file's name, the names of the columns, the cells


@dataclass(frozen=True)
class Caption:
    """What a CSV says of one picture."""

    label: str | None  # None when it has no column of that name, or nothing in it
    details: str  # the other columns as a JSON object, "" for none


def read_captions(
    root: Path,
    on_unread: Callable[[Path], None] = lambda folder: None,
    wanted: Container[str] | None = None,
) -> dict[str, Caption]:
    """Return the captions of the pictures below a folder, by their path, `composed`.

    A CSV without a column `filename` is not meant for us and is passed over.

    Args:
        on_unread: told of a folder when a table in it is there and cannot be read, as while Excel
            has it open: what it says of the pictures below is not known.
        wanted: the keys of the pictures that there are; rows of others are not kept, so that no
            table takes more memory than the pictures warrant. None keeps all rows.
    """
    captions: dict[str, Caption] = {}
    for path in find_tables(root, lambda error: on_unread(Path(error.filename))):
        folder = PurePosixPath(path.parent.relative_to(root).as_posix())
        found: dict[str, Caption] = {}
        try:
            if path.stat().st_size > MAX_BYTES:
                continue
            for filename, columns, row in read_rows(path):
                key = composed(_below(folder, filename))
                if wanted is None or key in wanted:
                    found[key] = _caption(columns, row)
        except OSError:
            on_unread(path.parent)
            continue
        captions.update(found)
    return captions


def parse_captions(text: str) -> Iterator[tuple[str, Caption]]:
    """Yield file name and caption of each row that has a name."""
    for filename, columns, row in _rows(io.StringIO(text, newline="")):
        yield filename, _caption(columns, row)


def read_rows(path: Path) -> Iterator[Row]:
    """Yield each row of a CSV that has a file name.

    Raises:
        OSError: when it cannot be read.
    """
    with path.open(encoding=_encoding_of(path), errors="replace", newline="") as file:
        yield from _rows(file)


def delimiter_for(columns: Iterable[str]) -> str:
    """Return what is to stand between the cells, that a table of these columns be read rightly.

    The first line tells: it has to be what that has most of.
    """
    return _delimiter_of("".join(columns).splitlines()[0])


def _delimiter_of(line: str) -> str:
    # Excel writes semicolons where the comma separates decimals.
    return max(",;\t", key=line.count)


def _rows(table: TextIO) -> Iterator[Row]:
    in_row = 0

    def lines() -> Iterator[str]:
        nonlocal in_row
        while line := table.readline(MAX_ROW):
            in_row += len(line)
            if in_row >= MAX_ROW:
                raise csv.Error
            yield line

    try:
        head = next(lines(), "")
        rows = csv.reader(chain([head], lines()), delimiter=_delimiter_of(head))
        columns = [name.strip().casefold() for name in next(rows, [])][:MAX_COLUMNS]
        if "filename" not in columns:
            return
        at = columns.index("filename")
        for row in rows:
            in_row = 0
            filename = row[at].strip()[:MAX_TEXT].replace("\\", "/") if at < len(row) else ""
            if filename and ".." not in filename.split("/"):
                yield filename.removeprefix("./"), columns, row
    except csv.Error:
        return  # a broken row ends the table; what came before it counts


def _below(folder: PurePosixPath, filename: str) -> str:
    """Return a file's path, which is relative to a folder."""
    # Making a path takes as long as all else that is done to a row, and few names need it.
    if "//" in filename or "/." in filename or filename[:1] in "./" or filename[-1:] == "/":
        return str(folder / filename)
    return f"{folder}/{filename}" if folder.parts else filename


def _caption(columns: list[str], row: list[str]) -> Caption:
    cells = zip(columns, row, strict=False)
    values = {
        column: value.strip()[:MAX_TEXT] for column, value in cells if column and value.strip()
    }
    values.pop("filename", None)
    label = values.pop("label", None)
    return Caption(label, _encode_json(values) if values else "")


def captioned(path: str, folder_label: str, captions: Mapping[str, Caption]) -> tuple[str, str]:
    """Return label and details of the picture at `path`; the folder's label where none is given."""
    caption = captions.get(composed(path)) if captions else None
    if caption is None:
        return folder_label, ""
    return (folder_label if caption.label is None else caption.label), caption.details


def decode(table: bytes) -> str:
    """Return the text of a CSV, whichever program has written it."""
    try:
        return table.decode("utf-8-sig")
    except UnicodeDecodeError:
        return table.decode("cp1252", "replace")  # what Excel writes on Windows


def _encoding_of(path: Path) -> str:
    """Return how a CSV file is written, as `decode` finds it, without ever holding all of it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while chunk := file.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def find_tables(root: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield the CSV files below a folder; what is hidden, a link or no file is passed over.

    Args:
        on_error: told of folders that cannot be read.
    """
    for parent, names in walk(root, on_error):
        for name in names:
            if name.lower().endswith(".csv"):
                path = Path(parent, name)
                if _may_be_file(path):
                    yield path


def _may_be_file(path: Path) -> bool:
    """Whether a path is a file and no link; a pipe would be waited for without end."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return True  # reading it says why


def pretty(label: str) -> str:
    """Return a label as people write it: names of folders often have no spaces. Dates stay."""
    return re.sub(r"_|(?<!\d)-|-(?!\d)", " ", label)
