"""Photos that were taken out of a collection: kept for a day, so that they can be let in again.

Each time some are taken out they go to a folder of their own, named by the time, so that none takes
the place of an earlier one of its name.
"""

import os
import re
import secrets
import time
from collections.abc import Container, Iterable
from contextlib import suppress
from pathlib import Path

from retrieval.ages import count_ages
from retrieval.disk_names import free_name
from retrieval.files import inside, remove_tree, replace_file, sha256_of_file
from retrieval.schema import REMOVED

AGES = "removed.json"  # beside the folder
STAMP = re.compile(r"\d{16,}-[0-9a-f]{6}")  # nanoseconds since 1970, and what tells two apart


def take_away(folder: Path, root: Path, paths: Iterable[str]) -> None:
    """Move photos from `root` to what was taken out of the collection in `folder`.

    One that cannot be moved, since it is gone, or another program holds it, or its path would be
    too long, stays where it is: the collection passes it over there as well. So does what lies out
    of `root`, which is nobody's to move, whatever the records of a stranger's collection say.
    """
    place = folder / REMOVED / _stamp()
    for path in paths:
        target = place / path
        if _holds(root, path) and _is_below(place, path) and not os.path.lexists(target):
            with suppress(OSError):
                target.parent.mkdir(parents=True, exist_ok=True)
                replace_file(root / path, target)


def bring_back(
    folder: Path, root: Path, paths: Iterable[str], excluded: Container[str]
) -> tuple[list[str], list[str]]:
    """Move photos back to `root`, of several that lay at a path the one that was taken out last.

    Where another photo has come to the place of one it gets a name of its own beside it. One that
    has been added again meanwhile is there, and what was kept of it goes.

    Args:
        excluded: the paths that the collection passes over, where nobody would see a photo.

    Returns:
        The paths of which there is no photo any more, and those that cannot be moved just now.
    """
    kept = taken_out(folder)
    gone, held = [], []
    for path in paths:
        source = kept.get(path)
        try:
            if source is not None and _is_below(root, path):
                place = root / path
                if is_same(source, place):
                    with suppress(OSError):  # it is held; it goes after its day, then
                        source.unlink()
                    continue

                def is_taken(at: Path, place: Path = place) -> bool:
                    name = at.relative_to(root).as_posix()
                    return os.path.lexists(at) or (at != place and name in excluded)

                target = free_name(place, is_taken)
                target.parent.mkdir(parents=True, exist_ok=True)
                replace_file(source, target)
            elif not _holds(root, path):
                gone.append(path)
        except OSError:
            held.append(path)
    return gone, held


def forget_old(folder: Path, root: Path, excluded: Iterable[str], older_than: float) -> list[str]:
    """Delete for good what was taken out more than so many seconds ago.

    It is as old as `retrieval.ages` counts, from the first time it is met here. So is what
    `take_away` could not move.

    Args:
        root: the collection's own copies of photos, and no folder that is searched in place.
        excluded: the paths that the collection passes over, since they were taken out.

    Returns:
        Those of the paths `excluded` of which there is no photo any more, here or in `root`.
    """
    _keep_unstamped(folder)
    places, excluded = _places(folder), list(excluded)
    unmoved = [path for path in excluded if _holds(root, path)]
    names = [*(place.name for place in places), *unmoved]
    ages = count_ages(folder / AGES, names, older_than)
    for place in places:
        if ages[place.name] > older_than:
            remove_tree(place)
    for path in unmoved:
        if ages[path] > older_than:
            with suppress(OSError):  # still held: the next time, then
                (root / path).unlink()
    left = set(still_here(folder, root, excluded))
    return [path for path in excluded if path not in left]


def still_here(folder: Path, root: Path, paths: Iterable[str]) -> list[str]:
    """Return those of some paths of which there is a photo, in `root` or taken out of it."""
    paths = list(paths)
    held = {path for path in paths if _holds(root, path)}
    kept = {} if held.issuperset(paths) else taken_out(folder)
    return [path for path in paths if path in held or path in kept]


def taken_out(folder: Path) -> dict[str, Path]:
    """Return where the photos lie that were taken out, by their paths; the latest of each.

    Looked through once, since whoever takes out photos one by one makes a place for each.
    """
    return {
        (Path(parent) / name).relative_to(place).as_posix(): Path(parent) / name
        for place in sorted(_places(folder))
        for parent, _, names in os.walk(place)
        for name in names
        if os.path.isfile(Path(parent) / name)
    }


def is_same(kept: Path, other: Path) -> bool:
    """Whether a photo that was taken out has the bytes of another one; not when none can tell."""
    try:
        if os.path.islink(other) or kept.stat().st_size != other.stat().st_size:
            return False
        return sha256_of_file(kept) == sha256_of_file(other)
    except OSError:  # brought back, or deleted after its day, just now; or it cannot be read
        return False


def _holds(folder: Path, path: str) -> bool:
    """Whether a folder has a photo at a path that does not lead out of it."""
    return os.path.isfile(folder / path) and _is_below(folder, path)


def _is_below(folder: Path, path: str) -> bool:
    """Whether what has that path lies in a folder, be it a link to anywhere."""
    return inside(folder, os.path.dirname(path)) is not None


def _keep_unstamped(folder: Path) -> None:
    """Put what earlier versions took out, which wrote down no time, with what goes in a day."""
    removed = folder / REMOVED
    place = removed / _stamp()
    for path in list(removed.iterdir()):
        if not STAMP.fullmatch(path.name):
            with suppress(OSError):
                place.mkdir(exist_ok=True)
                path.rename(place / path.name)


def _places(folder: Path) -> list[Path]:
    """Return the folders of all times that something was taken out."""
    if not (folder / REMOVED).is_dir():
        return []
    return [path for path in (folder / REMOVED).iterdir() if STAMP.fullmatch(path.name)]


def _stamp() -> str:
    return f"{time.time_ns()}-{secrets.token_hex(3)}"
