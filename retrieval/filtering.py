"""Filters of a search, as conditions on the rows of a collection."""

import unicodedata

from retrieval.query import Filters
from retrieval.records import captions_in

# A tenth longer on one side still looks square.
SHAPE_CONDITIONS = {
    "landscape": "width > 1.1 * height",
    "portrait": "height > 1.1 * width",
    "square": "width <= 1.1 * height AND height <= 1.1 * width",
}


def conditions_of(filters: Filters) -> tuple[str, list[object]]:
    """Return an SQL condition with its values; the words of captions are not in it."""
    conditions: list[str] = []
    values: list[object] = []
    if filters.label:
        labels = spellings(filters.label)
        conditions.append(f"label IN ({', '.join('?' * len(labels))})")
        values += labels
    if filters.folder:
        inside = [f"{folder}/" for folder in spellings(filters.folder)]
        starts = [f"substr(path, 1, {len(start)}) = ?" for start in inside]
        conditions.append(f"({' OR '.join(starts)})")
        values += inside
    if filters.megapixels:
        conditions.append("width * height >= ?")
        values.append(filters.megapixels * 1e6)
    if filters.since:
        conditions.append("taken >= ?")
        values.append(filters.since)
    if filters.until:
        conditions.append("taken <= ?")
        values.append(end_of(filters.until))
    if filters.shape:
        conditions.append(SHAPE_CONDITIONS[filters.shape])
    return " AND ".join(conditions) or "1", values


def spellings(name: str) -> list[str]:
    """Return the ways in which disks write a name: macOS may write accents apart from letters."""
    forms = [unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)]
    return list(dict.fromkeys([name, *forms]))


def end_of(date: str) -> str:
    """Return a text behind every moment of a day, month or year, as texts are sorted.

    "2024" is before all days of that year, and "2024~" is behind them.
    """
    return f"{date}~"


def mentions(details: str, words: str) -> bool:
    """Whether what a CSV says of a picture, kept as JSON, has these words in it.

    Not in SQL, which knows capitals of English alone.
    """
    if not words:
        return True
    sought = words.casefold()
    return any(sought in str(caption).casefold() for caption in captions_in(details).values())
