"""What lies in a folder, held against what is known of it by size and time."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from retrieval.files import modified_of
from retrieval.folders import find_images
from retrieval.paths import name_of
from retrieval.records import PASSING


@dataclass(frozen=True)
class Found:
    """What lies in a folder, by the names of the pictures."""

    seen: set[str]  # all of them
    to_read: dict[str, Path]  # of another size or time than is known, or not known
    closed: list[str]  # folders that cannot be read
    out: dict[str, Path]  # where some were taken out, which are in none of the others
    sizes: dict[int, list[str]]  # those that are not known, by their sizes
    touched: set[str]  # those that are to be read for another time alone


def look(root: Path, known: Mapping[str, tuple[int, int]], excluded: AbstractSet[str]) -> Found:
    """Find the pictures below `root`, and hold size and time of each against what is known.

    Args:
        known: size and time by name.
        excluded: the names of those that were taken out.
    """
    found = Found(set(), {}, [], {}, {}, set())

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
