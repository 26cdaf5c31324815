"""Looking for changes: what is new, changed, moved and gone, before any of it is applied."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retrieval.changes import Changes, find_changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.files import sha256_of_file
from retrieval.images import read_bounded
from retrieval.indexing import index_folder
from retrieval.lost import give_up
from retrieval.pages import opened_markup, words
from tests.made import by_hue, extracted, noise


def read_by(patch: pytest.MonkeyPatch, read: Callable[[Path], str]) -> None:
    """Have all that a look reads of files be read so."""
    for module in ("changes", "passed_over"):
        patch.setattr(f"retrieval.{module}.sha256_of_file", read)


def apply(collection: Collection, root: Path, embedder: Embedder) -> Changes:
    changes = find_changes(collection, root)
    for _ in index_folder(collection, root, embedder, changes):
        pass
    return changes


def test_each_kind_of_change_is_told_apart(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    ids = {picture.path: picture.id for picture in indexed.listing.pictures()}
    before = extracted(embedder)
    by_hue(300).save(wheel / "new.png")
    by_hue(90).save(wheel / "warm/red.png")
    (wheel / "cold/blue.png").rename(wheel / "warm/navy.png")
    (wheel / "cold/cyan.png").unlink()
    changes = apply(indexed, wheel, embedder)
    assert changes.new == 1
    assert changes.changed == ("warm/red.png",)
    assert [(move.old, move.new.path) for move in changes.moved] == [
        ("cold/blue.png", "warm/navy.png")
    ]
    assert changes.vanished == ("cold/cyan.png",)
    assert changes.unchanged == 3
    pictures = {picture.path: picture for picture in indexed.listing.pictures()}
    assert pictures["warm/navy.png"].id == ids["cold/blue.png"]  # links to it go on working
    assert pictures["warm/navy.png"].label == "warm"
    assert extracted(embedder) == before + 2  # the new and the changed one
    assert not find_changes(indexed, wheel).any


def test_a_file_that_was_held_is_tried_again_and_a_damaged_one_is_not(
    indexed: Collection, wheel: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(path: Path, most: int) -> bytes:
        if path.name == "locked.png":
            raise PermissionError(13, "Permission denied")
        return read_bounded(path, most)

    by_hue(300).save(wheel / "locked.png")
    (wheel / "broken.png").write_bytes(b"words")
    with monkeypatch.context() as patch:
        patch.setattr("retrieval.indexing.read_bounded", held)
        apply(indexed, wheel, embedder)
    assert [path for path, _ in indexed.listing.problems()] == ["broken.png", "locked.png"]
    assert [path.name for path in apply(indexed, wheel, embedder).to_read] == ["locked.png"]
    assert [path for path, _ in indexed.listing.problems()] == ["broken.png"]
    assert not find_changes(indexed, wheel).any


def test_a_folder_whose_disk_is_away_forgets_nothing(indexed: Collection, wheel: Path) -> None:
    away = wheel.with_name("away")
    wheel.rename(away)
    wheel.mkdir()  # where the disk is connected
    with pytest.raises(LookalikeError, match=r"no picture in wheel any more.*connect it"):
        find_changes(indexed, wheel)
    wheel.rmdir()
    away.rename(wheel)
    assert not find_changes(indexed, wheel).any


def test_a_table_that_went_with_photos_takes_no_label_away(
    wheel: Path, tmp_path: Path, embedder: Embedder
) -> None:
    (wheel / "captions.csv").write_text("filename,label\nwarm/red.png,hot\n")
    # A visitor's: its photos are not kept.
    with Collection.create(tmp_path / "c", "c", None, embedder) as collection:
        apply(collection, wheel, embedder)
        (wheel / "captions.csv").unlink()
        assert not find_changes(collection, wheel).any
        for path in wheel.rglob("*.png"):
            path.unlink()
        (wheel / "late.csv").write_text("filename,label\nwarm/red.png,fiery\nnone.png,x\n")
        changes = find_changes(collection, wheel)
    assert changes.recaptioned == (("warm/red.png", "fiery", ""),)
    assert list(changes.captions) == ["warm/red.png"]


def test_copies_that_move_are_paired_once_each(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    (wheel / "cold/twin.png").write_bytes((wheel / "cold/blue.png").read_bytes())
    apply(indexed, wheel, embedder)
    (wheel / "cold").rename(wheel / "moved")
    changes = apply(indexed, wheel, embedder)
    assert len(changes.moved) == 4
    assert (changes.to_read, changes.vanished) == ((), ())
    assert {picture.label for picture in indexed.listing.pictures()} == {"moved", "warm"}


def test_a_folder_that_was_renamed_is_not_read_for_it(
    indexed: Collection, wheel: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wheel / "trip").mkdir()
    for seed in range(3):
        noise((60 + 20 * seed, 60), seed).save(wheel / "trip" / f"{seed}.png")
    apply(indexed, wheel, embedder)
    (wheel / "trip").rename(wheel / "Iceland")
    read: list[Path] = []
    read_by(monkeypatch, lambda path: read.append(path) or "")
    changes = find_changes(indexed, wheel)
    assert [(move.old, move.new.path) for move in changes.moved] == [
        (f"trip/{seed}.png", f"Iceland/{seed}.png") for seed in range(3)
    ]
    assert (changes.to_read, read) == ((), [])


def test_what_cannot_be_read_moves_with_a_folder_that_is_renamed(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    for name in ("warm/torn.jpg", "warm/far/torn.jpg", "warm/other.jpg"):
        (wheel / name).parent.mkdir(exist_ok=True)
        (wheel / name).write_bytes(b"<html>")
        os.utime(wheel / name, (315532800, 315532800))
    apply(indexed, wheel, embedder)
    problems = dict(indexed.listing.problems())
    (wheel / "warm").rename(wheel / "hot")
    (wheel / "hot/other.jpg").write_bytes(b"words")  # another one
    changes = apply(indexed, wheel, embedder)
    moved = {move.old: move.new.path for move in changes.moved}
    assert len(moved) == 5
    assert moved["warm/torn.jpg"] == "hot/torn.jpg"
    assert moved["warm/far/torn.jpg"] == "hot/far/torn.jpg"
    assert (changes.new, changes.vanished) == (1, ("warm/other.jpg",))
    assert indexed.listing.count() == (6, 3)
    assert dict(indexed.listing.problems())["hot/torn.jpg"] == problems["warm/torn.jpg"]
    assert not find_changes(indexed, wheel).any


@pytest.mark.skipif(sys.platform != "linux", reason="every name is text there")
def test_what_could_not_be_read_for_its_folders_name_is_read_where_that_is_another(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    folder = Path(os.fsdecode(os.fsencode(wheel) + b"/f\xfcr"))
    folder.mkdir()
    by_hue(300).save(folder / "violet.png")
    apply(indexed, wheel, embedder)
    assert indexed.listing.count() == (6, 1)
    folder.rename(wheel / "für")
    apply(indexed, wheel, embedder)
    assert indexed.listing.count() == (7, 0)


def test_a_copy_beside_a_folder_that_was_renamed_is_new(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    (wheel / "warm").rename(wheel / "Iceland")
    shutil.copytree(wheel / "Iceland", wheel / "copies")
    changes = find_changes(indexed, wheel)
    assert [move.new.path for move in changes.moved] == [
        f"Iceland/{path.name}" for path in sorted((wheel / "Iceland").iterdir())
    ]
    assert {path.parent.name for path in changes.to_read} == {"copies"}


def test_what_is_taken_out_while_files_are_read_for_having_moved_stays_out(
    indexed: Collection, wheel: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("blue", "cyan"):
        (wheel / "cold" / f"{name}.png").rename(wheel / "warm" / f"{name} too.png")

    def read(path: Path) -> str:
        indexed.exclude(["cold/blue.png"])  # the owner does, on the page
        return sha256_of_file(path)

    with monkeypatch.context() as patch:
        read_by(patch, read)
        changes = apply(indexed, wheel, embedder)
    assert [(move.old, move.new.path) for move in changes.moved] == [
        ("cold/cyan.png", "warm/cyan too.png")
    ]
    for _ in range(2):
        assert "warm/blue too.png" not in indexed.listing.files()
        apply(indexed, wheel, embedder)
    assert not find_changes(indexed, wheel).any


def test_pictures_of_one_size_and_time_are_told_apart_by_their_bytes(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    for folder, hues in {"a": (10, 20), "b": (110, 120)}.items():
        (wheel / folder).mkdir()
        for number, hue in enumerate(hues):
            by_hue(hue).save(wheel / folder / f"{number}.bmp")  # as large as any other
            os.utime(wheel / folder / f"{number}.bmp", (1, 1))
    (wheel / "b").rename(wheel.parent / "b")
    apply(indexed, wheel, embedder)
    shutil.rmtree(wheel / "a")
    (wheel.parent / "b").rename(wheel / "b")
    changes = find_changes(indexed, wheel)
    assert (changes.vanished, changes.moved) == (("a/0.bmp", "a/1.bmp"), ())


@pytest.mark.parametrize(
    ("name", "beside"),
    [("scan.bmp", ""), ("scan.png", "cold/known.png"), ("scan.png", "b/another.png")],
    ids=["not compressed", "another is known", "another is new"],
)
def test_a_picture_of_the_name_size_and_time_of_one_that_vanished_is_read(
    indexed: Collection, wheel: Path, embedder: Embedder, name: str, beside: str
) -> None:
    def save(path: str, hue: int) -> None:
        (wheel / path).parent.mkdir(exist_ok=True)
        by_hue(hue).save(wheel / path)
        with (wheel / path).open("ab") as file:
            file.truncate(40_000)
        os.utime(wheel / path, (315532800, 315532800))

    save(f"a/{name}", 0)
    if beside.startswith("cold"):
        save(beside, 60)
    apply(indexed, wheel, embedder)
    (wheel / "a" / name).unlink()
    save(f"b/{name}", 240)
    if beside.startswith("b"):
        save(beside, 120)
    changes = apply(indexed, wheel, embedder)
    assert (changes.vanished, changes.moved) == ((f"a/{name}",), ())
    there = {picture.path: picture.sha256 for picture in indexed.listing.pictures()}
    assert there[f"b/{name}"] == sha256_of_file(wheel / "b" / name)


def test_what_lost_its_vectors_and_was_renamed_is_read_where_it_is_now(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    red = next(picture for picture in indexed.listing.pictures() if picture.path == "warm/red.png")
    vector = indexed.embedding(red.id)
    give_up(indexed.store, [red.sha256], True)
    assert not np.any(indexed.embedding(red.id))
    (wheel / "warm/red.png").rename(wheel / "warm/scarlet.png")
    changes = apply(indexed, wheel, embedder)
    assert [move.new.path for move in changes.moved] == ["warm/scarlet.png"]
    assert (changes.new, changes.unchanged) == (0, 5)
    assert [picture.path for picture in indexed.listing.pictures([red.id])] == ["warm/scarlet.png"]
    assert indexed.embedding(red.id) == pytest.approx(vector)
    assert not indexed.to_read_again()
    assert not find_changes(indexed, wheel).any


def test_a_touched_file_is_not_called_changed_and_is_read_and_not_extracted(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    before = extracted(embedder)
    for name in ("red", "orange"):
        os.utime(wheel / f"warm/{name}.png", (1, 1))
    noise((60, 60), 1).save(wheel / "cold/blue.png")
    noise((60, 60), 2).save(wheel / "new.png")
    changes = find_changes(indexed, wheel)
    assert changes.touched == ("warm/orange.png", "warm/red.png")
    assert (changes.changed, changes.new, len(changes.to_read)) == (("cold/blue.png",), 1, 4)
    said = opened_markup.changes("key", changes, wheel)
    for text in ("1 new<", "1 changed<", "2 with another date<", words.CHANGES_TOUCHED):
        assert text in said
    apply(indexed, wheel, embedder)
    assert extracted(embedder) == before + 2
    assert not find_changes(indexed, wheel).any
    os.utime(wheel / "warm/red.png", (2, 2))
    give_up(indexed.store, [sha256_of_file(wheel / "warm/red.png")], True)
    assert find_changes(indexed, wheel).changed == ("warm/red.png",)  # lost, whatever its date


def test_two_files_that_change_places_keep_their_own_vectors(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    red, blue = wheel / "warm/red.png", wheel / "cold/blue.png"
    red_bytes, blue_bytes = red.read_bytes(), blue.read_bytes()
    red.write_bytes(blue_bytes + b"1")
    blue.write_bytes(red_bytes + b"22")
    apply(indexed, wheel, embedder)
    pictures = {picture.path: picture for picture in indexed.listing.pictures()}
    vector = indexed.embedding(pictures["warm/red.png"].id)
    assert vector is not None
    assert vector.argmax() == 2  # blue


def test_pictures_that_were_taken_out_stay_out_until_they_are_let_in(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    indexed.exclude(["warm/red.png"])
    assert indexed.listing.count() == (5, 0)
    changes = apply(indexed, wheel, embedder)
    assert not changes.any
    assert indexed.listing.count() == (5, 0)
    indexed.excluded.readmit(["warm/red.png"])
    apply(indexed, wheel, embedder)
    assert indexed.listing.count() == (6, 0)


def test_what_was_taken_out_stays_out_when_its_file_or_folder_is_renamed(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    indexed.exclude(["warm/red.png", "cold/blue.png"])
    (wheel / "warm").rename(wheel / "hot")
    (wheel / "cold/blue.png").rename(wheel / "cold/sea.png")
    for _ in range(2):
        apply(indexed, wheel, embedder)
        assert indexed.listing.count() == (4, 0)
        assert not {"hot/red.png", "cold/sea.png"} & indexed.listing.files().keys()
    shutil.copy(wheel / "cold/sea.png", wheel / "cold/calm.png")  # one was taken out, and one is
    for _ in range(2):
        apply(indexed, wheel, embedder)
        assert indexed.listing.count() == (5, 0)
        assert "cold/sea.png" not in indexed.listing.files()
    assert indexed.excluded.paths() == {"hot/red.png", "cold/sea.png"}
    indexed.excluded.readmit(indexed.excluded.paths())
    apply(indexed, wheel, embedder)
    assert indexed.listing.count() == (7, 0)


def test_what_was_taken_out_and_renamed_is_read_no_more_and_stays_out_when_it_is_edited(
    indexed: Collection, wheel: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed.exclude(["warm/red.png"])
    (wheel / "warm/red.png").rename(wheel / "warm/scarlet.png")
    apply(indexed, wheel, embedder)
    read: list[Path] = []
    read_by(monkeypatch, lambda path: read.append(path) or sha256_of_file(path))
    assert not find_changes(indexed, wheel).any
    assert read == []
    by_hue(300).save(wheel / "warm/scarlet.png")
    for _ in range(2):
        assert not find_changes(indexed, wheel).any
        assert read == [wheel / "warm/scarlet.png"]  # once, so that it is known again
    indexed.excluded.readmit(indexed.excluded.now(["warm/red.png"]))
    assert [path.name for path in find_changes(indexed, wheel).to_read] == ["scarlet.png"]


@pytest.mark.parametrize("suffix", [".png", ".bmp"], ids=["of another size", "of its size"])
@pytest.mark.parametrize("way", ["the file", "the folder", "the file, put back from a backup"])
def test_what_was_taken_out_and_edited_stays_out_when_it_is_renamed_later(
    indexed: Collection, wheel: Path, embedder: Embedder, suffix: str, way: str
) -> None:
    photo = wheel / f"warm/photo{suffix}"
    noise((60, 60), 1).save(photo)
    at_first = photo.read_bytes()
    apply(indexed, wheel, embedder)
    indexed.exclude([f"warm/photo{suffix}"])
    (noise((60, 60), 2) if suffix == ".bmp" else by_hue(300)).save(photo)
    os.utime(photo, (10**9, 10**9))
    for _ in range(2):
        assert not apply(indexed, wheel, embedder).any
    if way == "the folder":
        (wheel / "warm").rename(wheel / "summer")
        now = f"summer/photo{suffix}"
    else:
        now = f"cold/photo{suffix}"
        photo.rename(wheel / now)
    if "backup" in way:
        (wheel / now).write_bytes(at_first)
    for _ in range(2):
        changes = apply(indexed, wheel, embedder)
        assert (changes.to_read, changes.left_out) == ((), 1)
        assert now not in indexed.listing.files()
    assert indexed.excluded.paths() == {now}
    indexed.excluded.readmit(indexed.excluded.now([f"warm/photo{suffix}"]))
    assert [path.stem for path in apply(indexed, wheel, embedder).to_read] == ["photo"]


def test_what_was_taken_out_and_edited_twice_and_renamed_twice_stays_out(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    indexed.exclude(["warm/red.png"])
    for turn, (old, new) in enumerate((("red", "rose"), ("rose", "wine"))):
        by_hue(290 + turn, (50 + turn, 40)).save(wheel / f"warm/{old}.png")
        assert not apply(indexed, wheel, embedder).any
        (wheel / f"warm/{old}.png").rename(wheel / f"warm/{new}.png")
        assert not apply(indexed, wheel, embedder).any
        assert indexed.excluded.paths() == {f"warm/{new}.png"}
    assert indexed.excluded.now(["warm/red.png"]) == ["warm/wine.png"]


def test_two_that_were_taken_out_and_changed_places_are_not_taken_for_edited(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        noise((60, 60), seed).save(wheel / f"{name}.bmp")
    apply(indexed, wheel, embedder)
    indexed.exclude(["a.bmp", "b.bmp"])
    (wheel / "a.bmp").rename(wheel / "c.bmp")
    (wheel / "b.bmp").rename(wheel / "a.bmp")
    (wheel / "c.bmp").rename(wheel / "b.bmp")
    assert not apply(indexed, wheel, embedder).any
    (wheel / "b.bmp").rename(wheel / "was a.bmp")
    (wheel / "a.bmp").rename(wheel / "was b.bmp")
    assert not apply(indexed, wheel, embedder).any
    assert indexed.excluded.now(["a.bmp", "b.bmp"]) == ["was a.bmp", "was b.bmp"]


def test_a_copy_of_what_was_taken_out_and_edited_is_new(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    shutil.copy(wheel / "warm/red.png", wheel.parent / "backup.png")
    indexed.exclude(["warm/red.png"])
    by_hue(300).save(wheel / "warm/red.png")
    assert not apply(indexed, wheel, embedder).any
    shutil.copy(wheel.parent / "backup.png", wheel / "again.png")
    assert [path.name for path in apply(indexed, wheel, embedder).to_read] == ["again.png"]
    assert indexed.excluded.paths() == {"warm/red.png"}


def test_nothing_that_was_taken_out_is_read_where_none_was_edited(
    indexed: Collection, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed.exclude(["warm/red.png", "cold/blue.png"])
    read_by(monkeypatch, pytest.fail)
    assert not find_changes(indexed, wheel).any
    with indexed.store.transaction() as records:  # as an earlier version left it
        records.execute("DELETE FROM facts WHERE key = 'excluded_seen'")
    for _ in range(2):
        assert not find_changes(indexed, wheel).any
    assert indexed.excluded.seen().keys() == {"warm/red.png", "cold/blue.png"}


def test_what_an_earlier_version_took_out_without_a_note_stays_out_when_it_is_renamed(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    indexed.exclude(["warm/red.png", "cold/blue.png"])
    with indexed.store.transaction() as records:
        records.execute("DROP TABLE excluded_files")
        records.execute("DELETE FROM facts WHERE key = 'excluded_seen'")
    assert not apply(indexed, wheel, embedder).any
    (wheel / "warm").rename(wheel / "hot")
    (wheel / "cold/blue.png").rename(wheel / "sea.png")
    for _ in range(2):
        assert apply(indexed, wheel, embedder).left_out == 2
        assert indexed.listing.count() == (4, 0)
    assert indexed.excluded.paths() == {"hot/red.png", "sea.png"}


@pytest.mark.parametrize("looked", [True, False], ids=["looked between", "at once"])
def test_what_was_taken_out_and_moved_is_let_in_again_where_it_is_now_and_listed_once(
    indexed: Collection, wheel: Path, embedder: Embedder, looked: bool
) -> None:
    indexed.exclude(["warm/red.png", "cold/blue.png"])
    out = indexed.excluded.paths()
    (wheel / "warm/red.png").rename(wheel / "cold/red.png")
    if looked:
        assert not find_changes(indexed, wheel).any
        out = indexed.excluded.paths()
    found = find_changes(indexed, wheel, out)
    assert found.let_in == ("cold/blue.png", "cold/red.png")
    assert sorted(path.name for path in found.to_read) == ["blue.png", "red.png"]
    shown = opened_markup.changes("wheel", found, wheel)
    assert shown.count("cold/red.png") == 1
    assert "new<" not in shown
    assert "warm/red.png" not in shown
    assert not find_changes(indexed, wheel).any  # it is asked for each time
    indexed.excluded.readmit(found.let_in)
    assert apply(indexed, wheel, embedder).new == 2
    assert indexed.listing.count() == (6, 0)


def test_what_was_taken_out_and_is_in_the_folder_no_more_is_not_offered_to_be_let_in(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    indexed.exclude(["warm/red.png", "cold/blue.png", "cold/cyan.png"])
    blue = (wheel / "cold/blue.png").read_bytes()
    (wheel / "cold/blue.png").unlink()
    (wheel / "cold/cyan.png").rename(wheel / "cyan.png")
    assert find_changes(indexed, wheel).left_out == 2
    found = find_changes(indexed, wheel, indexed.excluded.paths())
    assert (found.let_in, found.left_out) == (("cyan.png", "warm/red.png"), 0)
    found = find_changes(indexed, wheel, {"cold/blue.png", "cyan.png"})
    assert (found.let_in, found.left_out) == (("cyan.png",), 1)
    indexed.excluded.readmit(["cyan.png", "warm/red.png"])
    apply(indexed, wheel, embedder)
    found = find_changes(indexed, wheel, indexed.excluded.paths())
    assert (found.any, found.left_out) == (False, 0)
    (wheel / "cold/blue.png").write_bytes(blue)  # it is back, and still out
    found = find_changes(indexed, wheel)
    assert (found.any, found.left_out) == (False, 1)


def test_a_picture_that_moved_to_the_place_of_one_that_is_let_in_keeps_what_is_known_of_it(
    indexed: Collection, wheel: Path
) -> None:
    indexed.exclude(["warm/red.png"])
    (wheel / "cold/blue.png").replace(wheel / "warm/red.png")
    found = find_changes(indexed, wheel)
    assert (found.vanished, found.moved) == (
        ("cold/blue.png",),
        (),
    )  # it may be the old one, edited
    found = find_changes(indexed, wheel, indexed.excluded.paths())
    assert [(move.old, move.new.path) for move in found.moved] == [
        ("cold/blue.png", "warm/red.png")
    ]
    assert (found.vanished, found.to_read) == ((), ())


def test_what_was_taken_out_stays_out_where_files_are_numbered_anew(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    names = [f"{number}.png" for number in range(6)]
    for number in (1, 2, 3):
        noise((20 + number, 20), number).save(wheel / names[number])  # each of another size
    apply(indexed, wheel, embedder)
    indexed.exclude(names[1:4])
    for turn in (1, 2):
        for number in (3, 2, 1):
            (wheel / names[number + turn - 1]).rename(wheel / names[number + turn])
        noise((60 + turn, 20), 60 + turn).save(wheel / names[turn])
        assert [path.name for path in apply(indexed, wheel, embedder).to_read] == [names[turn]]
        assert indexed.excluded.paths() == {*names[1 + turn : 4 + turn]}
        assert not find_changes(indexed, wheel).any
        assert indexed.excluded.now(names[1:4]) == names[1 + turn : 4 + turn]
        assert indexed.excluded.now(names[3:4]) == [names[3 + turn]]


def test_where_earlier_versions_have_seen_what_was_taken_out_it_stays_out(
    indexed: Collection, wheel: Path
) -> None:
    indexed.exclude(["warm/red.png", "cold/blue.png"])
    for old, new in (("warm/red.png", "red.png"), ("cold/blue.png", "blue.png")):
        file = indexed.excluded.files()[old]
        with indexed.store.transaction() as records:
            records.execute("INSERT INTO excluded_files VALUES (?, ?, ?)", (new, *file))
        (wheel / old).rename(wheel / new)
    by_hue(300).save(wheel / "red.png")  # edited since
    (wheel / "blue.png").rename(wheel / "cold/sea.png")
    assert not find_changes(indexed, wheel).any
    assert indexed.excluded.paths() == {"red.png", "cold/sea.png"}
    assert indexed.excluded.files().keys() == {"red.png", "cold/sea.png"}


@pytest.mark.parametrize("suffix", [".png", ".bmp"], ids=["of another size", "of its size"])
@pytest.mark.parametrize("looked", [True, False], ids=["looked between", "at once"])
def test_another_photo_under_the_old_name_of_one_that_was_taken_out_is_new(
    indexed: Collection,
    wheel: Path,
    embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    looked: bool,
) -> None:
    photo, moved = wheel / f"IMG_0001{suffix}", wheel / f"2024/IMG_0001{suffix}"
    noise((60, 60), 1).save(photo)
    apply(indexed, wheel, embedder)
    indexed.exclude([photo.name])
    moved.parent.mkdir()
    photo.rename(moved)
    if looked:
        assert not apply(indexed, wheel, embedder).any
    noise((60, 60), 2).save(photo)  # as cameras number anew
    assert [path.name for path in apply(indexed, wheel, embedder).to_read] == [photo.name]
    assert photo.name in indexed.listing.files()
    assert indexed.excluded.paths() == {f"2024/{photo.name}"}
    with monkeypatch.context() as patch:
        read_by(patch, pytest.fail)
        assert not find_changes(indexed, wheel).any
    moved.rename(wheel / f"back{suffix}")
    assert not apply(indexed, wheel, embedder).any
    indexed.excluded.readmit(indexed.excluded.paths())
    assert [path.stem for path in apply(indexed, wheel, embedder).to_read] == ["back"]


def test_what_was_taken_out_stays_out_where_it_is_edited_beside_others_of_its_size(
    indexed: Collection, wheel: Path, embedder: Embedder
) -> None:
    for name in ("a", "b"):
        noise((60, 60), 1).save(wheel / f"{name}.bmp")
    apply(indexed, wheel, embedder)
    indexed.exclude(["a.bmp", "b.bmp"])
    noise((60, 60), 2).save(wheel / "a.bmp")
    noise((60, 60), 3).save(wheel / "new.bmp")
    assert [path.name for path in apply(indexed, wheel, embedder).to_read] == ["new.bmp"]
    (wheel / "b.bmp").rename(wheel / "c.bmp")
    for _ in range(2):
        assert not apply(indexed, wheel, embedder).any
    assert indexed.listing.count() == (7, 0)


@pytest.mark.parametrize(
    ("there", "out", "renamed", "left"),
    [
        (("a/one.png", "b/two.png"), "a/one.png", {"a": "c", "b": "d"}, "d/two.png"),
        (("a/one.png", "b/two.png"), "b/two.png", {"a": "d", "b": "c"}, "d/one.png"),
        (("old/a/x.png", "old/b/x.png"), "old/a/x.png", {"old": "new"}, "new/b/x.png"),
        (("old/a/x.png", "old/b/x.png"), "old/b/x.png", {"old": "new"}, "new/a/x.png"),
    ],
    ids=["the first", "the second", "the first of a name", "the second of a name"],
)
def test_of_copies_that_are_renamed_together_the_one_that_was_taken_out_stays_out(
    indexed: Collection,
    wheel: Path,
    embedder: Embedder,
    there: tuple[str, ...],
    out: str,
    renamed: dict[str, str],
    left: str,
) -> None:
    for name in there:
        (wheel / name).parent.mkdir(parents=True)
        by_hue(300).save(wheel / name)
    apply(indexed, wheel, embedder)
    (id_,) = (
        picture.id for picture in indexed.listing.pictures() if picture.path in {*there} - {out}
    )
    indexed.exclude([out])
    for old, new in renamed.items():
        (wheel / old).rename(wheel / new)
    changes = apply(indexed, wheel, embedder)
    assert [move.new.path for move in changes.moved] == [left]
    assert [picture.path for picture in indexed.listing.pictures([id_])] == [left]
    assert indexed.listing.count() == (7, 0)
    indexed.excluded.readmit(indexed.excluded.now([out]))
    apply(indexed, wheel, embedder)
    assert indexed.listing.count() == (8, 0)
