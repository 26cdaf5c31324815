"""Checking a collection finds what is wrong with it, and mends what can be mended."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from retrieval import database, mending, salvage, settings, sketch, thumbnails
from retrieval.__main__ import main
from retrieval.changes import find_changes
from retrieval.checking import DOUBTFUL, RETURNING, check_collection
from retrieval.collection import Collection
from retrieval.database import DamagedError
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import index_folder
from retrieval.library import collection_for, folders_in
from retrieval.records import Content, Entry
from retrieval.schema import ADDED, DATABASE, FORMAT_VERSION, ORIGINALS, REMOVED, THUMBNAILS
from retrieval.whole_files import broken_files
from tests.made import MeanColour, extracted, mean_colour, slow_jpeg, vast_jpeg


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
        (DATABASE, "UPDATE contents SET embedding = x'00' WHERE id = 1", "does not have 3 numbers"),
        (DATABASE, "UPDATE contents SET embedding = {long} WHERE id = 1", "not of length 1"),
        (DATABASE, "UPDATE contents SET embedding = {nan} WHERE id = 1", "not a number"),
        (DATABASE, "UPDATE contents SET colour = x'00' WHERE id = 1", "its colours cannot"),
        (DATABASE, "UPDATE contents SET colour = x'0000' WHERE id = 1", "its colours cannot"),
        (DATABASE, "UPDATE contents SET sketch = {half} WHERE id = 1", "by which copies"),
        (DATABASE, "UPDATE contents SET sketch = {torn} WHERE id = 1", "by which copies"),
        (DATABASE, "DELETE FROM contents WHERE id = 1", "what was computed of it is lost"),
        (THUMBNAILS, "UPDATE thumbnails SET jpeg = x'ffd8ff'", "thumbnail is damaged"),
        (THUMBNAILS, "UPDATE thumbnails SET jpeg = {vast}", "thumbnail is damaged"),
        (THUMBNAILS, "UPDATE thumbnails SET jpeg = {slow}", "thumbnail is damaged"),
        (THUMBNAILS, "DELETE FROM thumbnails", "thumbnail is missing"),
        (DATABASE, "DELETE FROM pictures WHERE id = 2", "only takes room"),
        (DATABASE, "UPDATE pictures SET details = '[' WHERE id = 1", "captions cannot be read"),
    ],
    ids=[
        "short",
        "long",
        "nan",
        "colours",
        "few colours",
        "sketch",
        "sector",
        "no content",
        "jpeg",
        "vast jpeg",
        "jpeg in a thousand steps",
        "gone",
        "unused",
        "captions",
    ],
)
def test_harm_is_found_mended_and_read_again(
    folder: Path, wheel: Path, embedder: Embedder, file: str, harm: str, sentence: str
) -> None:
    vectors = {
        "long": np.full(3, 5, "<f4"),
        "nan": np.full(3, np.nan, "<f4"),
        "half": np.full(sketch.DIMENSION, np.nan, "<f2"),
        "torn": np.eye(1, sketch.DIMENSION, dtype="<f2") * 0.9,
    }
    made = {name: vector.tobytes() for name, vector in vectors.items()}
    made |= {"vast": vast_jpeg(), "slow": slow_jpeg()}
    blobs = {name: f"x'{data.hex()}'" for name, data in made.items()}
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
        assert collection.listing.count() == (6, 0)
        for aspect in ("subject", "colour"):
            vectors = collection.embeddings(aspect).vectors
            assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(6), abs=1e-3)
        assert collection.embeddings("sketch").vectors.shape == (6, sketch.DIMENSION)
    with harming(folder / DATABASE) as database:
        (lengths,) = database.execute("SELECT min(length(sketch)) FROM contents")
        assert lengths == (2 * sketch.DIMENSION,)
    assert check_collection(folder) == []


def index(folder: Path, embedder: Embedder) -> Collection:
    """Open a collection and bring it up to date with its photos."""
    collection = Collection(folder)
    root = collection.root
    assert root is not None
    for _ in index_folder(collection, root, embedder, find_changes(collection, root)):
        pass
    return collection


@pytest.fixture
def kept(wheel: Path, embedder: Embedder, tmp_path: Path) -> Path:
    """The folder of a collection that was handed the colour wheel: it holds the only copies."""
    folder = tmp_path / "kept"
    Collection.create(folder, "My wheel", folder / ORIGINALS, embedder).close()
    wheel.rename(folder / ORIGINALS)
    index(folder, embedder).close()
    return folder


@pytest.fixture
def without_photos(kept: Path) -> Path:
    """The same, as it is opened on a computer where the photos are not."""
    shutil.rmtree(kept / ORIGINALS)
    with harming(kept / DATABASE) as database:
        database.execute("UPDATE facts SET value = '' WHERE key = 'root'")
    return kept


def test_both_files_that_are_damaged_are_mended_at_once(folder: Path) -> None:
    with harming(folder / DATABASE) as database:
        database.execute("DELETE FROM facts WHERE key = 'revision'")
    (folder / THUMBNAILS).write_bytes(b"noise" * 1_000)
    findings = check_collection(folder, repair=True)
    assert [finding.repaired for finding in findings][:2] == [True, True]
    assert check_collection(folder) == []


@pytest.mark.parametrize("file", [DATABASE, THUMBNAILS])
def test_a_file_full_of_noise_is_said_to_be_damaged(folder: Path, file: str) -> None:
    (folder / file).write_bytes(b"noise" * 5_000)
    findings = check_collection(folder)
    assert "damaged" in findings[0].sentence
    assert not findings[0].repaired
    assert (folder / file).read_bytes() == b"noise" * 5_000


@pytest.mark.parametrize("noise", [b"noise" * 5_000, b""], ids=["noise", "empty"])
def test_thumbnails_that_are_lost_are_drawn_anew_and_nothing_else_is(
    kept: Path, embedder: Embedder, noise: bytes
) -> None:
    (kept / THUMBNAILS).write_bytes(noise)
    seen = extracted(embedder)
    findings = check_collection(kept, repair=True)
    assert [finding.repaired for finding in findings] == [True]
    assert "set aside as thumbnails.sqlite.broken" in findings[0].sentence
    assert (kept / f"{THUMBNAILS}.broken").exists()
    assert check_collection(kept) == []
    with index(kept, embedder) as collection:
        assert collection.listing.count() == (6, 0)
        assert all(collection.thumbnail(p.sha256) for p in collection.listing.pictures())
    assert extracted(embedder) == seen


def test_records_of_which_nothing_is_left_are_made_anew_beside_their_photos(
    kept: Path, embedder: Embedder
) -> None:
    for number in ("", "-2"):
        (kept / DATABASE).write_bytes(b"noise" * 5_000)
        findings = check_collection(kept, repair=True, embedder=lambda: embedder)
        assert all(finding.repaired for finding in findings)
        assert (kept / f"{DATABASE}.broken{number}").read_bytes() == b"noise" * 5_000
        with Collection(kept) as collection:
            assert (collection.name, collection.unfinished) == ("kept", True)
            assert collection.root == (kept / ORIGINALS).resolve()
        with index(kept, embedder) as collection:
            assert collection.listing.count() == (6, 0)
        assert check_collection(kept) == []


def test_records_that_are_gone_beside_photos_that_were_all_taken_out_are_made_anew(
    kept: Path, embedder: Embedder
) -> None:
    (kept / ORIGINALS).rename(kept / REMOVED)
    (kept / DATABASE).unlink()
    with pytest.raises(DamagedError, match="in removed"):
        Collection.create(kept, "kept", None, embedder)
    assert check_collection(kept)[0].sentence == f"{DATABASE} is missing."
    assert check_collection(kept, True, lambda: embedder)[0].repaired
    with Collection.create(kept, "kept", None, embedder) as collection:
        assert collection.root == kept / ORIGINALS


def test_records_of_which_nothing_is_left_can_be_made_anew_of_a_folder_searched_in_place(
    folder: Path, wheel: Path, embedder: Embedder
) -> None:
    (folder / DATABASE).write_bytes(b"noise" * 5_000)
    with pytest.raises(
        LookalikeError, match=r"sqlite\.broken\. Make them again .* --name collection"
    ):
        check_collection(folder, repair=True, embedder=lambda: embedder)
    assert (folder / f"{DATABASE}.broken").exists()
    Collection.create(folder, "collection", wheel, embedder).close()
    with index(folder, embedder) as collection:
        assert collection.listing.count() == (6, 0)


@pytest.mark.parametrize("file", [DATABASE, THUMBNAILS])
@pytest.mark.parametrize("step", [1, 2, 3, 4])
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "broken off"])
def test_an_end_before_what_was_made_anew_has_its_place_loses_nothing(
    kept: Path, monkeypatch: pytest.MonkeyPatch, file: str, step: int, killed: bool
) -> None:
    class Killed(BaseException):
        pass

    def die(source: Path, target: Path) -> None:
        nonlocal left
        left -= Path(source).name.strip(".").startswith(file)
        if not left:
            raise Killed
        rename(source, target)

    with Collection(kept) as collection:
        before = collection.listing.pictures()
        thumbnails = [collection.thumbnail(p.sha256) for p in before]
    shutil.rmtree(kept / ORIGINALS)
    with harming(kept / file) as broken:
        broken.execute("CREATE TABLE other (a)")
        broken.execute("CREATE INDEX others ON other (a)")
        broken.execute("PRAGMA writable_schema = ON")
        broken.execute("UPDATE sqlite_master SET rootpage = 2 WHERE name = 'others'")
    left, rename = step, os.rename
    with monkeypatch.context() as patch:
        if killed:  # then nothing is cleaned up
            patch.setattr("retrieval.salvage._delete", lambda path: None)
        patch.setattr(os, "rename", die)
        patch.setattr(os, "replace", die)
        with pytest.raises(Killed):
            check_collection(kept, repair=True)
    assert folders_in(kept.parent) == [kept]
    check_collection(kept, repair=True)
    with Collection(kept) as collection:
        assert collection.listing.pictures() == before
        assert [collection.thumbnail(p.sha256) for p in before] == thumbnails
    assert check_collection(kept) == []
    assert list(kept.glob("*.broken"))


def test_what_lies_beside_a_torn_page_is_kept(kept: Path, embedder: Embedder) -> None:
    said = '{"said": "' + "word " * 300 + '"}'
    with Collection(kept) as collection:
        for number in range(200):
            name, vector = f"{number:03}", np.array([1, 0, 0], np.float32)
            entry = Entry(f"{name}.png", 1, 1, "", name, details=said)
            collection.write([entry], [Content(name, 1, 1, None, vector, b"")])
        collection.exclude(["out.png"])
    data = bytearray((kept / DATABASE).read_bytes())
    page = data.rindex(b"100.png") // 16384 * 16384
    torn = data[page : page + 16384].count(said.encode())
    data[page : page + 500] = b"\xa5" * 500
    (kept / DATABASE).write_bytes(data)
    findings = check_collection(kept, repair=True)
    assert findings[0].sentence.startswith("collection.sqlite is damaged")
    with Collection(kept) as collection:
        assert (collection.name, collection.excluded.paths()) == ("My wheel", {"out.png"})
        assert 0 < torn < 20
        assert collection.listing.count() == (206 - torn, 0)
        assert collection.listing.captions()["199.png"] == ("", said)


def test_what_cannot_be_read_again_is_kept_and_said_not_to_be_mended(
    without_photos: Path,
) -> None:
    with harming(without_photos / THUMBNAILS) as thumbnails:
        thumbnails.execute("DELETE FROM thumbnails")
    with harming(without_photos / DATABASE) as records:
        records.execute("UPDATE contents SET embedding = x'00' WHERE id = 1")
    findings = check_collection(without_photos, repair=True)
    assert len(findings) == 6
    assert not any(finding.repaired for finding in findings)
    assert "its photo is not here" in findings[0].sentence
    with Collection(without_photos) as collection:
        assert collection.listing.count() == (6, 0)
        assert len(collection.embeddings().ids) == 6  # the one keeps no other from being searched
        assert not collection.unfinished  # nobody could go on


def test_colours_that_cannot_be_read_are_left_out_where_the_photo_is_not_here(
    without_photos: Path,
) -> None:
    with harming(without_photos / DATABASE) as records:
        records.execute("UPDATE contents SET colour = x'000000' WHERE id = 1")
    with Collection(without_photos) as collection, pytest.raises(LookalikeError, match="damaged"):
        collection.embeddings("colour")
    (finding,) = check_collection(without_photos, repair=True)
    assert finding.repaired
    assert check_collection(without_photos) == []
    with Collection(without_photos) as collection:
        lengths = np.linalg.norm(collection.embeddings("colour").vectors, axis=1).round(3)
        assert sorted(lengths) == [0, 1, 1, 1, 1, 1]
        assert np.linalg.norm(collection.embeddings().vectors, axis=1).round(3).sum() == 6


def test_where_some_photos_are_not_here_a_lost_vector_keeps_no_other_from_being_searched(
    kept: Path,
) -> None:
    with Collection(kept) as collection:
        before = collection.listing.pictures()
    (kept / ORIGINALS / before[0].path).unlink()
    with harming(kept / DATABASE) as records:
        records.execute("UPDATE contents SET embedding = x'00' WHERE id < 3")
    findings = check_collection(kept, repair=True)
    assert sorted(finding.repaired for finding in findings) == [False, True]
    with Collection(kept) as collection:
        assert collection.listing.pictures() == before
        assert np.linalg.norm(collection.embeddings().vectors, axis=1).round(3).sum() == 4
    assert [finding.sentence for finding in check_collection(kept)] == [
        f"{before[0].path}: its vector is lost."
    ]


def test_a_vector_whose_photo_is_away_just_now_waits_for_it(
    folder: Path, wheel: Path, embedder: Embedder
) -> None:
    with harming(folder / DATABASE) as records:
        records.execute("UPDATE contents SET embedding = x'00' WHERE id = 1")
    away = wheel.rename(wheel.with_name("away"))
    assert [finding.repaired for finding in check_collection(folder, repair=True)] == [False]
    away.rename(wheel)
    assert [finding.repaired for finding in check_collection(folder, repair=True)] == [True]
    with index(folder, embedder) as collection:
        assert collection.listing.count() == (6, 0)
    assert check_collection(folder) == []


def test_a_photo_of_whose_sha256_a_letter_is_wrong_is_read_again(
    folder: Path, embedder: Embedder
) -> None:
    with harming(folder / DATABASE) as records:
        records.execute("UPDATE contents SET sha256 = 'x' || substr(sha256, 2) WHERE id = 1")
    assert all(finding.repaired for finding in check_collection(folder, repair=True))
    with index(folder, embedder) as collection:
        assert (collection.listing.count(), collection.to_read_again()) == ((6, 0), set())
    check_collection(folder, repair=True)  # what nobody uses any more
    assert check_collection(folder) == []


def test_a_thumbnail_that_is_drawn_again_costs_no_caption(kept: Path) -> None:
    with Collection(kept) as collection:
        collection.caption([("warm/red.png", "mine", '{"said": "by hand"}')])
        before = collection.listing.pictures()
    with harming(kept / THUMBNAILS) as thumbnails:
        thumbnails.execute("DELETE FROM thumbnails")
    findings = check_collection(kept, repair=True)
    assert [finding.repaired for finding in findings] == [True] * len(findings) != []
    with Collection(kept) as collection:
        assert collection.listing.pictures() == before


@pytest.mark.parametrize("part", ["read_bounded", "thumbnail_to_keep"])
def test_a_thumbnail_that_memory_does_not_suffice_for_stops_nothing(
    kept: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with harming(kept / THUMBNAILS) as database:
        database.execute("DELETE FROM thumbnails")

    def fail(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(thumbnails, part, fail)
    findings = check_collection(kept, repair=True)
    assert [finding.repaired for finding in findings] == [False] * len(findings) != []
    monkeypatch.undo()
    findings = check_collection(kept, repair=True)
    assert [finding.repaired for finding in findings] == [True] * len(findings) != []


def test_a_database_that_is_only_busy_is_not_said_to_be_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(folder / DATABASE)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LookalikeError, match=r"Another program is using"):
            check_collection(folder, repair=True)
    assert check_collection(folder) == []


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
    with harming(settings.COLLECTIONS / "wheel" / DATABASE) as database:
        database.execute("DELETE FROM pictures WHERE id = 2")  # as one that was taken out
    capsys.readouterr()
    assert main(["check"]) == 0
    told = capsys.readouterr().out
    assert "1 entry belongs to no picture, which only takes room." in told
    assert "wheel is whole." in told
    (settings.COLLECTIONS / "wheel" / ORIGINALS).mkdir()
    (settings.COLLECTIONS / "wheel" / DATABASE).write_bytes(b"noise")
    assert main(["check", "--repair", *model]) == 0
    assert (settings.COLLECTIONS / "wheel" / f"{DATABASE}.broken").exists()
    shutil.rmtree(settings.COLLECTIONS / "wheel")
    assert main(["index", str(wheel), *model]) == 0
    bundle = str(tmp_path / "wheel.lookalike")
    assert main(["pack", bundle]) == 0
    assert main(["unpack", bundle, "--name", "Opened, at last", *model]) == 0
    assert "Opened, at last: 6 pictures ready" in capsys.readouterr().out
    assert main(["check", "--name", "Opened, at last"]) == 0
    assert "Opened, at last is whole." in capsys.readouterr().out
    assert main(["unpack", bundle, "--name", "Opened, at last", *model]) == 0
    assert "Opened, at last 2: 6 pictures ready" in capsys.readouterr().out
    assert main(["pack", str(tmp_path / "x.lookalike")]) == 1
    assert "several collections" in capsys.readouterr().err


def test_an_id_that_is_damaged_takes_no_other_row_along(without_photos: Path) -> None:
    path = without_photos / DATABASE
    with Collection(without_photos) as collection:
        for number in range(100):
            entry = Entry(f"unread/{number:03}.png", 1, 1, "", None, "?")
            collection.write([entry], [])
    with harming(path) as records:
        [(root, size)] = records.execute(
            "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size "
            "WHERE name = 'pictures'"
        )
    data = bytearray(path.read_bytes())
    page = memoryview(data)[(root - 1) * size : root * size]
    assert page[0] == 13  # a leaf, on which all of them lie
    cell = int.from_bytes(page[8 + 2 * 50 : 10 + 2 * 50], "big")  # the 51st one's
    at = cell + 1 + (page[cell] > 127)  # behind its length
    assert page[at] == 51
    page[at] = 127
    page.release()
    path.write_bytes(data)
    assert check_collection(without_photos, repair=True)[0].sentence.startswith(DATABASE)
    with Collection(without_photos) as collection:
        assert collection.listing.count() == (6, 100)


def add_unread(folder: Path, total: int) -> None:
    """Give a collection that many more records, of files that could not be read."""
    entries = [Entry(f"unread/{number:04}.png", 1, 1, "", None, "?") for number in range(total)]
    with Collection(folder) as collection:
        collection.write(entries, [])


@pytest.mark.parametrize(
    "becomes", [b"\x80\x03", b"\xff\x7f", b""], ids=["small", "large", "all of them"]
)
def test_an_id_that_is_damaged_beside_a_damaged_page_hides_nothing(
    without_photos: Path, becomes: bytes
) -> None:
    path, total = without_photos / DATABASE, 3_000
    add_unread(without_photos, total)
    with harming(path) as records:
        [(size,)] = records.execute("PRAGMA page_size")
    data = bytearray(path.read_bytes())

    def page_of(number: int) -> int:
        """Return where the leaf of the table begins on which a picture stands."""
        name = f"unread/{number:04}.png".encode()
        pages = range(0, len(data), size)
        return next(at for at in pages if data[at] == 13 and name in data[at : at + size])

    page = page_of(1_500)
    cells = int.from_bytes(data[page + 3 : page + 5], "big")
    cell = page + int.from_bytes(data[page + 6 + 2 * cells : page + 8 + 2 * cells], "big")
    at = cell + 1 + (data[cell] > 127)  # of the last one, behind its length
    assert data[at] > 127  # an id of two bytes
    last = (data[at] & 127) * 128 + data[at + 1]
    data[page_of(last)] = 0xFF  # the next one: six other pictures come first
    if becomes:
        data[at : at + 2] = becomes
    else:  # all that the page holds is zeros
        data[page + 2 * size // 3 : page + size] = bytes(size - 2 * size // 3)
    path.write_bytes(data)
    with closing(sqlite3.connect(path)) as broken:
        rows = list(salvage.readable_rows(broken, "pictures", mending.PICTURES))
    assert len(rows) < 3 * total
    lost = total + 6 - len({row[1] for row in rows})
    assert 0 < lost < total / 4
    check_collection(without_photos, repair=True)
    with Collection(without_photos) as collection:
        assert collection.listing.count()[1] >= total - lost - 1


def test_a_small_file_that_was_cut_short_is_not_searched_for_more_rows_than_it_can_hold(
    without_photos: Path,
) -> None:
    path, total = without_photos / DATABASE, 3_000
    add_unread(without_photos, total)
    size = path.stat().st_size
    pages = size // 2 // 16384
    os.truncate(path, pages * 16384)
    with path.open("rb+") as file:
        file.seek(28)
        file.write(pages.to_bytes(4, "big"))  # or nothing at all could be read
    asked: list[str] = []
    with closing(sqlite3.connect(path)) as broken:
        broken.set_trace_callback(asked.append)
        rows = list(salvage.readable_rows(broken, "pictures", mending.PICTURES))
    assert total / 8 < len({row[1] for row in rows}) < total
    assert len(asked) < 2 * (1_000 + size // 50)


def test_beyond_so_many_ids_that_are_lost_those_that_were_met_from_behind_are_looked_for(
    without_photos: Path,
) -> None:
    path, total = without_photos / DATABASE, 3_000
    add_unread(without_photos, total)
    with harming(path) as records:  # of most of what there was nothing is left
        records.execute("UPDATE pictures SET id = id + 40000 WHERE id > 6")
        records.execute("UPDATE sqlite_sequence SET seq = seq + 40000 WHERE name = 'pictures'")
    data = bytearray(path.read_bytes())
    for number in (0, 2_990):  # on the first page of them, and on the last one
        name = f"unread/{number:04}.png".encode()
        pages = range(0, len(data), 16384)
        data[next(at for at in pages if data[at] == 13 and name in data[at : at + 16384])] = 0xFF
    path.write_bytes(data)
    with closing(sqlite3.connect(path)) as broken:
        rows = list(salvage.readable_rows(broken, "pictures", mending.PICTURES))
    assert total / 2 < len({row[1] for row in rows}) < total


def test_where_the_names_of_what_was_taken_out_are_damaged_the_others_stay_out(
    without_photos: Path,
) -> None:
    path, total = without_photos / DATABASE, 2_000
    with Collection(without_photos) as collection:
        collection.exclude([f"{number:04} was taken out.png" for number in range(total)])
    data = bytearray(path.read_bytes())
    first = data.index(b"0500 was taken out.png") // 16384 * 16384
    data[first] = 0xFF
    path.write_bytes(data)
    assert RETURNING in check_collection(without_photos, repair=True)[0].sentence
    with Collection(without_photos) as collection:
        assert total / 2 < len(collection.excluded.paths()) < total


def test_names_of_what_was_taken_out_that_changed_places_with_an_index_are_said_to_be_lost(
    without_photos: Path,
) -> None:
    path = without_photos / DATABASE
    with Collection(without_photos) as collection:
        collection.exclude(["warm/red.png", "cold/blue.png"])
    with harming(path) as records:
        [(size,)] = records.execute("PRAGMA page_size")
        one, other = (
            slice((root - 1) * size, root * size)
            for (root,) in records.execute(
                "SELECT rootpage FROM sqlite_master "
                "WHERE name IN ('excluded', 'sqlite_autoindex_contents_1')"
            )
        )
    data = bytearray(path.read_bytes())
    data[one], data[other] = data[other], data[one]
    path.write_bytes(data)
    finding = check_collection(without_photos, repair=True)[0]
    assert RETURNING in finding.sentence
    with Collection(without_photos) as collection:
        assert collection.excluded.paths() == set()
        assert collection.listing.count() == (4, 0)


@pytest.mark.parametrize(
    "name",
    [
        b"pictures_of_content",
        b"sqlite_autoindex_pictures_1",
        b"CREATE TABLE facts",
        b"modified INTEGER",
        b"excluded (path",
        b"excluded_files (path",
    ],
    ids=["an index", "its own", "a table", "a column", "taken out", "their files"],
)
def test_a_letter_of_a_name_in_the_records_takes_nothing_along(
    folder: Path, wheel: Path, embedder: Embedder, name: bytes
) -> None:
    with Collection(folder) as collection:
        collection.exclude(["warm/red.png"])
    data = bytearray((folder / DATABASE).read_bytes())
    data[data.index(name) + 3] ^= 0x80  # no text any more
    (folder / DATABASE).write_bytes(data)
    assert not database.is_bare(folder / DATABASE)
    with pytest.raises(LookalikeError, match="damaged"), Collection(folder) as collection:
        collection.listing.files()
    assert not check_collection(folder)[0].repaired
    found = check_collection(folder, repair=True, embedder=lambda: embedder)
    assert all(finding.repaired for finding in found)
    assert not found[0].returning
    with Collection(folder) as collection:
        assert collection.root == wheel
        assert collection.listing.count() == (5, 0)
        assert collection.excluded.paths() == {"warm/red.png"}
        assert len(collection.excluded.files()) == 1


def bits_of_the_first_page(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where bits are, and which: some of SQLite's own, of where tables lie, and any."""
    yield from ((16, 0), (18, 3), (20, 4), (31, 2), (47, 3), (59, 1), (100, 2))
    for table in (b"facts", b"contents", b"pictures", b"excluded"):
        yield from ((data.index(2 * table) + 2 * len(table), bit) for bit in (0, 2))
    chance = np.random.default_rng(0)
    used = [at for at in range(16384) if data[at] and not 24 <= at < 32]
    for at in chance.choice(used, 20):
        yield int(at), int(chance.integers(8))


