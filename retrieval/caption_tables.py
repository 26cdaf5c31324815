"""Tables of captions that are written here, as `retrieval.captions` reads them.

Labels and captions that came without the table that told of them would be lost as soon as their
pictures are read again: taken out and let in, mended, or written anew by another program.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from retrieval.captions import (
    MAX_BYTES,
    MAX_COLUMNS,
    captioned,
    delimiter_for,
    read_captions,
)
from retrieval.disk_names import free_name
from retrieval.files import composed
from retrieval.paths import label_of
from retrieval.records import Entry

# Sorts before what people call their own tables, whose word then counts.
NAME = "(packed) captions.csv"
# In characters: written, one takes up to four bytes.
MAX_CHARACTERS = MAX_BYTES // 8
MAX_TABLES = 100
OWN = ("filename", "label")


@dataclass
class _Table:
    columns: dict[str, None] = field(default_factory=lambda: {"filename": None})
    rows: list[Mapping[str, str]] = field(default_factory=list)
    characters: int = 0

    def takes(self, row: Mapping[str, str]) -> bool:
        """Add a row, if the table is not too large then to be read."""
        columns = self.columns | dict.fromkeys(row)
        characters = self.characters + MAX_COLUMNS + sum(map(len, row.values()))
        if len(columns) > MAX_COLUMNS or characters > MAX_CHARACTERS:
            return False
        self.columns, self.characters = columns, characters
        self.rows.append(row)
        return True

    def save(self, folder: Path) -> None:
        # Those of one line first, by which one sees what stands between the cells.
        names = sorted(self.columns, key=lambda name: len(name.splitlines()))
        place = free_name(folder / NAME)
        with place.open("x", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, names, restval="", delimiter=delimiter_for(names))
            writer.writeheader()
            writer.writerows(self.rows)


def keep_captions(folder: Path, entries: list[Entry]) -> list[Entry]:
    """Write labels and captions of pictures below a folder into a CSV there.

    Labels are written where they differ from the folders', and nothing when no picture has more.
    Of more captions than a table has columns a picture keeps the first.
    Returns the entries with what the table says when it is read: reading them again changes none.
    """
    tables: list[_Table] = []
    for entry in entries:
        label = "" if composed(entry.label) == label_of(entry.path) else entry.label
        if entry.sha256 is None or not (label or entry.details):
            continue
        captions = json.loads(entry.details) if entry.details else {}
        kept = [item for item in captions.items() if item[0] not in OWN]
        # Not `harmless`, which the table would then say: it is as the one that it stands for. The
        # dot keeps blanks at the beginning of a name.
        own = {"filename": f"./{entry.path}"} | ({"label": label} if label else {})
        row = dict(kept[: MAX_COLUMNS - len(own)]) | own
        if not any(table.takes(row) for table in tables) and len(tables) < MAX_TABLES:
            fresh = _Table()
            tables += [fresh] if fresh.takes(row) else []
    if not tables:
        return entries
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        table.save(folder)
    said = read_captions(folder)
    read = []
    for entry in entries:
        if entry.sha256 is not None and composed(entry.path) in said:
            label, details = captioned(entry.path, label_of(entry.path), said)
            entry = replace(entry, label=label, details=details)
        read.append(entry)
    return read
