"""Packed collections: they open elsewhere as they were, and what does not fit is refused."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.bundle import pack
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import index_folder
from retrieval.library import empty_trash, folders_in
from retrieval.unbundling import open_once, read_manifest, unpack_bundle
from tests.made import mean_colour


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
        assert opened.count() == indexed.count() == (7, 1)
        assert opened.problems() == indexed.problems()
        assert opened.root is None
        ours = {picture.path: picture for picture in indexed.pictures()}
        for picture in opened.pictures():
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
        red = next(p for p in opened.pictures() if p.path == "warm/red.png")
        assert (red.label, red.captions) == ("hot", {"mood": "angry, loud"})


def test_the_photos_come_along_only_when_asked_for(
    packed: Path, indexed: Collection, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    with zipfile.ZipFile(packed) as bundle:
        assert not [name for name in bundle.namelist() if name.startswith("photos/")]
    pack(indexed, tmp_path / "with.lookalike", photos=True)
    library = tmp_path / "library"
    with Collection(unpack_bundle(tmp_path / "with.lookalike", library, embedder)) as opened:
        assert opened.root is not None
        for picture in opened.pictures():
            assert (opened.root / picture.path).read_bytes() == (wheel / picture.path).read_bytes()
        changes = find_changes(opened, opened.root)
        assert (changes.to_read, changes.moved) == ((), ())


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
        shas = {p.path: p.sha256 for p in indexed.pictures()}
        assert f"photos/{shas['warm/red.png']}.png" in photos
        assert f"photos/{shas['../secret.png']}.png" not in photos


def test_a_lost_thumbnail_is_told_when_packing(indexed: Collection, tmp_path: Path) -> None:
    with indexed.store.thumbnails as thumbnails:
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


def test_photos_without_their_table_keep_their_captions_when_one_is_added(
    packed: Path, indexed: Collection, embedder: Embedder, tmp_path: Path
) -> None:
    pack(indexed, tmp_path / "photos.lookalike", photos=True)
    with Collection(
        unpack_bundle(tmp_path / "photos.lookalike", tmp_path / "library", embedder)
    ) as opened:
        assert opened.root is not None
        assert not find_changes(opened, opened.root).recaptioned
        by_path = {picture.path: picture for picture in opened.pictures()}
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
    def edit(name: str, data: bytes) -> bytes:
        if name != "manifest.json":
            return data
        return json.dumps({**json.loads(data), **change}).encode()

    with pytest.raises(LookalikeError, match=reason):
        unpack_bundle(rewritten(packed, edit), tmp_path / "library", embedder)


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


def test_hostile_paths_and_thumbnails_are_harmless(
    indexed: Collection, embedder: Embedder, tmp_path: Path
) -> None:
    bundle = tmp_path / "x.lookalike"
    pack(indexed, bundle, photos=True)

    def climb(name: str, data: bytes) -> bytes:
        return data.replace(b"warm/", b"../../") if name == "pictures.jsonl" else data

    folder = unpack_bundle(rewritten(bundle, climb), tmp_path / "library", embedder)
    assert not list(tmp_path.glob("*.png"))
    assert len(list((folder / "originals").rglob("*.png"))) == 3

    def script(name: str, data: bytes) -> bytes:
        return b"<script>" if name.startswith("thumbnails/") else data

    with pytest.raises(LookalikeError, match=r"is damaged"):
        unpack_bundle(rewritten(bundle, script), tmp_path / "library", embedder)


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\5\6" + b"\0" * 18])
def test_what_is_no_bundle_gets_a_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.lookalike").write_bytes(data)
    with pytest.raises(LookalikeError, match=r"damaged"):
        read_manifest(tmp_path / "x.lookalike")


def test_a_manifest_tells_what_is_inside(packed: Path) -> None:
    manifest = read_manifest(packed)
    assert (manifest["pictures"], manifest["contents"], manifest["photos"]) == (7, 6, 0)
    assert manifest["card"]["lookalike.weights_sha256"] == "0" * 64
