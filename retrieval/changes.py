"""How a folder differs from what a collection knows of it: what is new, changed, moved and gone."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePath, PurePosixPath

from retrieval.captions import Caption, captioned, read_captions
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.files import composed, modified_of, sha256_of_file
from retrieval.images import find_images
from retrieval.records import PASSING, Entry, Move


@dataclass(frozen=True)
class Changes:
    """How a folder differs from what a collection knows of it."""

    to_read: tuple[Path, ...]  # new or changed since
    vanished: tuple[str, ...]  # known, but no longer there
    unchanged: int
    unreadable_folders: tuple[str, ...]  # their pictures are kept as they are known
    changed: tuple[str, ...] = ()  # those of `to_read` that are known, with other bytes or lost
    moved: tuple[Move, ...] = ()  # the same bytes at another path
    captions: Mapping[str, Caption] = field(default_factory=dict)  # what the CSVs say of all
    recaptioned: tuple[tuple[str, str, str], ...] = ()  # path, label, details of known pictures
    unread_tables: tuple[str, ...] = ()  # their folders, whose pictures keep label and details
    untold: str = ""  # why what a Milvus may have lost is not among them, if so

    @property
    def new(self) -> int:
        """How many files are there that were not."""
        return len(self.to_read) - len(self.changed)

    @property
    def any(self) -> bool:
        """Whether there is anything to apply."""
        return bool(self.to_read or self.vanished or self.moved or self.recaptioned)


def find_changes(collection: Collection, root: Path) -> Changes:
    """Compare the pictures below `root` with what the collection knows, by size and time.

    A new file of the name and time of the one that vanished of its size has moved. Others of that
    size are read, and where the bytes are the same they have moved as well. Pictures that were
    taken out of the collection are passed over. A Milvus is told first what it has yet to be told,
    so that what turns out to be lost there is read again.
    """
    if not os.path.isdir(root):  # also no when a network drive does not answer
        # Visitors read this too, and are not to learn where it lies.
        sentence = (
            f"There is no folder {called(root)} any more. If it is on another disk, connect that "
            "disk."
        )
        if collection.in_place:
            sentence += (
                " If it was renamed or moved, name it as it is called now, as you would for a new "
                "collection: this one goes on with it."
            )
        raise LookalikeError(sentence)
    untold = collection.try_to_deliver()
    known = collection.files()
    excluded = collection.excluded()
    closed: list[str] = []

    def note(error: OSError) -> None:
        closed.append(name_of(Path(str(error.filename)), root))

    to_read: dict[str, Path] = {}
    seen = set()
    for path in find_images(root, note):
        name = name_of(path, root)
        if name in excluded:
            continue
        seen.add(name)
        try:
            status = path.stat()
            if known.get(name) == (status.st_size, modified_of(status)):
                continue
        except OSError:
            pass  # reading it will say why
        to_read[name] = path
    if collection.in_place and known and not seen and not closed:
        # An empty folder is where a disk or a network drive appears once it is connected.
        raise LookalikeError(none_left(called(root), len(known)))
    vanished = {
        name: about
        for name, about in known.items()
        if name not in seen and not any(is_below(name, folder) for folder in closed)
    }
    unread: dict[str, None] = {}
    captions = read_captions(
        root,
        lambda folder: unread.setdefault(name_of(folder, root)),
        {composed(name) for name in chain(seen, known)},
    )
    new = {name: path for name, path in to_read.items() if name not in known}
    moved = _find_moves(collection, vanished, new, captions)
    unchanged = len(seen) - len(to_read)
    for move in moved:
        del vanished[move.old]
        if known[move.old][1] != PASSING:  # what lost its vectors is read where it is now
            del to_read[move.new.path]
    known_here = known.keys() | {move.new.path for move in moved}
    recaptioned = []
    in_place, kept = collection.in_place, collection.root is not None
    for name, now in collection.captions().items():
        # Photos that were handed over may have come without the table that told of them, and a
        # visitor's table goes with the photos once they have been read.
        if not in_place and composed(name) not in captions:
            continue
        if any(is_below(name, folder) for folder in unread):
            continue
        then = captioned(name, label_of(name), captions)
        if (name in seen or not kept) and then != now:
            recaptioned.append((name, *then))
    return Changes(
        tuple(to_read.values()),
        tuple(vanished),
        unchanged,
        tuple(closed),
        tuple(name for name in to_read if name in known_here),
        moved,
        captions,
        tuple(recaptioned),
        tuple(folder for folder in unread if folder not in closed),
        untold,
    )


def _find_moves(
    collection: Collection,
    vanished: Mapping[str, tuple[int, int]],
    new: Mapping[str, Path],
    captions: Mapping[str, Caption],
) -> tuple[Move, ...]:
    """Pair vanished files with new ones of the same bytes."""
    by_size: dict[int, list[str]] = {}
    for name, (size, _) in vanished.items():
        by_size.setdefault(size, []).append(name)
    contents = dict(collection.hashes(vanished))
    by_content: dict[str, list[str]] = {}
    for name, sha256 in contents.items():
        by_content.setdefault(sha256, []).append(name)

    def content_of(path: Path, status: os.stat_result) -> str:
        # A folder that was renamed is not read whole. But where several were of one size, as
        # pictures that are not compressed are, name and time may be those of another one.
        old, *others = by_size[status.st_size]
        same = (status.st_size, modified_of(status)) == vanished[old] and not others
        if same and old in contents and PurePosixPath(old).name == path.name:
            return contents[old]
        return sha256_of_file(path)

    moved = []
    for name, path in new.items():
        try:
            status = path.stat()
            if status.st_size not in by_size:
                continue
            old_names = by_content.get(content_of(path, status))
        except OSError:
            continue
        if old_names:
            label, details = captioned(name, label_of(name), captions)
            entry = Entry(name, status.st_size, modified_of(status), label, None, details=details)
            moved.append(Move(old_names.pop(0), entry))
    return tuple(moved)


def label_of(path: str) -> str:
    """Return the label that a relative path gives: its first folder, or "" outside of any."""
    folder, slash, _ = path.partition("/")
    return folder if slash else ""


def none_left(where: str, count: int) -> str:
    """Say that of so many pictures in a place not one is there, which is rarely meant."""
    return (
        f"There is no picture in {where} any more, and there were {count:,}. If they are on "
        "another disk, connect it. If they are gone for good, delete the collection."
    )


def called(root: PurePath) -> str:
    """Return what people call a folder; on Windows a whole drive, which has no name, by itself."""
    return root.name or root.anchor


def name_of(path: Path, root: Path) -> str:
    """Return the name by which a collection knows a picture below `root`."""
    try:
        return as_text(path.relative_to(root).as_posix())
    except ValueError:
        return as_text(path.as_posix())


def as_text(name: str) -> str:
    """Replace what no database or page can hold: bytes of a name that are no text."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def is_below(name: str, folder: str) -> bool:
    """Whether a picture lies in a folder or deeper, "." being that of all."""
    return folder == "." or name.startswith(folder + "/")
