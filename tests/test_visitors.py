"""Visitors' own collections are bounded, private, and deleted on time."""

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from retrieval import settings
from retrieval.changes import Changes
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.indexing import Bounds
from retrieval.pages import transfers, words
from retrieval.pages.access import Access
from retrieval.pages.adding import Adding
from retrieval.settings import VISITOR_IDLE_SECONDS
from retrieval.staging import UploadBounds
from retrieval.uploads import Uploads
from retrieval.visitors import TABLES, VisitorBounds, Visitors
from retrieval.workspace import Workspace
from tests.made import by_hue, encode, save_hues

BOUNDS = VisitorBounds(hours=1, pictures=10, collections=2, total=3)


@pytest.fixture
def workspace(tiny_files: Path) -> Iterator[Workspace]:
    workspace = Workspace(tiny_files, settings.pca_path(tiny_files), gpu=False)
    yield workspace
    workspace.stop()


def make(workspace: Workspace, tmp_path: Path, bounds: VisitorBounds = BOUNDS) -> Visitors:
    return Visitors(workspace, Uploads(tmp_path / "uploads"), tmp_path / "visitors", bounds)


def wait(workspace: Workspace, key: str) -> None:
    end = time.monotonic() + 20
    while not (state := workspace.building(key)) or not state.finished:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_there_are_only_so_many_of_one_and_of_all(workspace: Workspace, tmp_path: Path) -> None:
    visitors = make(workspace, tmp_path)
    keys = [visitors.create("me", "a"), visitors.create("me", "b")]
    assert visitors.keys("me") == keys
    assert visitors.keys("you") == []
    with pytest.raises(LookalikeError, match=r"keep 2 collections here"):
        visitors.create("me", "c")
    visitors.create("you", "d")
    with pytest.raises(LookalikeError, match=r"as many visitors' collections as fit"):
        visitors.create("she", "e")
    visitors.delete(keys[0])
    visitors.create("she", "e")


def test_made_up_cookies_leave_half_of_the_places_to_other_addresses(
    workspace: Workspace, tmp_path: Path
) -> None:
    visitors = make(workspace, tmp_path, VisitorBounds(1, 10, collections=1, total=4))
    for cookie in ("a", "b"):
        visitors.create(cookie, "greedy", "9.9.9.9")
    with pytest.raises(LookalikeError, match=r"as many collections from your network as fit"):
        visitors.create("c", "greedy", "9.9.9.9")
    visitors.create("you", "yours", "8.8.8.8")
    visitors.create("she", "hers")  # through a proxy: nobody knows from where
    with pytest.raises(LookalikeError, match=r"as many visitors' collections as fit"):
        visitors.create("he", "his")


