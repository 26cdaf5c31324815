"""What of a library was refused: which of it is worth another try."""

from pathlib import Path

import pytest

from retrieval.database import DamagedError
from retrieval.errors import LookalikeError, UnfitError
from retrieval.refusals import Refusals
from retrieval.schema import DATABASE, THUMBNAILS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a collection."""
    made = tmp_path / "kept"
    made.mkdir()
    for name in (DATABASE, THUMBNAILS):
        (made / name).write_bytes(b"before")
    return made


def put_anew(file: Path) -> None:
    """Replace a file by another one."""
    new = file.with_name("new")
    new.write_bytes(b"after")
    new.replace(file)


@pytest.mark.parametrize(
    ("error", "at_once", "when_other"),
    [
        (None, True, True),
        (LookalikeError("The disk is full."), True, True),
        (UnfitError("It is of another model."), False, False),
        (DamagedError("It is damaged."), False, True),
    ],
    ids=["not refused", "what passes", "what stays", "damage"],
)
def test_what_may_have_changed_is_tried_again(
    folder: Path, error: LookalikeError | None, at_once: bool, when_other: bool
) -> None:
    refusals = Refusals()
    if error:
        refusals.note(folder, error)
    assert refusals.should_try(folder) == at_once
    put_anew(folder / THUMBNAILS)
    assert refusals.should_try(folder) == when_other


def test_what_its_closing_writes_to_a_damaged_one_has_not_mended_it(folder: Path) -> None:
    refusals = Refusals()
    refusals.note(folder, DamagedError("It is damaged."), closed=False)
    put_anew(folder / DATABASE)
    assert not refusals.should_try(folder)
    refusals.note_closed(folder)
    assert not refusals.should_try(folder)
    put_anew(folder / DATABASE)
    assert refusals.should_try(folder)


def test_what_is_gone_is_forgotten_unless_it_is_just_being_mended(folder: Path) -> None:
    refusals = Refusals()
    for name in ("kept", "gone", "leaving"):
        refusals.note(folder.with_name(name), DamagedError(name))
    refusals.note(folder.with_name("unfit"), UnfitError("unfit"))
    assert refusals.damaged == {"kept", "gone", "leaving"}
    refusals.forget_gone(folder.parent, {"leaving"})
    assert refusals.sentences == {"kept": "kept", "leaving": "leaving"}
    assert "gone" not in refusals
