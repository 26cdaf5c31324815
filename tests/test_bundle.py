"""Packed collections: they open elsewhere as they were, and what does not fit is refused."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retrieval import bundle, bundle_photos, settings, staging, unbundling
from retrieval.__main__ import main
from retrieval.bundle import Photos, pack
from retrieval.caption_tables import NAME, keep_captions
from retrieval.captions import MAX_COLUMNS
from retrieval.changes import find_changes
from retrieval.checking import check_collection
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.files import inside
from retrieval.indexing import index_folder
from retrieval.library import folders_in
from retrieval.lost import give_up
from retrieval.records import Entry
from retrieval.schema import COLUMNS
from retrieval.staging import SPARE_BYTES
from retrieval.trash import empty_trash
from retrieval.unbundling import open_once, photos_of, unpack_bundle
from tests.made import by_hue, encode, mean_colour, noise, read_manifest, slow_jpeg, vast_jpeg


@pytest.fixture
def packed(indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path) -> Path:
    """The colour wheel in one file, with captions, a copy and a file that cannot be read."""
    (wheel / "captions.csv").write_text('filename,label,mood\nwarm/red.png,hot,"angry, loud"\n')
    (wheel / "warm" / "copy of red.png").write_bytes((wheel / "warm/red.png").read_bytes())
    (wheel / "broken.jpg").write_bytes(b"no")
    for _ in index_folder(indexed, wheel, embedder, find_changes(indexed, wheel)):
        pass
    pack(indexed, tmp_path / "wheel.lookalike")
    return tmp_path / "wheel.lookalike"


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Return a copy of a bundle whose members have gone through `change`."""
    copy = path.with_name("changed.lookalike")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return copy


def test_what_is_opened_is_what_was_packed(
    packed: Path, indexed: Collection, embedder: Embedder, tmp_path: Path
) -> None:
    with Collection(unpack_bundle(packed, tmp_path / "library", embedder)) as opened:
        assert opened.name == "wheel"
        assert opened.listing.count() == indexed.listing.count() == (7, 1)
        assert opened.listing.problems() == indexed.listing.problems()
        assert opened.root is None
        ours = {picture.path: picture for picture in indexed.listing.pictures()}
        for picture in opened.listing.pictures():
            twin = ours[picture.path]
            assert (picture.sha256, picture.label, picture.captions) == (
                twin.sha256,
                twin.label,
                twin.captions,
            )
            assert opened.thumbnail(picture.sha256) == indexed.thumbnail(twin.sha256)
        for aspect in ("subject", "colour", "texture"):
            theirs, mine = opened.embeddings(aspect).vectors, indexed.embeddings(aspect).vectors
            assert theirs == pytest.approx(mine, abs=1e-3)
        red = next(p for p in opened.listing.pictures() if p.path == "warm/red.png")
        assert (red.label, red.captions) == ("hot", {"mood": "angry, loud"})


def test_a_comment_that_an_older_program_left_in_a_thumbnail_stays_here(
    indexed: Collection, tmp_path: Path
) -> None:
    address = b"Grandma's house, Elm St 4"
    kept = encode(by_hue(0), "JPEG", comment=address)
    assert address in kept
    with indexed.store.thumbnails() as database:
        database.execute("UPDATE thumbnails SET jpeg = ?", (kept,))
    pack(indexed, tmp_path / "wheel.lookalike")
    assert address not in (tmp_path / "wheel.lookalike").read_bytes()
    assert indexed.thumbnail(indexed.listing.pictures()[0].sha256) == encode(by_hue(0), "JPEG")