@pytest.mark.parametrize("vacuumed", [False, True])
def test_a_bit_of_what_says_where_everything_lies_takes_no_picture_along(
    without_photos: Path, embedder: Embedder, vacuumed: bool
) -> None:
    def read() -> list[object]:
        with Collection(without_photos) as collection:
            collection.rename("Kept")  # which can be written
            stored = collection.embeddings()
            return [
                *(
                    collection.listing.pictures(),
                    collection.excluded.paths(),
                    collection.excluded.files(),
                ),
                *(collection.listing.captions(), stored.ids.tolist(), stored.vectors.tolist()),
            ]

    with Collection(without_photos) as collection:
        collection.exclude(["warm/red.png"])
        collection.prune()
    if vacuumed:
        with closing(sqlite3.connect(without_photos / DATABASE)) as records:
            records.execute("VACUUM")
    there, data = read(), (without_photos / DATABASE).read_bytes()
    for at, bit in bits_of_the_first_page(data):
        torn = bytearray(data)
        torn[at] ^= 1 << bit
        for beside in without_photos.glob("*.sqlite-*"):
            beside.unlink()
        (without_photos / DATABASE).write_bytes(torn)
        found = check_collection(without_photos, True, lambda: embedder)
        assert all(finding.repaired for finding in found), (at, bit)
        assert not any(finding.returning for finding in found), (at, bit)
        assert read() == there, (at, bit)


