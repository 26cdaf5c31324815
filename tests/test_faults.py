"""A full disk, a folder that may not be written: a sentence each, nothing finished is lost."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval import settings
from retrieval.__main__ import main
from retrieval.bundle import pack
from retrieval.changes import find_changes
from retrieval.checking import check_collection
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import index_folder
from retrieval.schema import DATABASE, THUMBNAILS
from retrieval.staging import UploadBounds
from retrieval.unbundling import unpack_bundle
from retrieval.uploads import Uploads
from tests.made import encode, noise

PHOTOS = 200


def mount(folder: Path, *options: str) -> None:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only an administrator of Linux can make a small disk")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    if sys.platform != "linux":
        pytest.skip("small disks are made on Linux")
    folder = tmp_path / "disk"
    mount(folder, "-o", "size=2m")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(PHOTOS):
        noise((320, 240), seed, coarse=40).save(folder / f"{seed:03}.jpg")
    return folder


def test_a_full_disk_stops_with_a_sentence_and_room_lets_it_go_on(
    small_disk: Path, photos: Path, embedder: Embedder
) -> None:
    root = photos
    with Collection.create(small_disk / "c", "full", root, embedder) as collection:
        steps = index_folder(collection, root, embedder, find_changes(collection, root))
        counted = []
        with pytest.raises(LookalikeError, match=r"The disk is full"):
            counted.extend(step.done for step in steps)
        done = counted[-1]
        assert 0 < done < PHOTOS
        assert collection.listing.count() == (done, 0)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    # Thumbnails are written first, so those of the last batch may wait for their pictures.
    assert all(finding.harmless for finding in check_collection(small_disk / "c"))
    with Collection(small_disk / "c") as collection:
        assert collection.listing.count() == (done, 0)
        for _ in index_folder(collection, root, embedder, find_changes(collection, root)):
            pass
        assert collection.listing.count() == (PHOTOS, 0)


def test_a_full_folder_for_temporary_files_stops_nothing_that_is_kept_elsewhere(
    small_disk: Path, photos: Path, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,size=4k", str(small_disk)], check=True)
    (small_disk / "somebody else's").write_bytes(bytes(4096))
    # SQLite asks once in a process where that folder is.
    lines = """
import sys; from pathlib import Path; from retrieval.changes import find_changes
from retrieval.collection import Collection; from retrieval.indexing import index_folder
from tests.made import mean_colour; root, embedder = Path(sys.argv[1]), mean_colour()
made = Collection.create(Path(sys.argv[2]), "c", root, embedder)
list(index_folder(made, root, embedder, find_changes(made, root)))
"""
    run_lines(lines, photos, tmp_path / "c", TMPDIR=str(small_disk))
    with Collection(tmp_path / "c") as collection:
        assert collection.listing.count() == (PHOTOS, 0)


def run_lines(lines: str, *arguments: Path, **environment: str) -> None:
    """Run lines of Python in a process of its own."""
    subprocess.run(
        [sys.executable, "-c", lines, *map(str, arguments)],
        check=True,
        env={**os.environ, **environment},
        cwd=Path(__file__).parent.parent,
    )


def test_what_is_done_to_all_vectors_does_not_take_memory_for_all_of_them(tmp_path: Path) -> None:
    # 28 MB of vectors. No process can give itself more again.
    lines = """
import sys; from pathlib import Path; from retrieval.checking import check_collection
from retrieval.collection import Collection; from tests.bench_collection import make
from tests.made_vectors import of_width
folder = Path(sys.argv[1]); make(folder, 20_000, of_width(256))
with Collection(folder) as collection:
    collection.store.database.execute(f"PRAGMA hard_heap_limit = {18 * 10**6}")
    assert check_collection(folder) == []
    collection.exact.clear()
