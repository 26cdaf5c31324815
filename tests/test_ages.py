"""What lies in a bin grows older by what passes, and not by a clock that is set."""

import time
from pathlib import Path

import pytest

from retrieval.ages import count_ages

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("clock", "age"),
    [
        ([0.0, HOUR, 2 * HOUR], 2 * HOUR),
        ([-30 * DAY, 0.0, HOUR], 7 * HOUR),
        ([0.0, 900 * DAY, HOUR], 6 * HOUR),
        ([0.0, -900 * DAY, -900 * DAY + HOUR], HOUR),
        ([day * DAY for day in range(5)], DAY),
    ],
    ids=["looked at by the hour", "behind", "ahead for once", "set back", "by the day"],
)
def test_a_clock_that_jumps_makes_nothing_old(
    clock: list[float], age: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for now in clock:
        monkeypatch.setattr(time, "time", lambda now=now: 1e9 + now)
        ages = count_ages(tmp_path / "ages.json", ["deleted"], DAY)
    assert ages == {"deleted": age}


def test_what_comes_later_is_counted_from_then_and_notes_that_are_torn_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "ages.json"
    count_ages(notes, ["old"], DAY)
    later = time.time() + HOUR
    monkeypatch.setattr(time, "time", lambda: later)
    ages = count_ages(notes, ["old", "new"], DAY)
    assert ages == {"old": pytest.approx(HOUR, abs=60), "new": 0}
    notes.write_bytes(notes.read_bytes()[:-5])
    assert count_ages(notes, ["old"], DAY) == {"old": 0}
    assert count_ages(notes, [], DAY) == {}
    assert not list(tmp_path.iterdir())