@pytest.mark.parametrize("column", ["sha256", "jpeg"])
def test_a_letter_of_a_columns_name_costs_no_thumbnail(without_photos: Path, column: str) -> None:
    with harming(without_photos / THUMBNAILS) as database:
        database.execute(f"ALTER TABLE thumbnails RENAME {column} TO other")
    mend_thumbnails_whole(without_photos)


@pytest.mark.parametrize("at", [16, 20, 100, -30, -60])
def test_a_bit_of_what_says_where_they_lie_costs_no_thumbnail(
    without_photos: Path, at: int
) -> None:
    with (without_photos / THUMBNAILS).open("rb+") as file:
        torn = bytearray(file.read(4096))
        torn[at] ^= 1
        file.seek(0)
        file.write(torn)
    mend_thumbnails_whole(without_photos)


def mend_thumbnails_whole(folder: Path) -> None:
    """Mend a collection, and see that it has all thumbnails."""
    assert all(finding.repaired for finding in check_collection(folder, repair=True))
    with Collection(folder) as collection:
        assert all(
            collection.thumbnail(picture.sha256) for picture in collection.listing.pictures()
        )
    assert check_collection(folder) == []


@pytest.mark.parametrize(
    "harm",
    [
        *(f"ALTER TABLE {table} RENAME {column} TO other" for table, column, _ in ADDED),
        "DROP TABLE excluded",
    ],
    ids=[*(column for _, column, _ in ADDED), "what was taken out"],
)
def test_what_only_earlier_versions_lack_is_damage_in_this_one(
    folder: Path, embedder: Embedder, harm: str
) -> None:
    with harming(folder / DATABASE) as database:
        database.execute("UPDATE facts SET value = '2' WHERE key = 'format_version'")
        database.execute(harm)
    assert broken_files(folder) == {}
    with harming(folder / DATABASE) as database:
        database.execute(f"UPDATE facts SET value = {FORMAT_VERSION} WHERE key = 'format_version'")
    assert all(found.repaired for found in check_collection(folder, True, lambda: embedder))
    with index(folder, embedder) as collection:
        assert (collection.listing.count(), collection.excluded.paths()) == ((6, 0), set())
    assert check_collection(folder) == []


