"""Indexing: only what is new is computed, and neither bad files nor kills lose anything."""

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval import extraction, indexing, settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder, open_embedder
from retrieval.errors import BusyError, LookalikeError
from retrieval.extraction import Source, carry_out, here, plan_folder
from retrieval.files import modified_of
from retrieval.images import open_picture, read_bounded
from retrieval.indexing import Bounds, Step, index_folder
from retrieval.lost import give_up
from retrieval.model import available_cpus
from retrieval.preprocessing import preprocess
from retrieval.records import Entry
from retrieval.schema import DATABASE, THUMBNAILS
from tests.made import (
    SQUASH_8,
    MeanColour,
    by_hue,
    embed_image,
    encode,
    extracted,
    mean_colour,
    noise,
    save_hues,
)

HUES = {f"{hue:03}.png": float(hue) for hue in range(0, 360, 12)}  # thirty


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with thirty colours."""
    return save_hues(tmp_path / "photos", HUES)


@pytest.fixture
def collection(tmp_path: Path, photos: Path, embedder: Embedder) -> Iterator[Collection]:
    """An empty collection of that folder."""
    with Collection.create(tmp_path / "collection", "photos", photos, embedder) as collection:
        yield collection


def index(collection: Collection, embedder: Embedder, batch: int = 8) -> list[Step]:
    """Bring a collection up to date with its folder, and return the steps."""
    root = collection.root
    assert root is not None
    changes = find_changes(collection, root)
    return list(index_folder(collection, root, embedder, changes, batch))


def index_as_jobs(collection: Collection, embedder: Embedder) -> list[Step]:
    """Do the same as workers do it."""
    root = collection.root
    assert root is not None
    plan = extraction.plan_folder(find_changes(collection, root), root)
    run = extraction.here(extraction.Source(str(root), False), embedder, Bounds())
    return list(extraction.carry_out(collection, plan, run))


def paths(collection: Collection) -> list[str]:
    return [picture.path for picture in collection.listing.pictures()]


def test_all_pictures_of_a_folder_are_indexed(wheel: Path, indexed: Collection) -> None:
    pictures = indexed.listing.pictures()
    assert [(p.path, p.label) for p in pictures][:2] == [
        ("cold/azure.png", "cold"),
        ("cold/blue.png", "cold"),
    ]
    assert {(p.width, p.height) for p in pictures} == {(40, 30)}
    assert [p.size for p in pictures] == [(wheel / p.path).stat().st_size for p in pictures]
    red = indexed.embeddings().vectors[paths(indexed).index("warm/red.png")]
    assert red == pytest.approx([1, 0, 0])
    assert all(indexed.thumbnail(p.sha256)[:2] == b"\xff\xd8" for p in pictures)


@pytest.mark.parametrize("batch", [1, 7, 8, 30, 100])
def test_the_steps_count_up_to_all_and_the_network_gets_whole_batches(
    collection: Collection, embedder: Embedder, batch: int
) -> None:
    steps = index(collection, embedder, batch)
    assert steps[0] == Step(0, 30, 0, 0)
    assert steps[-1] == Step(30, 30, 30, 0)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert max(embedder.extractor.batches) == min(batch, 30)
    assert extracted(embedder) == 30


def test_what_a_step_counts_is_on_disk(
    collection: Collection, embedder: Embedder, photos: Path, tmp_path: Path
) -> None:
    (photos / "000.png").write_bytes(b"")
    with Collection(tmp_path / "collection") as other:
        for step in index_folder(
            collection, photos, embedder, find_changes(collection, photos), batch=4
        ):
            assert other.listing.count() == (step.ready, step.unreadable)
            assert step.done == step.ready + step.unreadable


def test_indexing_again_computes_nothing(collection: Collection, embedder: Embedder) -> None:
    index(collection, embedder)
    before = collection.embeddings()
    assert index(collection, embedder) == [Step(0, 0, 0, 0)]
    assert extracted(embedder) == 30
    assert np.array_equal(collection.embeddings().vectors, before.vectors)


def test_only_new_and_changed_pictures_are_computed(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    index(collection, embedder)
    ids = {picture.path: picture.id for picture in collection.listing.pictures()}
    by_hue(7).save(photos / "new.png")
    by_hue(200).save(photos / "000.png")
    changes = find_changes(collection, photos)
    assert [path.name for path in changes.to_read] == ["000.png", "new.png"]
    assert (changes.unchanged, changes.vanished) == (29, ())
    index(collection, embedder)
    assert extracted(embedder) == 32
    assert collection.listing.count() == (31, 0)
    changed = collection.embedding(ids["000.png"])
    assert changed == pytest.approx(embed_image(embedder, by_hue(200)))


def test_a_file_that_was_only_touched_is_read_and_not_computed(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    index(collection, embedder)
    os.utime(photos / "000.png", (1, 1))
    steps = index(collection, embedder)
    assert steps[-1].done == 1
    assert extracted(embedder) == 30
    assert find_changes(collection, photos).to_read == ()


def test_moved_and_renamed_files_are_not_computed_again(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    index(collection, embedder)
    (photos / "album").mkdir()
    (photos / "000.png").rename(photos / "album" / "red.png")
    (photos / "120.png").rename(photos / "green.png")
    index(collection, embedder)
    assert extracted(embedder) == 30
    assert collection.listing.count() == (30, 0)
    moved = next(p for p in collection.listing.pictures() if p.path == "album/red.png")
    assert moved.label == "album"
    assert collection.embedding(moved.id) == pytest.approx(np.array([[1, 0, 0]]))
    assert collection.thumbnail(moved.sha256) is not None


@pytest.mark.parametrize("batch", [1, 2, 8, 100])
def test_identical_files_are_computed_once(
    collection: Collection, embedder: Embedder, photos: Path, batch: int
) -> None:
    for name in ("000-copy.png", "000-copy-2.png", "zzz.png", "sub/000.png"):
        (photos / name).parent.mkdir(exist_ok=True)
        shutil.copy(photos / "000.png", photos / name)
    steps = index(collection, embedder, batch)
    assert steps[-1] == Step(34, 34, 34, 0)
    assert extracted(embedder) == 30
    assert len({p.sha256 for p in collection.listing.pictures()}) == 30
    copies = [
        p for p in collection.listing.pictures() if p.path.startswith("000") or p.path == "zzz.png"
    ]
    for copy in copies:
        assert collection.embedding(copy.id) == pytest.approx(np.array([[1, 0, 0]]))


@pytest.mark.skipif(available_cpus() < 2, reason="files are read one after the other")
def test_a_copy_of_what_is_lost_waits_for_it_also_over_a_stop(
    collection: Collection,
    embedder: Embedder,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a.png", "c.png"):  # the first one is read after the last
        by_hue(200).save(photos / name)
    index(collection, embedder)
    lost = {p.sha256 for p in collection.listing.pictures() if p.path == "a.png"}
    give_up(collection.store, lost, True)
    by_hue(310).save(photos / "b.png")
    claimed = threading.Semaphore(0)

    def read(path: Path, most: int) -> bytes:
        if path.name == "a.png":
            assert claimed.acquire(timeout=30)  # one for each of the others
            assert claimed.acquire(timeout=30)
        return read_bounded(path, most)

    def opened(*arguments: Any) -> Any:
        claimed.release()
        return open_picture(*arguments)

    monkeypatch.setattr(indexing, "read_bounded", read)
    monkeypatch.setattr(indexing, "open_picture", opened)
    changes = find_changes(collection, photos)
    assert [path.name for path in changes.to_read] == ["a.png", "b.png", "c.png"]
    steps = index_folder(collection, photos, embedder, changes, 1)
    next(steps), next(steps)
    assert collection.to_read_again() == lost
    steps.close()
    (photos / "c.png").unlink()
    monkeypatch.undo()
    index(collection, embedder)
    first = next(p for p in collection.listing.pictures() if p.path == "a.png")
    assert np.any(collection.embedding(first.id))


def test_a_folder_of_nothing_but_copies_is_computed_once(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    for path in photos.iterdir():
        path.write_bytes((photos / "000.png").read_bytes())
    assert index(collection, embedder)[-1] == Step(30, 30, 30, 0)
    assert extracted(embedder) == 1


def test_bad_files_are_listed_with_reasons_and_stop_nothing(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    (photos / "000.png").write_bytes(b"")
    (photos / "012.png").write_text("not a picture")
    (photos / "024.png").write_text("not a picture")  # a bad copy
    half = (photos / "348.png").read_bytes()
    (photos / "348.png").write_bytes(half[: len(half) // 2])
    steps = index(collection, embedder)
    assert steps[-1] == Step(30, 30, 26, 4)
    problems = dict(collection.listing.problems())
    assert list(problems) == ["000.png", "012.png", "024.png", "348.png"]
    assert "empty" in problems["000.png"]
    assert problems["012.png"] == problems["024.png"]
    assert "not a picture" in problems["012.png"]
    assert "cut short" in problems["348.png"]
    assert index(collection, embedder) == [Step(0, 0, 0, 0)]  # and they are not tried again


@pytest.mark.parametrize("part", ["read_bounded", "preprocess", "thumbnail_to_keep"])
@pytest.mark.parametrize("spread", [False, True], ids=["here", "as jobs"])
def test_a_file_that_memory_does_not_suffice_for_is_told_and_tried_again(
    collection: Collection,
    embedder: Embedder,
    photos: Path,
    part: str,
    spread: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = extraction if spread and part == "read_bounded" else indexing  # decoding is one
    real, calls = getattr(module, part), []

    def fail_once(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(module, part, fail_once)
    run = index_as_jobs if spread else index
    assert run(collection, embedder)[-1] == Step(30, 30, 29, 1)
    ((_, problem),) = collection.listing.problems()
    assert "not enough memory" in problem
    assert run(collection, embedder)[-1] == Step(1, 1, 1, 0)


def test_copies_of_what_memory_does_not_suffice_for_are_tried_again_too_and_kept_as_they_were(
    collection: Collection, embedder: Embedder, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(collection, embedder)
    for name in ("000.png", "012.png", "new.png"):
        by_hue(7).save(photos / name)

    def fail(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(indexing, "preprocess", fail)
    assert index(collection, embedder)[-1] == Step(3, 3, 0, 3)
    assert collection.listing.count() == (30, 1)
    monkeypatch.undo()
    assert index(collection, embedder)[-1] == Step(3, 3, 3, 0)
    assert collection.listing.count() == (31, 0)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("spread", [False, True], ids=["here", "as jobs"])
def test_a_picture_of_which_the_network_makes_no_numbers_is_told_and_stops_nothing(
    collection: Collection,
    embedder: Embedder,
    photos: Path,
    spread: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(photos / "000.png", photos / "copy.png")
    extract = embedder.extractor.extract

    def extract_no_red(pictures: np.ndarray) -> np.ndarray:
        features = extract(pictures)
        features[features[:, 1] + features[:, 2] == 0] = np.inf
        return features

    monkeypatch.setattr(embedder.extractor, "extract", extract_no_red)
    run = index_as_jobs if spread else index
    assert run(collection, embedder)[-1] == Step(31, 31, 29, 2)
    assert [path for path, _ in collection.listing.problems()] == ["000.png", "copy.png"]
    assert run(collection, embedder)[-1] == Step(0, 0, 0, 0)


def test_a_bad_file_that_was_mended_is_indexed(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    (photos / "000.png").write_bytes(b"")
    index(collection, embedder)
    by_hue(0).save(photos / "000.png")
    index(collection, embedder)
    assert collection.listing.count() == (30, 0)


def test_files_beyond_the_bounds_are_refused_with_the_bound(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    by_hue(0, (200, 100)).save(photos / "wide.png")
    (photos / "000.png").write_bytes(bytes(3 * 2**20))
    bounds = Bounds(bytes=2**20, pixels=10_000)
    changes = find_changes(collection, photos)
    list(index_folder(collection, photos, embedder, changes, bounds=bounds))
    problems = dict(collection.listing.problems())
    assert list(problems) == ["000.png", "wide.png"]
    assert "more than 1 MB" in problems["000.png"]
    assert "megapixels" in problems["wide.png"]


def test_vanished_pictures_are_forgotten_with_what_was_computed_of_them(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    index(collection, embedder)
    gone = collection.listing.pictures()[0]
    (photos / gone.path).unlink()
    changes = find_changes(collection, photos)
    assert changes.vanished == (gone.path,)
    index(collection, embedder)
    assert gone.path not in paths(collection)
    assert collection.listing.count() == (29, 0)
    assert gone.sha256 not in collection.listing.known_contents()
    assert collection.thumbnail(gone.sha256) is None


def test_a_folder_that_is_gone_forgets_nothing(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    index(collection, embedder)
    photos.rename(photos.with_name("elsewhere"))
    with pytest.raises(LookalikeError, match=r"no folder .*photos"):
        find_changes(collection, photos)
    assert collection.listing.count() == (30, 0)


def test_a_picture_that_goes_before_its_turn_is_reported_and_then_forgotten(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    changes = find_changes(collection, photos)
    (photos / "348.png").unlink()
    *_, last = index_folder(collection, photos, embedder, changes)
    assert last == Step(30, 30, 29, 1)
    index(collection, embedder)
    assert (collection.listing.count(), collection.listing.problems()) == ((29, 0), [])


def test_a_disk_that_drops_out_while_it_is_looked_through_takes_no_known_picture_along(
    collection: Collection, photos: Path, embedder: Embedder
) -> None:
    index(collection, embedder)
    before = collection.listing.pictures()
    (photos / "new.png").write_bytes(encode(by_hue(7), "PNG"))
    changes = find_changes(collection, photos)
    changes = replace(changes, to_read=tuple(sorted(photos.iterdir())))  # none could be looked at
    away = photos.rename(photos.with_name("away"))
    steps = list(index_folder(collection, photos, embedder, changes))
    assert steps[-1].unreadable == 31
    assert collection.listing.count() == (30, 1)
    away.rename(photos)
    assert collection.listing.pictures() == before
    assert all(collection.thumbnail(picture.sha256) for picture in before)
    index(collection, embedder)
    assert collection.listing.count() == (31, 0)
    assert extracted(embedder) == 31


@pytest.mark.parametrize(
    ("year", "is_kept"), [(1601, False), (1969, True), (2100, True), (9999, False)]
)
def test_a_file_of_any_date_can_be_written_down(
    collection: Collection, year: int, is_kept: bool
) -> None:
    changed = (year - 1970) * 365 * 86400 * 10**9
    status = os.stat_result((0,) * 10, {"st_mtime_ns": changed})
    modified = modified_of(status)
    collection.write([Entry("a.png", 1, modified, "", None, "damaged")])
    assert collection.listing.files() == {"a.png": (1, modified)}
    assert (modified == changed) == is_kept


def test_stopping_keeps_what_is_done_and_going_on_computes_only_the_rest(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    steps = index_folder(collection, photos, embedder, find_changes(collection, photos), batch=4)
    for step in steps:
        if step.done >= 12:
            break
    steps.close()
    assert collection.listing.count() == (12, 0)
    assert len(find_changes(collection, photos).to_read) == 18
    index(collection, embedder)
    assert collection.listing.count() == (30, 0)
    assert extracted(embedder) == 30


def test_a_network_that_fails_keeps_what_is_done_and_frees_the_collection(
    collection: Collection, embedder: Embedder, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract, calls = embedder.extractor.extract, []

    def fail_the_third_time(pictures: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return extract(pictures)

    monkeypatch.setattr(embedder.extractor, "extract", fail_the_third_time)
    with pytest.raises(RuntimeError, match="out of memory"):
        index(collection, embedder, batch=4)
    assert collection.listing.count() == (8, 0)
    index(collection, embedder)
    assert collection.listing.count() == (30, 0)


class Pair(MeanColour):
    """Mean colours that are computed only when two batches are, at one time."""

    def __init__(self, failing: bool = False) -> None:
        super().__init__()
        self.both = threading.Barrier(2)
        self.failing = failing

    def side_by_side(self, calls: int) -> "Pair":
        assert calls == 2
        return self

    def extract(self, pictures: np.ndarray) -> np.ndarray:
        self.both.wait(timeout=20)
        if self.failing and len(self.batches) >= 2:
            self.both.abort()  # nobody is to wait for the other one of the next two
            raise RuntimeError("out of memory")
        return super().extract(pictures)


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processors, and thirty files are many."""
    monkeypatch.setattr(indexing, "available_cpus", lambda: 2)
    monkeypatch.setattr(indexing, "WORTH_IT", 30)