"""
    run_lines(lines, tmp_path / "c")
    assert (tmp_path / "c" / DATABASE).stat().st_size < 2 * 10**7  # sketches and records, of 50 MB


def test_a_disk_that_fills_up_while_uploading_says_so_and_keeps_no_half_of_a_file(
    small_disk: Path,
) -> None:
    bounds = UploadBounds(files=10, bytes=2**30, file_bytes=2**30)
    uploads = Uploads(small_disk / "uploads")
    with pytest.raises(LookalikeError, match=r"The disk has 2\.0 MB left"):
        uploads.begin("me", 1, 2**20, bounds, owner=True)  # less than is kept free
    subprocess.run(["mount", "-o", "remount,size=220m", str(small_disk)], check=True)
    name = uploads.begin("me", 1, 2**20, bounds, owner=True)
    (small_disk / "somebody else's").write_bytes(bytes(215 * 2**20))

    def send() -> None:
        with uploads.receiving(name, "me", "a.png") as receiver:
            for _ in range(40):
                receiver.write(bytes(2**20))

    with pytest.raises(LookalikeError, match=r"The disk is full"):
        send()
    assert [path for path in (small_disk / "uploads").rglob("*") if path.is_file()] == []


def test_a_collection_on_a_disk_that_may_not_be_written_says_so(
    small_disk: Path, wheel: Path, embedder: Embedder
) -> None:
    Collection.create(small_disk / "c", "locked", wheel, embedder).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(LookalikeError, match=r"may not be"):
        Collection(small_disk / "c")
    with Collection(small_disk / "c", read_only=True) as collection:
        assert collection.listing.count() == (0, 0)


def test_a_collection_where_nothing_may_be_written_is_searched_checked_and_packed(
    small_disk: Path,
    wheel: Path,
    tiny_files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(settings, "COLLECTIONS", small_disk / "collections")
    options = ["--model", str(tiny_files), "--cpu"]
    assert main(["index", str(wheel), *options]) == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    query = str(next(path for path in wheel.rglob("*") if path.is_file()))
    for name in ([], ["--name", "wheel"]):
        assert main(["search", query, *name, *options]) == 0
        assert "6 pictures compared" in capsys.readouterr().err
        assert main(["check", *name, *options]) == 0
        assert "wheel is whole." in capsys.readouterr().out
    packed = tmp_path / "wheel.lookalike"
    assert main(["pack", str(packed), "--photos"]) == 0
    assert "6 photos are in it" in capsys.readouterr().out
    for command in (["check", "--repair"], ["index", str(wheel)]):
        assert main([*command, *options]) == 1
        assert re.search("permissions", capsys.readouterr().err)


def test_a_collection_that_was_not_closed_is_not_read_in_part_where_nothing_may_be_written(
    small_disk: Path, wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    with Collection.create(tmp_path / "c", "c", wheel, embedder) as collection:
        for _ in index_folder(collection, wheel, embedder, find_changes(collection, wheel)):
            pass
        shutil.copytree(tmp_path / "c", small_disk / "c", ignore=lambda *_: [f"{DATABASE}-shm"])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(LookalikeError, match=r"cannot be read whole\. Copy its folder"):
        Collection.to_read(small_disk / "c")
    with pytest.raises(LookalikeError, match=r"cannot be read whole\. Copy its folder"):
        check_collection(small_disk / "c")


def test_a_packed_collection_that_a_full_disk_does_not_take_is_called_by_its_name(
    small_disk: Path, photos: Path, embedder: Embedder, tmp_path: Path
) -> None:
    with Collection.create(tmp_path / "c", "Trip", photos, embedder) as collection:
        for _ in index_folder(collection, photos, embedder, find_changes(collection, photos)):
            pass
        pack(collection, tmp_path / "trip.lookalike")
    said = set()
    for kilobytes in range(8, 200, 16):
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", small_disk], check=True)
        with pytest.raises(LookalikeError) as caught:
            unpack_bundle(tmp_path / "trip.lookalike", small_disk, embedder)
        said.add(str(caught.value))
        assert list(small_disk.iterdir()) == []
    assert any("so the collection Trip cannot be used" in sentence for sentence in said)
    assert not any(".opening" in sentence for sentence in said)


def test_records_that_are_mended_on_a_full_disk_stay_as_they_are(
    small_disk: Path, photos: Path, embedder: Embedder, tmp_path: Path
) -> None:
    with Collection.create(tmp_path / "c", "torn", photos, embedder) as collection:
        for _ in index_folder(collection, photos, embedder, find_changes(collection, photos)):
            pass
        with collection.store.transaction() as database:
            database.execute("DELETE FROM facts WHERE key = 'revision'")
    size = (tmp_path / "c" / DATABASE).stat().st_size
    taken = size + (tmp_path / "c" / THUMBNAILS).stat().st_size + 2**17
    # Room for the new one, and not for that beside what was written first.
    subprocess.run(["mount", "-o", f"remount,size={taken + size * 3 // 2}", small_disk], check=True)
    shutil.copytree(tmp_path / "c", small_disk / "c")
    with pytest.raises(LookalikeError, match=r"The disk is full"):
        check_collection(small_disk / "c", repair=True)
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert check_collection(small_disk / "c", repair=True)
    with Collection(small_disk / "c") as collection:
        assert collection.listing.count() == (PHOTOS, 0)


def without_power(collection: Collection, folder: Path) -> Path:
    """Copy a collection as a power cut may leave it: what was not yet asked of the disk is lost of
    the thumbnails, and not of the records."""
    shutil.copytree(collection.folder, folder)
    (folder / f"{THUMBNAILS}-wal").unlink(missing_ok=True)
    (folder / f"{THUMBNAILS}-shm").unlink(missing_ok=True)
    return folder


def test_a_power_cut_takes_no_thumbnail_for_good(
    wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    with Collection.create(tmp_path / "c", "c", wheel, embedder) as collection:
        steps = index_folder(collection, wheel, embedder, find_changes(collection, wheel), batch=2)
        while next(steps).done < 4:
            pass
        early = without_power(collection, tmp_path / "early")
        for _ in steps:
            pass
        late = without_power(collection, tmp_path / "late")
    with Collection(late) as collection:
        assert all(
            collection.thumbnail(picture.sha256) for picture in collection.listing.pictures()
        )
    with Collection(early) as collection:
        assert not all(
            collection.thumbnail(picture.sha256) for picture in collection.listing.pictures()
        )
        for _ in index_folder(collection, wheel, embedder, find_changes(collection, wheel)):
            pass
        assert collection.listing.count() == (6, 0)
        assert all(
            collection.thumbnail(picture.sha256) for picture in collection.listing.pictures()
        )


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="an administrator may read everything"
)
def test_a_photo_that_may_not_be_read_costs_only_itself(tmp_path: Path, embedder: Embedder) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encode(noise((20, 20), len(name)), "PNG"))
    (tmp_path / "a.png").chmod(0)
    with Collection.create(tmp_path / "c", "c", tmp_path, embedder) as collection:
        for _ in index_folder(collection, tmp_path, embedder, find_changes(collection, tmp_path)):
            pass
        assert collection.listing.count() == (1, 1)