@pytest.mark.parametrize(
    ("file", "table", "column"),
    [
        (THUMBNAILS, "thumbnails", "sha256"),
        (DATABASE, "contents", "sha256"),
        (DATABASE, "pictures", "label"),
    ],
)
def test_a_text_that_is_none_any_more_is_mended(
    folder: Path, embedder: Embedder, file: str, table: str, column: str
) -> None:
    torn = f"CAST(x'f4' || substr({column}, 2) AS TEXT)"
    with harming(folder / file) as damaged:
        (first,) = damaged.execute(f"SELECT min({column}) FROM {table}").fetchone()
        damaged.execute(f"UPDATE {table} SET {column} = {torn} WHERE {column} = ?", (first,))
    assert check_collection(folder)
    assert all(f.repaired for f in check_collection(folder, True, lambda: embedder))
    with index(folder, embedder) as collection:
        assert collection.listing.count() == (6, 0)
        assert all(
            collection.thumbnail(picture.sha256) for picture in collection.listing.pictures()
        )
    assert check_collection(folder) == []


@pytest.mark.parametrize(
    ("file", "table", "column"),
    [
        (DATABASE, "contents", "embedding"),
        (DATABASE, "contents", "sketch"),
        (DATABASE, "contents", "sha256"),
        (DATABASE, "pictures", "path"),
        (DATABASE, "pictures", "details"),
        (DATABASE, "facts", "value"),
        (DATABASE, "excluded_files", "sha256"),
        (THUMBNAILS, "thumbnails", "jpeg"),
    ],
)
def test_a_bit_that_makes_a_text_of_bytes_or_bytes_of_a_text_costs_nothing(
    without_photos: Path, embedder: Embedder, file: str, table: str, column: str
) -> None:
    def read() -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(without_photos / file)) as database:
            return database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()

    with Collection(without_photos) as collection:
        collection.exclude(["warm/red.png"])
        collection.prune()
    there = [row for row in read() if row[0] != "revision"]
    other = "TEXT" if column in ("embedding", "sketch", "jpeg") else "BLOB"
    with harming(without_photos / file) as database:
        database.execute(f"UPDATE {table} SET {column} = CAST({column} AS {other})")
    assert "damaged" in check_collection(without_photos)[0].sentence
    (mended,) = check_collection(without_photos, True, lambda: embedder)
    assert mended.repaired
    assert not mended.returning
    assert check_collection(without_photos) == []
    assert [row for row in read() if row[0] in [row[0] for row in there]] == there