@pytest.mark.usefixtures("two_at_once")
def test_many_pictures_are_computed_in_several_threads_and_written_in_order(
    collection: Collection,
) -> None:
    steps = index(collection, Embedder(Pair()), batch=10)
    assert [step.done for step in steps] == [0, 5, 10, 15, 20, 25, 30]
    assert paths(collection) == sorted(HUES)
    own = mean_colour().embed(np.stack([preprocess(by_hue(h), SQUASH_8) for h in HUES.values()]))
    assert collection.embeddings().vectors == pytest.approx(own, abs=1e-5)


@pytest.mark.usefixtures("two_at_once")
def test_a_thread_that_fails_keeps_what_is_done_and_going_on_computes_the_rest(
    collection: Collection, embedder: Embedder
) -> None:
    with pytest.raises(RuntimeError):  # of the network, or of the barrier
        index(collection, Embedder(Pair(failing=True)), batch=10)
    assert collection.listing.count() == (10, 0)
    index(collection, embedder)
    assert collection.listing.count() == (30, 0)
    assert extracted(embedder) == 20


def test_two_cannot_index_at_the_same_time(
    collection: Collection, embedder: Embedder, photos: Path, tmp_path: Path
) -> None:
    changes = find_changes(collection, photos)
    running = index_folder(collection, photos, embedder, changes)
    next(running)
    with Collection(tmp_path / "collection") as other, pytest.raises(BusyError, match="photos"):
        next(index_folder(other, photos, mean_colour(), changes))
    running.close()
    assert list(index_folder(collection, photos, embedder, changes))[-1].done == 30


