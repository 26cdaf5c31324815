"""How long things have lain in a bin, whatever the computer's clock says.

The only copies of photos may be among them, and a clock may be wrong: that of a computer without a
battery begins in the past until it has asked the network. By two readings of it what was deleted a
minute ago would be days old. So what passes is counted from look to look, and no more of it at once
than a part of the time that things are kept: a clock that jumps makes them older by that part only.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path

from retrieval.errors import LookalikeError
from retrieval.files import clear_parts, replace_when_done

# An app that looks every hour counts a day as a day, and one that is opened for a minute each day
# counts four of them as one.
LOOKS = 4

# By the files for it, what could not be noted, on a full disk: when it was looked, and the ages.
# There the bin has to be emptied most of all.
_unwritten: dict[Path, tuple[float, dict[str, float]]] = {}


def count_ages(notes: Path, names: Iterable[str], kept: float) -> dict[str, float]:
    """Return for how many seconds things have lain there, by their names; 0 for new ones.

    Args:
        notes: the file in which that is noted from look to look.
        kept: for how many seconds they are kept.
    """
    now = time.time()
    looked, before = _unwritten.get(notes) or _read(notes) or (now, {})
    passed = max(0.0, min(now - looked, kept / LOOKS))
    ages = {name: before[name] + passed if name in before else 0.0 for name in names}
    clear_parts(notes)
    try:
        if ages:
            with replace_when_done(notes) as temporary:
                temporary.write_text(json.dumps({"looked": now, "ages": ages}), encoding="utf-8")
        else:
            notes.unlink(missing_ok=True)
        _unwritten.pop(notes, None)
    except (OSError, LookalikeError):
        _unwritten[notes] = now, ages
    return ages


def _read(notes: Path) -> tuple[float, dict[str, float]] | None:
    """Return when it was looked the last time, and how old things were; None where none is noted.

    So it is where the notes are torn; then things are kept for longer.
    """
    try:
        noted = json.loads(notes.read_bytes())
        ages = {str(name): float(age) for name, age in noted["ages"].items()}
        return float(noted["looked"]), ages
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
