"""Moving vectors to Milvus and back, with kills of both sides in the middle of it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieval import settings
from retrieval.__main__ import main
from retrieval.collection import Collection
from retrieval.errors import LookalikeError
from retrieval.milvus import MilvusGallery
from retrieval.milvus_access import MilvusError, Place
from retrieval.moving import drop_copy, move_home, move_out
from retrieval.query import Weights
from retrieval.search import Request, Searcher, search
from tests.made import need
from tests.made_vectors import MIX, WIDTHS, fill, found, of_width, queries
from tests.servers import Server, milvus_lite

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
        assert "The Milvus server that holds the vectors does not answer." in said
        assert "Traceback" not in said
        milvus.start()
        # The local collection goes on changing meanwhile.
        collection.exclude([collection.pictures()[0].path])
        before = answers(collection)

        first = next(steps := move_out(collection, uri))
        assert told - 2 <= first.done < 6000  # it went on, and did not begin anew
        steps.close()
        assert main(["move", "made", "--to", uri]) == 0
        assert "made: 5,999 pictures, their vectors are at http" in capsys.readouterr().out
        gallery = collection.gallery
        assert isinstance(gallery, MilvusGallery)
        assert gallery.count() == collection.count()[0] == 5999
        assert same(answers(collection), before)
        assert list(move_out(collection, uri)) == []  # it is there


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
        target.remove([collection.pictures()[3].id])
        with pytest.raises(LookalikeError, match="700 pictures, and 699 arrived"):
            list(steps)
        assert collection.place is None


def test_a_move_to_nowhere_is_a_sentence(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fill(library / "made", 30) as collection:
        with pytest.raises(MilvusError, match="does not answer"):
            list(move_out(collection, "http://127.0.0.1:9"))
        assert main(["move", "made", "--to", "somewhere"]) == 1
        assert "Name a file that ends in .db" in capsys.readouterr().err
        assert collection.place is None