def test_another_model_may_not_add_to_a_collection(collection: Collection, photos: Path) -> None:
    other = mean_colour(weights="1" * 64)
    with pytest.raises(LookalikeError, match="another model"):
        next(index_folder(collection, photos, other, find_changes(collection, photos)))
    assert extracted(other) == 0


class Counted(tuple):  # type: ignore[type-arg]
    """Paths that count how many of them were taken."""

    taken = 0

    def __iter__(self) -> Iterator[Path]:
        for path in super().__iter__():
            self.taken += 1
            yield path


def test_reading_runs_only_a_bounded_way_ahead_of_the_network(
    tmp_path: Path, embedder: Embedder
) -> None:
    photos = save_hues(tmp_path / "many", {f"{i}.png": i / 2 for i in range(720)})
    with Collection.create(tmp_path / "of many", "many", photos, embedder) as collection:
        found = find_changes(collection, photos)
        to_read = Counted(found.to_read)
        changes = type(found)(to_read, (), 0, ())
        ahead = [
            to_read.taken - step.done
            for step in index_folder(collection, photos, embedder, changes, batch=8)
        ]
    cpus = os.cpu_count() or 1
    assert to_read.taken == 720
    assert max(ahead) <= 4 * cpus + 8


def test_files_with_odd_names_are_indexed(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    names = ['it\'s "quoted".png', "🐈‍⬛ café.png", "a" * 246 + ".png", "100%;--{}[]#?.png"]
    if sys.platform == "win32":
        names = ["it's.png", "🐈‍⬛ café.png", "100%;--{}[]#.png"]
    else:
        names += ["tab\tand\nnewline.png", "back\\slash.png"]
    save_hues(photos, {name: 5.0 + i for i, name in enumerate(names)})
    index(collection, embedder)
    assert set(names) <= set(paths(collection))
    assert collection.listing.problems() == []
    assert find_changes(collection, photos).to_read == ()


def save_nameless(photos: Path) -> None:
    """Save a picture whose name is no text."""
    if sys.platform != "linux":
        pytest.skip("Only Linux allows file names that are no text.")
    with open(os.fsencode(photos) + b"/\xff\xfe.png", "wb") as file:
        by_hue(3).save(file, "PNG")


def test_a_name_that_is_no_text_is_reported_and_stops_nothing(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    save_nameless(photos)
    index(collection, embedder)
    problem = "The file's name is not valid text. Rename it."
    assert collection.listing.problems() == [("\\udcff\\udcfe.png", problem)]
    assert collection.listing.count() == (30, 1)
    assert index(collection, embedder) == [Step(0, 0, 0, 0)]


def test_a_name_that_is_no_text_is_reported_by_workers_as_well_and_not_tried_again(
    collection: Collection, embedder: Embedder, photos: Path
) -> None:
    save_nameless(photos)
    plan = plan_folder(find_changes(collection, photos), photos)
    work = here(Source(str(photos), is_url=False), embedder, Bounds())
    assert list(carry_out(collection, plan, work))[-1] == Step(31, 31, 30, 1)
    problem = "The file's name is not valid text. Rename it."
    assert collection.listing.problems() == [("\\udcff\\udcfe.png", problem)]
    assert find_changes(collection, photos).to_read == ()


def start_indexing(photos: Path, model: Path, home: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "retrieval", "index", photos, "--model", model, "--cpu"]
    return subprocess.Popen(
        command,
        cwd=settings.PROJECT,
        env={**os.environ, "LOOKALIKE_HOME": str(home), "TQDM_MININTERVAL": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def kill_after(process: "subprocess.Popen[bytes]", pictures: int, seconds: float) -> int:
    """Kill a run some time after it has reported so many pictures; return what it reported."""
    assert process.stderr is not None
    said, reported = b"", -1
    while reported < pictures and (piece := os.read(process.stderr.fileno(), 4096)):
        said += piece
        if counts := re.findall(rb"(\d+)/\d+ \[", said):
            reported = int(counts[-1])
    time.sleep(seconds)
    process.kill()
    said += process.communicate()[1]
    return max(int(count) for count in re.findall(rb"(\d+)/\d+ \[", said))


def is_whole(folder: Path) -> bool:
    """Whether both files of a collection are sound, and every picture has all that is its own."""
    found = []
    for name in (DATABASE, THUMBNAILS):
        database = sqlite3.connect(folder / name)
        found += database.execute("PRAGMA integrity_check").fetchall()
        found += database.execute("PRAGMA foreign_key_check").fetchall()
        database.close()
    with Collection(folder) as collection:
        pictures, held = collection.listing.pictures(), collection.embeddings()
        lengths = np.linalg.norm(held.vectors, axis=1)
        return (
            found == [("ok",), ("ok",)]
            and [p.id for p in pictures] == held.ids.tolist()
            and bool(np.allclose(lengths, 1, atol=1e-5))
            and all((collection.thumbnail(p.sha256) or b"")[:2] == b"\xff\xd8" for p in pictures)
        )


def test_ten_kills_at_random_moments_lose_nothing_that_was_finished(
    tmp_path: Path, tiny_files: Path
) -> None:
    photos = tmp_path / "killed"
    photos.mkdir()
    distinct = [encode(noise((1200, 900), seed), "JPEG", quality=90) for seed in range(8)]
    for i in range(240):
        # What follows the end of a JPEG makes another file of it, and the same picture.
        (photos / f"{i:03}.jpg").write_bytes(distinct[i % 8] + bytes(i // 8))
    folder = tmp_path / "home" / "collections" / "killed"
    moments = random.Random(20241124)
    finished, in_the_middle = 0, 0
    for _ in range(10):
        process = start_indexing(photos, tiny_files, tmp_path / "home")
        reported = kill_after(process, moments.choice([0, 1, 1, 9]), moments.uniform(0, 0.05))
        assert process.returncode != 0
        assert is_whole(folder)
        with Collection(folder) as collection:
            ready, unreadable = collection.listing.count()
        assert unreadable == 0
        assert ready >= finished + reported
        finished = ready
        in_the_middle += 0 < finished < 240
    assert in_the_middle >= 5  # or the kills did not fall into the work

    process = start_indexing(photos, tiny_files, tmp_path / "home")
    process.communicate()
    assert process.returncode == 0
    assert is_whole(folder)
    with Collection(folder) as collection:
        assert [p.path for p in collection.listing.pictures()] == [
            f"{i:03}.jpg" for i in range(240)
        ]
        vectors = collection.embeddings().vectors
    embedder = open_embedder(tiny_files, settings.pca_path(tiny_files), gpu=False)
    expected = np.concatenate([embed_image(embedder, open_picture(d).image) for d in distinct])
    assert vectors == pytest.approx(np.tile(expected, (30, 1)), abs=0.05)
