"""How a folder differs from what a collection knows of it: what is new, changed, moved and gone."""

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath

from retrieval.captions import Caption, UnreadTable, captioned, read_captions
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.files import composed, modified_of, sha256_of_file
from retrieval.looking import look
from retrieval.passed_over import Out, find_passed_over, places_of, see
from retrieval.paths import called, is_below, label_of
from retrieval.records import PASSING, Entry, Move
from retrieval.removed import still_here

UNCOMPRESSED = frozenset((".bmp", ".dib", ".tif", ".tiff"))  # of as many bytes as their pixels take


@dataclass(frozen=True)
class Changes:
    """How a folder differs from what a collection knows of it."""

    to_read: tuple[Path, ...]  # new or changed since
    vanished: tuple[str, ...]  # known, but no longer there
    unchanged: int
    unreadable_folders: tuple[str, ...]  # their pictures are kept as they are known
    changed: tuple[str, ...] = ()  # those of `to_read` that are known, of another size or lost
    touched: tuple[str, ...] = ()  # and those of another date alone, as far as one sees unread
    moved: tuple[Move, ...] = ()  # the same bytes at another path
    captions: Mapping[str, Caption] = field(default_factory=dict)  # what the CSVs say of all
    recaptioned: tuple[tuple[str, str, str], ...] = ()  # path, label, details of known pictures
    unread_tables: tuple[UnreadTable, ...] = ()
    untold: str = ""  # why what a Milvus may have lost is not among them, if so
    let_in: tuple[str, ...] = ()  # what was taken out, and comes in again where they are applied
    left_out: int = 0  # how many others that were taken out are there, and could come in again

    @property
    def new(self) -> int:
        """How many files are there that were not."""
        return len(self.to_read) - len(self.changed) - len(self.touched)

    @property
    def any(self) -> bool:
        """Whether there is anything to apply."""
        return bool(self.to_read or self.vanished or self.moved or self.recaptioned or self.let_in)


def find_changes(
    collection: Collection, root: Path, let_in: AbstractSet[str] = frozenset()
) -> Changes:
    """Compare the pictures below `root` with what the collection knows, by size and time.

    A new file of the name and time of one that vanished has moved, where no others have its size.
    Others of that size are read, and where the bytes are the same they have moved as well. Pictures
    that were taken out of the collection are passed over, also where they have moved to; another
    photo that has come to where one of them was is new then. A Milvus is told first what it has yet
    to be told, so that what turns out to be lost there is read again.

    Args:
        let_in: paths that are passed over, and are looked at as if they were not, where they are
            now; of those that are there no more nothing is said.

    Raises:
        LookalikeError: when the folder, or all that was in it, is not there.
    """
    _require_folder(collection, root)
    untold = collection.try_to_deliver()
    known = collection.listing.files()
    excluded = collection.excluded.paths()
    found = look(root, known, excluded)
    seen, to_read, closed = found.seen, found.to_read, found.closed
    is_empty = not (seen or closed or found.out.keys() & let_in)
    if collection.in_place and known and is_empty:
        # An empty folder is where a disk or a network drive appears once it is connected.
        raise LookalikeError(none_left(called(root), len(known)))
    out = find_passed_over(collection, known, found, excluded)
    lying = {name: to_read.pop(name) for name in out.still_out}
    seen -= lying.keys()
    vanished = {
        name: about
        for name, about in known.items()
        if name not in seen and not any(is_below(name, folder) for folder in closed)
    }
    new = {name: path for name, path in to_read.items() if name not in known}
    moved, moved_out, places = _find_moved(collection, known, vanished, new, out)
    come = {name: out.another[name] for name in out.another.keys() & places.keys()}
    collection.excluded.move(places, out.still_out | moved_out)
    to_read.update(come)
    lying |= found.out | {name: to_read.pop(name) for name in moved_out.keys() & to_read.keys()}
    seen = (seen | come.keys()) - moved_out.keys()
    excluded = collection.excluded.paths()
    there_still = lying.keys() & excluded
    if not collection.in_place:  # copies that were taken out lie elsewhere meanwhile
        there_still = set(still_here(collection.folder, root, excluded))
    elif not collection.read_only:
        see(collection, {name: lying[name] for name in there_still})
    coming = {places.get(name, name) for name in let_in} & there_still
    if coming:
        back = {name: lying[name] for name in lying.keys() & coming}
        found_again = {move.old for move in moved}
        left = {name: about for name, about in vanished.items() if name not in found_again}
        moved += _find_moves(collection, known, left, back, {})[0]
        to_read.update(back)
        seen |= back.keys()
    unread: list[UnreadTable] = []
    # Of a visitor's photos, which go once they are read, none has vanished.
    there = known.keys() - vanished.keys() if collection.root is not None else known
    wanted = {composed(name) for name in chain(seen, there)}
    captions = read_captions(root, unread.append, wanted)
    unchanged = len(seen) - len(to_read)
    for move in moved:
        del vanished[move.old]
        if known[move.old][1] != PASSING:  # what lost its vectors is read where it is now
            del to_read[move.new.path]
    known_here = known.keys() | {move.new.path for move in moved}
    of_moved = _captions_of_moved(collection, moved)
    # What was taken out while the others were read stays out, as the next look will find.
    moved = tuple(move for move in moved if move.new.path in of_moved)
    then = _captions(collection, seen, captions) | of_moved
    recaptioned, unread_tables = recaption(collection, then, captions, unread)
    moved = tuple(_captioned(move, captions) for move in moved)
    at_new = {move.new.path for move in moved}
    return Changes(
        tuple(to_read.values()),
        tuple(vanished),
        unchanged,
        tuple(closed),
        tuple(name for name in to_read if name in known_here and name not in found.touched),
        tuple(name for name in to_read if name in found.touched),
        moved,
        captions,
        tuple(row for row in recaptioned if row[0] not in at_new),
        tuple(table for table in unread_tables if table.name not in closed),
        untold,
        tuple(sorted(coming)),
        len(there_still) - len(coming),
    )


