"""Temporary files: bounded, and deleted in time."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from retrieval import settings
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.pages.saving import save_results
from retrieval.search import Match
from retrieval.temporary import Stay, delete_old, keep_swept, make_room


def put(path: Path, size: int, age: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_what_nobody_came_for_goes_and_the_rest_stays(tmp_path: Path) -> None:
    old = put(tmp_path / "a" / "old.jpg", 100, age=7200)
    new = put(tmp_path / "b" / "new.jpg", 30, age=10)
    os.utime(tmp_path / "a", (0, 0))
    assert delete_old(tmp_path, 3600) == 1
    assert not old.exists()
    assert new.exists()


def test_the_folder_of_a_deleted_file_goes_the_next_time(tmp_path: Path) -> None:
    put(tmp_path / "a" / "old.jpg", 100, age=7200)
    delete_old(tmp_path, 3600)
    os.utime(tmp_path / "a", (0, 0))
    delete_old(tmp_path, 3600)
    assert list(tmp_path.iterdir()) == []


def test_what_is_dated_ahead_since_the_clock_was_put_back_grows_old_from_now_on(
    tmp_path: Path,
) -> None:
    ahead = put(tmp_path / "a" / "ahead.jpg", 100, age=-6 * 3600)
    near = put(tmp_path / "near.jpg", 100, age=-10)
    assert delete_old(tmp_path, 3600) == 0
    assert abs(ahead.stat().st_mtime - time.time()) < 60
    assert near.stat().st_mtime > time.time()
    later = time.time() + 3700
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("retrieval.temporary.time", SimpleNamespace(time=lambda: later))
        assert make_room([tmp_path], 100, 60)
        assert not ahead.exists()
        assert delete_old(tmp_path, 3600) == 1
    assert not near.exists()


def test_no_folder_is_no_problem(tmp_path: Path) -> None:
    assert delete_old(tmp_path / "none", 1) == 0
    assert make_room([tmp_path / "none"], 0, 60)


def test_the_oldest_give_way_to_what_comes_and_the_newest_do_not(tmp_path: Path) -> None:
    oldest = put(tmp_path / "one" / "oldest.jpg", 50, age=300)
    old = put(tmp_path / "two" / "old.jpg", 50, age=200)
    new = put(tmp_path / "one" / "new.jpg", 50, age=10)
    folders = [tmp_path / "one", tmp_path / "two"]
    assert make_room(folders, 150, 60)
    assert oldest.exists()
    assert make_room(folders, 100, 60)
    assert [path.exists() for path in (oldest, old, new)] == [False, True, True]
    assert not make_room(folders, 10, 60)
    assert [path.exists() for path in (old, new)] == [False, True]


def test_many_small_files_give_way_too_and_their_folders_go_with_them(tmp_path: Path) -> None:
    for number in range(5):
        put(tmp_path / f"in/{number}/a.jpg", 0, age=100 - number)
        os.utime(tmp_path / f"in/{number}", (0, 0))
    os.utime(tmp_path / "in/1")  # something is about to be put into it
    assert make_room([tmp_path / "in"], 100, 60, most_files=3)  # room for one more
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["1", "3", "4"]
    put(tmp_path / "in/new.jpg", 0, age=0)
    assert not make_room([tmp_path / "in"], 100, 60, most_files=1)
    assert [path.name for path in (tmp_path / "in").rglob("*.jpg")] == ["new.jpg"]


@pytest.mark.parametrize("age", [100, 10])
def test_what_is_saved_takes_the_place_of_what_nobody_came_for(
    indexed: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: int
) -> None:
    downloads = tmp_path / "downloads"
    monkeypatch.setattr(settings, "DOWNLOADS", downloads)
    monkeypatch.setattr(settings, "TEMPORARY", (downloads,))
    monkeypatch.setattr(settings, "TEMPORARY_BYTES", settings.MAX_SAVED_BYTES + 50)
    other = put(downloads / "other.zip", 100, age)
    matches = [Match(picture, 0.5) for picture in indexed.listing.pictures()]

    def save(kind: str, originals: bool) -> Path:
        path, packed = save_results(kind, [], matches, {"": indexed}, originals)
        assert packed.left_out == 0
        return path

    with pytest.raises(LookalikeError, match=words.NO_REQUEST):
        save("Music", originals=False)
    # Thumbnails and tables are small, so there is room for them.
    assert save(words.SAVE_KINDS[0], originals=False).is_file()
    assert save(words.SAVE_KINDS[1], originals=True).is_file()
    assert other.exists()
    if age < settings.TEMPORARY_SPARED:
        with pytest.raises(LookalikeError, match=r"Try again in a minute"):
            save(words.SAVE_KINDS[0], originals=True)
        return
    for path in downloads.rglob("*.*"):
        os.utime(path, (0, 0))
    assert save(words.SAVE_KINDS[0], originals=True).is_file()
    assert [path.name for path in downloads.rglob("*.*")] == ["lookalike.zip"]


def test_sweeping_goes_on_in_the_background(tmp_path: Path) -> None:
    end = keep_swept([tmp_path / "one", tmp_path / "two"], 3600, every=0.01)
    for name in ("one", "two"):
        old = put(tmp_path / name / "old.jpg", 1, age=7200)
        for _ in range(2000):
            if not old.exists():
                break
            time.sleep(0.01)
        assert not old.exists()
    end()
    old = put(tmp_path / "one" / "old.jpg", 1, age=7200)
    time.sleep(0.1)
    assert old.exists()


def begin(home: Path, wait: float = 10.0) -> Stay:
    stay = Stay(home, home / "parts", wait)
    with stay.beginning():
        return stay


@contextmanager
def another(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that stays there until it is killed, with something in its part."""
    program = f"""
from tests.test_temporary import Path, begin, put
stay = begin(Path({str(home)!r}))
put(stay.part / "private.jpg", 1, age=0)
print(stay.part.name, flush=True)
input()
"""
    root = Path(__file__).resolve().parents[1]
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def part_of(process: "subprocess.Popen[str]", home: Path) -> Path:
    assert process.stdout is not None
    return home / "parts" / process.stdout.readline().strip()


