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
from retrieval.excluded import Seen
from retrieval.files import composed, modified_of, sha256_of_file
from retrieval.folders import find_images
from retrieval.paths import called, is_below, label_of, name_of
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
    found = _look(root, known, excluded)
    seen, to_read, closed = found.seen, found.to_read, found.closed
    is_empty = not (seen or closed or found.out.keys() & let_in)
    if collection.in_place and known and is_empty:
        # An empty folder is where a disk or a network drive appears once it is connected.
        raise LookalikeError(none_left(called(root), len(known)))
    out = _taken_out(collection, known, found, excluded)
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
        _see(collection, {name: lying[name] for name in there_still})
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


@dataclass(frozen=True)
class _Found:
    """What lies in a folder, by the names of the pictures."""

    seen: set[str]  # all of them
    to_read: dict[str, Path]  # of another size or time than is known, or not known
    closed: list[str]  # folders that cannot be read
    out: dict[str, Path]  # where some were taken out, which are in none of the others
    sizes: dict[int, list[str]]  # those that are not known, by their sizes
    touched: set[str]  # those that are to be read for another time alone


@dataclass(frozen=True)
class _Out:
    """What was taken out and is not where it was then: size and SHA-256, by its path."""

    absent: dict[str, tuple[int, str]]  # all of it, by where it was then
    another: dict[str, Path]  # what lies there now, where that is another file, or an edited one
    gone: dict[str, tuple[int, str]]  # what is to be looked for, by where it was seen last
    # What lies where an earlier version has seen it since, whatever that is now.
    still_out: dict[str, tuple[int, str]]


def _look(root: Path, known: Mapping[str, tuple[int, int]], excluded: AbstractSet[str]) -> _Found:
    """Find the pictures below `root`, and hold size and time of each against what is known.

    Args:
        known: size and time by name.
        excluded: the names of those that were taken out.
    """
    found = _Found(set(), {}, [], {}, {}, set())

    def note(error: OSError) -> None:
        found.closed.append(name_of(Path(str(error.filename)), root))

    for path in find_images(root, note):
        name = name_of(path, root)
        if name in excluded:
            found.out[name] = path
            continue
        found.seen.add(name)
        try:
            status = path.stat()
            if known.get(name) == (status.st_size, modified_of(status)):
                continue
            if name not in known:
                found.sizes.setdefault(status.st_size, []).append(name)
            elif is_touched(known[name], status.st_size):
                found.touched.add(name)
        except OSError:
            pass  # reading it will say why
        found.to_read[name] = path
    return found


def is_touched(known: tuple[int, int], size: int) -> bool:
    """Whether a file that is not as it is known may differ by its date alone.

    Args:
        known: its size and time then.
    """
    return known[0] == size and known[1] != PASSING


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
        own = label == label_of(move.old)
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
    out: _Out,
) -> tuple[tuple[Move, ...], dict[str, tuple[int, str]], dict[str, str]]:
    """Find what has moved, be it to where another picture was that has been taken out.

    Returns:
        What `_find_moves` does, and what `_places` does.
    """
    come = dict(out.another)
    while True:
        moved, moved_out = _find_moves(collection, known, vanished, {**new, **come}, out.gone)
        places = _places(out, out.still_out | moved_out)
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


def _taken_out(
    collection: Collection,
    known: Mapping[str, tuple[int, int]],
    found: _Found,
    excluded: AbstractSet[str],
) -> _Out:
    """Return what was taken out and is no more where it was then.

    In a folder that is searched in place; what is handed over is meant to be in. Of several copies
    as many are looked for as were taken out.

    Args:
        excluded: where it was passed over.
    """
    out = _Out({}, {}, {}, {})
    if not collection.in_place:
        return out
    first, seen = collection.excluded.files(), collection.excluded.seen()
    # What was edited where it lay has moved as it was seen last.
    files = first | {name: seen[name].file for name in seen.keys() & excluded}
    since = [name for name in files if name not in excluded and name not in known]
    sizes = found.sizes.keys() | {files[name][0] for name in since if name in found.seen}
    out.another.update(_others(found.out, files, sizes))
    for name in (name for name in files if name in excluded):
        is_away = name not in found.out and not any(is_below(name, at) for at in found.closed)
        if is_away and _comes_back_as(first.get(name, files[name]), files[name], found):
            files[name] = first[name]
        if is_away or name in out.another:
            out.absent[name] = files[name]
    left = Counter(out.absent.values())
    # What has moved before is looked for where it was then.
    for name in chain(since, out.absent):
        if left[files[name]]:
            left[files[name]] -= 1
            (out.still_out if name in found.seen else out.gone)[name] = files[name]
    return out


