"""Tables of captions that come with pictures: what one says stays with the pictures it meant."""

import csv
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from retrieval import captions
from retrieval.captions import Flaw, delimiter_for, read_rows
from retrieval.disk_names import free_name
from retrieval.files import composed, in_units, replace_file, replace_when_done


@dataclass(frozen=True)
class TableBounds:
    """How many tables (CSV) a collection's folder may hold; unless told otherwise, the owner's."""

    count: int = 10_000
    bytes: int = 2**30  # of all


class Tables:
    """The tables in a collection's folder, while others come."""

    def __init__(self, folder: Path, bounds: TableBounds) -> None:
        self._folder = folder
        self._bounds = bounds
        self._sizes: dict[Path, int] = {}
        for path in captions.find_tables(folder):
            with suppress(FileNotFoundError):  # read and deleted meanwhile
                self._sizes[path] = path.stat().st_size
        self._bytes = sum(self._sizes.values())
        self._read = 0  # of those that have come, also those that were left out then

    @property
    def most(self) -> int:
        """How many there may be."""
        return self._bounds.count

    def admit(self, place: Path, table: Path, renamed: Mapping[str, str]) -> str:
        """Make way for a table; return why it has no place there, "" where it has, and counts.

        One of that name that speaks of further pictures stays under another name, by which it is
        read before the new one: the word of the new one counts where both speak.

        Args:
            renamed: as `rename_in_table` takes it.

        Raises:
            OSError, LookalikeError: when a table cannot be read, moved or written.
        """
        size = table.stat().st_size
        if size > captions.MAX_BYTES:
            return (
                f"A table (CSV) is read when it has no more than {in_units(captions.MAX_BYTES)}. "
                "Make several smaller ones."
            )
        # Before it is read: a zip of a few KB holds many MB of rows, and others wait meanwhile.
        if not self._fits(place, size, None) or self._read + size > self._bounds.bytes:
            return self.full()
        self._read += size
        if why := _break_in(table):
            return f"{why} Then add it again."
        within = PurePosixPath(place.parent.relative_to(self._folder).as_posix())
        rename_in_table(table, within, renamed)
        size = table.stat().st_size
        aside = free_name(place) if place.is_file() and _says_more(place, table) else None
        if not self._fits(place, size, aside):
            return self.full()
        before = self._sizes.get(place, 0)
        if aside:
            replace_file(place, aside)
            self._sizes[aside] = before
        self._bytes += size - (0 if aside else before)
        self._sizes[place] = size
        return ""

    def _fits(self, place: Path, size: int, aside: Path | None) -> bool:
        """Whether there is room for a table, in place of what is there or beside it, set aside."""
        is_one_more = aside is not None or place not in self._sizes
        bytes_ = self._bytes + size - (0 if aside else self._sizes.get(place, 0))
        return len(self._sizes) + is_one_more <= self._bounds.count and bytes_ <= self._bounds.bytes

    def full(self) -> str:
        """Say that no more of them fit in."""
        return (
            f"Only {self._bounds.count:,} tables (CSV) with {in_units(self._bounds.bytes)} in all "
            "fit in here. Put the rows of your pictures into one small table, and add it again."
        )


def rename_in_table(table: Path, folder: PurePosixPath, names: Mapping[str, str]) -> None:
    """Write a table anew where it speaks of pictures that are called otherwise by now.

    Args:
        folder: that the file names in the table start from.
        names: what pictures are called now, by their paths, `composed`; "" for one that was
            left out, whose row goes, since another picture has its path.

    Raises:
        LookalikeError: when it cannot be written.
    """

    def name_now(filename: str) -> str | None:
        return names.get(composed((folder / filename).as_posix()))

    if not names or all(name_now(filename) is None for filename, _, _ in read_rows(table)):
        return
    with (
        replace_when_done(table) as new,
        new.open("w", encoding="utf-8-sig", newline="") as file,
    ):
        writer = None
        for filename, columns, row in read_rows(table):
            if writer is None:
                writer = csv.writer(file, delimiter=delimiter_for(columns))
                writer.writerow(columns)
            now = name_now(filename)
            if now:
                row[columns.index("filename")] = f"./{PurePosixPath(filename).with_name(now)}"
            if now != "":
                writer.writerow(row[: len(columns)])


def _break_in(table: Path) -> str:
    """Return where a table cannot be read any further, "" where it can: the rest would be lost."""
    flaws: dict[str, Flaw] = {}
    for _ in read_rows(table, flaws.__setitem__):
        pass
    return next((why for why, flaw in flaws.items() if flaw == "broken"), "")


def _says_more(before: Path, table: Path) -> bool:
    """Whether a table speaks of files, as it calls them, of which another one does not."""
    names = {composed(filename) for filename, _, _ in read_rows(table)}
    return any(composed(filename) not in names for filename, _, _ in read_rows(before))