def test_the_photos_come_along_only_when_asked_for(
    packed: Path, indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    with zipfile.ZipFile(packed) as bundle:
        assert not [name for name in bundle.namelist() if name.startswith("photos/")]
    pack(indexed, tmp_path / "with.lookalike", photos=True)
    library = tmp_path / "library"
    with Collection(unpack_bundle(tmp_path / "with.lookalike", library, embedder)) as opened:
        assert opened.root is not None
        for picture in opened.listing.pictures():
            assert (opened.root / picture.path).read_bytes() == (wheel / picture.path).read_bytes()
        assert (opened.root / "broken.jpg").read_bytes() == b"no"
        assert photos_of(opened) == Photos(8, 0)
        assert not opened.unfinished
        assert not find_changes(opened, opened.root).any


def moved_by_file(collection: Collection, embedder: Embedder, folder: Path) -> Collection:
    """Take a collection with its photos to another computer."""
    pack(collection, folder / "moved.lookalike", photos=True)
    return Collection(unpack_bundle(folder / "moved.lookalike", folder / "there", embedder))


def build(collection: Collection, embedder: Embedder) -> None:
    root = collection.root
    assert root is not None
    list(index_folder(collection, root, embedder, find_changes(collection, root)))


def test_a_photo_edited_since_comes_along_as_it_is_and_is_read_there(
    packed: Path, indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    by_hue(120).save(wheel / "warm" / "yellow.png")
    by_hue(300).save(wheel / "warm" / "copy of red.png")  # whose twin is as it was
    with moved_by_file(indexed, embedder, tmp_path) as opened:
        assert opened.root is not None
        for picture in opened.listing.pictures():
            assert (opened.root / picture.path).read_bytes() == (wheel / picture.path).read_bytes()
        assert photos_of(opened) == Photos(8, 0)
        assert opened.unfinished  # so that the page offers to go on
        changes = find_changes(opened, opened.root)
        assert changes.changed == ("warm/copy of red.png", "warm/yellow.png")
        known = {picture.path: picture.sha256 for picture in opened.listing.pictures()}
        assert known["warm/copy of red.png"] == known["warm/red.png"]
        build(opened, embedder)
        known = {picture.path: picture.sha256 for picture in opened.listing.pictures()}
        assert known["warm/copy of red.png"] != known["warm/red.png"]
        assert opened.listing.count() == (7, 1)
        assert not find_changes(opened, opened.root).any


def test_what_an_older_program_packed_under_another_hash_is_kept_as_the_file_that_it_is(
    packed: Path, indexed: Collection, embedder: Embedder, tmp_path: Path
) -> None:
    pack(indexed, tmp_path / "photos.lookalike", photos=True)
    shas = {picture.path: picture.sha256 for picture in indexed.listing.pictures()}
    edited = [f"photos/{shas[name]}.png" for name in ("cold/blue.png", "warm/red.png")]

    def edit(name: str, data: bytes) -> bytes:
        return b"rotated" if name in edited else data

    bundle = rewritten(tmp_path / "photos.lookalike", edit)
    with Collection(unpack_bundle(bundle, tmp_path / "library", embedder)) as opened:
        assert opened.root is not None
        assert (opened.root / "cold/blue.png").read_bytes() == b"rotated"
        # Of two paths it was the last one whose file they took.
        assert not (opened.root / "warm/copy of red.png").exists()
        assert (opened.root / "warm/red.png").read_bytes() == b"rotated"
        assert photos_of(opened) == Photos(7, 1)
        assert find_changes(opened, opened.root).changed == ("cold/blue.png", "warm/red.png")


def test_a_photo_too_large_to_be_read_is_left_out_and_so_is_none_where_the_disk_is_full(
    indexed: Collection, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "with.lookalike"
    os.truncate(wheel / "warm/red.png", 5_001)
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "MAX_FILE_BYTES", 5_000)
        assert pack(indexed, path, photos=True) == Photos(5, 1)
    with zipfile.ZipFile(path) as packed:
        assert len([name for name in packed.namelist() if name.startswith("photos/")]) == 5
    path.unlink()
    with_free(monkeypatch, SPARE_BYTES - 1)
    monkeypatch.setattr(staging, "LOOK_BYTES", 1_000)
    with pytest.raises(LookalikeError, match=r"disk is full.*Free some space"):
        pack(indexed, path, photos=True)
    assert not list(tmp_path.glob("*with.lookalike*"))


def test_a_photo_comes_along_by_any_of_its_paths(
    indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    for twin in ("a.png", "warm/red.jpg", "z.png"):
        (wheel / twin).write_bytes((wheel / "warm/red.png").read_bytes())
    build(indexed, embedder)
    (wheel / "z.png").unlink()
    (wheel / "a.png").unlink()
    with moved_by_file(indexed, embedder, tmp_path) as opened:
        assert opened.root is not None
        there = {path.relative_to(opened.root).as_posix() for path in opened.root.rglob("*.*")}
        assert there == {picture.path for picture in opened.listing.pictures()}  # no copy was lost
        assert photos_of(opened) == Photos(9, 0)
    assert read_manifest(tmp_path / "moved.lookalike")["missing"] == 2


@pytest.mark.skipif(os.name == "nt", reason="no name has a colon there")
def test_a_photo_whose_name_could_be_a_drives_comes_along(
    indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    (wheel / "A: Holiday").mkdir()
    (wheel / "warm/red.png").rename(wheel / "A: Holiday" / "red.png")
    (wheel / "cold/blue.png").rename(wheel / "b:blue.png")
    build(indexed, embedder)
    with moved_by_file(indexed, embedder, tmp_path) as opened:
        assert opened.root is not None
        assert photos_of(opened) == Photos(6, 0)
        assert (opened.root / "A: Holiday" / "red.png").is_file()
        assert (opened.root / "b:blue.png").is_file()


def test_photos_that_are_not_there_are_counted(
    indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    (wheel / "cold/blue.png").unlink()
    assert pack(indexed, tmp_path / "x.lookalike") == Photos(0, 0)
    assert pack(indexed, tmp_path / "x.lookalike", photos=True) == Photos(5, 1)
    manifest = read_manifest(tmp_path / "x.lookalike")
    assert (manifest["photos"], manifest["missing"]) == (5, 1)
    with Collection(unpack_bundle(tmp_path / "x.lookalike", tmp_path, embedder)) as opened:
        assert photos_of(opened) == Photos(5, 1)


def test_photos_of_which_none_is_there_are_not_packed_over_a_file_that_has_them(
    indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    path = tmp_path / "x.lookalike"
    pack(indexed, path, photos=True)
    before = path.read_bytes()
    wheel.rename(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(LookalikeError, match=r"^None of the photos of .* connect it; or pack"):
            pack(indexed, path, photos=True)
        wheel.mkdir(exist_ok=True)  # where the disk is connected
    assert path.read_bytes() == before

    def without_photos(name: str, data: bytes) -> bytes | None:
        if name == "manifest.json":
            return json.dumps({**json.loads(data), "photos": 0, "missing": 6}).encode()
        return None if name.startswith("photos/") else data

    # As versions before this one did.
    earlier = rewritten(path, without_photos)
    with Collection(unpack_bundle(earlier, tmp_path, embedder)) as opened:
        assert (opened.root, photos_of(opened)) == (None, Photos(0, 6))
        with pytest.raises(LookalikeError, match=r"are not here\. Pack it without the photos"):
            pack(opened, path, photos=True)


def test_a_file_that_could_not_be_read_is_tried_again_only_when_it_has_changed(
    packed: Path, indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    by_hue(120).save(wheel / "broken.jpg")
    with moved_by_file(indexed, embedder, tmp_path) as opened:
        assert opened.unfinished
        build(opened, embedder)
        assert opened.listing.count() == (8, 0)


def test_a_lost_vector_is_computed_there_where_its_photo_came_along(
    indexed: Collection, embedder: Embedder, tmp_path: Path
) -> None:
    red = next(picture for picture in indexed.listing.pictures() if picture.path == "warm/red.png")
    vectors = indexed.embeddings().vectors
    give_up(indexed.store, [red.sha256], True)
    with moved_by_file(indexed, embedder, tmp_path) as opened:
        assert opened.unfinished
        assert opened.to_read_again() == {red.sha256}
        build(opened, embedder)
        assert opened.embeddings().vectors == pytest.approx(vectors)
        assert not opened.to_read_again()


@pytest.mark.parametrize("photos", [False, True])
def test_a_vector_of_which_a_disk_has_lost_a_part_is_lost_and_nothing_else_of_the_file(
    indexed: Collection, embedder: Embedder, tmp_path: Path, photos: bool
) -> None:
    yellow = next(p for p in indexed.listing.pictures() if p.path == "warm/yellow.png")
    vectors = indexed.embeddings().vectors
    rest = np.array([0.7, 0, 0], "<f4").tobytes()
    with indexed.store.change() as database:
        database.execute(
            "UPDATE contents SET embedding = ? WHERE sha256 = ?", (rest, yellow.sha256)
        )
    pack(indexed, tmp_path / "torn.lookalike", photos)
    folder = unpack_bundle(tmp_path / "torn.lookalike", tmp_path / "library", embedder)
    with Collection(folder) as opened:
        assert opened.to_read_again() == {yellow.sha256}
        lengths = np.linalg.norm(opened.embeddings().vectors, axis=1)
        assert sorted(lengths) == pytest.approx([0, 1, 1, 1, 1, 1])
        assert opened.unfinished == photos
        if photos:
            build(opened, embedder)
            assert opened.embeddings().vectors == pytest.approx(vectors)
    said = [finding.sentence for finding in check_collection(folder)]
    assert said == ([] if photos else ["warm/yellow.png: its vector is lost."])


@pytest.mark.parametrize("photos", [False, True])
def test_a_picture_of_one_flat_colour_comes_along_without_a_direction(
    indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path, photos: bool
) -> None:
    Image.new("RGB", (40, 30)).save(wheel / "black.png")
    noise((40, 30)).save(wheel / "clouds.png")
    build(indexed, embedder)
    assert not indexed.embeddings("sketch").vectors.any(axis=1).all()
    pack(indexed, tmp_path / "flat.lookalike", photos)
    folder = unpack_bundle(tmp_path / "flat.lookalike", tmp_path / "library", embedder)
    with Collection(folder) as opened:
        assert opened.listing.count() == (8, 0)
        assert not opened.unfinished
        assert not opened.to_read_again()
        for aspect in COLUMNS:
            theirs, ours = opened.embeddings(aspect).vectors, indexed.embeddings(aspect).vectors
            assert theirs == pytest.approx(ours, abs=1e-3)
    assert check_collection(folder) == []


@pytest.fixture
def repeated(indexed: Collection, tmp_path: Path) -> Path:
    """A bundle with photos that names each of them in a hundred places."""
    pack(indexed, tmp_path / "photos.lookalike", photos=True)

    def repeat(name: str, data: bytes) -> bytes:
        if name != "pictures.jsonl":
            return data
        return b"".join(data.replace(b'.png"', b' %d.png"' % n) for n in range(100))

    return rewritten(tmp_path / "photos.lookalike", repeat)


def with_free(monkeypatch: pytest.MonkeyPatch, *free: int) -> None:
    """Have the disk say that so many bytes are free, one after the other."""
    usage, left = shutil.disk_usage("/"), list(free)
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda path: usage._replace(free=left.pop(0) if len(left) > 1 else left[0]),
    )


def test_photos_that_the_disk_has_no_room_for_are_refused(
    repeated: Path, wheel: Path, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 100 * sum(photo.stat().st_size for photo in wheel.rglob("*.png"))
    library = tmp_path / "library"
    with_free(monkeypatch, SPARE_BYTES + size - 1)
    with pytest.raises(LookalikeError, match=r"The disk has .* left, too little .*Free some space"):
        unpack_bundle(repeated, library, embedder)
    assert not list(library.glob("*"))
    with_free(monkeypatch, SPARE_BYTES + size)
    with Collection(unpack_bundle(repeated, library, embedder)) as opened:
        assert photos_of(opened) == Photos(600, 0)


def test_a_disk_that_fills_up_while_photos_are_written_leaves_nothing(
    repeated: Path, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "library"
    monkeypatch.setattr(staging, "LOOK_BYTES", 1_000)
    with_free(monkeypatch, 10**12, 10**12, SPARE_BYTES - 1)
    with pytest.raises(LookalikeError, match=r"The disk is full"):
        unpack_bundle(repeated, library, embedder)
    assert not list(library.glob("*"))


def test_a_photo_that_lies_in_very_many_places_comes_along_in_some(
    repeated: Path, wheel: Path, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = max(photo.stat().st_size for photo in wheel.rglob("*.png"))
    monkeypatch.setattr(bundle_photos, "MAX_COPIED_BYTES", 10 * largest)
    monkeypatch.setattr(bundle_photos, "MAX_COPIES", 1)
    with Collection(unpack_bundle(repeated, tmp_path / "library", embedder)) as opened:
        photos = photos_of(opened)
        assert 6 * 10 <= photos.packed < 6 * 100
        assert photos.packed + photos.missing == 600


@pytest.mark.parametrize("copies", [100, 3])
def test_a_large_photo_comes_along_in_as_many_places_as_a_small_one(
    repeated: Path,
    wheel: Path,
    embedder: Embedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    copies: int,
) -> None:
    monkeypatch.setattr(bundle_photos, "MAX_COPIED_BYTES", 1)
    monkeypatch.setattr(bundle_photos, "MAX_COPIES", copies)
    size = copies * sum(photo.stat().st_size for photo in wheel.rglob("*.png"))
    with_free(monkeypatch, SPARE_BYTES + size)  # what is not written needs no room
    with Collection(unpack_bundle(repeated, tmp_path / "library", embedder)) as opened:
        assert photos_of(opened) == Photos(6 * copies, 600 - 6 * copies)


@pytest.mark.skipif(os.name == "nt", reason="the names cannot be had there")
def test_two_paths_that_are_one_elsewhere_both_come_along(
    indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    by_hue(100).save(wheel / "a\\b.png")
    (wheel / "a").mkdir()
    by_hue(140).save(wheel / "a" / "b.png")
    by_hue(170).save(wheel / "a" / "b (2).png")
    build(indexed, embedder)
    ours = {picture.sha256: picture.path for picture in indexed.listing.pictures()}
    with moved_by_file(indexed, embedder, tmp_path) as opened:
        assert opened.root is not None
        assert opened.listing.count() == (9, 0)
        for picture in opened.listing.pictures():
            path = ours[picture.sha256]
            assert (opened.root / picture.path).read_bytes() == (wheel / path).read_bytes()
            assert picture.path == path.replace("a\\b.png", "a/b (3).png")
        assert not find_changes(opened, opened.root).any


def test_a_file_where_a_folder_would_be_costs_only_what_is_in_it(
    indexed: Collection, embedder: Embedder, tmp_path: Path
) -> None:
    pack(indexed, tmp_path / "photos.lookalike", photos=True)

    def edit(name: str, data: bytes) -> bytes:
        return data.replace(b"warm/red.png", b"cold/blue.png/x.png")

    bundle = rewritten(tmp_path / "photos.lookalike", edit)
    with Collection(unpack_bundle(bundle, tmp_path / "library", embedder)) as opened:
        assert photos_of(opened) == Photos(5, 1)


def test_files_of_a_broken_clock_are_packed(
    indexed: Collection, embedder: Embedder, tmp_path: Path
) -> None:
    with indexed.store.transaction() as database:
        database.execute(f"UPDATE pictures SET modified = {-(2**63)}")
    pack(indexed, tmp_path / "x.lookalike")
    with Collection(unpack_bundle(tmp_path / "x.lookalike", tmp_path, embedder)) as opened:
        assert opened.listing.count() == (6, 0)


def test_the_command_line_tells_how_many_photos_came_along(
    wheel: Path, tiny_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", str(tiny_files), "--cpu"]
    bundle = str(tmp_path / "x.lookalike")
    main(["index", str(wheel), *options])
    (wheel / "warm/red.png").unlink()
    capsys.readouterr()
    assert main(["pack", bundle, "--photos"]) == 0
    assert "6 pictures of wheel, " in (said := capsys.readouterr().out)
    assert said.endswith("MB; 5 photos are in it, 1 is missing\n")
    assert main(["unpack", bundle, *options]) == 0
    said = capsys.readouterr().out
    assert said == "wheel 2: 6 pictures ready; 5 photos came along, 1 is missing\n"
    assert main(["pack", bundle, "--name", "wheel"]) == 0
    assert capsys.readouterr().out.endswith(" MB\n")
    shutil.rmtree(wheel / "warm")
    shutil.rmtree(wheel / "cold")
    by_hue(0).save(wheel / "red.png")
    main(["index", str(wheel), *options])
    capsys.readouterr()
    assert main(["pack", bundle, "--name", "wheel", "--photos"]) == 0
    assert ": 1 picture of wheel, " in (said := capsys.readouterr().out)
    assert said.endswith("; 1 photo is in it\n")
    assert main(["unpack", bundle, *options]) == 0
    assert capsys.readouterr().out == "wheel 3: 1 picture ready; 1 photo came along\n"
    (wheel / "torn.jpg").write_bytes(b"no")
    main(["index", str(wheel), *options])
    capsys.readouterr()
    assert main(["pack", bundle, "--name", "wheel", "--photos"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("; 2 photos are in it (with 1 file that could not be read)\n")
    wheel.rename(tmp_path / "elsewhere")
    assert main(["pack", bundle, "--name", "wheel", "--photos"]) == 1
    assert "None of the photos of wheel is there now." in capsys.readouterr().err


def test_packing_writes_over_nothing_but_a_packed_collection(
    wheel: Path, tiny_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["index", str(wheel), "--model", str(tiny_files), "--cpu"])
    left = tmp_path / ".x.lookalike.0123abcd.part"
    left.touch()
    os.utime(left, (0, 0))
    for _ in range(2):
        assert main(["pack", str(tmp_path / "x.lookalike")]) == 0
    assert not left.exists()
    photo = wheel / "warm" / "red.png"
    before = photo.read_bytes()
    assert main(["pack", str(photo)]) == 1
    assert "is no packed collection, so it is not written over" in capsys.readouterr().err
    assert photo.read_bytes() == before
    assert main(["pack", str(tmp_path / "x.zip")]) == 1
    assert f"Name it {tmp_path / 'x.zip'}.lookalike" in capsys.readouterr().err
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes.")
def test_packing_takes_the_place_of_no_device(
    wheel: Path, tiny_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["index", str(wheel), "--model", str(tiny_files), "--cpu"])
    pipe = tmp_path / "x.Lookalike"
    os.mkfifo(pipe)
    assert main(["pack", str(pipe)]) == 1
    assert "is no file. Name another one." in capsys.readouterr().err
    assert pipe.is_fifo()
    pipe.unlink()
    for _ in range(2):
        assert main(["pack", str(pipe)]) == 0


def test_a_name_that_is_blank_is_none_and_one_that_is_no_text_is_refused(
    packed: Path, embedder: Embedder, tmp_path: Path
) -> None:
    with Collection(unpack_bundle(packed, tmp_path / "library", embedder, " \t")) as opened:
        assert opened.name == "wheel"
    blank = rewritten(packed, lambda name, data: data.replace(b'"name": "wheel"', b'"name": " "'))
    with Collection(unpack_bundle(blank, tmp_path / "library", embedder)) as opened:
        assert opened.name == blank.stem
    with pytest.raises(LookalikeError, match=r"That name is not valid text. Choose another one."):
        unpack_bundle(packed, tmp_path / "library", embedder, os.fsdecode(b"F\xfc\xdfe"))


def test_a_picture_of_very_many_captions_keeps_as_many_as_a_table_has_room_for(
    tmp_path: Path,
) -> None:
    many = {f"column {k}": "x" for k in range(MAX_COLUMNS)}
    entries = [
        Entry(f"{n}.png", 1, 1, label, "0" * 64, details=json.dumps(many))
        for n, label in enumerate(["", "", "named"])
    ]
    kept = keep_captions(tmp_path, entries)
    assert [entry.label for entry in kept] == ["", "", "named"]
    assert [len(json.loads(entry.details)) for entry in kept] == [
        *(MAX_COLUMNS - 1, MAX_COLUMNS - 1, MAX_COLUMNS - 2)
    ]
    assert len(list(tmp_path.glob("*.csv"))) == 2


AWKWARD = 'angry, "loud";\nand = late'


def test_labels_and_captions_outlive_that_the_photos_are_read_again(
    indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    named = [' "a"; b,c.png', "=cmd.png"] if os.name != "nt" else ["b,c.png"]
    for name in named:
        by_hue(100).save(wheel / name)
    build(indexed, embedder)
    mood = json.dumps({"the mood; of it": AWKWARD, "day\rtime": "x"}, ensure_ascii=False)
    indexed.caption(
        [
            ("warm/red.png", "hot", mood),
            ("cold/blue.png", "cold", '{"z": "1", "day\\rtime": "2"}'),
            *((name, "l;a", "") for name in named),
        ]
    )
    before = indexed.listing.captions()
    with moved_by_file(indexed, embedder, tmp_path) as opened:
        assert opened.root is not None
        assert {path: label for path, (label, _) in opened.listing.captions().items()} == {
            path: label for path, (label, _) in before.items()
        }
        known = {picture.path: picture.captions for picture in opened.listing.pictures()}
        assert known == {picture.path: picture.captions for picture in indexed.listing.pictures()}
        table = (opened.root / NAME).read_text("utf-8-sig")
        assert "yellow" not in table  # of which there is nothing to say
        assert not find_changes(opened, opened.root).any
        captions = opened.listing.captions()
        for path in opened.root.rglob("*.png"):
            os.utime(path, (1, 1))
        opened.write([], vanished=["warm/red.png"])  # as repairing does
        assert len(find_changes(opened, opened.root).to_read) == len(captions)
        build(opened, embedder)
        assert opened.listing.captions() == captions


def test_captions_of_more_columns_than_a_table_has_take_several(tmp_path: Path) -> None:
    entries = [
        Entry(f"{n}.png", 1, 1, "", "0" * 64, details=json.dumps({f"column of {n}": "x"}))
        for n in range(3)
    ]
    wide = json.dumps({f"column {k}": str(k) for k in range(MAX_COLUMNS - 3)})
    entries.append(Entry("wide.png", 1, 1, "", "0" * 64, details=wide))
    assert keep_captions(tmp_path, entries) == entries
    assert len(list(tmp_path.glob("*.csv"))) == 2
    assert keep_captions(tmp_path / "none", [Entry("a/b.png", 1, 1, "a", "0" * 64)])
    assert not (tmp_path / "none").exists()


def test_photos_of_any_time_are_packed_and_none_from_elsewhere(
    packed: Path, indexed: Collection, wheel: Path, tmp_path: Path
) -> None:
    os.utime(wheel / "warm/red.png", (1, 1))  # ZIP knows no time before 1980
    outside = tmp_path / "secret.png"
    outside.write_bytes((wheel / "cold/blue.png").read_bytes())
    with indexed.store.transaction() as database:
        database.execute("UPDATE pictures SET path = '../secret.png' WHERE path = 'cold/blue.png'")
    pack(indexed, tmp_path / "photos.lookalike", photos=True)
    with zipfile.ZipFile(tmp_path / "photos.lookalike") as bundle:
        photos = [name for name in bundle.namelist() if name.startswith("photos/")]
        shas = {p.path: p.sha256 for p in indexed.listing.pictures()}
        assert f"photos/{shas['warm/red.png']}.png" in photos
        assert f"photos/{shas['../secret.png']}.png" not in photos


def test_a_lost_thumbnail_is_told_when_packing(indexed: Collection, tmp_path: Path) -> None:
    with indexed.store.thumbnails() as thumbnails:
        thumbnails.execute("DELETE FROM thumbnails WHERE sha256 > '8'")
    with pytest.raises(LookalikeError, match=r"lost its small picture.*--repair"):
        pack(indexed, tmp_path / "x.lookalike")
    assert not (tmp_path / "x.lookalike").exists()


def test_half_an_opened_collection_is_never_seen(
    packed: Path, embedder: Embedder, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    whole = unpack_bundle(packed, library, embedder)
    whole.rename(library / ".opening-wheel")  # as a kill leaves it
    assert folders_in(library) == []
    again = open_once(packed, tmp_path / "once", embedder)
    again.rename(again.with_name(".opening-x"))
    assert open_once(packed, tmp_path / "once", embedder).name == "wheel"
    empty_trash(library, -1)
    assert list(library.iterdir()) == []


def test_what_a_killed_opening_left_is_deleted_by_the_next_one(
    packed: Path, embedder: Embedder, tmp_path: Path
) -> None:
    program = (
        "import os, sys; from pathlib import Path; from retrieval import unbundling\n"
        "from tests.made import mean_colour\n"
        "unbundling.settle = lambda *_: os.kill(os.getpid(), 9)\n"
        "unbundling.unpack_bundle(Path(sys.argv[1]), Path(sys.argv[2]), mean_colour())"
    )
    library = tmp_path / "library"
    command = [sys.executable, "-c", program, str(packed), str(library)]
    assert subprocess.run(command, cwd=settings.PROJECT, check=False).returncode != 0
    assert [path.name.startswith(".opening-") for path in library.iterdir()] == [True, True]
    whole = unpack_bundle(packed, library, embedder)
    assert list(library.iterdir()) == [whole]


def test_two_who_open_the_same_file_at_once_get_a_whole_one_each(
    packed: Path, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, opened = tmp_path / "library", []
    read = unbundling._thumbnail

    def read_while_another_opens_it(bundle: zipfile.ZipFile, sha256: str) -> bytes:
        monkeypatch.setattr(unbundling, "_thumbnail", read)
        opened.append(unpack_bundle(packed, library, embedder))
        return read(bundle, sha256)

    monkeypatch.setattr(unbundling, "_thumbnail", read_while_another_opens_it)
    opened.append(unpack_bundle(packed, library, embedder))
    assert [folder.name for folder in opened] == ["wheel", "wheel-2"]
    assert sorted(library.iterdir()) == opened
    for folder in opened:
        assert check_collection(folder) == []
        with Collection(folder) as collection:
            assert collection.listing.count() == (7, 1)


def test_photos_without_their_table_keep_their_captions_when_one_is_added(
    packed: Path, indexed: Collection, embedder: Embedder, tmp_path: Path
) -> None:
    pack(indexed, tmp_path / "photos.lookalike", photos=True)
    with Collection(
        unpack_bundle(tmp_path / "photos.lookalike", tmp_path / "library", embedder)
    ) as opened:
        assert opened.root is not None
        assert not find_changes(opened, opened.root).recaptioned
        by_path = {picture.path: picture for picture in opened.listing.pictures()}
        assert by_path["warm/red.png"].captions == {"mood": "angry, loud"}


def test_a_second_opening_gets_a_folder_of_its_own(
    packed: Path, embedder: Embedder, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    first = unpack_bundle(packed, library, embedder)
    second = unpack_bundle(packed, library, embedder, name="again")
    third = unpack_bundle(packed, library, embedder)
    assert len({first, second, third}) == 3
    assert not list(library.glob(".*"))


def test_a_file_that_was_opened_is_not_opened_again_and_another_takes_its_place(
    packed: Path, embedder: Embedder, tmp_path: Path
) -> None:
    folder = tmp_path / "opened"
    first = open_once(packed, folder, embedder)
    written = (first / "collection.sqlite").stat().st_mtime_ns
    assert open_once(packed, folder, embedder) == first
    assert (first / "collection.sqlite").stat().st_mtime_ns == written

    def other(name: str, data: bytes) -> bytes:
        return data.replace(b'"wheel"', b'"other"') if name == "manifest.json" else data

    second = open_once(rewritten(packed, other), folder, embedder)
    assert not first.exists()
    with Collection(second, read_only=True) as opened:
        assert opened.name == "other"


def test_another_model_is_refused_with_the_reason(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"made with another model"):
        unpack_bundle(packed, tmp_path / "library", mean_colour("1" * 64))
    assert not list((tmp_path / "library").glob("*"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fingerprint": "x"}, "another PCA"),
        ({"fingerprint": "x", "card": {}}, "another model"),
        ({"version": 99}, "newer version"),
        ({"format": "something"}, "not a collection of Lookalike"),
    ],
    ids=["pca", "model", "newer", "other"],
)
def test_manifests_that_do_not_fit_say_why(
    packed: Path, embedder: Embedder, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    with pytest.raises(LookalikeError, match=reason):
        unpack_bundle(with_manifest(packed, change), tmp_path / "library", embedder)


@pytest.mark.parametrize("name", ["contents.jsonl", "pictures.jsonl", "subject.f4", "thumbnails/"])
@pytest.mark.parametrize("harm", ["gone", "empty", "cut", "noise"])
def test_a_damaged_part_leaves_nothing_behind(
    packed: Path, embedder: Embedder, tmp_path: Path, name: str, harm: str
) -> None:
    def edit(member: str, data: bytes) -> bytes | None:
        if not member.startswith(name):
            return data
        return {"gone": None, "empty": b"", "cut": data[:-5], "noise": b"\xff" * len(data)}[harm]

    library = tmp_path / "library"
    if (name, harm) in {("pictures.jsonl", "empty"), ("thumbnails/", "cut")}:
        unpack_bundle(rewritten(packed, edit), library, embedder)  # less of it, but whole
        return
    with pytest.raises(LookalikeError, match=r"is damaged"):
        unpack_bundle(rewritten(packed, edit), library, embedder)
    assert not list(library.glob("*"))


@pytest.mark.parametrize(("name", "kind"), [("subject.f4", "<f4"), ("colour.f2", "<f2")])
@pytest.mark.parametrize("largest", [50, 1])
def test_a_strangers_vectors_that_would_outdo_all_others_are_refused(
    packed: Path, embedder: Embedder, tmp_path: Path, name: str, kind: str, largest: float
) -> None:
    def lengthen(member: str, data: bytes) -> bytes:
        if member != name:
            return data
        return np.full_like(np.frombuffer(data, kind), largest).tobytes()

    with pytest.raises(LookalikeError, match=r"is damaged"):
        unpack_bundle(rewritten(packed, lengthen), tmp_path / "library", embedder)


def test_hostile_paths_and_thumbnails_are_harmless(
    indexed: Collection, embedder: Embedder, tmp_path: Path
) -> None:
    bundle = tmp_path / "x.lookalike"
    pack(indexed, bundle, photos=True)

    def climb(name: str, data: bytes) -> bytes:
        return data.replace(b"warm/", b"../../") if name == "pictures.jsonl" else data

    folder = unpack_bundle(rewritten(bundle, climb), tmp_path / "library", embedder)
    assert not list(tmp_path.glob("*.png"))
    assert len(list((folder / "originals").rglob("*.png"))) == 6
    with Collection(folder) as opened:
        assert photos_of(opened) == Photos(6, 0)
        assert len({picture.path for picture in opened.listing.pictures()}) == 6

    large = encode(by_hue(0, (1_000, 750)), "JPEG")
    for thumbnail in (b"<script>", vast_jpeg(), slow_jpeg(), large):

        def swap(name: str, data: bytes, thumbnail: bytes = thumbnail) -> bytes:
            return thumbnail if name.startswith("thumbnails/") else data

        with pytest.raises(LookalikeError, match=r"is damaged"):
            unpack_bundle(rewritten(bundle, swap), tmp_path / "library", embedder)


def with_manifest(bundle: Path, change: dict[str, object]) -> Path:
    """Return a copy of a bundle that says something else of itself."""

    def edit(name: str, data: bytes) -> bytes:
        if name != "manifest.json":
            return data
        return json.dumps({**json.loads(data), **change}).encode()

    return rewritten(bundle, edit)


def with_lines(bundle: Path, **change: object) -> Path:
    """Return a copy of a bundle whose contents say something else of themselves."""

    def edit(name: str, data: bytes) -> bytes:
        if name != "contents.jsonl":
            return data
        lines = [json.dumps({**json.loads(line), **change}) for line in data.splitlines()]
        return "\n".join(lines).encode()

    return rewritten(bundle, edit)


@pytest.mark.parametrize("side", ["width", "height"])
@pytest.mark.parametrize("size", [0, -1, 2**61, "40", None])
def test_a_picture_of_no_size_or_a_boundless_one_is_refused(
    packed: Path, embedder: Embedder, tmp_path: Path, side: str, size: object
) -> None:
    with pytest.raises(LookalikeError, match=r"is damaged"):
        unpack_bundle(with_lines(packed, **{side: size}), tmp_path / "library", embedder)


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ("2024-07-31 18:02:11", "2024-07-31 18:02:11"),
        (None, None),
        ("", None),
        (12345, None),
        ("2024-02-30 10:00:00", None),
        ("9999-99-99 99:99:99", None),
        ("<b>yesterday", None),
        ("\x1b[31m", None),
    ],
)
def test_a_picture_was_taken_at_a_time_or_nobody_knows_when(
    packed: Path, embedder: Embedder, tmp_path: Path, said: object, taken: str | None
) -> None:
    folder = unpack_bundle(with_lines(packed, taken=said), tmp_path / "library", embedder)
    with Collection(folder) as opened:
        assert {picture.taken for picture in opened.listing.pictures()} == {taken}


def test_what_a_bundle_says_of_itself_is_shown_without_signs_that_do_something(
    packed: Path, embedder: Embedder, tmp_path: Path
) -> None:
    hostile = "\x1b]0;t\x07 half \ud800\0 and \u202eback"

    library, shown = tmp_path / "library", "\ufffd]0;t\ufffd half \\ud800\ufffd and back"
    renamed = with_manifest(packed, {"name": hostile})
    with Collection(unpack_bundle(renamed, library, embedder)) as opened:
        assert opened.name == shown
    other = with_manifest(packed, {"embedder": hostile, "fingerprint": "x"})
    with pytest.raises(LookalikeError) as error:
        unpack_bundle(other, library, embedder)
    assert f"made with the same model, but another PCA ({shown})" in str(error.value)


@pytest.mark.parametrize("start", ["../../../", "{tmp}/", "warm/../../../../"])
@pytest.mark.parametrize("photos", [False, True])
def test_no_record_of_a_bundle_leads_out_of_its_collection(
    indexed: Collection, embedder: Embedder, tmp_path: Path, start: str, photos: bool
) -> None:
    bundle, library = tmp_path / "x.lookalike", tmp_path / "library"
    pack(indexed, bundle, photos)
    start = start.format(tmp=tmp_path)

    def climb(name: str, data: bytes) -> bytes:
        return data.replace(b"warm/", start.encode()) if name == "pictures.jsonl" else data

    with Collection(unpack_bundle(rewritten(bundle, climb), library, embedder)) as opened:
        paths = [picture.path for picture in opened.listing.pictures()]
        assert len(paths) == 6
        assert all(inside(tmp_path / "any", path) for path in paths)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str
)
def test_no_more_is_unpacked_than_a_bundle_claims(
    embedder: Embedder, tmp_path: Path, method: int
) -> None:
    bundle = tmp_path / "x.lookalike"
    size = 64 * 2**20
    with zipfile.ZipFile(bundle, "w") as opened:
        opened.writestr("manifest.json", b" " * size, method)
    raw = bundle.read_bytes().replace(struct.pack("<L", size), struct.pack("<L", 1_000))
    bundle.write_bytes(raw)
    tracemalloc.start()
    plain = method == zipfile.ZIP_DEFLATED
    with pytest.raises(LookalikeError, match="damaged" if plain else r"unusual way.*Deflate"):
        unpack_bundle(bundle, tmp_path / "library", embedder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\5\6" + b"\0" * 18])
def test_what_is_no_bundle_gets_a_sentence(embedder: Embedder, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.lookalike").write_bytes(data)
    with pytest.raises(LookalikeError, match=r"damaged"):
        unpack_bundle(tmp_path / "x.lookalike", tmp_path / "library", embedder)


def test_a_manifest_tells_what_is_inside(packed: Path) -> None:
    manifest = read_manifest(packed)
    assert (manifest["pictures"], manifest["contents"], manifest["photos"]) == (7, 6, 0)
    assert manifest["card"]["lookalike.weights_sha256"] == "0" * 64


def test_aspects_of_another_width_are_left_out_and_the_rest_is_opened(
    packed: Path, embedder: Embedder, tmp_path: Path
) -> None:
    def narrow(name: str, data: bytes) -> bytes:
        return data[: len(data) // 245 * 100] if name == "colour.f2" else data

    folder = unpack_bundle(rewritten(packed, narrow), tmp_path / "library", embedder)
    with Collection(folder) as opened:
        assert opened.listing.count() == (7, 1)
        assert "colour" not in opened.gallery.widths()


def test_what_is_read_anew_while_it_is_packed_keeps_vectors_and_records_together(
    indexed: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Collection(indexed.folder)
    read, done = bundle.read_all, []

    def read_while_written(*given: Any) -> Any:
        if not done:
            with other.store.transaction() as database:
                database.execute("UPDATE contents SET embedding = zeroblob(length(embedding))")
            done.append(1)
        return read(*given)

    monkeypatch.setattr(bundle, "read_all", read_while_written)
    pack(indexed, tmp_path / "wheel.lookalike")
    with zipfile.ZipFile(tmp_path / "wheel.lookalike") as packed:
        [name] = (name for name in packed.namelist() if name.startswith("subject"))
        vectors = np.frombuffer(packed.read(name), np.float32).reshape(6, -1)
    assert vectors.any(axis=1).all()
    other.close()