def test_when_no_place_is_left_what_nobody_uses_any_more_gives_way(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = Uploads(tmp_path / "uploads")
    bounds = VisitorBounds(1, 10, collections=1, total=4)
    visitors = Visitors(workspace, uploads, tmp_path / "visitors", bounds)
    oldest, older, used, sent = (visitors.create(name, name) for name in ("a", "b", "me", "you"))
    later = time.monotonic() + VISITOR_IDLE_SECONDS
    monkeypatch.setattr("retrieval.shelf.time", SimpleNamespace(monotonic=lambda: later))
    workspace.shelf.searcher(used, "me")  # as each look at the page does
    uploads.begin("you", 1, 1, UploadBounds(1, 1, 1))
    new = visitors.create("c", "c")
    assert oldest not in workspace.shelf.keys("a")
    assert not (tmp_path / "visitors" / oldest).exists()
    newer = visitors.create("d", "d")
    assert older not in workspace.shelf.keys("b")
    with pytest.raises(LookalikeError, match=r"as many visitors' collections as fit"):
        visitors.create("e", "e")
    assert workspace.shelf.keys("me") + workspace.shelf.keys("you") == [used, sent]
    assert workspace.shelf.keys("c") + workspace.shelf.keys("d") == [new, newer]


def test_what_is_being_built_does_not_give_way(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.visitors.VISITOR_IDLE_SECONDS", 1e-9)
    visitors = make(workspace, tmp_path, VisitorBounds(1, 10, collections=1, total=1))
    key, go_on = visitors.create("me", "a"), Event()

    def changes() -> Changes:
        assert go_on.wait(20)
        return Changes((), (), 0, ())

    workspace.build(key, visitors.originals(key), Bounds(), changes)
    with pytest.raises(LookalikeError, match=r"as many visitors' collections as fit"):
        visitors.create("you", "b")
    go_on.set()
    wait(workspace, key)
    visitors.create("you", "b")
    assert workspace.shelf.keys("me") == []


def test_without_cookies_nothing_can_be_kept_apart(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"refuses cookies"):
        make(workspace, tmp_path).create("", "a")


def test_deleting_leaves_no_file_behind(workspace: Workspace, tmp_path: Path) -> None:
    visitors = make(workspace, tmp_path)
    visitors.delete(visitors.create("me", "a"))
    assert [path for path in (tmp_path / "visitors").rglob("*") if path.is_file()] == []
    assert workspace.shelf.keys("me") == []


def test_the_sweep_deletes_what_has_had_its_time(workspace: Workspace, tmp_path: Path) -> None:
    visitors = make(workspace, tmp_path)
    key = visitors.create("me", "a")
    visitors.sweep()
    assert visitors.keys("me") == [key]
    assert 0.99 < visitors.hours_left(key) <= 1
    short = make(workspace, tmp_path / "short", VisitorBounds(0, 10, 2, 3))
    late = short.create("you", "b")
    short.sweep()
    assert late not in workspace.shelf.keys("you")


@pytest.mark.parametrize(
    "clocks",
    [{"CLOCK_BOOTTIME": 7, "CLOCK_MONOTONIC": 1}, {"CLOCK_MONOTONIC": 7}],
    ids=["Linux", "a Mac"],
)
@pytest.mark.skipif(sys.platform == "win32", reason="its one clock goes on")
def test_hours_in_which_the_computer_sleeps_count(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clocks: dict[str, int]
) -> None:
    now = 50.0
    # The others stand still meanwhile.
    fake = SimpleNamespace(
        clock_gettime=lambda which: now if which == 7 else 50.0,
        monotonic=lambda: 50.0,
        **clocks,
    )
    monkeypatch.setattr("retrieval.visitors.time", fake)
    visitors = make(workspace, tmp_path)
    key = visitors.create("me", "a")
    assert visitors.hours_left(key) == 1
    now += 3601
    assert visitors.hours_left(key) == 0
    visitors.sweep()
    assert visitors.keys("me") == []


@pytest.mark.parametrize("hours", [-24 * 365, -5, 3, 24 * 365])
def test_a_clock_that_is_put_right_neither_deletes_nor_keeps_anything(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    visitors = make(workspace, tmp_path)
    key = visitors.create("me", "a")
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 3600 * hours)
    assert 0.99 < visitors.hours_left(key) <= 1
    visitors.sweep()
    assert visitors.keys("me") == [key]


def test_photos_that_came_late_are_not_deleted_unread(workspace: Workspace, tmp_path: Path) -> None:
    visitors = make(workspace, tmp_path)
    key = visitors.create("me", "a")
    originals = visitors.originals(key)
    originals.mkdir()
    by_hue(10).save(originals / "early.png")
    workspace.build(key, originals, Bounds())
    wait(workspace, key)
    by_hue(20).save(originals / "late.png")
    assert visitors.room("me") == BOUNDS.pictures - 2  # the one that waits counts as well
    visitors.drop_originals(key, {})
    assert [path.name for path in originals.iterdir()] == ["late.png"]


def test_a_photo_that_came_meanwhile_to_the_place_of_another_is_not_deleted_unread(
    workspace: Workspace, tmp_path: Path
) -> None:
    visitors = make(workspace, tmp_path)
    key = visitors.create("me", "a")
    originals = visitors.originals(key)
    save_hues(originals, {"kept.png": 0, "replaced.png": 120})
    workspace.build(key, originals, Bounds())
    wait(workspace, key)
    by_hue(240, (41, 31)).save(originals / "replaced.png")
    visitors.drop_originals(key, {})
    assert [path.name for path in originals.iterdir()] == ["replaced.png"]


def test_what_cannot_be_read_or_was_taken_out_takes_room_too(
    workspace: Workspace, tmp_path: Path
) -> None:
    visitors = make(workspace, tmp_path)
    key = visitors.create("me", "a")
    originals = visitors.originals(key)
    originals.mkdir()
    for number in range(3):
        (originals / f"{number}.png").write_bytes(b"broken")
    by_hue(20).save(originals / "good.png")
    workspace.build(key, originals, Bounds())
    wait(workspace, key)
    assert visitors.room("me") == BOUNDS.pictures - 4
    collection = workspace.shelf.searcher(key, "me").collection
    (originals / "good.png").unlink()  # as those that were read are
    collection.exclude(["good.png"])
    assert visitors.room("me") == BOUNDS.pictures - 3  # others may come for what was taken out,
    collection.exclude([f"{number}.jpg" for number in range(3 * BOUNDS.pictures)])
    assert visitors.room("me") == BOUNDS.pictures - 4  # but not forever


def test_tables_that_came_late_are_not_deleted_unread(workspace: Workspace, tmp_path: Path) -> None:
    visitors = make(workspace, tmp_path)
    key = visitors.create("me", "a")
    folder = visitors.originals(key) / "in"
    (folder / "empty").mkdir(parents=True)
    for name in ("read.csv", "replaced.csv"):
        (folder / name).write_text("filename\n")
    before = visitors.tables(key)
    (folder / "late.csv").write_text("filename\n")
    (folder / "new").write_text("filename\n")
    (folder / "new").replace(folder / "replaced.csv")
    visitors.drop_originals(key, before)
    assert sorted(path.name for path in folder.iterdir()) == ["late.csv", "replaced.csv"]


def test_what_tables_said_stays_when_they_go_with_the_photos(
    workspace: Workspace, tmp_path: Path
) -> None:
    uploads = Uploads(tmp_path / "uploads")
    visitors = Visitors(workspace, uploads, tmp_path / "visitors", BOUNDS)
    adding = Adding(workspace, uploads, visitors)

    def send(**files: bytes) -> str:
        name = uploads.begin("me", len(files), 0, UploadBounds(10, 10**7, 10**7))
        for filename, data in files.items():
            with uploads.receiving(name, "me", filename.replace("_", ".")) as receiver:
                receiver.write(data)
        return name

    def labels() -> dict[str, str]:
        wait(workspace, key)
        left = [path.name for path in visitors.originals(key).rglob("*")]
        assert left == []
        pictures = workspace.shelf.searcher(key, "me").collection.listing.pictures()
        return {picture.path: picture.label for picture in pictures}

    red, blue = encode(by_hue(0), "PNG"), encode(by_hue(240), "PNG")
    adding.make(send(a_png=red, a_csv=b"filename,label\na.png,red\n"), "me", owner=False)
    (key,) = visitors.keys("me")
    assert labels() == {"a.png": "red"}
    adding.add(send(b_png=blue), key, "me")
    assert labels() == {"a.png": "red", "b.png": ""}
    adding.add(send(late_csv=b"filename,label\nb.png,blue\n"), key, "me")
    assert labels() == {"a.png": "red", "b.png": "blue"}
    told = adding.add(send(large_csv=bytes(TABLES.bytes + 1)), key, "me")
    assert "Only 20 tables (CSV) with 5.0 MB in all fit in here" in told


def test_of_very_many_that_are_left_out_all_are_counted(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.taking.MAX_NAMED", 250)
    uploads = Uploads(tmp_path / "uploads")
    visitors = Visitors(workspace, uploads, tmp_path / "visitors", BOUNDS)
    name = uploads.begin("me", 0, 0, UploadBounds(10, 10**6, 10**6))
    for number in range(1_300):
        uploads.leave_out(name, "me", f"{number}.png", 10**9)
    told = Adding(workspace, uploads, visitors).make(name, "me", owner=False)
    assert "Left out (1,300):" in told
    assert ("198.png" in told, "199.png" in told) == (True, False)
    assert "and 1,101 more" in told


def test_one_that_cannot_be_deleted_does_not_end_the_sweep(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors = make(workspace, tmp_path, VisitorBounds(0, 10, 2, 3))
    keys = [visitors.create("me", "a"), visitors.create("me", "b")]
    delete = workspace.delete

    def held(key: str) -> str:
        if key == keys[0]:
            raise LookalikeError("Another program holds a file.")
        return delete(key)

    monkeypatch.setattr(workspace, "delete", held)
    visitors.sweep()
    assert workspace.shelf.keys("me") == keys[:1]
    monkeypatch.undo()
    visitors.sweep()
    assert workspace.shelf.keys("me") == []


def test_only_so_many_packed_collections_wait_for_one_visitor_to_fetch_them(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make(workspace, tmp_path).create("b" * 32, "a")
    monkeypatch.setattr(settings, "PACKED", tmp_path / "packed")
    monkeypatch.setattr(settings, "PACKED_AT_ONCE", 1)
    begun, fetched = Event(), Event()

    def pack_slowly(_: object, path: Path, photos: bool) -> None:
        begun.set()
        assert fetched.wait(20)
        path.write_bytes(b"packed")

    monkeypatch.setattr(transfers, "pack", pack_slowly)
    app = Starlette(routes=[transfers.bundle_route(workspace.shelf, Access(None, public=True))])
    cookie = {"cookie": f"lookalike-{'1' * 16}={'b' * 32}"}

    def download() -> tuple[int, str]:
        answer = TestClient(app).get(f"/bundles/{key}.lookalike", headers=cookie)
        return answer.status_code, answer.text

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(download)
        assert begun.wait(20)
        assert download() == (429, words.DOWNLOADS_FULL)
        fetched.set()
        assert first.result() == (200, "packed")
    assert download() == (200, "packed")
    assert list((tmp_path / "packed").iterdir()) == []


def test_a_collection_that_goes_while_it_is_packed_leaves_nothing_behind(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors = make(workspace, tmp_path)
    monkeypatch.setattr(settings, "PACKED", tmp_path / "packed")
    monkeypatch.setattr(settings, "PACKED_AT_ONCE", 1)
    keys = [visitors.create("b" * 32, name) for name in ("a", "b")]

    def pack_and_delete(collection: Collection, path: Path, photos: bool) -> None:
        path.write_bytes(b"packed")
        collection.close()

    app = Starlette(routes=[transfers.bundle_route(workspace.shelf, Access(None, public=True))])
    cookie = {"cookie": f"lookalike-{'1' * 16}={'b' * 32}"}
    with monkeypatch.context() as going:
        going.setattr(transfers, "pack", pack_and_delete)
        answer = TestClient(app).get(f"/bundles/{keys[0]}.lookalike", headers=cookie)
    assert (answer.status_code, answer.headers["content-type"][:10]) == (403, "text/plain")
    assert list((tmp_path / "packed").iterdir()) == []
    assert TestClient(app).get(f"/bundles/{keys[1]}.lookalike", headers=cookie).status_code == 200


def test_a_file_that_windows_does_not_let_go_of_takes_no_place(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make(workspace, tmp_path).create("b" * 32, "a")
    monkeypatch.setattr(settings, "PACKED", tmp_path / "packed")
    unlink = os.unlink

    def held(path: Any, **options: Any) -> None:
        if str(path).endswith(".lookalike"):
            raise PermissionError(13, "held by a scanner", str(path))
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", held)
    app = Starlette(routes=[transfers.bundle_route(workspace.shelf, Access(None, public=True))])
    headers = {"cookie": f"lookalike-{'1' * 16}={'b' * 32}"}
    for _ in range(settings.PACKED_AT_ONCE + 1):
        answer = TestClient(app).get(f"/bundles/{key}.lookalike", headers=headers)
        assert answer.status_code == 200


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=x", "bytes=0-1", "bytes=-0"])
def test_a_part_that_there_is_not_leaves_no_place_taken(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    key = make(workspace, tmp_path).create("b" * 32, "a")
    monkeypatch.setattr(settings, "PACKED", tmp_path / "packed")
    app = Starlette(routes=[transfers.bundle_route(workspace.shelf, Access(None, public=True))])
    headers = {"cookie": f"lookalike-{'1' * 16}={'b' * 32}", "range": asked}
    client = TestClient(app)
    for _ in range(settings.PACKED_AT_ONCE + 2):
        assert client.get(f"/bundles/{key}.lookalike", headers=headers).status_code != 429
        # It is given back beside the answer.
        end = time.monotonic() + 20
        while list((tmp_path / "packed").iterdir()) and time.monotonic() < end:
            time.sleep(0.01)
    assert list((tmp_path / "packed").iterdir()) == []


def test_what_could_not_be_read_is_told_to_whoever_may_mend_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    theirs = make(workspace, tmp_path).create("b" * 32, "a")
    workspace.open_library(tmp_path / "library")
    public = workspace.create("of all")
    app = Starlette(
        routes=[transfers.problems_route(workspace.shelf, Access("secret", public=True))]
    )
    client, cookie = TestClient(app), {"cookie": f"lookalike-{'1' * 16}={'b' * 32}"}
    assert client.get(f"/problems/{theirs}.csv", headers=cookie).status_code == 200
    assert client.get(f"/problems/{public}.csv", headers=cookie).status_code == 404
    assert client.get(f"/problems/{theirs}.csv").status_code == 404
