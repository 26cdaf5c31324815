"""What lies in a bin grows older by what passes, and not by a clock that is set."""

import errno
import json
import os
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


@pytest.mark.parametrize("noted", [True, False], ids=["begun before", "from the first"])
def test_what_lies_in_a_bin_grows_older_where_nothing_can_be_written(
    noted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    notes, begun = tmp_path / "ages.json", time.time()
    with monkeypatch.context() as patch:
        if not noted:
            patch.setattr(os, "replace", full)
        count_ages(notes, ["deleted"], DAY)
        patch.setattr(os, "replace", full)
        for hour in range(1, 31):
            patch.setattr(time, "time", lambda hour=hour: begun + hour * HOUR)
            ages = count_ages(notes, ["deleted"], DAY)
    assert ages == {"deleted": pytest.approx(30 * HOUR, abs=60)}
    monkeypatch.setattr(time, "time", lambda: begun + 31 * HOUR)
    count_ages(notes, ["deleted"], DAY)  # there is room again
    assert json.loads(notes.read_bytes())["ages"] == {"deleted": pytest.approx(31 * HOUR, abs=60)}


def test_notes_that_a_kill_left_half_written_are_cleared_away(tmp_path: Path) -> None:
    left, written = (tmp_path / f".ages.json.{'0' * 7}{n}.part" for n in (1, 2))
    left.touch()
    written.touch()
    os.utime(left, (1, 1))
    count_ages(tmp_path / "ages.json", ["deleted"], DAY)
    assert {path.name for path in tmp_path.iterdir()} == {"ages.json", written.name}
