"""Folders that are searched in place and were renamed or moved: their collections go on there."""

import os
from pathlib import Path

from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.files import modified_of

SAMPLE = 50  # photos by which a folder is known again
# Nanoseconds by which the time of a file may differ on another kind of disk: FAT keeps no more than
# every other second, exFAT hundredths, NTFS tenths of a microsecond.
GRAIN = 2 * 10**9


def follow(collection: Collection, root: Path, embedder: Embedder) -> bool:
    """Let a collection go on with the folder that its own one has become; else return False.

    That is one with most of its photos at the same paths, as large and as old as they were, while
    its own folder is gone. So nothing need be described again, nor read where the disk keeps times
    as the old one did, and what was taken out stays out.
    """
    if not collection.in_place or collection.read_only or not collection.is_of(embedder):
        return False
    sample = collection.store.rows(
        "SELECT path, size, modified FROM pictures ORDER BY random() LIMIT ?", SAMPLE
    )
    same = sum(_is_as_it_was(root / path, size, modified) for path, size, modified in sample)
    # Its own folder last: a network drive that does not answer takes long to say so.
    if 2 * same <= len(sample) or os.path.isdir(str(collection.root)):
        return False
    collection.store.note({"root": str(root.resolve())})
    return True


def _is_as_it_was(path: Path, size: int, modified: int) -> bool:
    """Whether a file is as large and as old as it was, as far as any disk can tell."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # a name that this disk cannot have
        return False
    return status.st_size == size and abs(modified_of(status) - modified) <= GRAIN
