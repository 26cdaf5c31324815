"""Visitors' own collections are bounded, private, and deleted on time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.uploads import Uploads
from retrieval.visitors import VisitorBounds, Visitors
from retrieval.workspace import Workspace

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


def test_a_new_run_begins_with_none(workspace: Workspace, tmp_path: Path) -> None:
    make(workspace, tmp_path).create("me", "a")
    make(workspace, tmp_path)
    assert not (tmp_path / "visitors").exists()
