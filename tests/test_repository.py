"""The repository itself: small files, a tidy top level, and nothing of anybody's machine."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from retrieval.settings import PROJECT

TOP_LEVEL = {"app.py", "requirements.txt", "export", "retrieval", "assets", "tests", "README.md"}
LARGEST = 40 * 2**20
# Folders of one machine, as they slip into a file by copy and paste. Put together here, so that
# this file does not hold what it looks for.
HOMES = "|".join(("work", "home", "root", "Users", "tmp/venv"))
EXAMPLE = r"(?:home|Users)[\\/][mM]e[\\/]"  # nobody's: the page shows it
MACHINE_PATHS = re.compile(
    rf"(?<![\w.~/:-])(?:/(?!{EXAMPLE})(?:{HOMES})/\w|[A-Z]:\\\\?(?!{EXAMPLE})(?:{HOMES})\\)"
)


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files that git knows of."""
    if shutil.which("git") is None or not (PROJECT / ".git").exists():
        pytest.skip("This is not a git checkout, so there is no list of tracked files.")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True
    ).stdout
    names = [name.decode() for name in listed.split(b"\0") if name]
    return [PROJECT / name for name in names if (PROJECT / name).is_file()]


def test_no_file_is_larger_than_a_code_host_takes(tracked: list[Path]) -> None:
    large = [path.name for path in tracked if path.stat().st_size > LARGEST]
    assert large == []


def test_the_visible_top_level_is_the_layout_that_the_readme_shows(tracked: list[Path]) -> None:
    names = {path.relative_to(PROJECT).parts[0] for path in tracked}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_no_text_names_a_folder_of_somebodys_machine(tracked: list[Path]) -> None:
    found = []
    for path in tracked:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or a model
        found += [f"{path.name}: {match.group()}" for match in MACHINE_PATHS.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "see /" + "work/x",
        'open("/' + 'home/ada/x")',
        "C:" + "\\Users\\ada",
        "(/" + "Users/ada)",
    ],
    ids=["this machine", "Linux", "Windows", "macOS"],
)
def test_a_folder_of_a_machine_would_be_noticed(line: str) -> None:
    assert MACHINE_PATHS.search(line)


@pytest.mark.parametrize(
    "line",
    ["https://example.org/home/page", "./work/list", "framework/x", "~/work/x"],
    ids=["address", "relative", "part of a word", "anybody's home"],
)
def test_other_paths_are_let_through(line: str) -> None:
    assert not MACHINE_PATHS.search(line)
