"""What was taken out of a folder that is searched in place: where it is now, and what it became."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.excluded import Seen
from retrieval.files import modified_of, sha256_of_file
from retrieval.looking import Found
from retrieval.paths import is_below


@dataclass(frozen=True)
class Out:
    """What was taken out and is not where it was then: size and SHA-256, by its path."""

    absent: dict[str, tuple[int, str]]  # all of it, by where it was then
    another: dict[str, Path]  # what lies there now, where that is another file, or an edited one
    gone: dict[str, tuple[int, str]]  # what is to be looked for, by where it was seen last
    # What lies where an earlier version has seen it since, whatever that is now.
    still_out: dict[str, tuple[int, str]]


def find_passed_over(
    collection: Collection,
    known: Mapping[str, tuple[int, int]],
    found: Found,
    excluded: AbstractSet[str],
) -> Out:
    """Return what was taken out and is no more where it was then.

    In a folder that is searched in place; what is handed over is meant to be in. Of several copies
    as many are looked for as were taken out.

    Args:
        excluded: where it was passed over.
    """
    out = Out({}, {}, {}, {})
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


def _comes_back_as(first: tuple[int, str], last: tuple[int, str], found: Found) -> bool:
    """Whether what was taken out and edited is there as it was at first, as from a backup."""
    return first != last and _is_new(first, found) and not _is_new(last, found)


def _is_new(file: tuple[int, str], found: Found) -> bool:
    """Whether one of that size and SHA-256 is among those that are not known."""
    for name in found.sizes.get(file[0], ()):
        with suppress(OSError):  # reading it will say why
            if sha256_of_file(found.to_read[name]) == file[1]:
                return True
    return False


def see(collection: Collection, lying: Mapping[str, Path]) -> None:
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


def places_of(out: Out, now: Mapping[str, tuple[int, str]]) -> dict[str, str]:
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
