"""Folders that are searched in place and were renamed or moved: their collections go on there."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.files import modified_of, sha256_of_file

SAMPLE = 50  # photos by which a folder is known again
READ = 10  # and how many of them are read at most, where a disk has other times for them
# Nanoseconds by which the time of a file may differ on another kind of disk: FAT keeps no more than
# every other second, exFAT hundredths, NTFS tenths of a microsecond.
GRAIN = 2 * 10**9

Row = tuple[str, int, int | None, str | None]  # path, size, time and SHA-256, as far as noted


def follow(collection: Collection, root: Path, embedder: Embedder) -> bool:
    """Let a collection go on with the folder that its own one has become; else return False.

    That is one with most of its photos at the same paths, as large as they were, and as old or of
    the same bytes, while its own folder is gone. So nothing need be described again, nor read where
    the disk keeps times as the old one did, and what was taken out stays out. Where few photos are
    left in, those that were taken out tell as well.
    """
    if not collection.in_place or collection.read_only or not collection.is_of(embedder):
        return False
    known: list[Row] = collection.store.rows(
        "SELECT path, size, modified, sha256 FROM pictures LEFT JOIN contents "
        "ON content = contents.id ORDER BY random() LIMIT ?",
        SAMPLE,
    )
    samples = [known]
    if len(known) < SAMPLE:
        # Beside the others, not for them: many delete the photos that they have taken out.
        out = sorted(collection.excluded.files().items())[: SAMPLE - len(known)]
        samples.append([*known, *((path, size, None, sha256) for path, (size, sha256) in out)])
    if not any(_are_there(sample, root, collection.root) for sample in samples):
        return False
    collection.store.note({"root": str(root.resolve())})
    return True


def _are_there(sample: list[Row], root: Path, before: Path | None) -> bool:
    """Whether most of some photos lie in a folder, while the one that they lay in is gone."""
    as_old: list[Row] = []
    as_large: list[Row] = []
    for row in sample:
        status = _status_of(root / row[0])
        if status is None or status.st_size != row[1]:
            continue
        is_as_old = row[2] is not None and abs(modified_of(status) - row[2]) <= GRAIN
        (as_old if is_as_old else as_large).append(row)
    # Its own folder late: a network drive that does not answer takes long to say so.
    if 2 * (len(as_old) + len(as_large)) <= len(sample) or os.path.isdir(str(before)):
        return False
    if 2 * len(as_old) > len(sample):
        return True
    # A copy has other dates, and so have files on a stick once the clock was put forward.
    to_read = [(root / path, sha256) for path, _, _, sha256 in as_large if sha256][:READ]
    same = sum(_holds(path, sha256) for path, sha256 in to_read)
    return 2 * (len(as_old) + len(as_large) * same / max(1, len(to_read))) > len(sample)


def _status_of(path: Path) -> os.stat_result | None:
    """Return what the disk says of a file; None where there is none."""
    with suppress(OSError, ValueError):  # a name that this disk cannot have
        status = path.stat()
        return status if stat.S_ISREG(status.st_mode) else None
    return None


def _holds(path: Path, sha256: str) -> bool:
    """Whether a file can be read and has those bytes."""
    try:
        return sha256_of_file(path) == sha256
    except OSError:
        return False