@pytest.mark.parametrize("path", ["CAST(path AS BLOB)", "NULL"])
def test_a_path_that_is_none_any_more_is_damage_wherever_it_is_met(
    indexed: Collection, path: str
) -> None:
    with harming(indexed.folder / DATABASE) as records:
        records.execute("PRAGMA ignore_check_constraints = ON")
        records.execute("PRAGMA writable_schema = ON")
        records.execute("UPDATE sqlite_master SET sql = replace(sql, 'path TEXT NOT', 'path TEXT')")
    with harming(indexed.folder / DATABASE) as records:
        records.execute(f"UPDATE pictures SET path = {path} WHERE id = 1")
    with Collection(indexed.folder) as collection:
        for read in (
            collection.listing.files,
            collection.listing.pictures,
            lambda: collection.listing.pictures([1]),
        ):
            with pytest.raises(DamagedError):
                read()
        assert collection.store.is_damaged
        if path == "NULL":
            with pytest.raises(DamagedError):
                collection.listing.folders()


@pytest.mark.parametrize(
    "harm",
    [
        "pictures SET label = CAST(label AS BLOB)",
        "pictures SET details = CAST(details AS BLOB)",
        "pictures SET size = x'ff'",
        "contents SET sha256 = CAST(sha256 AS BLOB)",
        "contents SET taken = x'ff'",
        "contents SET width = 1.5",
    ],
)
def test_what_is_known_of_a_picture_and_is_of_another_kind_is_damage_when_it_is_met(
    indexed: Collection, harm: str
) -> None:
    with harming(indexed.folder / DATABASE) as records:
        records.execute(f"UPDATE {harm} WHERE id = 1")
    with pytest.raises(DamagedError):
        indexed.listing.pictures()
    assert indexed.store.is_damaged


