"""Checking a collection finds what is wrong with it, and mends what can be mended."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from retrieval import settings
from retrieval.__main__ import main
from retrieval.changes import find_changes
from retrieval.checking import check_collection
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import index_folder
from retrieval.schema import DATABASE, THUMBNAILS


@contextmanager
def harming(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as database, database:
        yield database


@pytest.fixture
def folder(indexed: Collection) -> Path:
    """The folder of the colour wheel's collection, closed."""
    indexed.close()
    return indexed.folder


def test_a_whole_collection_has_no_findings(folder: Path) -> None:
    assert check_collection(folder) == []
    assert check_collection(folder, repair=True) == []


@pytest.mark.parametrize(
    ("file", "harm", "sentence"),
    [
        (DATABASE, "UPDATE contents SET embedding = x'00' WHERE id = 1", "has not 3 numbers"),
        (DATABASE, "UPDATE contents SET embedding = {long} WHERE id = 1", "not of length 1"),
        (DATABASE, "UPDATE contents SET embedding = {nan} WHERE id = 1", "no number"),
        (THUMBNAILS, "UPDATE thumbnails SET jpeg = x'ffd8ff'", "thumbnail is damaged"),
        (THUMBNAILS, "DELETE FROM thumbnails", "thumbnail is missing"),
        (DATABASE, "DELETE FROM pictures WHERE id = 2", "waste room"),
        (DATABASE, "UPDATE pictures SET details = '[' WHERE id = 1", "captions cannot be read"),
    ],
    ids=["short", "long", "nan", "jpeg", "gone", "unused", "captions"],
)
def test_harm_is_found_mended_and_read_again(
    folder: Path, wheel: Path, embedder: Embedder, file: str, harm: str, sentence: str
) -> None:
    vectors = {"long": np.full(3, 5, "<f4"), "nan": np.full(3, np.nan, "<f4")}
    blobs = {name: f"x'{vector.tobytes().hex()}'" for name, vector in vectors.items()}
    with harming(folder / file) as database:
        database.execute(harm.format(**blobs))
    findings = check_collection(folder)
    assert sentence in findings[0].sentence
    assert not any(finding.repaired for finding in findings)
    assert check_collection(folder) == findings  # looking changes nothing
    assert all(finding.repaired for finding in check_collection(folder, repair=True))
    assert check_collection(folder) == []
    with Collection(folder) as collection:
        for _ in index_folder(collection, wheel, embedder, find_changes(collection, wheel)):
            pass
        assert collection.count() == (6, 0)
    assert check_collection(folder) == []


@pytest.mark.parametrize("file", [DATABASE, THUMBNAILS])
def test_a_file_full_of_noise_is_said_to_be_damaged(folder: Path, file: str) -> None:
    (folder / file).write_bytes(b"noise" * 5_000)
    findings = check_collection(folder, repair=True)
    assert "damaged" in findings[0].sentence
    assert not findings[0].repaired


def test_a_torn_page_is_found(folder: Path) -> None:
    data = bytearray((folder / DATABASE).read_bytes())
    data[16384:16588] = b"\xa5" * 204
    (folder / DATABASE).write_bytes(data)
    assert "damaged" in check_collection(folder)[0].sentence


def test_missing_thumbnails_are_said_to_be_missing(folder: Path) -> None:
    (folder / THUMBNAILS).unlink()
    assert "is missing" in check_collection(folder)[0].sentence


def test_where_there_is_no_collection_a_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"no collection in nothing"):
        check_collection(tmp_path / "nothing")


def test_the_command_checks_mends_packs_and_opens(
    wheel: Path, tiny_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(tiny_files), "--cpu"]
    assert main(["index", str(wheel), *model]) == 0
    assert main(["check"]) == 0
    assert "wheel is whole." in capsys.readouterr().out
    with harming(settings.COLLECTIONS / "wheel" / THUMBNAILS) as database:
        database.execute("DELETE FROM thumbnails")
    assert main(["check"]) == 1
    assert "check --repair" in capsys.readouterr().err
    assert main(["check", "--repair"]) == 0
    assert main(["index", str(wheel), *model]) == 0
    bundle = str(tmp_path / "wheel.lookalike")
    assert main(["pack", bundle]) == 0
    assert main(["unpack", bundle, "--name", "opened", *model]) == 0
    assert "opened: 6 pictures ready" in capsys.readouterr().out
    assert main(["check", "--name", "opened"]) == 0
    assert main(["pack", str(tmp_path / "x.lookalike")]) == 1
    assert "several collections" in capsys.readouterr().err
