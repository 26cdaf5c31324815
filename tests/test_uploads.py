"""Uploads: files arrive whole and within bounds, and move into a collection together."""

import errno
import os
import shutil
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.incoming import TableBounds
from retrieval.indexing import index_folder
from retrieval.lost import give_up
from retrieval.pages.access import Access
from retrieval.pages.transfers import upload_routes
from retrieval.removals import Removals
from retrieval.settings import (
    UPLOAD_EMPTY_SECONDS,
    UPLOAD_IDLE_SECONDS,
    UPLOADS_OPEN,
    UPLOADS_OPEN_AT_ONE_ADDRESS,
    UPLOADS_OPEN_IN_ALL,
    VISITORS_BYTES,
    VISITORS_SPARE_BYTES,
)
from retrieval.staging import LOOK_BYTES, SPARE_BYTES, UploadBounds
from retrieval.taking import NOT_UNPACKED, Taken
from retrieval.uploads import (
    UNREAD,
    Uploads,
    was_cut_short,
)
from tests.made import by_hue, encode, mean_colour, noise, spoil

BOUNDS = UploadBounds(files=5, bytes=100_000, file_bytes=20_000)
PICTURE = encode(by_hue(0), "PNG")
OTHER = encode(noise((30, 20)), "PNG")  # much larger


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads")


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collection.create(tmp_path / "collection", "new", None, mean_colour())


def send(
    uploads: Uploads,
    files: dict[str, bytes],
    bounds: UploadBounds = BOUNDS,
    owner: bool = False,
) -> str:
    size = sum(map(len, files.values()))
    name = uploads.begin("me", len(files), size, bounds, owner=owner)
    for filename, data in files.items():
        with uploads.receiving(name, "me", filename) as receiver:
            for start in range(0, len(data), 1_000):
                receiver.write(data[start : start + 1_000])
    return name


def app_of(uploads: Uploads) -> Starlette:
    return Starlette(routes=upload_routes(uploads, lambda _: BOUNDS, Access(None, public=False)))