def _require_folder(collection: Collection, root: Path) -> None:
    """Refuse a folder that is not there, rather than take all of its pictures for gone."""
    if os.path.isdir(root):  # also no when a network drive does not answer
        return
    # Visitors read this too, and are not to learn where it lies.
    sentence = (
        f"There is no folder {called(root)} any more. If it is on another disk, connect that disk."
    )
    if collection.in_place:
        sentence += (
            " If it was renamed or moved, name it as it is called now, as you would for a new "
            "collection: this one goes on with it."
        )
    raise LookalikeError(sentence)


def _captions(
    collection: Collection, seen: AbstractSet[str], captions: Mapping[str, Caption]
) -> dict[str, tuple[str, str]]:
    """Return label and details of the known pictures of which the tables have the last word."""
    in_place, kept = collection.in_place, collection.root is not None
    # Photos that were handed over may have come without the table that told of them, and a
    # visitor's table goes with the photos once they have been read.
    return {
        name: then
        for name, then in collection.listing.captions().items()
        if (in_place or composed(name) in captions) and (name in seen or not kept)
    }


def _captions_of_moved(collection: Collection, moved: Iterable[Move]) -> dict[str, tuple[str, str]]:
    """Return by the new names what pictures had that have moved; that of the folder is its own.

    One that was taken out meanwhile has nothing.
    """
    if not moved:
        return {}
    captions, found = collection.listing.captions(), {}
    for move in moved:
        if move.old not in captions:
            continue
        label, details = captions[move.old]
        own = composed(label) == label_of(move.old)
        found[move.new.path] = (label_of(move.new.path) if own else label), details
    return found


def _captioned(move: Move, captions: Mapping[str, Caption]) -> Move:
    label, details = captioned(move.new.path, label_of(move.new.path), captions)
    return replace(move, new=replace(move.new, label=label, details=details))


def recaption(
    collection: Collection,
    known: Mapping[str, tuple[str, str]],
    captions: dict[str, Caption],
    unread: Iterable[UnreadTable],
) -> tuple[tuple[tuple[str, str, str], ...], tuple[UnreadTable, ...]]:
    """Return name, label and details of the pictures of which the tables say something else.

    What a table may have said that is not read, or does not tell of pictures any more, stays. One
    that told of none before, when all was as the tables say, is of something else.

    Args:
        known: label and details by name.
        captions: what the tables say, to which what stays is added: a picture that is read again
            keeps it as well.

    Returns:
        Those, and the tables of which there is something to say.
    """
    told = {table: None for table in unread if table.flaw != "mute"}
    closed = {table.folder for table in told if table.flaw == "broken"}
    mute = [table for table in unread if table.flaw == "mute"]
    others = collection.other_tables()
    found = []
    for name, then in known.items():
        now = captioned(name, label_of(name), captions)
        if now == then:
            continue
        # Which of the tables it was is not known.
        may_have_told = [
            table for table in mute if table.name not in others and is_below(name, table.folder)
        ]
        if any(is_below(name, folder) for folder in closed):
            captions[composed(name)] = Caption(*then)
        elif may_have_told and composed(name) not in captions:
            captions[composed(name)] = Caption(*then)
            told.update(dict.fromkeys(may_have_told))
        else:
            found.append((name, *now))
    collection.note_other_tables({table.name for table in mute if table not in told})
    return tuple(found), tuple(told)


