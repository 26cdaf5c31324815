"""Visitors' own collections are bounded, private, and deleted on time."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.indexing import Bounds
from retrieval.uploads import Uploads
from retrieval.visitors import VisitorBounds, Visitors
from retrieval.workspace import Workspace
from tests.made import by_hue

BOUNDS = VisitorBounds(hours=1, pictures=10, collections=2, total=3)


@pytest.fixture
def workspace(tiny_files: Path) -> Iterator[Workspace]:
    workspace = Workspace(tiny_files, settings.pca_path(tiny_files), gpu=False)
    yield workspace
    workspace.stop()


def make(workspace: Workspace, tmp_path: Path, bounds: VisitorBounds = BOUNDS) -> Visitors:
    return Visitors(workspace, Uploads(tmp_path / "uploads"), tmp_path / "visitors", bounds)


def test_there_are_only_so_many_of_one_and_of_all(workspace: Workspace, tmp_path: Path) -> None:
    visitors = make(workspace, tmp_path)
    keys = [visitors.create("me", "a"), visitors.create("me", "b")]
    assert visitors.keys("me") == keys
    assert visitors.keys("you") == []
    with pytest.raises(LookalikeError, match=r"keep 2 collections here"):
        visitors.create("me", "c")
    visitors.create("you", "d")
    with pytest.raises(LookalikeError, match=r"as many visitors' collections as fit"):
        visitors.create("she", "e")
    visitors.delete(keys[0])
    visitors.create("she", "e")


def test_without_cookies_nothing_can_be_kept_apart(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"refuses cookies"):
        make(workspace, tmp_path).create("", "a")


def test_deleting_leaves_no_file_behind(workspace: Workspace, tmp_path: Path) -> None:
    visitors = make(workspace, tmp_path)
    visitors.delete(visitors.create("me", "a"))
    assert [path for path in (tmp_path / "visitors").rglob("*") if path.is_file()] == []
    assert workspace.keys("me") == []


def test_the_sweep_deletes_what_has_had_its_time(workspace: Workspace, tmp_path: Path) -> None:
    visitors = make(workspace, tmp_path)
    key = visitors.create("me", "a")
    visitors.sweep()
    assert visitors.keys("me") == [key]
    assert 0.99 < visitors.hours_left(key) <= 1
    short = make(workspace, tmp_path / "short", VisitorBounds(0, 10, 2, 3))
    late = short.create("you", "b")
    short.sweep()
    assert late not in workspace.keys("you")


def test_photos_that_came_late_are_not_deleted_unread(workspace: Workspace, tmp_path: Path) -> None:
    visitors = make(workspace, tmp_path)
    key = visitors.create("me", "a")
    originals = visitors.originals(key)
    originals.mkdir()
    by_hue(10).save(originals / "early.png")
    workspace.build(key, originals, Bounds())
    end = time.monotonic() + 20
    while not (state := workspace.building(key)) or not state.finished:
        assert time.monotonic() < end
        time.sleep(0.01)
    by_hue(20).save(originals / "late.png")
    assert visitors.room("me") == BOUNDS.pictures - 2  # the one that waits counts as well
    visitors.drop_originals(key)
    assert [path.name for path in originals.iterdir()] == ["late.png"]


def test_one_that_cannot_be_deleted_does_not_end_the_sweep(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors = make(workspace, tmp_path, VisitorBounds(0, 10, 2, 3))
    keys = [visitors.create("me", "a"), visitors.create("me", "b")]
    delete = workspace.delete

    def held(key: str) -> str:
        if key == keys[0]:
            raise LookalikeError("Another program holds a file.")
        return delete(key)

    monkeypatch.setattr(workspace, "delete", held)
    visitors.sweep()
    assert workspace.keys("me") == keys[:1]
    monkeypatch.undo()
    visitors.sweep()
    assert workspace.keys("me") == []