def zipped(files: dict[str, bytes], path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path.read_bytes()


def taken(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_a_dropped_folder_keeps_its_subfolders_and_gives_its_name(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    files = {"Trip/sea/a.png": PICTURE, "Trip/b.png": PICTURE, "Trip/notes.txt": b"x"}
    name = send(uploads, files)
    assert uploads.title(name, "me") == "Trip"
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=True)
    assert taken(tmp_path / "originals") == ["b.png", "sea/a.png"]
    assert (result.files, result.others, result.skipped) == (2, 1, [])
    with pytest.raises(LookalikeError, match=r"not here any more"):
        uploads.title(name, "me")


@pytest.mark.parametrize(
    ("sent", "kept", "more", "beside"),
    [
        (
            ("T/Photos/2019/a.png", "T/Photos/2020/b.png"),
            ["2019/a.png", "2020/b.png"],
            ("T/Photos/2021/c.png", "T/Books/d.png", "T/e.png"),
            ["2021/c.png", "Books/d.png", "e.png"],
        ),
        (("Card/DCIM/a.png",), ["DCIM/a.png"], ("Card/Misc/b.png",), ["Misc/b.png"]),
        (("T/Photos/a.png", "b.png"), ["T/Photos/a.png", "b.png"], ("c.png",), ["c.png"]),
    ],
    ids=["all within one folder", "all in one folder", "nothing in common"],
)
def test_folders_that_hold_all_others_are_no_kind_also_when_more_comes(
    uploads: Uploads,
    collection: Collection,
    tmp_path: Path,
    sent: tuple[str, ...],
    kept: list[str],
    more: tuple[str, ...],
    beside: list[str],
) -> None:
    folder = tmp_path / "originals"
    uploads.take(send(uploads, dict.fromkeys(sent, PICTURE)), "me", collection, folder, strip=True)
    assert taken(folder) == kept
    list(index_folder(collection, folder, mean_colour(), find_changes(collection, folder)))
    name = send(uploads, dict.fromkeys((*sent, *more), PICTURE))
    assert uploads.take(name, "me", collection, folder, strip=False).known == len(sent)
    assert taken(folder) == sorted([*kept, *beside])


def test_a_zip_within_a_folder_leaves_the_others_their_kinds_and_lies_where_it_was(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    inner = zipped({"Fotos/c.png": PICTURE}, tmp_path / "x.zip")
    files = {"All/cats/a.png": PICTURE, "All/dogs/b.png": PICTURE}
    files |= {"All/von Anna.zip": inner, "All/cats/more.zip": inner}
    folder = tmp_path / "originals"
    uploads.take(send(uploads, files), "me", collection, folder, strip=True)
    assert taken(folder) == ["Fotos/c.png", "cats/Fotos/c.png", "cats/a.png", "dogs/b.png"]


def test_what_is_sent_is_taken_where_collections_lie_on_another_disk(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    disk = Path("/dev/shm")
    if not disk.is_dir() or disk.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("There is no second disk here.")
    with TemporaryDirectory(dir=disk) as other:
        # Of more letters a temporary name cannot be.
        names = ["a.png", "b" * 248 + ".png", "c.png"]
        upload = send(uploads, {f"Trip/{name}": PICTURE for name in names})
        result = uploads.take(upload, "me", collection, Path(other) / "originals", strip=True)
        assert taken(Path(other)) == [f"originals/{name}" for name in names]
        assert result.files == 3
        assert (Path(other) / "originals" / "a.png").read_bytes() == PICTURE


def test_a_folder_called_like_a_picture_there_is_left_out_and_the_others_are_taken(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    folder = tmp_path / "originals"
    first = send(uploads, {"a.png": PICTURE})
    uploads.take(first, "me", collection, folder, strip=False)
    second = send(uploads, {"0.png": PICTURE, "a.png/b.png": PICTURE, "z.png": PICTURE})
    result = uploads.take(second, "me", collection, folder, strip=False)
    assert taken(folder) == ["0.png", "a.png", "z.png"]
    [(name, why)] = result.skipped
    assert (name, result.files) == (str(Path("a.png/b.png")), 2)
    assert "Rename that folder" in why
    third = send(uploads, {"d.png/a.png": PICTURE, "e.png": PICTURE})
    uploads.take(third, "me", collection, folder, strip=False)
    fourth = send(uploads, {"d.png": b"x" * (folder / "d.png").stat().st_size})
    uploads.take(fourth, "me", collection, folder, strip=False)
    assert (folder / "d (2).png").is_file()


def test_added_to_a_collection_the_folder_stays_as_a_label(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    name = send(uploads, {"cats/a.png": PICTURE})
    uploads.take(name, "me", collection, tmp_path / "originals", strip=False)
    assert taken(tmp_path / "originals") == ["cats/a.png"]


@pytest.mark.parametrize(
    ("before", "within"),
    [
        ({"a.png": PICTURE, "b.png": PICTURE}, ""),
        ({"a.png": OTHER, "b.png": OTHER}, "Trip/"),
        ({"a.png": PICTURE, "b.png": OTHER, "c.png": OTHER}, "Trip/"),
    ],
    ids=["the same folder", "another with the same names", "another with one file as large"],
)
def test_a_folder_dropped_again_on_what_was_made_of_it_adds_what_is_new(
    uploads: Uploads, collection: Collection, tmp_path: Path, before: dict[str, bytes], within: str
) -> None:
    folder = tmp_path / "originals"
    uploads.take(send(uploads, before), "me", collection, folder, strip=True)
    list(index_folder(collection, folder, mean_colour(), find_changes(collection, folder)))
    name = send(uploads, {f"Trip/{name}.png": PICTURE for name in "abc"})
    uploads.take(name, "me", collection, folder, strip=False)
    assert taken(folder) == sorted({*before, *(f"{within}{name}.png" for name in "abc")})


def test_when_all_places_are_taken_the_one_that_is_idle_gives_way(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [uploads.begin(f"visitor {i}", 1, 1, BOUNDS) for i in range(UPLOADS_OPEN_IN_ALL)]
    with pytest.raises(LookalikeError, match=r"on their way already"):
        uploads.begin("me", 1, 1, BOUNDS)
    monkeypatch.setattr("retrieval.uploads.UPLOAD_IDLE_SECONDS", 0.0)
    mine = uploads.begin("me", 1, 1, BOUNDS)
    assert uploads.title(mine, "me") == ""
    with pytest.raises(LookalikeError, match=r"not here any more"):
        uploads.title(names[0], "visitor 0")


def test_what_was_begun_and_never_sent_keeps_no_place_by_being_asked_after(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [uploads.begin(f"visitor {i}", 1, 1, BOUNDS) for i in range(UPLOADS_OPEN_IN_ALL)]
    with uploads.receiving(names[0], "visitor 0", "a.png") as receiver:
        receiver.write(b"1")
    later = time.monotonic() + UPLOAD_EMPTY_SECONDS
    monkeypatch.setattr("retrieval.uploads.time", SimpleNamespace(monotonic=lambda: later))
    for i, name in enumerate(names):
        assert uploads.has(name, f"visitor {i}")
    for n in range(UPLOADS_OPEN_IN_ALL - 1):
        uploads.begin(f"late {n}", 1, 1, BOUNDS)
    assert uploads.has(names[0], "visitor 0")


def test_an_upload_whose_first_file_comes_once_more_keeps_its_place(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = uploads.begin("me", 1, 1, BOUNDS)
    with suppress(RuntimeError), uploads.receiving(name, "me", "a.png", "mark") as receiver:
        receiver.write(b"1")
        raise RuntimeError  # the connection is lost
    later = time.monotonic() + UPLOAD_EMPTY_SECONDS
    monkeypatch.setattr("retrieval.uploads.time", SimpleNamespace(monotonic=lambda: later))
    assert uploads.has(name, "me")
    for n in range(UPLOADS_OPEN_IN_ALL - 1):
        uploads.begin(f"late {n}", 1, 1, BOUNDS)
    with pytest.raises(LookalikeError, match=r"on their way already"):
        uploads.begin("one more", 1, 1, BOUNDS)


def test_an_upload_whose_page_waits_for_its_turn_has_not_broken_off(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, broken_off = (send(uploads, {"a.png": PICTURE}) for _ in range(2))
    now = [time.monotonic()]
    monkeypatch.setattr("retrieval.uploads.time", SimpleNamespace(monotonic=lambda: now[0]))
    for _ in range(3):
        now[0] += 1_000
        assert uploads.has(waiting, "me")
        assert not uploads.has(waiting, "somebody else")
        uploads.sweep(older_than=1_800)
    assert uploads.has(waiting, "me")
    assert not uploads.has(broken_off, "me")


def test_what_the_owner_has_sent_gives_way_to_no_stranger(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = uploads.begin("the owner", 1, 1, BOUNDS, owner=True)
    for number in range(UPLOADS_OPEN_IN_ALL - 1):
        uploads.begin(f"visitor {number}", 1, 1, BOUNDS)
    monkeypatch.setattr("retrieval.uploads.UPLOAD_IDLE_SECONDS", 0.0)
    uploads.begin("one more", 1, 1, BOUNDS)
    assert uploads.has(owners, "the owner")


def test_a_packed_collection_is_found_wherever_it_lies(uploads: Uploads) -> None:
    files = {"Old/deep/Mine.LOOKALIKE": b"packed", "top.lookalike": b"packed", "a.png": PICTURE}
    name = send(uploads, files)
    found = [path.name for path in uploads.bundles(name, "me")]
    assert found == ["Mine.LOOKALIKE", "top.lookalike"]


def test_who_may_keep_so_many_is_told_that_it_is_no_matter_of_several_goes(
    uploads: Uploads,
) -> None:
    bounds = replace(BOUNDS, in_all=True)
    with pytest.raises(LookalikeError, match="you can keep 5 more") as refused:
        uploads.begin("me", 6, 1, bounds)
    assert "goes" not in str(refused.value)
    assert bounds.as_sentence().startswith("Up to 5 more pictures")


def test_made_up_cookies_of_one_address_leave_places_to_others_and_the_owner_needs_none(
    uploads: Uploads,
) -> None:
    def begin(address: str, visitor: int) -> int:
        cookie = f"lookalike-{'0' * 16}={visitor:032}"
        headers = {"x-lookalike": "1", "cookie": cookie}
        with TestClient(app_of(uploads), "http://localhost", client=(address, 1)) as client:
            asked = {"files": 1, "bytes": 1}
            return client.post("/uploads", json=asked, headers=headers).status_code

    def begun(address: str) -> int:
        return [begin(address, n) for n in range(UPLOADS_OPEN_IN_ALL)].count(200)

    assert begun("9.8.7.6") == UPLOADS_OPEN_AT_ONE_ADDRESS
    assert begun("9.8.7.5") == UPLOADS_OPEN_IN_ALL - UPLOADS_OPEN_AT_ONE_ADDRESS
    assert begin("9.8.7.4", 0) == 413
    assert begin("127.0.0.1", 0) == 200


def test_zips_are_unpacked_and_what_is_wrong_in_them_named(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    data = zipped({"x/a.png": PICTURE, "../b.png": PICTURE, "x/c.txt": b""}, tmp_path / "trip.zip")
    name = send(uploads, {"trip.zip": data, "bad.zip": b"no"})
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=True)
    assert taken(tmp_path / "originals") == ["a.png"]
    assert [entry for entry, _ in result.skipped] == ["bad.zip", "trip.zip: ../b.png"]
    assert result.others == 1


def test_a_name_that_is_taken_gets_a_number_and_the_same_file_is_dropped(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    folder = tmp_path / "originals"
    other = encode(by_hue(120), "PNG")
    for data in (PICTURE, other, PICTURE):
        uploads.take(send(uploads, {"a.png": data}), "me", collection, folder, strip=True)
    assert taken(folder) == ["a (2).png", "a.png"]
    assert (folder / "a.png").read_bytes() == PICTURE


def test_a_photo_that_cannot_be_read_here_is_taken_for_another_one_than_what_comes(
    uploads: Uploads, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.store.note({"root": "originals"})  # as of one that keeps them
    add(uploads, collection, {"out.png": DOG})
    read(collection)
    Removals().take_out(collection, [picture.id for picture in collection.listing.pictures()])
    add(uploads, collection, {"in.png": DOG})
    for path in collection.folder.rglob("*.png"):
        spoil(path, monkeypatch)
    assert add(uploads, collection, {"in.png": DOG, "out.png": DOG, "z.png": DOG}).files == 3
    names = ["in (2).png", "in.png", "out (2).png", "z.png"]
    assert taken(collection.folder / "originals") == names


@pytest.mark.parametrize("same", [True, False], ids=["the same bytes", "other bytes"])
def test_only_its_own_bytes_take_the_place_of_a_picture_that_lost_its_vectors(
    uploads: Uploads, collection: Collection, tmp_path: Path, same: bool
) -> None:
    folder = tmp_path / "originals"
    uploads.take(send(uploads, {"a.png": PICTURE}), "me", collection, folder, strip=True)
    list(index_folder(collection, folder, mean_colour(), find_changes(collection, folder)))
    lost = collection.listing.pictures()[0]
    give_up(collection.store, [lost.sha256], True)
    (folder / "a.png").unlink()
    data = PICTURE if same else encode(by_hue(120), "PNG")
    uploads.take(send(uploads, {"a.png": data}), "me", collection, folder, strip=True)
    assert taken(folder) == ["a.png" if same else "a (2).png"]
    changes = replace(find_changes(collection, folder), vanished=())
    list(index_folder(collection, folder, mean_colour(), changes))
    assert lost in collection.listing.pictures()
    assert collection.thumbnail(lost.sha256)
    assert (collection.to_read_again() == set()) == same


@pytest.mark.parametrize(
    ("files", "size", "sentence"),
    [(6, 1, "at most 5"), (1, 200_000, "at most 98 KB"), (1, 2**62, "at most 98 KB")],
)
def test_too_much_is_refused_before_it_is_sent(
    uploads: Uploads, files: int, size: int, sentence: str
) -> None:
    with pytest.raises(LookalikeError, match=sentence):
        uploads.begin("me", files, size, BOUNDS)


def test_only_so_many_are_under_way_at_once(uploads: Uploads) -> None:
    names = [uploads.begin("me", 1, 1, BOUNDS) for _ in range(UPLOADS_OPEN)]
    with pytest.raises(LookalikeError, match=r"on their way already"):
        uploads.begin("me", 1, 1, BOUNDS)
    uploads.begin("you", 1, 1, BOUNDS)
    uploads.drop(names[0], "me")
    uploads.begin("me", 1, 1, BOUNDS)


def test_what_one_has_broken_off_gives_way_to_what_one_sends_next(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [uploads.begin("me", 1, 1, BOUNDS, owner=True) for _ in range(UPLOADS_OPEN)]
    later = time.monotonic() + UPLOAD_IDLE_SECONDS
    monkeypatch.setattr(
        "retrieval.uploads.time", SimpleNamespace(monotonic=lambda: later, time=time.time)
    )
    uploads.begin("me", 1, 1, BOUNDS, owner=True)
    assert [uploads.has(name, "me") for name in names] == [False] + [True] * (UPLOADS_OPEN - 1)


def test_what_was_broken_off_takes_no_disk_from_what_comes_next(
    uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = uploads.begin("me", 1, 1, BOUNDS, owner=True)
    full = shutil.disk_usage("/")._replace(free=SPARE_BYTES)

    def usage(path: Path) -> object:
        broken_off = (tmp_path / "uploads" / name).exists()
        return full if broken_off else full._replace(free=10 * SPARE_BYTES)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(LookalikeError, match=r"The disk has .* left"):  # it may still be coming
        uploads.begin("me", 1, 1000, BOUNDS, owner=True)
    later = time.monotonic() + UPLOAD_IDLE_SECONDS
    monkeypatch.setattr("retrieval.uploads.time", SimpleNamespace(monotonic=lambda: later))
    uploads.begin("me", 1, 1000, BOUNDS, owner=True)


def test_visitors_together_leave_room_for_the_owner(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = UploadBounds(5, VISITORS_BYTES, 20_000)
    for n in range(4):
        uploads.begin(f"visitor {n}", 1, VISITORS_BYTES // 4 - (n == 0), bounds)
    with pytest.raises(LookalikeError, match=r"on their way already"):
        uploads.begin("she", 1, 2, bounds)
    uploads.begin("me", 1, 2, bounds, owner=True)
    little = shutil.disk_usage("/")._replace(free=VISITORS_SPARE_BYTES - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: little)
    with pytest.raises(LookalikeError, match=r"The disk has .* left"):
        uploads.begin("she", 1, 1, bounds)
    uploads.begin("me", 1, 1, bounds, owner=True)


def test_what_one_promises_leaves_room_to_others_and_counts_while_it_comes(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarter = VISITORS_BYTES // 4
    plenty = shutil.disk_usage("/")._replace(free=2 * VISITORS_BYTES)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: plenty)
    bounds = UploadBounds(5, VISITORS_BYTES, VISITORS_BYTES)
    uploads.begin("one", 1, quarter, bounds, address="9.8.7.6")
    with pytest.raises(LookalikeError, match=r"on their way already"):
        uploads.begin("one", 1, 1, bounds, address="9.8.7.6")
    for made_up in ("two", "three"):
        uploads.begin(made_up, 1, quarter, bounds, address="9.8.7.6")
    with pytest.raises(LookalikeError, match=r"on their way already"):
        uploads.begin("four", 1, 1, bounds, address="9.8.7.6")
    uploads.begin("another", 1, quarter, bounds, address="9.8.7.5")
    with pytest.raises(LookalikeError, match=r"on their way already"):
        uploads.begin("last", 1, 1, bounds, address="9.8.7.4")
    later = time.monotonic() + UPLOAD_IDLE_SECONDS
    monkeypatch.setattr("retrieval.uploads.time", SimpleNamespace(monotonic=lambda: later))
    for n in range(3):
        uploads.begin(f"late {n}", 1, quarter, bounds, address="9.8.7.4")


def test_what_has_come_and_is_idle_gives_way_the_longest_idle_first_and_no_more_than_needed(
    uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.uploads.VISITORS_BYTES", 40)
    bounds = UploadBounds(5, 1_000, 1_000)
    now = [time.monotonic()]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("retrieval.uploads.time", clock)
    names = {}
    for visitor in ("first", "second", "third", "fourth"):
        now[0] += 1
        names[visitor] = uploads.begin(visitor, 1, 10, bounds)
        with uploads.receiving(names[visitor], visitor, "a.png") as receiver:
            receiver.write(bytes(10))

    def there() -> list[str]:
        folder = tmp_path / "uploads"
        return [who for who, name in names.items() if (folder / name).exists()]

    with pytest.raises(LookalikeError, match=r"on their way already"):
        uploads.begin("late", 1, 5, bounds)
    now[0] += UPLOAD_IDLE_SECONDS - 2  # the first two are idle
    with pytest.raises(LookalikeError, match=r"on their way already"):
        uploads.begin("late", 1, 25, bounds)
    assert there() == list(names)
    uploads.begin("late", 1, 5, bounds)
    assert there() == ["second", "third", "fourth"]


def test_no_stranger_keeps_room_for_ever_by_asking_after_an_upload(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers = send(uploads, {"a.png": PICTURE})
    owners = uploads.begin("the owner", 1, 1, BOUNDS, owner=True)
    now = [time.monotonic()]
    monkeypatch.setattr("retrieval.uploads.time", SimpleNamespace(monotonic=lambda: now[0]))
    for _ in range(20):
        now[0] += 1_000
        uploads.has(strangers, "me")
        uploads.has(owners, "the owner")
        uploads.sweep(older_than=1_800)
    assert not uploads.has(strangers, "me")
    assert uploads.has(owners, "the owner")


def test_a_visitor_sends_no_more_than_was_promised(uploads: Uploads) -> None:
    bounds = UploadBounds(5, 4 * LOOK_BYTES, 4 * LOOK_BYTES)
    for owner in (False, True):
        name = uploads.begin("me", 1, 1, bounds, owner=owner)
        with uploads.receiving(name, "me", "a.png") as receiver:
            receiver.write(bytes(LOOK_BYTES))
            if owner:
                receiver.write(bytes(LOOK_BYTES))
            else:
                with pytest.raises(LookalikeError, match=r"too much at once"):
                    receiver.write(bytes(2))


def test_what_is_given_up_goes_at_once_and_nobody_elses(uploads: Uploads, tmp_path: Path) -> None:
    with TestClient(app_of(uploads)) as client:
        told = {"files": 1, "bytes": 9}
        name = client.post("/uploads", json=told, headers={"x-lookalike": "1"}).json()["upload"]
        assert (tmp_path / "uploads" / name).is_dir()
        drop = {"x-lookalike": "1", "x-drop": "1"}
        assert client.post(f"/uploads/{name}", headers={"x-drop": "1"}).status_code == 403
        theirs = send(uploads, {"a.png": PICTURE})
        for one in (name, theirs, "nobody"):
            assert client.post(f"/uploads/{one}", headers=drop).status_code == 204
        assert not (tmp_path / "uploads" / name).exists()
        assert uploads.holds(theirs, "me")


def test_a_page_may_ask_whether_its_upload_still_waits(uploads: Uploads) -> None:
    with TestClient(app_of(uploads)) as client:
        headers, told = {"x-lookalike": "1"}, {"files": 1, "bytes": 9}
        name = client.post("/uploads", json=told, headers=headers).json()["upload"]
        theirs = send(uploads, {"a.png": PICTURE})

        def is_there(upload: str) -> bool:
            about = {**headers, "x-there": "1"}
            return bool(client.post(f"/uploads/{upload}", headers=about).json()["there"])

        assert [is_there(upload) for upload in (name, theirs, "nobody")] == [True, False, False]
        client.post(f"/uploads/{name}", headers={**headers, "x-drop": "1"})
        assert not is_there(name)


def test_who_has_no_room_left_is_told_so(uploads: Uploads) -> None:
    with pytest.raises(LookalikeError, match=r"as many pictures here as you can keep"):
        uploads.begin("me", 1, 1, UploadBounds(0, 100, 100))


@pytest.mark.parametrize("owner", [True, False], ids=["owner", "visitor"])
def test_several_zips_share_one_bound(
    uploads: Uploads, collection: Collection, tmp_path: Path, owner: bool
) -> None:
    files = {}
    for letter in "abcde":  # 380,000 bytes unpacked
        path = tmp_path / f"{letter}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for n in range(4):
                archive.writestr(f"{letter}{n}.bmp", bytes(19_000))
        files[path.name] = path.read_bytes()
    bounds = UploadBounds(files=100, bytes=30_000, file_bytes=20_000)
    # A stranger's few bytes become fewer.
    most = {True: 4 * 30_000, False: 20 * sum(map(len, files.values())) + 2 * 20_000}[owner]
    found = uploads.take(
        send(uploads, files, bounds, owner), "me", collection, tmp_path / "originals", strip=False
    )
    assert found.files == most // 19_000
    assert "more than can be taken at once" in found.skipped[-1][1]


def test_several_zips_share_one_bound_of_entries(
    uploads: Uploads, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.taking.MAX_ENTRIES", 6)
    files = {
        f"{zip_}.zip": zipped({f"{zip_}{n}.png": b"" for n in range(4)}, tmp_path / "x.zip")
        for zip_ in "ab"
    }
    result = uploads.take(
        send(uploads, files), "me", collection, tmp_path / "originals", strip=False
    )
    ((left_out, why),) = result.skipped
    assert (result.files, left_out) == (4, "b.zip")
    assert "4 files; at most 2 can be taken at once, of all zips" in why


def test_photos_of_thousands_in_one_zip_do_not_meet_the_bound_of_entries(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    entries = {f"Trip/{n:04}.png": f"{n}".encode() for n in range(3_000)}
    entries |= {f"__MACOSX/Trip/._{n:04}.png": b"" for n in range(3_000)}
    entries |= {"Trip/labels.csv": b"filename,label\n0001.png,sea\n"}
    data = zipped(entries, tmp_path / "x.zip")
    name = send(uploads, {"trip.zip": data}, UploadBounds(500, 10**7, 10**7))
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=True)
    assert (result.files, result.tables) == (500, 1)  # and the table that comes after them
    assert len(result.skipped) + result.unnamed == 2_500


def test_tables_are_bounded_in_number_and_bytes(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    def add(**sizes: int) -> Taken:
        name = send(uploads, {f"{name}.csv": bytes(size) for name, size in sizes.items()})
        return uploads.take(
            name, "me", collection, tmp_path / "originals", False, None, TableBounds(3, 1_500)
        )

    assert add(a=1_000, b=400).tables == 2
    over = add(c=101)
    assert (over.tables, [name for name, _ in over.skipped]) == (0, ["c.csv"])
    assert "Only 3 tables (CSV) with 1.5 KB in all fit in here. Put" in over.skipped[0][1]
    assert add(a=1_100).tables == 1  # in place of the other one
    assert add(b=1, d=1, e=1).tables == 2
    assert taken(tmp_path / "originals") == ["a.csv", "b.csv", "d.csv"]


def test_of_tables_that_find_no_room_none_is_read(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    broken = b'filename\n"'.ljust(1_000, b"x")
    name = send(uploads, {"a.csv": broken, "b.csv": broken, "c.csv": 2 * broken})
    result = uploads.take(
        name, "me", collection, tmp_path / "originals", False, None, TableBounds(3, 1_500)
    )
    said = {name: why.split(",")[0] for name, why in result.skipped}
    full = "Only 3 tables (CSV) with 1.5 KB in all fit in here. Put the rows of your pictures into"
    assert said["a.csv"] == "Row 2 cannot be read"
    assert (said["b.csv"][: len(full)], said["c.csv"][: len(full)]) == (full, full)


def test_a_table_that_is_too_large_to_be_read_is_left_out(
    uploads: Uploads,
    collection: Collection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("retrieval.captions.MAX_BYTES", 2_048)
    name = send(uploads, {"a.csv": bytes(2_049), "b.csv": bytes(2_048)})
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=False)
    ((left_out, why),) = result.skipped
    assert (left_out, "no more than 2.0 KB" in why) == ("a.csv", True)


def test_a_table_that_breaks_off_is_left_out_and_the_one_of_its_name_stays(
    uploads: Uploads, collection: Collection
) -> None:
    add(uploads, collection, {"a.png": DOG, "labels.csv": table("a.png,dog,Rex")})
    taken = add(uploads, collection, {"labels.csv": table('a.png,"hound', "b.png,cat")})
    [(name, why)] = taken.skipped
    assert (name, why[:21]) == ("labels.csv", "Row 2 cannot be read,")
    assert read(collection) == {"a.png": ("dog", "Rex")}


def test_what_no_page_sees_is_not_taken(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    hidden = dict.fromkeys([".a.png", "b/.c/d.csv", "@eaDir/e.png", ".f.zip"], PICTURE)
    name = send(uploads, {**hidden, "g.png": PICTURE})
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=False)
    assert taken(tmp_path / "originals") == ["g.png"]
    assert (result.files, result.skipped) == (1, [])


def test_after_very_many_that_are_left_out_they_are_only_counted(
    uploads: Uploads, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.taking.MAX_NAMED", 3)
    data = zipped({f"../{n}.png": b"" for n in range(4)}, tmp_path / "x.zip")
    name = send(uploads, {"trip.zip": data})
    for number in range(2):
        uploads.leave_out(name, "me", f"{number}.png", 10**9)
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=False)
    assert [name for name, _ in result.skipped] == ["0.png", "1.png", "trip.zip: ../0.png"]
    assert result.unnamed == 3


def test_a_disk_that_fills_up_while_a_zip_is_unpacked_costs_that_zip(
    uploads: Uploads, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "large.zip"
    with zipfile.ZipFile(large, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bmp", bytes(20 * 2**20))
        archive.writestr("b.bmp", bytes(20 * 2**20))
    bounds = UploadBounds(files=5, bytes=2**30, file_bytes=2**30)
    files = {"large.zip": large.read_bytes(), "small.zip": zipped({"a.png": PICTURE}, large)}
    name = send(uploads, files, bounds)
    plenty = shutil.disk_usage("/")

    def nearly_full(folder: Path) -> object:
        held = sum(path.stat().st_size for path in (tmp_path / "uploads").rglob("*.bmp"))
        return plenty._replace(free=VISITORS_SPARE_BYTES - 1 if held else VISITORS_SPARE_BYTES)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=False)
    assert taken(tmp_path / "originals") == ["a.png"]
    why = "The disk is full: less than 2.0 GB are left. Free some space and try again."
    assert result.skipped == [("large.zip", why)]


def test_a_disk_that_fills_up_meanwhile_stops_what_comes(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = uploads.begin("me", 1, 1, BOUNDS)
    full = shutil.disk_usage("/")._replace(free=SPARE_BYTES - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with (
        pytest.raises(LookalikeError, match=r"disk is full"),
        uploads.receiving(name, "me", "a.png"),
    ):
        pass


@pytest.mark.parametrize(("owner", "spare"), [(True, "200 MB"), (False, r"2\.0 GB")])
def test_of_a_disk_without_room_is_said_what_is_to_stay_free(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch, owner: bool, spare: str
) -> None:
    usage = shutil.disk_usage("/")._replace(free=60 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    says = rf"The disk has 60 MB left, too little for 98 KB of pictures, since {spare} are to stay"
    with pytest.raises(LookalikeError, match=says):
        uploads.begin("me", 1, BOUNDS.bytes, BOUNDS, owner=owner)


def test_more_than_was_said_is_stopped_on_the_way(uploads: Uploads) -> None:
    name = uploads.begin("me", 1, 1, BOUNDS)
    for number in range(6):
        with uploads.receiving(name, "me", f"{number}.png") as receiver:
            if number == 5:
                with pytest.raises(LookalikeError, match=r"too much at once"):
                    receiver.write(b"x")
            else:
                receiver.write(b"x")
    name = uploads.begin("me", 1, 1, BOUNDS)
    with uploads.receiving(name, "me", "a.png") as receiver:
        receiver.write(bytes(100_000))  # too large by itself, and dropped
        with pytest.raises(LookalikeError, match=r"too much at once"):
            receiver.write(b"x")


def test_a_file_that_is_too_large_is_left_out_and_the_others_are_taken(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    large = bytes(20_001)
    files = {"Trip/a.png": PICTURE, "Trip/huge.tif": large, "Trip/b.png": PICTURE}
    name = send(uploads, files)
    uploads.leave_out(name, "me", "Trip/gigantic.tif", 2**40)
    uploads.leave_out(name, "me", "Trip/locked", None)
    left = list((tmp_path / "uploads").rglob("*.part"))
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=True)
    assert taken(tmp_path / "originals") == ["a.png", "b.png"]
    why = "The file is larger than 20 KB. Save a smaller copy."
    assert result.skipped[:2] == [("Trip/huge.tif", why), ("Trip/gigantic.tif", why)]
    assert result.skipped[2:] == [("Trip/locked", UNREAD)]
    assert (result.files, left) == (2, [])


def test_an_upload_of_which_everything_is_left_out_tells_so(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    name = uploads.begin("me", 0, 0, BOUNDS)
    uploads.leave_out(name, "me", "huge.tif", 10**9)
    assert (uploads.title(name, "me"), uploads.bundles(name, "me")) == ("", [])
    assert not uploads.holds(name, "me")
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=True)
    assert (result.files, [name for name, _ in result.skipped]) == (0, ["huge.tif"])


def test_a_file_is_not_left_out_because_its_sender_says_so(uploads: Uploads) -> None:
    name = uploads.begin("me", 1, 1, BOUNDS)
    for filename, size in (("a.png", 20_000), ("a.png", -1), ("trip.zip", 99_999)):
        with pytest.raises(LookalikeError, match=r"Reload the page"):
            uploads.leave_out(name, "me", filename, size)


def test_no_more_names_are_remembered_than_anybody_reads(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.staging.MAX_LEFT_OUT", 2)
    name = uploads.begin("me", 1, 1, BOUNDS)
    for number in range(2):
        uploads.leave_out(name, "me", f"{number}.png", 10**9)
    with pytest.raises(LookalikeError, match=r"More than 2 of these files"):
        uploads.leave_out(name, "me", "2.png", 10**9)


def test_the_page_is_told_that_a_single_file_is_no_reason_to_stop(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    app = app_of(uploads)
    headers = {"x-lookalike": "1"}
    with TestClient(app) as client:
        begun = client.post("/uploads", json={"files": 4, "bytes": 30_000}, headers=headers)
        place = f"/uploads/{begun.json()['upload']}"

        def post(filename: str, data: bytes = b"", **more: str) -> int:
            about = {**headers, "x-name": quote(filename), **more}
            return client.post(place, content=data, headers=about).status_code

        assert post("a.png", PICTURE) == 204
        assert post("huge.png", bytes(25_000)) == 204
        assert post("../climbs.png", PICTURE) == 204
        assert post("gigantic.png", **{"x-size": "99999999"}) == 204
        assert post("locked.png", **{"x-size": "unread"}) == 204
        assert post("small.png", **{"x-size": "9"}) == 413
        assert post("small.png", **{"x-size": "nine"}) == 400
        assert post("all.zip", bytes(90_000)) == 413  # too much at once
    name = begun.json()["upload"]
    result = uploads.take(name, "", collection, tmp_path / "originals", strip=True)
    assert taken(tmp_path / "originals") == ["a.png"]
    left_out = ["huge.png", "../climbs.png", "gigantic.png", "locked.png"]
    assert [name for name, _ in result.skipped] == left_out


def test_a_file_keeps_the_time_when_it_was_changed(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    times = {"old.png": 1.5e9, "odd.png": 9e12, "unknown.png": 0.0}
    name = uploads.begin("me", 3, 3 * len(PICTURE), BOUNDS)
    for number, (filename, modified) in enumerate(times.items()):
        with uploads.receiving(name, "me", filename, modified=modified) as receiver:
            receiver.write(PICTURE + b"%d" % number)
    uploads.take(name, "me", collection, tmp_path / "originals", strip=False)
    kept = {path.name: path.stat().st_mtime for path in (tmp_path / "originals").iterdir()}
    assert kept["old.png"] == 1.5e9
    assert abs(kept["odd.png"] - time.time()) < 60
    assert abs(kept["unknown.png"] - time.time()) < 60


def break_off(uploads: Uploads, name: str) -> None:
    """Send half of a file."""
    with uploads.receiving(name, "me", "a.png", "x") as receiver:
        receiver.write(b"half")
        raise ConnectionError


def test_a_file_that_breaks_off_does_not_count(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    name = uploads.begin("me", 1, 1, BOUNDS)
    with pytest.raises(LookalikeError):
        break_off(uploads, name)
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=True)
    assert result.files == 0


def test_a_file_that_is_sent_again_is_kept_once(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    name = uploads.begin("me", 1, len(PICTURE), BOUNDS)
    for _ in range(2 * BOUNDS.files):  # it breaks off more often than there may be files
        with pytest.raises(LookalikeError):
            break_off(uploads, name)
    assert not uploads.has_got(name, "me", "x")
    for _ in range(3):
        with uploads.receiving(name, "me", "a.png", "x") as receiver:
            receiver.write(PICTURE)
    assert uploads.has_got(name, "me", "x")
    assert not uploads.has_got(name, "somebody else", "x")
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=False)
    assert result.files == 1
    assert taken(tmp_path / "originals") == ["a.png"]


def test_an_empty_file_that_is_sent_again_counts_once(uploads: Uploads) -> None:
    name = uploads.begin("me", 1, 0, BOUNDS)
    for _ in range(2 * BOUNDS.files):
        with uploads.receiving(name, "me", "a.png", "x") as receiver:
            receiver.write(b"")
            receiver.write(b"")  # as the end of what is sent


def test_a_file_that_could_not_be_kept_is_sent_again(
    uploads: Uploads, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = uploads.begin("me", 1, len(PICTURE), BOUNDS)

    def forbid(source: Path, place: Path) -> None:
        raise PermissionError(errno.EACCES, "")

    def come() -> None:
        with uploads.receiving(name, "me", "a.png", "x") as receiver:
            receiver.write(PICTURE)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", forbid)
        for _ in range(2 * BOUNDS.files):
            with pytest.raises(LookalikeError, match="may not be opened or written"):
                come()
    assert not uploads.has_got(name, "me", "x")
    come()
    assert uploads.has_got(name, "me", "x")
    assert uploads.take(name, "me", collection, tmp_path / "originals", strip=False).files == 1


@pytest.mark.parametrize(
    ("filename", "data"),
    [("../a.png", PICTURE), ("a.png", bytes(20_001))],
    ids=["no name to keep", "too large"],
)
def test_a_file_that_is_left_out_is_so_once(
    uploads: Uploads, collection: Collection, tmp_path: Path, filename: str, data: bytes
) -> None:
    name = uploads.begin("me", 1, len(data), BOUNDS)
    for _ in range(2 * BOUNDS.files):
        with uploads.receiving(name, "me", filename, "x") as receiver:
            receiver.write(data)
    assert uploads.has_got(name, "me", "x")
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=False)
    assert [left_out for left_out, _ in result.skipped] == [filename]


@pytest.mark.parametrize("size", [100, LOOK_BYTES], ids=["small", "large"])
def test_a_file_of_an_upload_that_is_dropped_meanwhile_makes_nothing_anew(
    uploads: Uploads, tmp_path: Path, size: int
) -> None:
    name = uploads.begin("me", 1, size, UploadBounds(1, LOOK_BYTES, LOOK_BYTES))

    def come() -> None:
        with uploads.receiving(name, "me", "Trip/a.png") as receiver:
            receiver.write(b"x")
            uploads.drop(name, "me")
            receiver.write(bytes(size - 1))

    with pytest.raises(LookalikeError, match=r"That upload is not here any more"):
        come()
    uploads.sweep(older_than=100)  # on Windows, what was still being written to
    assert not list((tmp_path / "uploads").iterdir())


@pytest.mark.parametrize("late", [b"", b"late"], ids=["nothing more comes of it", "more comes"])
def test_a_file_that_is_sent_again_takes_the_place_of_the_connection_that_hangs(
    uploads: Uploads, collection: Collection, tmp_path: Path, late: bytes
) -> None:
    data, bounds = bytes(12 * 2**20), UploadBounds(1, 20 * 2**20, 20 * 2**20)
    name = uploads.begin("me", 1, len(data), bounds)
    with ExitStack() as stack:
        if late:
            stack.enter_context(pytest.raises(LookalikeError, match=r"sent again"))
        hanging = stack.enter_context(uploads.receiving(name, "me", "a.png", "x"))
        hanging.write(data[:-1])
        for _ in range(3):  # nor do many that hang fill the disk
            another = stack.enter_context(uploads.receiving(name, "me", "a.png", "x"))
            another.write(data[:-1])
        parts = (tmp_path / "uploads").rglob("*.part")
        assert sum(part.stat().st_size for part in parts) <= len(data)
        with uploads.receiving(name, "me", "a.png", "x") as receiver:
            receiver.write(data)
        if late:
            hanging.write(late)
    assert uploads.take(name, "me", collection, tmp_path / "originals", strip=False).files == 1
    assert (tmp_path / "originals" / "a.png").read_bytes() == data


@pytest.mark.parametrize("filename", ["../a.png", "/a.png", "", "C:\\a.png", "a\0.png"])
def test_names_that_lead_elsewhere_are_left_out(
    uploads: Uploads, collection: Collection, tmp_path: Path, filename: str
) -> None:
    name = send(uploads, {filename: PICTURE, "b.png": PICTURE})
    assert [path.name for path in tmp_path.rglob("*.png")] == ["b.png"]
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=True)
    why = "This is not a name that can be kept. Rename the file."
    assert (result.files, result.skipped) == (1, [(filename, why)])


def test_nobody_reaches_the_upload_of_another(uploads: Uploads, collection: Collection) -> None:
    name = send(uploads, {"a.png": PICTURE})
    for act in (
        lambda: uploads.receiving(name, "you", "a.png").__enter__(),
        lambda: uploads.leave_out(name, "you", "a.png", 10**9),
        lambda: uploads.bundles(name, "you"),
        lambda: uploads.holds(name, "you"),
        lambda: uploads.take(name, "you", collection, Path("x"), True),
    ):
        with pytest.raises(LookalikeError, match=r"not here any more"):
            act()
    uploads.drop(name, "you")
    assert uploads.title(name, "me") == ""  # it is still there


def test_only_the_first_pictures_are_taken_when_a_zip_holds_more(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    pictures = {f"{n}.png": encode(by_hue(30 * n), "PNG") for n in range(8)}
    name = send(uploads, {"many.zip": zipped(pictures, tmp_path / "x.zip")})
    result = uploads.take(name, "me", collection, tmp_path / "originals", strip=True)
    assert result.files == 5
    assert [why for _, why in result.skipped] == ["Only 5 pictures fit in here."] * 3


def test_of_a_zip_no_more_is_unpacked_than_there_is_room_for_and_all_are_counted(
    uploads: Uploads, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.taking.SPARE_PICTURES", 1)
    tried: list[str] = []
    open_ = zipfile.ZipFile.open

    def note(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, mode: Any = "r") -> Any:
        tried.append(entry.filename)
        return open_(archive, entry, mode)

    files = {f"{n:02}.png": encode(by_hue(10 * n), "PNG") for n in range(20)}
    rows = [f"{name},{name[:2]},".encode() for name in files]
    files["labels.csv"] = b"filename,label,details\n" + b"\n".join(rows)
    data = zipped(files, tmp_path / "x.zip")
    monkeypatch.setattr(zipfile.ZipFile, "open", note)
    result = add(uploads, collection, {"a.zip": data})
    assert (result.files, result.known, result.tables, len(tried)) == (5, 0, 1, 7)
    assert result.skipped == [
        (name, "Only 5 pictures fit in here.") for name in sorted(files)[5:20]
    ]
    assert read(collection) == {f"{n:02}.png": (f"{n:02}", "") for n in range(5)}
    # Those that are here take no room: after them there is some for as many others.
    tried.clear()
    result = add(uploads, collection, {"a.zip": data}, room=3)
    assert (result.files, result.known, len(tried)) == (3, 5, 10)
    assert {why for _, why in result.skipped} == {"Only 3 pictures fit in here."}
    assert len(result.skipped) == 12


def test_what_was_not_unpacked_though_there_is_room_gets_another_sentence(
    uploads: Uploads, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.taking.SPARE_PICTURES", 0)
    data = zipped({"a.png": PICTURE, "b.png": PICTURE}, tmp_path / "x.zip")
    other = zipped({"c.png": PICTURE, "d.png": OTHER}, tmp_path / "x.zip")
    # Of the second all are there already.
    result = add(uploads, collection, {"a.zip": data, "b.zip": data, "c.zip": other})
    assert (result.files, result.known) == (3, 2)
    assert result.skipped == [("d.png", NOT_UNPACKED)]
    assert add(uploads, collection, {"d.zip": other}).files == 1


@pytest.mark.skipif(sys.platform == "win32", reason="its own bound is met long before")
def test_paths_that_are_too_long_for_the_disk_are_named_and_the_rest_is_taken(
    collection: Collection, tmp_path: Path
) -> None:
    long, deep = "/".join(["d" * 200] * 12) + "/a.png", ["e" * 200] * 9
    short, bounds = tmp_path / "short", UploadBounds(10, 100_000, 20_000)
    files = {long: PICTURE, "b.png": PICTURE}
    # On its way to us, and on its way into the collection.
    for uploads, folder in (
        (Uploads(tmp_path.joinpath(*deep)), short),
        (Uploads(short), tmp_path.joinpath("in", *deep)),
    ):
        folder.parent.mkdir(parents=True, exist_ok=True)
        name = send(uploads, files, bounds)
        result = uploads.take(name, "me", collection, folder, strip=False)
        assert [path.name for path in folder.rglob("*.png")] == ["b.png"]
        ((left_out, why),) = result.skipped
        assert long.startswith(left_out)
        assert "too long for this disk" in why


def test_uploads_that_nobody_finishes_are_dropped(uploads: Uploads, tmp_path: Path) -> None:
    send(uploads, {"a.png": PICTURE})
    uploads.sweep(older_than=100)
    assert list((tmp_path / "uploads").iterdir())
    uploads.sweep(older_than=-1)
    assert not list((tmp_path / "uploads").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows moves no folder with an open file in it.")
def test_a_collection_deleted_while_photos_are_moved_into_it_is_not_made_anew(
    uploads: Uploads, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = send(uploads, {"a/1.png": PICTURE, "b/2.png": encode(by_hue(90), "PNG")})
    folder, replace_file, moved = collection.folder, os.replace, []

    def delete_after(source: Path, place: Path) -> None:
        replace_file(source, place)
        moved.append(place)
        folder.rename(tmp_path / "bin")

    monkeypatch.setattr(os, "replace", delete_after)
    with pytest.raises(LookalikeError, match=r"That collection is not here any more"):
        uploads.take(name, "me", collection, folder / "originals", strip=False)
    assert len(moved) == 1
    assert not folder.exists()


def test_a_kill_while_photos_are_moved_leaves_a_collection_to_go_on_with(
    uploads: Uploads, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = send(uploads, {"1.png": PICTURE, "2.png": encode(by_hue(90), "PNG")})
    replace_file = os.replace

    def kill_after(source: Path, place: Path) -> None:
        replace_file(source, place)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill_after)
        with pytest.raises(KeyboardInterrupt):
            uploads.take(name, "me", collection, collection.folder / "originals", strip=False)
    assert collection.unfinished
    assert was_cut_short(tmp_path / "uploads")


def test_what_had_been_taken_out_and_was_moved_before_an_upload_broke_off_is_read(
    uploads: Uploads, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.exclude(["1.png"])
    name = send(uploads, {"1.png": PICTURE, "2.png": encode(by_hue(90), "PNG")})
    replace_file = os.replace

    def fill_up(source: Path, place: Path) -> None:
        if place.name == "2.png":
            raise OSError(errno.ENOSPC, "")
        replace_file(source, place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fill_up)
        with pytest.raises(LookalikeError, match=r"The disk is full"):
            uploads.take(name, "me", collection, collection.folder / "originals", strip=False)
    assert list(read(collection)) == ["1.png"]


def test_an_upload_that_brings_nothing_new_leaves_nothing_to_go_on_with(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    originals = collection.folder / "originals"
    uploads.take(send(uploads, {"1.png": PICTURE}), "me", collection, originals, strip=False)
    assert collection.unfinished  # until it has been read
    collection.mark_unfinished(False)
    uploads.take(send(uploads, {"1.png": PICTURE}), "me", collection, originals, strip=False)
    assert not collection.unfinished
    assert not was_cut_short(tmp_path / "uploads")


DOG, CAT = encode(by_hue(0), "PNG"), encode(by_hue(120), "PNG")


def table(*rows: str) -> bytes:
    return "\n".join(("filename,label,who", *rows)).encode()


def add(uploads: Uploads, collection: Collection, files: dict[str, bytes], **more: int) -> Taken:
    """Take an upload in, without reading it."""
    folder = collection.folder / "originals"
    return uploads.take(send(uploads, files), "me", collection, folder, False, **more)


def read(collection: Collection) -> dict[str, tuple[str, str]]:
    """Read what was added, and return label and name of each picture by its path."""
    folder = collection.folder / "originals"
    changes = replace(find_changes(collection, folder), vanished=())
    list(index_folder(collection, folder, mean_colour(), changes))
    return {p.path: (p.label, p.captions.get("who", "")) for p in collection.listing.pictures()}


@pytest.mark.parametrize("folder", ["", "card/"], ids=["alone", "in a folder"])
def test_a_table_speaks_of_the_pictures_it_came_with_whatever_they_are_called_now(
    uploads: Uploads, collection: Collection, folder: str
) -> None:
    for data, row in ((DOG, "IMG_1.png,dog,Rex"), (CAT, "IMG_1.png,cat,Tom")):
        add(uploads, collection, {f"{folder}IMG_1.png": data, f"{folder}labels.csv": table(row)})
        found = read(collection)
    assert found == {f"{folder}IMG_1.png": ("dog", "Rex"), f"{folder}IMG_1 (2).png": ("cat", "Tom")}


def test_each_zip_of_an_upload_has_tables_of_its_own(
    uploads: Uploads, collection: Collection, tmp_path: Path
) -> None:
    first = {"IMG_1.png": DOG, "labels.csv": table("IMG_1.png,dog,Rex")}
    rows = ("IMG_2.png,fish,", "IMG_1.png,cat,Tom")
    second = {"IMG_1.png": CAT, "IMG_2.png": PICTURE, "labels.csv": table(*rows)}
    zips = {
        f"{n}.zip": zipped(files, tmp_path / "x.zip") for n, files in enumerate((first, second))
    }
    assert add(uploads, collection, zips).tables == 2
    assert read(collection) == {
        "IMG_1.png": ("dog", "Rex"),
        "IMG_1 (2).png": ("cat", "Tom"),
        "IMG_2.png": ("fish", ""),
    }


def test_the_row_of_a_picture_without_room_is_not_taken_for_another_one_of_its_name(
    uploads: Uploads, collection: Collection
) -> None:
    add(uploads, collection, {"IMG_1.png": DOG, "labels.csv": table("IMG_1.png,dog,Rex")})
    read(collection)
    rows = ("IMG_1.png,cat,Tom", "IMG_2.png,bird,")
    files = {"IMG_0.png": CAT, "IMG_1.png": CAT, "IMG_2.png": CAT, "labels.csv": table(*rows)}
    assert add(uploads, collection, files, room=1).files == 1
    assert read(collection)["IMG_1.png"] == ("dog", "Rex")
    add(uploads, collection, {"IMG_2.png": CAT})  # in another go
    assert read(collection)["IMG_2.png"] == ("bird", "")


def test_a_table_of_other_pictures_takes_no_label_away_and_a_newer_one_of_the_same_counts(
    uploads: Uploads, collection: Collection
) -> None:
    originals = collection.folder / "originals"
    add(uploads, collection, {"a.png": DOG, "labels.csv": table("a.png,dog,Rex")})
    add(uploads, collection, {"b.png": CAT, "labels.csv": table("b.png,cat,Tom")})
    assert read(collection) == {"a.png": ("dog", "Rex"), "b.png": ("cat", "Tom")}
    collection.exclude(["a.png"])
    collection.excluded.readmit(["a.png"])
    assert read(collection)["a.png"] == ("dog", "Rex")
    add(uploads, collection, {"labels.csv": table("a.png,hound,", "./b.png,kitten,")})
    assert read(collection) == {"a.png": ("hound", ""), "b.png": ("kitten", "")}
    add(uploads, collection, {"labels.csv": table("a.png,dog,Max", "b.png,cat,Tom")})
    assert read(collection) == {"a.png": ("dog", "Max"), "b.png": ("cat", "Tom")}
    assert taken(originals) == ["a.png", "b.png", "labels (2).csv", "labels.csv"]


def test_a_table_of_excel_that_is_written_anew_says_what_it_said(
    uploads: Uploads, collection: Collection
) -> None:
    add(uploads, collection, {"größe.png": DOG})
    head = "Filename;Label;note, in words;who\n"
    rows = 'größe.png;"Köln; Dom";"a\nb";Özil;more\n\nother.png;x\n'
    files = {"größe.png": CAT, "labels.csv": (head + rows).encode("cp1252")}
    add(uploads, collection, files)
    assert read(collection)["größe (2).png"] == ("Köln; Dom", "Özil")
    [told] = [p.captions for p in collection.listing.pictures() if p.label]
    assert told == {"note, in words": "a\nb", "who": "Özil"}


@pytest.mark.parametrize("same", [True, False], ids=["the same photo", "another one"])
def test_a_photo_that_was_taken_out_and_still_lies_there_is_let_in_when_it_is_added_again(
    uploads: Uploads, collection: Collection, same: bool
) -> None:
    add(uploads, collection, {"a.png": DOG})
    read(collection)
    collection.exclude(["a.png"])
    assert add(uploads, collection, {"a.png": DOG if same else CAT}).files == 1
    assert list(read(collection)) == (["a.png"] if same else ["a (2).png"])
    assert collection.excluded.paths() == (set() if same else {"a.png"})


def test_a_photo_that_was_taken_out_can_be_brought_back_after_others_of_its_name_came(
    uploads: Uploads, collection: Collection
) -> None:
    collection.store.note({"root": "originals"})  # as of one that keeps them
    removals, photos = Removals(), collection.folder / "originals"
    other = encode(by_hue(240), "PNG")
    for data, name in ((DOG, "a.png"), (CAT, "a (2).png"), (other, "a (3).png")):
        add(uploads, collection, {"a.png": data})
        assert list(read(collection)) == [name]
        removals.take_out(collection, [picture.id for picture in collection.listing.pictures()])
    add(uploads, collection, {"a.png": DOG})  # the very photo: it is let in
    assert list(read(collection)) == ["a.png"]
    assert collection.excluded.paths() == {"a (2).png", "a (3).png"}
    removals.let_in(collection, collection.excluded.paths())
    assert list(read(collection)) == ["a (2).png", "a (3).png", "a.png"]
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == {
        "a.png": DOG,
        "a (2).png": CAT,
        "a (3).png": other,
    }


def test_no_more_are_begun_than_may_be_however_many_begin_at_once(uploads: Uploads) -> None:
    together = threading.Barrier(24)

    def begin(_: int) -> bool:
        together.wait(20)
        try:
            uploads.begin("me", 1, 10, BOUNDS)
        except LookalikeError:
            return False
        return True

    with ThreadPoolExecutor(24) as pool:
        assert sum(pool.map(begin, range(24))) == UPLOADS_OPEN


def test_an_upload_that_the_disk_refuses_takes_no_place(
    uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=5)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: usage)
        for _ in range(UPLOADS_OPEN + 1):
            with pytest.raises(LookalikeError, match="too little"):
                uploads.begin("me", 1, 10, BOUNDS)
    assert not list((tmp_path / "uploads").iterdir())
    uploads.begin("me", 1, 10, BOUNDS)
