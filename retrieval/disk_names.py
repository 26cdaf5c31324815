"""Names that any disk can keep, and that nothing else has."""

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

MAX_NAME_BYTES = 255  # what Linux takes for one part of a path; others take as many characters
MAX_PATH_BYTES = 3_000
MAX_DEPTH = 40


def storable(name: str) -> PurePosixPath | None:
    """Return a relative path under which any disk keeps a file of that name; None for none.

    Parts that lead elsewhere (`..`, a drive, the root) make it None. Names that are too long for
    the disk are cut, in the middle of what people read and before the suffix.
    """
    name = name.replace("\\", "/")
    # A folder may be called "A: Holiday"; on Windows a part has no colon in the end.
    if name.startswith("/") or re.match(r"[A-Za-z]:(/|$)", name) or "\0" in name:
        return None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or len(parts) > MAX_DEPTH or ".." in parts:
        return None
    path = PurePosixPath(*(_storable_part(part) for part in parts))
    return path if len(str(path).encode()) <= MAX_PATH_BYTES else None


def free_name(
    path: Path,
    is_taken: Callable[[Path], bool] = Path.exists,
    numbers: dict[Path, int] | None = None,
) -> Path:
    """Return `path`, or one with a number before its suffix when that is taken.

    Args:
        numbers: the last number of each name. Who asks for many names keeps one: without it, 50,000
            files of the same name ask the disk a billion times.
    """
    numbers = {} if numbers is None else numbers
    stem = path.stem.encode()[: MAX_NAME_BYTES - 40].decode("utf-8", "ignore")
    # As they are cut, since long names that only differ at their ends share their numbers.
    name, free = path.with_name(stem + path.suffix), path
    while is_taken(free):
        numbers[name] = numbers.get(name, 1) + 1
        free = path.with_name(f"{stem} ({numbers[name]}){path.suffix}")
    return free


def _storable_part(part: str) -> str:
    part = part.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is no text
    if os.name == "nt":
        part = re.sub(r'[<>:"|?*\x00-\x1f]', "_", part).rstrip(". ") or "_"
        if re.fullmatch(r"(?i)(con|conin\$|conout\$|prn|aux|nul|(com|lpt)[\d¹²³]) *(\..*)?", part):
            part = f"_{part}"
    if len(part.encode()) <= MAX_NAME_BYTES:
        return part
    stem, dot, suffix = part.rpartition(".")
    if not dot or len(suffix) > 8:
        stem, suffix = part, ""
    room = MAX_NAME_BYTES - len((dot + suffix).encode()) - 1
    return stem.encode()[:room].decode("utf-8", "ignore") + "~" + dot + suffix