def test_a_letter_of_where_its_photos_are_that_is_torn_is_mended(
    kept: Path, wheel: Path, embedder: Embedder
) -> None:
    with harming(kept / DATABASE) as records:
        records.execute("UPDATE facts SET value = 'orig' || char(0) || 'nals' WHERE key = 'root'")
    with Collection(kept) as collection, pytest.raises(DamagedError):
        assert collection.root
    wheel.mkdir()
    collection_for(kept.parent, wheel, "Another one", embedder).close()
    assert "does not say its root" in check_collection(kept)[0].sentence
    assert check_collection(kept, True, lambda: embedder)[0].repaired
    with Collection(kept) as collection:
        assert collection.root == kept / ORIGINALS


@pytest.mark.parametrize(
    ("file", "table", "column"),
    [
        (DATABASE, "contents", "width"),
        (DATABASE, "contents", "texture"),
        (DATABASE, "pictures", "modified"),
        (DATABASE, "excluded_files", "size"),
        (THUMBNAILS, "thumbnails", "jpeg"),
    ],
)
@pytest.mark.parametrize("torn", ["7.5", "x'ff'", "CAST(x'ff' AS TEXT)"])
def test_a_value_of_another_kind_is_mended(
    folder: Path, embedder: Embedder, file: str, table: str, column: str, torn: str
) -> None:
    with Collection(folder) as collection:
        collection.exclude(["warm/red.png"])
    with harming(folder / file) as database:
        database.execute(f"UPDATE {table} SET {column} = {torn}")
    assert check_collection(folder)
    check_collection(folder, True, lambda: embedder)
    with index(folder, embedder) as collection:
        assert collection.listing.count() == (5, 0)
    check_collection(folder, True, lambda: embedder)
    assert check_collection(folder) == []