def test_nobody_is_the_first_while_another_is_there(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first, second = begin(home), begin(home)
    assert (first.is_first, second.is_first) == (True, False)
    first.end()
    third = begin(home)
    assert not third.is_first
    second.end()
    third.end()
    assert begin(home).is_first


def test_who_comes_when_others_were_killed_is_not_the_first_while_one_lives(
    tmp_path: Path,
) -> None:
    with another(tmp_path) as one, another(tmp_path) as two, another(tmp_path) as living:
        parts = [part_of(process, tmp_path) for process in (one, two, living)]
        for process in (one, two):
            process.kill()
            process.wait()
        fourth = begin(tmp_path)
        assert not fourth.is_first
        assert [(part / "private.jpg").exists() for part in parts] == [False, False, True]
        living.kill()
        living.wait()
        assert (parts[2] / "private.jpg").exists()
        fourth.clear_parts()
        assert list((tmp_path / "parts").iterdir()) == []
    fourth.end()
    assert begin(tmp_path).is_first


def test_nobody_begins_while_the_first_one_clears(tmp_path: Path) -> None:
    first = Stay(tmp_path, tmp_path / "parts")
    with ThreadPoolExecutor(1) as pool:
        with first.beginning() as is_first:
            assert is_first
            assert not begin(tmp_path, wait=0).is_first  # nobody waits for a hung one for ever
            second = pool.submit(begin, tmp_path)
            time.sleep(0.2)
            assert not second.done()
        assert not second.result(20).is_first


def test_the_last_one_leaves_nothing_and_empties_nothing_of_others(tmp_path: Path) -> None:
    home, received = tmp_path / "home", tmp_path / "home" / "received"
    (received / "a").mkdir(parents=True)
    (received / "a" / "private.jpg").touch()
    first, second = begin(home), begin(home)
    put(second.part / "theirs.jpg", 1, age=0)
    first.empty([received])
    first.end()
    assert (received / "a" / "private.jpg").exists()
    assert (second.part / "theirs.jpg").exists()
    second.empty([received, home / "none"])
    assert not received.exists()
    second.end()
    assert list(home.glob("running-*")) + list((home / "parts").iterdir()) == []
    assert begin(home).is_first


def test_what_may_be_of_another_is_not_emptied(tmp_path: Path) -> None:
    received = put(tmp_path / "received" / "a.jpg", 1, age=0)
    stay = begin(tmp_path)
    (tmp_path / "running-0123abcd.lock").mkdir()  # which cannot be opened, as any at times
    stay.empty([received.parent])
    assert received.exists()
    stay.end()


def test_on_a_disk_without_locks_everybody_is_the_first(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, in which nothing can be locked")
    stay = begin(tmp_path / "home")
    assert stay.is_first
    stay.end()
