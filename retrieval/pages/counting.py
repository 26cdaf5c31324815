"""Counting what goes on for as long as it does."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def counted(counts: Counter[str], key: str) -> Iterator[None]:
    """Count a key once more until the block ends, and know nothing of one that counts no more."""
    counts[key] += 1
    try:
        yield
    finally:
        counts[key] -= 1
        if not counts[key]:
            del counts[key]