def _comes_back_as(first: tuple[int, str], last: tuple[int, str], found: _Found) -> bool:
    """Whether what was taken out and edited is there as it was at first, as from a backup."""
    return first != last and _is_new(first, found) and not _is_new(last, found)


def _is_new(file: tuple[int, str], found: _Found) -> bool:
    """Whether one of that size and SHA-256 is among those that are not known."""
    for name in found.sizes.get(file[0], ()):
        with suppress(OSError):  # reading it will say why
            if sha256_of_file(found.to_read[name]) == file[1]:
                return True
    return False


def _see(collection: Collection, lying: Mapping[str, Path]) -> None:
    """Note what lies where pictures were taken out, so that it is known again where it moves.

    Read is what has another size or time than it was seen with, or was never noted.
    """
    first, seen = collection.excluded.files(), collection.excluded.seen()
    files = first | {name: about.file for name, about in seen.items()}
    noted = {*files.values(), *first.values()}
    now: dict[str, Seen] = {}
    for name, path in lying.items():
        with suppress(OSError):  # the next look will try again
            status = path.stat()
            size, modified = status.st_size, modified_of(status)
            if name in seen and (size, modified) == seen[name][:2]:
                continue
            file = files.get(name)
            if file is None or name in seen or size != file[0]:
                there = size, sha256_of_file(path)
                # Two that were taken out and have changed places are no edits of each other.
                if file is None or there not in noted or there == first.get(name):
                    file = there
            now[name] = Seen(size, modified, file)
    with suppress(LookalikeError):  # of a full disk, say: the next look will
        collection.excluded.see(now)


def _others(
    there: Mapping[str, Path], files: Mapping[str, tuple[int, str]], sizes: Iterable[int]
) -> Iterator[tuple[str, Path]]:
    """Yield the places of pictures that were taken out at which another file lies.

    Looked at only where there is a file of the picture's size that it may have become: one that was
    edited stays out.

    Args:
        there: what lies in those places.
        files: size and SHA-256 of what was taken out.
        sizes: of what is not known.
    """
    by_size: dict[int, list[str]] = {}
    for name in (name for name in files if name in there):
        by_size.setdefault(files[name][0], []).append(name)
    left = list(sizes)
    while left:
        for name in by_size.pop(left.pop(), ()):
            with suppress(OSError):  # it stays out
                size = there[name].stat().st_size
                if size != files[name][0] or sha256_of_file(there[name]) != files[name][1]:
                    yield name, there[name]
                    left.append(size)  # that file may be another one that was taken out


def _places(out: _Out, now: Mapping[str, tuple[int, str]]) -> dict[str, str]:
    """Return where what was taken out is now, by where it was passed over.

    Args:
        now: size and SHA-256 of what was taken out, by where it has been found.
    """
    places: dict[tuple[int, str], deque[str]] = {}
    for name, file in now.items():
        places.setdefault(file, deque()).append(name)
    # Of copies, those whose path is empty are the first to have moved: what lies where another one
    # was may be that, edited.
    names = sorted(out.absent, key=lambda name: name in out.another)
    return {
        name: places[out.absent[name]].popleft() for name in names if places.get(out.absent[name])
    }


def none_left(where: str, count: int) -> str:
    """Say that of so many pictures in a place not one is there, which is rarely meant."""
    return (
        f"There is no picture in {where} any more, and there were {count:,}. If they are on "
        "another disk, connect it. If they are gone for good, delete the collection."
    )