def test_what_was_taken_out_of_records_made_anew_stays_out_when_it_is_renamed(
    folder: Path, wheel: Path, embedder: Embedder
) -> None:
    with Collection(folder) as collection:
        collection.exclude(["warm/red.png"])
    with harming(folder / DATABASE) as records:
        records.execute("DELETE FROM facts WHERE key = 'embedder'")
    (mended,) = check_collection(folder, repair=True, embedder=lambda: embedder)
    assert mended.repaired
    (wheel / "warm/red.png").rename(wheel / "warm/scarlet.png")
    with index(folder, embedder) as collection:
        assert collection.listing.count() == (5, 0)


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM facts WHERE key = 'embedder'",
        "DELETE FROM facts WHERE key = 'card'",
        "DELETE FROM facts WHERE key = 'dimension'",
        "DELETE FROM facts WHERE key = 'fingerprint'",
        "DELETE FROM facts WHERE key IN ('fingerprint', 'card')",
        "UPDATE facts SET value = 'x' || value WHERE key = 'card'",
        "UPDATE facts SET value = '3x' WHERE key = 'dimension'",
        "UPDATE facts SET value = '2' WHERE key = 'dimension'",
        "UPDATE facts SET value = 'g' || substr(value, 2) WHERE key = 'fingerprint'",
        "UPDATE facts SET value = '{}' WHERE key = 'card'",
    ],
)
def test_what_is_lost_of_its_model_is_told_by_the_model_in_use_and_nothing_else_is_lost(
    without_photos: Path, embedder: Embedder, harm: str
) -> None:
    def stand() -> tuple[object, ...]:
        with Collection(without_photos) as collection:
            vectors = collection.embeddings("subject").vectors.tolist()
            small = [collection.thumbnail(p.sha256) for p in collection.listing.pictures()]
            return collection.provenance(), collection.listing.pictures(), vectors, small

    before = stand()
    with harming(without_photos / DATABASE) as records:
        records.execute(harm)
    (found,) = check_collection(without_photos, embedder=lambda: embedder)
    assert not found.repaired
    (mended,) = check_collection(without_photos, repair=True, embedder=lambda: embedder)
    assert mended.repaired
    assert stand() == before
    assert check_collection(without_photos, embedder=lambda: embedder) == []


def test_what_is_lost_of_a_model_that_is_not_in_use_takes_no_vector_along(
    without_photos: Path, embedder: Embedder
) -> None:
    with harming(without_photos / DATABASE) as records:
        records.execute("DELETE FROM facts WHERE key IN ('card', 'embedder', 'dimension')")
    other = mean_colour(weights="1" * 64)
    (mended,) = check_collection(without_photos, repair=True, embedder=lambda: other)
    assert mended.repaired
    with Collection(without_photos) as collection:
        assert collection.is_of(embedder)
        assert np.linalg.norm(collection.embeddings().vectors, axis=1).round(3).sum() == 6


def test_vectors_of_nobody_knows_what_are_read_again_where_their_photos_are(
    kept: Path, embedder: Embedder
) -> None:
    with Collection(kept) as collection:
        before = [picture.id for picture in collection.listing.pictures()]
    with harming(kept / DATABASE) as records:
        records.execute("DELETE FROM facts WHERE key = 'fingerprint'")
    other, seen = mean_colour(weights="1" * 64), extracted(embedder)
    assert all(f.repaired for f in check_collection(kept, repair=True, embedder=lambda: other))
    with index(kept, other) as collection:
        assert [picture.id for picture in collection.listing.pictures()] == before
        assert np.linalg.norm(collection.embeddings().vectors, axis=1).round(3).sum() == 6
    assert (extracted(other), extracted(embedder)) == (6, seen)
    assert check_collection(kept, embedder=lambda: other) == []


