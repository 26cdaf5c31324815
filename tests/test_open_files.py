"""How many files may be open: all that the system gives, and a sentence where those are too few."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.open_files import allow_files
from tests.made import mean_colour

if sys.platform == "win32":
    pytest.skip("Windows has no such bound.", allow_module_level=True)

import resource

LEFT = 40


@pytest.fixture
def few() -> Iterator[int]:
    """The system's own bound, with only `LEFT` more files before that of the program."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + LEFT, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_as_many_files_are_asked_for_as_the_system_gives(few: int) -> None:
    if 0 <= few < 1_000:
        pytest.skip(f"This system gives {few} at most.")
    more = allow_files()
    assert more > 2 * LEFT
    with ExitStack() as opened:
        for _ in range(2 * LEFT):
            opened.enter_context(open(os.devnull))
        assert allow_files() <= more - 2 * LEFT


def test_one_collection_too_many_is_told_of_the_files_that_are_open(
    few: int, tmp_path: Path
) -> None:
    folders = [tmp_path / str(number) for number in range(LEFT // 4)]
    for folder in folders:
        Collection.create(folder, folder.name, None, mean_colour()).close()

    def open_all(opened: ExitStack) -> None:
        for folder in folders:
            opened.enter_context(Collection(folder))

    with ExitStack() as opened, pytest.raises(LookalikeError, match="no more files open at once"):
        open_all(opened)
