"""Filters of a search, as conditions on the rows of a collection."""

import json

from retrieval.query import Filters

# A tenth longer on one side still looks square.
SHAPE_CONDITIONS = {
    "landscape": "width > 1.1 * height",
    "portrait": "height > 1.1 * width",
    "square": "width <= 1.1 * height AND height <= 1.1 * width",
}


def conditions_of(filters: Filters) -> tuple[str, list[object]]:
    """Return an SQL condition with its values; the words of captions are not in it."""
    terms: list[tuple[str, object]] = []
    if filters.label:
        terms.append(("label = ?", filters.label))
    if filters.folder:
        inside = f"{filters.folder}/"
        terms.append((f"substr(path, 1, {len(inside)}) = ?", inside))
    if filters.megapixels:
        terms.append(("width * height >= ?", filters.megapixels * 1e6))
    if filters.since:
        terms.append(("taken >= ?", filters.since))
    if filters.until:
        terms.append(("taken <= ?", end_of(filters.until)))
    conditions = [term for term, _ in terms]
    if filters.shape:
        conditions.append(SHAPE_CONDITIONS[filters.shape])
    return " AND ".join(conditions) or "1", [value for _, value in terms]


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
    captions = json.loads(details).values() if details else ()
    sought = words.casefold()
    return any(sought in str(caption).casefold() for caption in captions)