class Backwards(MeanColour):
    """A network of as many numbers, which are others."""

    def extract(self, pictures: np.ndarray) -> np.ndarray:
        return super().extract(pictures)[:, [1, 2, 0]]


@pytest.mark.parametrize("there", [True, False], ids=["photos", "no photos"])
def test_vectors_of_nobody_knows_what_are_tried_with_a_photo(
    kept: Path, embedder: Embedder, there: bool
) -> None:
    def mend(model: Embedder) -> str:
        with harming(kept / DATABASE) as records:
            records.execute("DELETE FROM facts WHERE key IN ('fingerprint', 'card', 'embedder')")
        found = check_collection(kept, repair=True, embedder=lambda: model)
        assert all(finding.repaired for finding in found)
        return found[0].sentence

    def red() -> list[float]:
        with Collection(kept) as collection:
            (id_,) = (p.id for p in collection.listing.pictures() if p.path == "warm/red.png")
            return collection.vectors_of([id_], "subject")[0].tolist()

    other = Embedder(Backwards("1" * 64))
    if not there:
        shutil.rmtree(kept / ORIGINALS)
        assert DOUBTFUL in mend(other)
        assert red() == [1, 0, 0]
        return
    assert DOUBTFUL not in mend(embedder)
    assert red() == [1, 0, 0]
    assert DOUBTFUL not in mend(other)
    index(kept, other).close()
    assert red() == [0, 0, 1]


def test_a_model_that_contradicts_what_it_says_is_told_with_a_cure(
    folder: Path, embedder: Embedder
) -> None:
    with harming(folder / DATABASE) as records:
        records.execute("UPDATE facts SET value = 'torn-none' WHERE key = 'fingerprint'")
    for repair in (False, True):
        (finding,) = check_collection(folder, repair, lambda: embedder)
        assert not finding.repaired
        assert "under another name" in finding.sentence


def test_where_all_facts_are_torn_the_rest_is_kept_and_goes_on_with_its_folder(
    folder: Path, wheel: Path, embedder: Embedder
) -> None:
    with Collection(folder) as collection:
        collection.exclude(["warm/red.png"])
    with harming(folder / DATABASE) as records:
        [(root, size)] = records.execute(
            "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name = 'facts'"
        )
    data = bytearray((folder / DATABASE).read_bytes())
    data[(root - 1) * size : root * size] = b"\xa5" * size
    (folder / DATABASE).write_bytes(data)
    findings = check_collection(folder, repair=True, embedder=lambda: embedder)
    assert all(finding.repaired and not finding.returning for finding in findings)
    assert "index FOLDER --name collection" in findings[0].sentence
    seen = extracted(embedder)
    with collection_for(folder.parent, wheel, "collection", embedder) as collection:
        assert collection.folder == folder
        index(folder, embedder).close()
        assert (collection.listing.count(), collection.excluded.paths()) == (
            (5, 0),
            {"warm/red.png"},
        )
    assert extracted(embedder) == seen


@pytest.mark.parametrize("file", [DATABASE, f".{DATABASE}.new-wal"])
def test_a_disk_that_does_not_answer_gets_a_sentence(
    folder: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, **options: bool) -> os.stat_result:
        if path == folder / file:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return stat(path, **options)

    stat = os.stat
    monkeypatch.setattr(os, "stat", fail)
    assert folders_in(folder.parent) == [folder]
    for act in (Collection, check_collection):
        with pytest.raises(LookalikeError, match=r"Input/output error\. Check the disk"):
            act(folder)


def test_while_records_are_made_anew_no_other_program_changes_what_is_set_aside(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_aside = salvage.set_aside

    def renamed_meanwhile(path: Path) -> str:
        with pytest.raises(LookalikeError, match=r"Another program is using"):
            other.rename("Yours")
        return put_aside(path)

    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(salvage, "set_aside", renamed_meanwhile)
    with Collection(kept) as other:
        with harming(kept / DATABASE) as records:
            records.execute("UPDATE facts SET value = '' WHERE key = 'card'")
        assert check_collection(kept, repair=True, embedder=mean_colour)[0].repaired
        with pytest.raises(LookalikeError, match=r"mended, moved or deleted"):
            other.rename("Yours")


def test_a_wrong_number_of_numbers_is_told_by_the_vectors_where_there_is_no_model(
    without_photos: Path,
) -> None:
    with harming(without_photos / DATABASE) as records:
        records.execute("UPDATE facts SET value = '2' WHERE key = 'dimension'")
        records.execute("UPDATE contents SET embedding = x'00' WHERE id = 1")
    findings = check_collection(without_photos, repair=True)
    assert [finding.repaired for finding in findings] == [True, False]
    with Collection(without_photos) as collection:
        assert np.linalg.norm(collection.embeddings().vectors, axis=1).round(3).sum() == 5


@pytest.mark.parametrize("torn", ["[", "7", "[7]", '[["a"]]'])
def test_a_note_of_where_vectors_were_left_that_is_torn_is_mended(
    folder: Path, embedder: Embedder, torn: str
) -> None:
    with Collection(folder) as collection:
        collection.store.note({"left_places": '[null, ["http://a:1", "n"]]'})
        assert check_collection(folder) == []
        collection.store.note({"left_places": torn})
    assert "does not say its left_places" in check_collection(folder)[0].sentence
    assert check_collection(folder, True, lambda: embedder)[0].repaired
    assert check_collection(folder) == []
    with Collection(folder) as collection:
        assert collection.listing.count() == (6, 0)


def test_a_card_that_is_torn_is_damage(indexed: Collection) -> None:
    indexed.store.note({"card": "{"})
    with pytest.raises(LookalikeError, match="damaged"):
        indexed.provenance()
