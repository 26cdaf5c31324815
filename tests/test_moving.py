"""Moving vectors to Milvus and back, with kills of both sides in the middle of it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval import moving, settings
from retrieval.__main__ import main
from retrieval.changes import find_changes
from retrieval.checking import check_collection
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.indexing import index_folder
from retrieval.milvus import MilvusGallery
from retrieval.milvus_access import MilvusError, Place
from retrieval.moving import drop_copy, move_home, move_out
from retrieval.query import Weights
from retrieval.records import Content, Entry, PictureRecord
from retrieval.schema import ORIGINALS
from retrieval.search import Request, Searcher, search
from retrieval.uploads import Uploads
from tests.made import need, save_hues
from tests.made_vectors import MIX, WIDTHS, fill, found, of_width, queries
from tests.servers import Server, milvus_lite
from tests.test_uploads import send

need("milvus_lite", "pip install -r tests/requirements.txt")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    with milvus_lite(tmp_path / "milvus") as running:
        yield running


Answers = list[tuple[list[str], list[float]]]


def answers(collection: Collection) -> Answers:
    """Return what some queries find, by one aspect and by a mixture."""
    searcher = Searcher(collection, of_width(WIDTHS[0]))
    return [
        found(searcher, query, Request(20, weights))
        for query in queries(3)
        for weights in (Weights(), MIX)
    ]


def same(mine: Answers, theirs: Answers) -> bool:
    """Whether they are the same, but for the order of copies and the last digits."""
    return len(mine) == len(theirs) and all(
        np.allclose(a[1], b[1], atol=2e-3) and len({*a[0]} & {*b[0]}) >= 19
        for a, b in zip(mine, theirs, strict=True)
    )


def start(*arguments: object) -> "subprocess.Popen[bytes]":
    """Start a command of the collections at hand in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "retrieval", *map(str, arguments)],
        cwd=settings.PROJECT,
        env={
            **os.environ,
            "LOOKALIKE_HOME": str(settings.COLLECTIONS.parent),
            "TQDM_MININTERVAL": "0",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def wait_for(process: "subprocess.Popen[bytes]", pictures: int) -> int:
    """Return how many pictures a process reports, once there are so many."""
    assert process.stderr is not None
    said, reported = b"", 0
    while reported < pictures and (piece := os.read(process.stderr.fileno(), 4096)):
        said += piece
        if counts := re.findall(rb"(\d+)/\d+ \[", said):
            reported = int(counts[-1])
    assert reported >= pictures, said.decode()
    return reported


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home" / "collections"
    folder.mkdir(parents=True)
    monkeypatch.setattr(settings, "COLLECTIONS", folder)
    return folder


def test_a_move_that_is_killed_goes_on_and_so_it_does_when_the_server_was(
    library: Path, server: tuple[Server, str], capsys: pytest.CaptureFixture[str]
) -> None:
    milvus, uri = server
    with fill(library / "made", 6000) as collection:
        before = answers(collection)
        process = start("move", "made", "--to", uri)
        wait_for(process, 1000)
        process.kill()
        process.communicate()
        assert collection.place is None
        assert same(answers(collection), before)

        process = start("move", "made", "--to", uri)
        told = wait_for(process, 2500)
        milvus.kill()
        said = process.communicate()[1].decode()
        assert process.returncode == 1
        assert "The Milvus server for the vectors does not answer." in said
        assert "Traceback" not in said
        milvus.start()
        # The local collection goes on changing meanwhile.
        collection.exclude([collection.listing.pictures()[0].path])
        before = answers(collection)

        first = next(steps := move_out(collection, uri))
        assert told - 2 <= first.done < 6000  # it went on, and did not begin anew
        steps.close()
        assert main(["move", "made", "--to", uri]) == 0
        assert "made: 5,999 pictures, their vectors are at http" in capsys.readouterr().out
        gallery = collection.gallery
        assert isinstance(gallery, MilvusGallery)
        assert gallery.count() == collection.listing.count()[0] == 5999
        assert same(answers(collection), before)
        assert list(move_out(collection, uri)) == []  # it is there
        assert main(["move", "made", "--to", uri, "--index", "IVF_FLAT"]) == 0
        with Collection(collection.folder) as again:
            assert isinstance(again.gallery, MilvusGallery)
            assert again.gallery.widths()
            assert set(again.gallery._kinds.values()) == {"IVF_FLAT"}
    assert main(["move", "made", "--to", "local", "--index", "HNSW"]) == 1
    assert "Leave --index out" in capsys.readouterr().err


def test_vectors_go_there_and_back_and_are_the_same(
    library: Path, server: tuple[Server, str], tmp_path: Path
) -> None:
    with fill(library / "made", 1200) as collection:
        before, vectors = answers(collection), collection.embeddings("colour").vectors
        assert main(["move", "made", "--to", server[1], "--index", "HNSW"]) == 0
        searcher = Searcher(collection, of_width(WIDTHS[0]))
        assert search([searcher], queries(1)[0], Request()).method == "approximate, HNSW"
        # The vectors stay here as well, until one says otherwise.
        assert collection.exact.count() == 1200
        pages = "PRAGMA page_count"
        large = collection.store.rows(pages)[0][0]
        assert main(["move", "made", "--to", server[1], "--drop"]) == 0
        assert collection.exact.count() == 0
        assert collection.store.rows(pages)[0][0] < large / 1.2
        assert same(answers(collection), before)
        # From one Milvus to another, and what was at the first is deleted there.
        first = collection.place
        assert first is not None
        assert main(["move", "made", "--to", str(tmp_path / "v.db"), "--drop"]) == 0
        assert same(answers(collection), before)
        assert not collection.gallery_at(first).exists()
        steps = move_home(collection)
        next(steps), next(steps)
        steps.close()  # stopped in the middle
        assert 0 < collection.exact.count() < 1200
        assert main(["move", "made", "--to", "local"]) == 0
        assert collection.place is None
        assert same(answers(collection), before)
        assert collection.embeddings("colour").vectors == pytest.approx(vectors, abs=1e-3)
        drop_copy(collection)  # they are not elsewhere, so this deletes nothing
        assert collection.exact.count() == 1200


def test_what_did_not_arrive_whole_is_noticed_and_nothing_is_switched_over(
    library: Path, server: tuple[Server, str]
) -> None:
    with fill(library / "made", 700) as collection:
        steps = move_out(collection, server[1])
        while next(steps).done < 700:
            pass
        uri, name = (collection.store.fact(f"moving_{key}") for key in ("uri", "name"))
        target = collection.gallery_at(Place(uri, name))
        target.remove([collection.listing.pictures()[3].id])
        with pytest.raises(LookalikeError, match="700 pictures, and 699 arrived"):
            list(steps)
        assert collection.place is None
        # What the sentence says to do helps.
        assert list(move_out(collection, server[1]))[-1].done == 700
        assert collection.gallery.count() == 700


def index(collection: Collection, root: Path, embedder: Embedder) -> None:
    """Read what is new in a folder, where what is not there is no change."""
    changes = replace(find_changes(collection, root), vanished=(), moved=())
    for _ in index_folder(collection, root, embedder, changes):
        pass


def lose(collection: Collection, *positions: int) -> list[PictureRecord]:
    """Have the Milvus of a collection lose the vectors of some pictures, by their places."""
    lost = [collection.listing.pictures()[at] for at in positions]
    collection.gallery.remove([picture.id for picture in lost])
    return lost


@pytest.mark.parametrize("home", [True, False], ids=["back home", "to another Milvus"])
def test_what_milvus_has_lost_is_told_and_kept_and_the_rest_is_moved(
    library: Path,
    server: tuple[Server, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    home: bool,
) -> None:
    there = "local" if home else str(tmp_path / "other.db")
    with fill(library / "made", 60, server[1]) as collection:
        before = collection.listing.pictures()
        lost = lose(collection, 1, 30)
        assert main(["check", "--repair", "--name", "made"]) == 1
        capsys.readouterr()
        assert main(["move", "made", "--to", there, "--drop"]) == 0
        said = capsys.readouterr()
        assert "made: 60 pictures, the vectors of 58 are at" in said.out
        assert "The vectors of the others, 2, are lost" in said.err
        assert all(picture.path in said.err for picture in lost)
        assert "add them to it again" in said.err
        assert (collection.place is None) == home
        # All that is known of them is here, and no search finds them.
        assert collection.listing.pictures() == before
        assert all(collection.thumbnail(picture.sha256) for picture in lost)
        searcher = Searcher(collection, of_width(WIDTHS[0]))
        paths, similarities = found(searcher, queries(1)[0], Request(60))
        assert len(paths) == 60 if home else 58
        assert all(
            similarities[paths.index(picture.path)] == 0
            for picture in lost
            if picture.path in paths
        )
        # It can be moved on, and a check goes on telling what is lost.
        assert main(["move", "made", "--to", server[1]]) == 0
        assert collection.gallery.count() == 58
        assert "58 of 60" in str(check_collection(collection.folder))
        list(move_home(collection))
        lacking = [f.sentence for f in check_collection(collection.folder) if "jpeg" not in str(f)]
        assert [s for s in lacking if "vector is lost" in s] == sorted(
            f"{picture.path}: its vector is lost." for picture in lost
        )


def test_a_photo_that_is_added_again_brings_the_lost_vectors_of_its_copies_back(
    library: Path, server: tuple[Server, str], embedder: Embedder, tmp_path: Path
) -> None:
    hues = {"a/red.png": 0.0, "a/copy.png": 0.0, "b/green.png": 120.0, "b/blue.png": 240.0}
    photos = save_hues(tmp_path / "photos", hues)
    folder, uri = library / "hues", server[1]
    with Collection.create(folder, "hues", photos, embedder, milvus=uri) as collection:
        index(collection, photos, embedder)
        collection.store.note({"root": ""})  # as it is where its photos are not
        lose(collection, 0, 1, 2)
        before = collection.listing.pictures()
        steps = list(move_home(collection))
        assert steps[-1].lost == ("a/copy.png", "a/red.png", "b/blue.png")
        files = {path: (photos / path).read_bytes() for path in ("a/red.png", "b/green.png")}
        uploads = Uploads(tmp_path / "uploads")
        name = send(uploads, files)
        taken = uploads.take(name, "me", collection, folder / ORIGINALS, strip=False)
        assert taken.files == 1  # the other one is here
        index(collection, folder / ORIGINALS, embedder)
        assert [p.path for p in collection.listing.pictures()] == [p.path for p in before]
        vectors = collection.embeddings().vectors
        assert vectors == pytest.approx(np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]]))


