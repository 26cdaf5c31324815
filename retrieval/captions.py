"""Captions: a CSV beside the pictures, `filename,label,...`, that says what is on them.

The first row names the columns. `filename` is relative to the CSV's folder; `label` takes the place
of the subfolder's name; every other column is kept as a detail by which one can filter.
"""

import codecs
import csv
import io
import json
import locale
import os
import re
import stat
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, TextIO

from retrieval.files import composed, in_units
from retrieval.folders import walk
from retrieval.paths import name_of

MAX_BYTES = 64 * 2**20
MAX_COLUMNS = 40
MAX_TEXT = 2_000  # characters of one value
MAX_SHOWN = 40  # characters of a column's name in a sentence
MAX_ROW = 2**20  # characters; where a row has more it ends the table, as a broken one does
CHUNK = 2**20
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what Excel's "Unicode text" begins with
HEAD_BYTES = 4096  # among which the column's name is looked for, where a table begins with neither
# What can be told apart from all others.
CERTAIN = frozenset(("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"))
# A first line that Excel understands, as some programs write it between quotation marks.
SEPARATOR = re.compile(r'("?)sep=([,;\t|])\1\s*', re.IGNORECASE)
HELD = "It cannot be read. Close it in other programs, or check its permissions."
TOO_LARGE = f"It has more than {in_units(MAX_BYTES)}. Make several smaller ones."
NO_FILENAME = (
    "None of its columns is called “filename”, so it tells of no pictures. Call the one with the "
    "names of the pictures so, in its first row."
)
NO_COLUMNS = (
    "Its first row names no columns, so it tells of no pictures. Save it as “CSV UTF-8” in the "
    "program that it is from."
)
NONE_HERE = "None of the pictures that it names is here. Write their names in it as they are now."
# The other cure of the three, where the table lies in a folder that is somebody's own.
OR_GO = "Or take the table away, if labels and captions are to go."
NO_TEXT = re.compile(r"[\0-\x08]")  # what other files have in their first bytes
BROKEN = (
    "Row {n:,} cannot be read, nor what comes after it: a quotation mark there has no end, or a "
    "cell is too long. Mend that row."
)
LETTERS = (
    "It is not saved in UTF-8, so letters beyond A to Z may be wrong, also in the names of files. "
    "Open it in the program that it is from, and save it as “CSV UTF-8”."
)
_encode_json = json.JSONEncoder(ensure_ascii=False).encode
Row = tuple[str, list[str], list[str]]  # the file's name, the names of the columns, the cells
# What is wrong with a table: it is not read, or not to its end; it tells of no pictures, as tables
# of other things do; or some of its columns are left out, or of its letters wrong.
Flaw = Literal["broken", "mute", "narrowed"]
OnFlaw = Callable[[str, Flaw], None]  # told in a sentence, with the cure


@dataclass(frozen=True)
class Caption:
    """What a CSV says of one picture."""

    label: str | None  # None when it has no column of that name, or nothing in it
    details: str  # the other columns as a JSON object, "" for none