def _find_moves(
    collection: Collection,
    known: Mapping[str, tuple[int, int]],
    vanished: Mapping[str, tuple[int, int]],
    new: Mapping[str, Path],
    gone: Mapping[str, tuple[int, str]],
) -> tuple[tuple[Move, ...], dict[str, tuple[int, str]]]:
    """Pair vanished files, and those that were taken out and are `gone`, with new ones of the same
    bytes; of what could not be read, with those of the same name, size and time.

    Returns:
        What has moved, without captions, and size and SHA-256 of the new files that were taken out.
    """
    if not vanished and not gone:
        return (), {}
    by_size = {size: name for name, (size, _) in vanished.items()}
    sizes = by_size.keys() | {size for size, _ in gone.values()}
    found: dict[str, os.stat_result] = {}
    for name, path in new.items():
        with suppress(OSError):
            found[name] = path.stat()
    often = Counter(size for size, _ in chain(known.values(), gone.values()))
    often.update(status.st_size for status in found.values())
    contents = dict(collection.listing.hashes(vanished))
    by_content: dict[str, list[str]] = {}
    for name, sha256 in chain(contents.items(), ((name, gone[name][1]) for name in gone)):
        by_content.setdefault(sha256, []).append(name)

    def content_of(path: Path, status: os.stat_result) -> str:
        # A folder that was renamed is not read whole. But where more than the two are of one size,
        # or any of its width and height is, name and time may be those of another one: there are
        # programs that date all files 1980.
        old = by_size.get(status.st_size, "")
        same = (status.st_size, modified_of(status)) == vanished.get(old)
        told_by_size = often[status.st_size] == 2 and path.suffix.lower() not in UNCOMPRESSED
        if same and told_by_size and old in contents and PurePosixPath(old).name == path.name:
            return contents[old]
        return sha256_of_file(path)

    alike: dict[str, list[str]] = {}
    for name, status in found.items():
        if status.st_size in sizes:
            with suppress(OSError):  # reading it will say why
                alike.setdefault(content_of(new[name], status), []).append(name)
    pairs, out = [], {}
    for sha256, names in alike.items():
        for old, name in _pair(by_content.get(sha256, ()), names):
            if old in vanished:
                pairs.append((old, name))
            else:
                out[name] = found[name].st_size, sha256
    unread = {name: about for name, about in vanished.items() if name not in contents}
    left = {name: found[name] for name in found.keys() - out.keys() - {new for _, new in pairs}}
    return tuple(
        Move(old, Entry(name, found[name].st_size, modified_of(found[name]), "", None))
        for old, name in chain(pairs, _pair_unread(unread, left))
    ), out


def _find_moved(
    collection: Collection,
    known: Mapping[str, tuple[int, int]],
    vanished: Mapping[str, tuple[int, int]],
    new: Mapping[str, Path],
    out: Out,
) -> tuple[tuple[Move, ...], dict[str, tuple[int, str]], dict[str, str]]:
    """Find what has moved, be it to where another picture was that has been taken out.

    Returns:
        What `_find_moves` does, and what `places_of` does.
    """
    come = dict(out.another)
    while True:
        moved, moved_out = _find_moves(collection, known, vanished, {**new, **come}, out.gone)
        places = places_of(out, out.still_out | moved_out)
        # What was taken out and is found nowhere else may lie there still, edited.
        edited = come.keys() & {move.new.path for move in moved} - places.keys()
        if not edited:
            return moved, moved_out, places
        come = {name: path for name, path in come.items() if name not in edited}


def _pair_unread(
    unread: Mapping[str, tuple[int, int]], new: Mapping[str, os.stat_result]
) -> Iterator[tuple[str, str]]:
    """Yield which new file is that of which vanished one that could not be read, and has moved.

    Not where its path was no text, which another one may cure, or it may be read by now.
    """
    of_old: dict[tuple[str, int, int], list[str]] = {}
    for name, (size, modified) in unread.items():
        if modified != PASSING and "\\" not in name:
            of_old.setdefault((PurePosixPath(name).name, size, modified), []).append(name)
    of_new: dict[tuple[str, int, int], list[str]] = {}
    for name in sorted(new):
        about = PurePosixPath(name).name, new[name].st_size, modified_of(new[name])
        of_new.setdefault(about, []).append(name)
    for about, names in of_old.items():
        if about in of_new:
            yield from _pair(names, of_new[about])


def _pair(old: Iterable[str], new: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield which new path is that of which old one, of files of the same bytes.

    The more of the ends of two paths is the same, the sooner they are a pair.
    """
    # In their order, where nothing else tells them apart.
    old, new = dict.fromkeys(old), dict.fromkeys(new)
    longest = 1 + max(path.count("/") for path in new)
    if len(old) == len(new) == 1:  # as most are: they are a pair, whatever they are called
        longest = 0
    for parts in range(longest, -1, -1):
        by_end: dict[tuple[str, ...], deque[str]] = {}
        for path in old:
            by_end.setdefault(_end_of(path, parts), deque()).append(path)
        for path in list(new):
            if same := by_end.get(_end_of(path, parts)):
                del old[same[0]], new[path]
                yield same.popleft(), path


def _end_of(path: str, parts: int) -> tuple[str, ...]:
    """Return the last so many parts of a path; all where it has fewer."""
    return tuple(f"/{path}".rsplit("/", parts)[1:])


def none_left(where: str, count: int) -> str:
    """Say that of so many pictures in a place not one is there, which is rarely meant."""
    return (
        f"There is no picture in {where} any more, and there were {count:,}. If they are on "
        "another disk, connect it. If they are gone for good, delete the collection."
    )