def test_what_a_move_lost_before_it_was_killed_is_told_by_the_next_one(
    library: Path, server: tuple[Server, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with fill(library / "made", 60, server[1]) as collection:
        lost = lose(collection, 1, 30)
        steps = move_home(collection)
        next(steps), next(steps)
        steps.close()  # all is here, but nothing is switched over
        assert main(["move", "made", "--to", "local"]) == 0
        said = capsys.readouterr()
        assert "made: 60 pictures, the vectors of 58 are at local" in said.out
        assert said.err.splitlines()[-2:] == sorted(picture.path for picture in lost)


def test_what_is_taken_out_while_a_move_looks_whether_all_arrived_is_not_missed(
    library: Path, server: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fill(library / "made", 60) as collection:

        def lacking_in(collection: Collection, gallery: MilvusGallery) -> list[int]:
            monkeypatch.undo()
            picture = collection.listing.pictures()[3]
            gallery.remove([picture.id])
            lacking = moving.lacking_in(collection, gallery)
            collection.exclude([picture.path])  # on the page
            return lacking

        monkeypatch.setattr(moving, "lacking_in", lacking_in)
        steps = list(move_out(collection, server[1]))
        assert steps[-1] == moving.Moved(59, 59)
        assert collection.gallery.count() == 59


def test_vectors_that_milvus_has_lost_are_not_dropped_here(
    library: Path, server: tuple[Server, str]
) -> None:
    with fill(library / "made", 60) as collection:
        assert main(["move", "made", "--to", server[1]]) == 0
        lost = lose(collection, 7)
        before = collection.exact.fetch([lost[0].id], "subject")
        assert main(["move", "made", "--to", server[1], "--drop"]) == 0
        assert collection.exact.count() == 0
        assert collection.gallery.fetch([lost[0].id], "subject") == pytest.approx(before, abs=1e-4)


@pytest.mark.parametrize("home", [True, False], ids=["back home", "to another Milvus"])
def test_what_only_the_records_have_still_is_moved_on(
    library: Path, server: tuple[Server, str], tmp_path: Path, home: bool
) -> None:
    with fill(library / "made", 60) as collection:
        before = collection.embeddings().vectors
        assert main(["move", "made", "--to", server[1]]) == 0
        lose(collection, 7)
        list(move_home(collection) if home else move_out(collection, str(tmp_path / "other.db")))
        assert collection.embeddings().vectors == pytest.approx(before, abs=1e-4)


def test_a_move_that_is_killed_before_it_deletes_what_it_left_deletes_it_the_next_time(
    library: Path, tmp_path: Path
) -> None:
    with fill(library / "made", 30) as collection:
        list(move_out(collection, str(tmp_path / "v.db")))
        left = collection.place
        assert left is not None
        list(move_home(collection))  # killed here
        for _ in range(2):
            assert main(["move", "made", "--to", "local", "--drop"]) == 0
            assert not collection.gallery_at(left).exists()
            assert collection.exact.count() == 30


def test_what_a_chain_of_moves_has_left_is_deleted_at_its_end(
    library: Path, tmp_path: Path
) -> None:
    with fill(library / "made", 30) as collection:
        left = []
        for name in ("a.db", "b.db"):
            list(move_out(collection, str(tmp_path / name)))
            left.append(collection.place)
        list(move_home(collection))
        list(move_out(collection, str(tmp_path / "c.db")))
        assert main(["move", "made", "--to", "local", "--drop"]) == 0
        assert [collection.gallery_at(place).exists() for place in left if place] == [False, False]
        assert collection.exact.count() == 30


def test_a_place_that_is_gone_keeps_nothing_else_from_being_deleted(
    library: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with fill(library / "made", 30) as collection:
        left = []
        for name in ("a.db", "b.db", "c.db"):
            list(move_out(collection, str(tmp_path / name)))
            left.append(collection.place)
        first, gone, here = left
        assert first is not None
        assert gone is not None
        drop = MilvusGallery.drop

        def fail(gallery: MilvusGallery) -> None:
            if gallery.place == gone:
                raise MilvusError("Milvus does not answer")
            drop(gallery)

        monkeypatch.setattr(MilvusGallery, "drop", fail)
        assert main(["move", "made", "--to", str(tmp_path / "c.db"), "--drop"]) == 1
        assert "Milvus does not answer" in capsys.readouterr().err
        assert (collection.exact.count(), collection.place) == (0, here)
        assert not collection.gallery_at(first).exists()
        monkeypatch.setattr(MilvusGallery, "drop", drop)
        moving.drop_left(collection)
        assert not collection.gallery_at(gone).exists()


def test_a_file_that_is_away_is_missed_and_none_is_made_in_its_place(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "v.db"
    with fill(library / "made", 30) as collection:
        list(move_out(collection, str(file)))
        before = answers(collection)
    os.rename(file, tmp_path / "elsewhere")  # as of a disk that is not connected
    with Collection(library / "made") as collection:
        with pytest.raises(MilvusError, match=r"v\.db, is not where it was\. Connect its disk"):
            answers(collection)
        new = Content("new", 10, 10, None, collection.exact.read("subject").vectors[0], b"jpeg")
        with pytest.raises(MilvusError, match="is not where it was"):
            collection.write([Entry("new.jpg", 10, 10, "", "new")], [new])
        assert main(["move", "made", "--to", "local"]) == 1
        assert main(["check", "--repair"]) == 1
        assert capsys.readouterr().err.count("v.db, is not where it was") == 2
        collection.gallery.drop()  # so it can be deleted
    assert not file.exists()
    os.rename(tmp_path / "elsewhere", file)
    with Collection(library / "made") as collection:
        assert same(answers(collection), before)
        collection.deliver()
        assert collection.gallery.count() == 31


def test_a_move_to_nowhere_is_a_sentence(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fill(library / "made", 30) as collection:
        with pytest.raises(MilvusError, match="does not answer"):
            list(move_out(collection, "http://127.0.0.1:9"))
        assert main(["move", "made", "--to", "somewhere"]) == 1
        assert "Name a file that ends in .db" in capsys.readouterr().err
        assert collection.place is None