@dataclass(frozen=True)
class UnreadTable:
    """A table of which not all is read."""

    name: str  # its path, relative to the pictures' folder; or that of a folder that may have some
    folder: str  # whose pictures it tells of
    why: str  # and the cure
    flaw: Flaw

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder that may not be opened, and not a table itself."""
        return self.name == self.folder


class Rows(dict[str, Caption]):
    """What the rows of a table say of pictures, by their keys; the last one of a picture counts."""

    def __init__(self) -> None:
        super().__init__()
        self._several: set[str] = set()  # keys that rows with different labels have

    def add(self, key: str, caption: Caption) -> None:
        """Take a row."""
        if key in self and self[key].label != caption.label:
            self._several.add(key)
        self[key] = caption

    def tell(self, on_flaw: OnFlaw) -> None:
        """Say how many pictures have several labels, if any do, and which of them counts."""
        if n := len(self._several):
            have = "1 picture has" if n == 1 else f"{n:,} pictures have"
            on_flaw(
                f"{have} several rows with different labels, of which the last is taken. Leave the "
                "one that is to count.",
                "narrowed",
            )


def read_captions(
    root: Path,
    on_unread: Callable[[UnreadTable], None] = lambda table: None,
    wanted: Container[str] | None = None,
) -> dict[str, Caption]:
    """Return the captions of the pictures below a folder, by their path, `composed`.

    Args:
        on_unread: told of each table of which not all is read, as while Excel has it open: what it
            says of the pictures below is not known.
        wanted: the keys of the pictures that there are; rows of others are not kept, so that no
            table takes more memory than the pictures warrant. None keeps all rows.
    """
    captions: dict[str, Caption] = {}

    def note(error: OSError) -> None:
        name = name_of(Path(error.filename), root)
        on_unread(UnreadTable(name, name, HELD, "broken"))

    whole = _beginning(root)
    for path in find_tables(root, note):
        folder = PurePosixPath(path.parent.relative_to(root).as_posix())
        found = Rows()
        flaws: dict[str, Flaw] = {}
        named = 0
        try:
            for filename, columns, row in read_rows(path, flaws.__setitem__):
                named += 1
                key = _key_of(filename, folder, whole)
                if wanted is None or key in wanted:
                    found.add(key, _caption(columns, row))
            captions.update(found)
            found.tell(flaws.__setitem__)
            if named and not found and "broken" not in flaws.values():
                flaws[NONE_HERE] = "mute"
        except OSError:
            flaws = {HELD: "broken"}
        for why, flaw in flaws.items():
            if _counts(why, flaw, found, named):
                name, within = name_of(path, root), name_of(path.parent, root)
                cure = f"{why} {OR_GO}" if flaw == "mute" else why
                on_unread(UnreadTable(name, within, cure, flaw))
    return captions


def parse_captions(
    table: bytes, on_flaw: OnFlaw = lambda why, flaw: None
) -> Iterator[tuple[str, Caption]]:
    """Yield file name and caption of each row of a CSV that has a name."""
    for filename, columns, row in _rows(_text_of(io.BytesIO(table)), on_flaw):
        yield filename, _caption(columns, row)


def read_rows(path: Path, on_flaw: OnFlaw = lambda why, flaw: None) -> Iterator[Row]:
    """Yield each row of a CSV that has a file name.

    A CSV without a column `filename` is not meant for us and has none.

    Raises:
        OSError: when it cannot be read.
    """
    too_large = path.stat().st_size > MAX_BYTES
    with path.open("rb") as file, _text_of(file) as table:
        yield from _rows(table, on_flaw, too_large)


def count_rows(table: Path, root: Path, known: Container[str]) -> tuple[int, int, list[str]]:
    """Return of how many pictures a table below their folder tells, how many rows have none, and
    what is wrong with it, in sentences.

    Args:
        known: the paths of the pictures, `composed`.

    Raises:
        OSError: when it cannot be read.
    """
    folder, whole = PurePosixPath(name_of(table.parent, root)), _beginning(root)
    found, without = Rows(), 0
    flaws: dict[str, Flaw] = {}
    for filename, columns, row in read_rows(table, flaws.__setitem__):
        key = _key_of(filename, folder, whole)
        if key in known:
            found.add(key, _caption(columns, row))
        else:
            without += 1
    found.tell(flaws.__setitem__)
    return len(found), without, [why for why in flaws if _counts(why, flaws[why], found, without)]


def _counts(why: str, flaw: Flaw, found: Collection[str], named: int) -> bool:
    """Whether what is wrong with a table is worth a word: by wrong letters no name may be found."""
    return bool(found) or flaw != "narrowed" or (why == LETTERS and named > 0)


def delimiter_for(columns: Iterable[str]) -> str:
    """Return what is to stand between the cells, that a table of these columns be read rightly.

    The first line tells: it has to be what that has most of.
    """
    return _delimiter_of("".join(columns).splitlines()[0])


def _delimiter_of(line: str) -> str:
    # Excel writes semicolons where the comma separates decimals.
    return max(",;\t", key=line.count)


def _rows(table: TextIO, on_flaw: OnFlaw, too_large: bool = False) -> Iterator[Row]:
    in_row, ended = 0, False

    def read_lines() -> Iterator[str]:
        nonlocal in_row, ended
        while line := table.readline(MAX_ROW):
            in_row += len(line)
            if in_row >= MAX_ROW:
                raise csv.Error
            yield line
        ended = True
        yield "\n"  # an empty row, unless a quotation is still open

    lines, number = read_lines(), 1
    try:
        head = next(lines)
        if said := SEPARATOR.fullmatch(head):
            head, number = next(lines, ""), 2
        rows = csv.reader(chain([head], lines), delimiter=said[2] if said else _delimiter_of(head))
        names = [name.strip().casefold() for name in next(rows, [])]
    except csv.Error:
        names = []
    if "filename" not in names:
        is_head = any(names) and not any(map(NO_TEXT.search, names))
        on_flaw(NO_FILENAME if is_head else NO_COLUMNS, "mute")
        return
    if too_large:
        on_flaw(TOO_LARGE, "broken")
        return
    if table.encoding not in CERTAIN:
        on_flaw(LETTERS, "narrowed")
    kept = _kept_columns(names, on_flaw)
    columns = [names[at] for at in kept]
    at = columns.index("filename")
    try:
        for row in rows:
            in_row = 0
            if ended and row:
                raise csv.Error
            number += 1
            if len(kept) < len(names):
                row = [row[at] for at in kept if at < len(row)]
            filename = row[at].strip()[:MAX_TEXT].replace("\\", "/") if at < len(row) else ""
            if filename and ".." not in filename.split("/"):
                yield filename.removeprefix("./"), columns, row
    except csv.Error:  # it ends the table; what came before it counts
        on_flaw(BROKEN.format(n=number + 1), "broken")


def _kept_columns(names: list[str], on_flaw: OnFlaw) -> list[int]:
    """Return which columns are read: the name, the label, and the first of the others."""
    own = [names.index(name) for name in ("filename", "label") if name in names]
    others = [at for at in range(len(names)) if at not in own]
    most = MAX_COLUMNS - len(own)
    if left_out := [names[at][:MAX_SHOWN] for at in others[most:] if names[at]]:
        more = f" and {len(left_out) - 5:,} more" if len(left_out) > 5 else ""
        on_flaw(
            f"Only {MAX_COLUMNS} of its {len(names):,} columns are read, without "
            f"{', '.join(left_out[:5])}{more}. Take those away that you do not need.",
            "narrowed",
        )
    return sorted(own + others[:most])


def _beginning(root: Path) -> str:
    """Return how the names of files below a folder begin where other programs write them whole."""
    return f"{root.absolute().as_posix()}/"


def _key_of(filename: str, folder: PurePosixPath, whole: str) -> str:
    """Return the path, `composed`, of what a row of a table in a folder names.

    Args:
        whole: see `_beginning`.
    """
    if filename.startswith(whole):
        return composed(_below(PurePosixPath(), filename[len(whole) :]))
    return composed(_below(folder, filename))


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
    label = label and composed(label)
    return Caption(label, _encode_json(values) if values else "")


def captioned(path: str, folder_label: str, captions: Mapping[str, Caption]) -> tuple[str, str]:
    """Return label and details of the picture at `path`; the folder's label where none is given."""
    caption = captions.get(composed(path)) if captions else None
    if caption is None:
        return folder_label, ""
    return (folder_label if caption.label is None else caption.label), caption.details


def _text_of(table: BinaryIO) -> TextIO:
    """Return a CSV to be read as text, whichever program has written it."""
    encoding = _encoding_of(table)
    table.seek(0)
    return io.TextIOWrapper(table, encoding, errors="replace", newline="")


def _encoding_of(table: BinaryIO) -> str:
    """Return how a CSV is written, without ever holding all of it."""
    head = table.read(HEAD_BYTES)
    if head.startswith(UTF_16):
        return "utf-16"
    for encoding in ("utf-16-le", "utf-16-be"):
        # Of each such letter one byte is zero; a byte further on they would pass for the other way.
        if head.lower().find("filename".encode(encoding)) % 2 == 0:
            return encoding
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(head)
        while chunk := table.read(CHUNK):
            decoder.decode(chunk)
            if table.tell() > MAX_BYTES:  # only its first row is read
                return "utf-8-sig"
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _code_page()
    return "utf-8-sig"


def _code_page() -> str:
    """Return what programs write on this computer that write no Unicode, as Excel does on Windows.

    Elsewhere what they write in Western Europe and America.
    """
    with suppress(LookupError):
        own = codecs.lookup(locale.getencoding()).name
        if own not in ("utf-8", "ascii"):
            return own
    return "cp1252"


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
