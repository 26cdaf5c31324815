"""Vectors in Milvus, against a real Milvus Lite server: the same answers, whatever is killed."""

import base64
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.building import Builders
from retrieval.changes import find_changes
from retrieval.checking import check_collection
from retrieval.collection import Collection
from retrieval.embedding import Aspects, Embedder
from retrieval.errors import LookalikeError
from retrieval.gallery import Described
from retrieval.indexing import index_folder
from retrieval.mending import mend_database, note_all_anew
from retrieval.milvus import MilvusGallery
from retrieval.milvus_access import MilvusError, Place, connect
from retrieval.pages import opened_markup
from retrieval.query import Filters, Weights
from retrieval.search import Request, Searcher, search
from tests.bench_scale import show
from tests.made import link, need, save_hues, search_like
from tests.made_vectors import MIX, WIDTHS, fill, found, of_width, queries
from tests.servers import Server, milvus_lite

need("milvus_lite", "pip install -r tests/requirements.txt")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A Milvus Lite of this file's own."""
    with milvus_lite(tmp_path_factory.mktemp("milvus")) as running:
        yield running


@pytest.fixture
def uri(server: tuple[Server, str]) -> str:
    return server[1]


@pytest.fixture(scope="module")
def both(
    server: tuple[Server, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Searcher, Searcher]]:
    """The same 2,000 pictures twice: exact in memory, and in Milvus."""
    folder = tmp_path_factory.mktemp("both")
    embedder = of_width(WIDTHS[0])
    with fill(folder / "a", 2000) as here, fill(folder / "b", 2000, server[1]) as there:
        yield Searcher(here, embedder), Searcher(there, embedder)


WEIGHTS = [Weights(), Weights(subject=0, colour=1), Weights(subject=0, texture=0.5), MIX]
FILTERS = [
    Filters(),
    Filters(label='quoted "a"'),
    Filters(label="u\u0308", shape="portrait", megapixels=2),
    Filters(folder="b/c/one%"),
    Filters(folder="u\u0308", since="2009", until="2014-03"),  # an accent of its own
    Filters(words="SÜD", label="b\\c"),
    Filters(label="no such"),
]


@pytest.mark.parametrize("weights", WEIGHTS, ids=["subject", "colours", "texture", "mixture"])
@pytest.mark.parametrize(
    "filters",
    FILTERS,
    ids=["all", "label", "shape and size", "folder", "dates", "words", "none"],
)
def test_flat_ranks_as_the_exact_ranking_does(
    both: tuple[Searcher, Searcher], weights: Weights, filters: Filters
) -> None:
    here, there = both
    for query in queries(3):
        request = Request(24, weights, filters)
        mine, theirs = found(here, query, request), found(there, query, request)
        assert theirs[1] == pytest.approx(mine[1], abs=2e-3)
        # Copies are equally similar, and may stand in either order.
        steps = zip(mine[1], mine[1][1:], strict=False)
        for end in (at for at, (near, far) in enumerate(steps, 1) if near - far > 4e-3):
            assert set(theirs[0][:end]) == set(mine[0][:end])
    mine, theirs = (search([searcher], query, request) for searcher in both)
    assert theirs.method == "exact"
    assert theirs.compared == mine.compared == len(here.collection.listing.matching(filters))


def test_the_vectors_are_in_milvus_and_the_records_and_sketches_here(
    both: tuple[Searcher, Searcher],
) -> None:
    here, there = (searcher.collection for searcher in both)
    kept = "SELECT sum(length(embedding) + length(colour) + length(texture)) FROM contents"
    assert here.store.rows(kept)[0][0] > 100_000
    assert there.store.rows(kept) == [(0,)]
    assert there.gallery.count() == there.listing.count()[0] == 2000
    for aspect in ("subject", "colour", "texture"):
        mine, theirs = here.embeddings(aspect), there.embeddings(aspect)
        assert theirs.vectors == pytest.approx(mine.vectors, abs=1e-3)
        id_ = there.listing.pictures()[7].id
        assert there.embedding(id_, aspect) == pytest.approx(mine.vectors[7:8], abs=1e-3)
    assert there.embedding(123_456) is None


@pytest.mark.parametrize("width", [0, WIDTHS[2]], ids=["no numbers", "zeros"])
def test_what_is_not_known_of_a_query_does_not_count(
    both: tuple[Searcher, Searcher], width: int
) -> None:
    query = replace(queries(1)[0], texture=np.zeros((1, width), np.float32))
    mine, theirs = (found(searcher, query, Request(24, MIX)) for searcher in both)
    assert theirs[1] == pytest.approx(mine[1], abs=2e-3)
    assert found(both[1], query, Request(24, Weights(subject=0, texture=1))) == ([], [])


def test_a_few_queries_say_nothing_of_95_per_cent(capsys: pytest.CaptureFixture[str]) -> None:
    show("FLAT", 10, 0.0, [0.25] * 3, 1.0)
    show("HNSW", 10, 0.0, [0.25] * 100, 1.0)
    few, many = capsys.readouterr().out.splitlines()
    assert few.split()[4:] == ["3", "250.0", "ms", "1.000"]
    assert many.split()[4:] == ["100", "250.0", "ms", "250.0", "ms", "1.000"]


def test_confidence_is_judged_alike(both: tuple[Searcher, Searcher]) -> None:
    for weights in (Weights(), MIX):
        mine, theirs = (searcher.calibration(weights) for searcher in both)
        assert theirs.middle == pytest.approx(mine.middle, abs=0.02)
        assert theirs.spread == pytest.approx(mine.spread, abs=0.02)


def test_more_like_this_leaves_the_picture_itself_out(both: tuple[Searcher, Searcher]) -> None:
    here, there = both
    mine, theirs = here.collection.listing.pictures()[5], there.collection.listing.pictures()[5]
    expected = [m.similarity for m in search_like(here, mine.id, 5).matches]
    found_ = search_like(there, theirs.id, 5)
    assert [m.similarity for m in found_.matches] == pytest.approx(expected, abs=1e-3)
    assert theirs.id not in [m.picture.id for m in found_.matches]
    assert found_.compared == 1999


def test_hnsw_finds_nearly_all_and_says_what_it_is(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embedder = of_width(WIDTHS[0])
    with fill(tmp_path / "a", 3000) as a, fill(tmp_path / "b", 3000, uri) as b:
        assert isinstance(b.gallery, MilvusGallery)
        b.gallery.settle(["NO_SUCH_INDEX", "HNSW"])
        here, there = Searcher(a, embedder), Searcher(b, embedder)
        shared = 0
        for query in queries(20):
            mine, theirs = (found(each, query, Request(24))[1] for each in (here, there))
            shared += sum(similarity >= mine[-1] - 1e-4 for similarity in theirs)
        with capsys.disabled():
            sys.stdout.write(f"\nHNSW, recall at 24 of 3,000 made-up: {shared / (20 * 24):.3f}\n")
        assert shared >= 0.97 * 20 * 24
        assert search([there], query, Request(24)).method == "approximate, HNSW"
        assert search([there], query, Request(24, MIX)).method == "approximate, HNSW"
        assert search([here, there], query, Request(24)).method == "approximate, HNSW"
    # Opened again it knows.
    with Collection(tmp_path / "b") as again:
        searcher = Searcher(again, embedder)
        assert search([searcher], query, Request(24)).method == "approximate, HNSW"
        again.tune()
        assert search([searcher], query, Request(24)).method == "approximate, HNSW"
        assert isinstance(again.gallery, MilvusGallery)
        again.gallery.settle(["FLAT"])
        assert search([searcher], query, Request(24)).method == "exact"


STEPS = ("flush", "release_collection", "list_indexes", "drop_index", "create_index")


@pytest.mark.parametrize("step", [1, 4, 7, 9])
def test_a_kill_between_two_steps_of_an_index_leaves_what_can_be_gone_on_with(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    class Killed(BaseException):
        pass

    def die(gallery: MilvusGallery, request: str, *args: float, **arguments: object) -> object:
        nonlocal left
        left -= request in STEPS
        if not left:
            raise Killed
        return ask(gallery, request, *args, **arguments)

    def make() -> None:
        nonlocal left
        with fill(tmp_path / "c", 20, uri) as collection:
            assert isinstance(collection.gallery, MilvusGallery)
            left = step
            collection.gallery.settle(["HNSW"])

    ask, left = MilvusGallery._ask, step
    monkeypatch.setattr(MilvusGallery, "_ask", die)
    with pytest.raises(Killed):
        make()
    monkeypatch.undo()
    with Collection(tmp_path / "c") as again:
        again.deliver()
        searcher = Searcher(again, of_width(WIDTHS[0]))
        assert len(found(searcher, queries(1)[0], Request(20))[0]) == again.listing.count()[0]
        assert isinstance(again.gallery, MilvusGallery)
        again.gallery.settle(["HNSW"])
        assert search([searcher], queries(1)[0], Request()).method == "approximate, HNSW"


# Every change of the records reaches Milvus.


def photos(folder: Path, embedder: Embedder, uri: str) -> Collection:
    """Index six hues into Milvus; return the collection."""
    wheel = {f"{kind}/{hue}.png": hue for hue in (0.0, 60.0, 120.0) for kind in "ab"}
    save_hues(folder / "photos", {**wheel, "a/240.png": 240.0})
    collection = Collection.create(folder / "kept", "hues", folder / "photos", embedder, milvus=uri)
    index(collection, embedder)
    return collection


def index(collection: Collection, embedder: Embedder) -> None:
    assert collection.root is not None
    for _ in index_folder(
        collection, collection.root, embedder, find_changes(collection, collection.root)
    ):
        pass


def listed(collection: Collection, label: str = "") -> dict[str, float]:
    """Return the paths and red parts of all that Milvus finds with a label."""
    query = Aspects(*(np.ones((1, n), np.float32) for n in (3, 245, 0)))
    ranking = collection.gallery.search(query, Weights(), Filters(label=label), 100)
    ids = [int(id_) for id_ in ranking.ids]
    reds = collection.vectors_of(ids, "subject")[:, 0]
    paths = [picture.path for picture in collection.listing.pictures(ids)]
    return {path: round(float(red), 2) for path, red in zip(paths, reds, strict=True)}


def test_added_changed_moved_and_deleted_files_are_so_in_milvus(
    uri: str, tmp_path: Path, embedder: Embedder
) -> None:
    with photos(tmp_path, embedder, uri) as collection:
        before = listed(collection)
        assert before["a/0.0.png"] == before["b/0.0.png"] == 1
        assert (before["a/120.0.png"], len(before)) == (0, 7)
        folder = tmp_path / "photos"
        (folder / "a" / "0.0.png").rename(folder / "b" / "moved.png")
        (folder / "a" / "60.0.png").unlink()
        save_hues(folder, {"a/120.0.png": 0.0, "a/new.png": 300.0})
        # A copy of what is known, whose vectors are in Milvus alone.
        (folder / "b" / "copy.png").write_bytes((folder / "a" / "240.png").read_bytes())
        index(collection, embedder)
        assert listed(collection, "a") == {"a/120.0.png": 1, "a/240.png": 0, "a/new.png": 0.71}
        assert listed(collection, "b") == {
            **{"b/0.0.png": 1, "b/60.0.png": 0.71, "b/120.0.png": 0},
            **{"b/moved.png": 1, "b/copy.png": 0},
        }
        (folder / "captions.csv").write_text("filename,label\na/240.png,night\n")
        index(collection, embedder)
        assert listed(collection, "night") == {"a/240.png": 0}
        ids = {p.path: p.id for p in collection.listing.pictures()}
        collection.exclude(["a/240.png", "b/copy.png"])
        assert collection.gallery.count() == 6
        assert not collection.gallery.fetch([ids["a/240.png"]], "subject").any()
        # Its content is known and its vectors are gone everywhere: it is read anew.
        collection.excluded.readmit(["a/240.png"])
        index(collection, embedder)
        assert listed(collection, "night") == {"a/240.png": 0}
        assert collection.gallery.count() == collection.listing.count()[0] == 7


def test_a_check_finds_what_milvus_has_lost_and_an_index_reads_it_again(
    uri: str, tmp_path: Path, embedder: Embedder
) -> None:
    with photos(tmp_path, embedder, uri) as collection:
        folder = collection.folder
        assert check_collection(folder, repair=True) == []
        lost = next(p for p in collection.listing.pictures() if p.path == "a/240.png")
        collection.gallery.remove([lost.id])
        assert [f.sentence for f in check_collection(folder)] == [
            "Milvus has the vectors of 6 of 7 pictures."
        ]
        assert [f.repaired for f in check_collection(folder, repair=True)] == [True]
        assert collection.listing.count() == (
            7,
            0,
        )  # it is seen meanwhile, with all that is known of it
        assert collection.unfinished  # the page offers to go on
        assert find_changes(collection, tmp_path / "photos").changed == ("a/240.png",)
        index(collection, embedder)
        assert collection.gallery.count() == collection.listing.count()[0] == 7
        assert check_collection(folder) == []


def test_what_turns_out_to_be_lost_while_building_is_offered_to_be_read(
    uri: str, tmp_path: Path, embedder: Embedder
) -> None:
    def build() -> None:
        root = tmp_path / "photos"
        changes = find_changes(collection, root)
        builders.start(
            "hues", collection, lambda: index_folder(collection, root, embedder, changes)
        )
        while not (state := builders.state("hues")) or not state.finished:
            time.sleep(0.01)
        assert state.problem is None

    builders = Builders()
    with photos(tmp_path, embedder, uri) as collection:
        collection.gallery.remove(
            [p.id for p in collection.listing.pictures() if p.path == "a/240.png"]
        )
        folder = tmp_path / "photos"
        (folder / "b" / "copy.png").write_bytes((folder / "a" / "240.png").read_bytes())
        build()
        assert collection.unfinished
        build()
        assert not collection.unfinished
        assert collection.gallery.count() == collection.listing.count()[0] == 8


def test_where_some_photos_are_here_these_are_read_again_and_the_others_kept(
    uri: str, tmp_path: Path, embedder: Embedder
) -> None:
    with photos(tmp_path, embedder, uri) as collection:
        collection.caption([("b/0.0.png", "mine", '{"said": "by hand"}')])
        before = collection.listing.pictures()
        away = {"a/120.0.png", "a/240.png", "b/0.0.png", "b/120.0.png"}
        for path in away:
            (tmp_path / "photos" / path).unlink()
        lost = {"a/0.0.png", "b/0.0.png", "a/240.png"}
        collection.gallery.remove([p.id for p in before if p.path in lost])
        findings = check_collection(collection.folder, repair=True)
        assert [f.repaired for f in findings if "Milvus" in f.sentence] == [False]
        assert collection.listing.pictures() == before
        assert all(collection.thumbnail(picture.sha256) for picture in before)
        changes = replace(find_changes(collection, tmp_path / "photos"), vanished=())
        assert changes.changed == ("a/0.0.png",)
        for _ in index_folder(collection, tmp_path / "photos", embedder, changes):
            pass
        assert collection.listing.pictures() == before
        assert listed(collection, "mine") == {"b/0.0.png": 1}  # a copy of what was read
        assert listed(collection).keys() == {p.path for p in before} - {"a/240.png"}


def test_records_made_anew_tell_milvus_what_it_had_not_been_told(
    tmp_path: Path, embedder: Embedder
) -> None:
    with (
        milvus_lite(tmp_path / "milvus") as (server, uri),
        photos(tmp_path, embedder, uri) as collection,
    ):
        server.kill()
        with pytest.raises(MilvusError, match="does not answer"):
            collection.caption([("a/240.png", "night", "")])
        collection.exclude(["b/0.0.png"])
        collection.close()
        server.start()
        mend_database(collection.folder)
        with Collection(collection.folder) as mended:
            note_all_anew(mended)
            mended.deliver()
            assert listed(mended, "night") == {"a/240.png": 0}


def test_a_picture_whose_vectors_are_lost_is_kept_where_no_photo_could_bring_it_back(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def of_milvus(repair: bool) -> list[tuple[str, bool]]:
        found_ = check_collection(collection.folder, repair=repair)
        return [(f.sentence, f.repaired) for f in found_ if "Milvus" in f.sentence]

    with fill(tmp_path / "c", 20, uri) as collection:
        gallery, lost = collection.gallery, collection.listing.pictures()[3]
        vectors = {a: gallery.fetch([lost.id], a)[0] for a in gallery.widths()}
        gallery.remove([lost.id])
        lacking = "Milvus has the vectors of 19 of 20 pictures."
        assert of_milvus(repair=True) == [(lacking, False)]
        assert "they are kept, but not found by a search" in caplog.text
        assert collection.listing.pictures([lost.id]) == [lost]
        assert collection.thumbnail(lost.sha256)
        facts = (lost.width, lost.height, lost.taken)
        gallery.add([Described(lost.id, lost.path, lost.label, *facts, vectors)])
        assert of_milvus(repair=False) == []


def test_a_check_finds_and_deletes_what_belongs_to_no_picture(
    uri: str, tmp_path: Path, embedder: Embedder
) -> None:
    with photos(tmp_path, embedder, uri) as collection:
        gallery, folder = collection.gallery, collection.folder
        assert isinstance(gallery, MilvusGallery)
        # One there that is not here, one here that is not there: the numbers are the same.
        lost = next(p for p in collection.listing.pictures() if p.path == "a/240.png")
        vectors = {a: gallery.fetch([lost.id], a)[0] for a in gallery.widths()}
        gallery.add([Described(10**6, "gone.png", "", 1, 1, None, vectors)])
        gallery.remove([lost.id])
        assert gallery.ids().tolist() == sorted({*collection.listing.ids(), 10**6} - {lost.id})
        sentences = [
            "Milvus has the vectors of 6 of 7 pictures.",
            "1 entry in Milvus belongs to no picture.",
        ]
        assert [f.sentence for f in check_collection(folder)] == sentences
        assert [f.sentence for f in check_collection(folder, repair=True)] == sentences
        index(collection, embedder)
        assert gallery.ids().tolist() == sorted(collection.listing.ids())
        assert check_collection(folder) == []


def test_a_server_that_dies_during_an_index_loses_nothing(
    tmp_path: Path, embedder: Embedder
) -> None:
    save_hues(tmp_path / "photos", {f"{i % 3}/{i:03}.png": float(i) for i in range(120)})
    with (
        milvus_lite(tmp_path / "milvus") as (server, uri),
        Collection.create(
            tmp_path / "kept", "hues", tmp_path / "photos", embedder, milvus=uri
        ) as collection,
    ):
        root = tmp_path / "photos"
        steps = index_folder(collection, root, embedder, find_changes(collection, root))
        while next(steps).done < 40:
            pass
        server.kill()
        with pytest.raises(MilvusError, match="does not answer"):
            list(steps)
        written = collection.listing.count()[0]
        assert 40 < written < 120
        server.start()
        index(collection, embedder)
        assert collection.gallery.count() == collection.listing.count()[0] == 120
        vectors = collection.embeddings().vectors
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_a_look_tells_milvus_first_and_goes_on_without_it_where_it_does_not_answer(
    tmp_path: Path, embedder: Embedder
) -> None:
    root = tmp_path / "photos"
    with (
        milvus_lite(tmp_path / "milvus") as (server, uri),
        photos(tmp_path, embedder, uri) as collection,
    ):
        lost = next(p for p in collection.listing.pictures() if p.path == "a/240.png")
        collection.gallery.remove([lost.id])
        server.kill()
        with pytest.raises(MilvusError):
            collection.caption([("a/240.png", "night", "")])
        save_hues(root, {"a/new.png": 30.0})
        found_ = find_changes(collection, root)
        assert [path.name for path in found_.to_read] == ["new.png"]
        assert "does not answer" in found_.untold
        page = opened_markup.changes("hues", found_, root)
        assert "does not answer" in page
        assert "lost there are not listed" in page
        server.start()
        found_ = find_changes(collection, root)
        assert [path.name for path in found_.to_read] == ["240.png", "new.png"]
        assert found_.untold == ""


def test_a_server_that_goes_away_during_a_search_is_a_sentence_until_it_is_back(
    tmp_path: Path,
) -> None:
    query = queries(1)[0]
    with (
        milvus_lite(tmp_path / "milvus") as (server, uri),
        fill(tmp_path / "c", 300, uri) as collection,
    ):
        searcher = Searcher(collection, of_width(WIDTHS[0]))
        before = found(searcher, query, Request(5))
        server.kill()
        for _ in range(2):
            with pytest.raises(MilvusError, match=r"does not answer\. Try again"):
                found(searcher, query, Request(5))
        # Taking a picture out works all the same, and Milvus learns of it later.
        gone = before[0][0]
        collection.exclude([gone])
        server.start()
        assert found(searcher, query, Request(5))[0][0] != gone
        collection.deliver()
        assert collection.gallery.count() == 299


def test_an_address_where_nobody_is_gives_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MilvusError, match="does not answer"):
        fill(tmp_path / "c", 3, "http://127.0.0.1:9")


def test_vectors_of_another_model_and_another_owner_are_refused(uri: str, tmp_path: Path) -> None:
    with fill(tmp_path / "a", 20, uri) as first, fill(tmp_path / "b", 20) as second:
        place = first.place
        assert place is not None
        theirs = MilvusGallery(place, first.identity, "another model", first)
        with pytest.raises(MilvusError, match="made with another model"):
            theirs.count()
        with second.store.transaction() as database:
            second.settle_at(database, place)
        with pytest.raises(MilvusError, match="not this one's"):
            second.gallery.count()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """Milvus Lite's own service behind a guard: as Milvus, it lets in who has the token "root:ok".

    Milvus Lite knows no tokens; what the guard says is what Milvus says.
    """
    import grpc
    from milvus_lite.adapter.grpc.servicer import MilvusServicer
    from milvus_lite.db import MilvusLite
    from pymilvus.grpc_gen import milvus_pb2_grpc

    class Guard(grpc.ServerInterceptor):
        def intercept_service(self, proceed, details):
            given = dict(details.invocation_metadata).get("authorization", "")
            if given == base64.b64encode(b"root:ok").decode():
                return proceed(details)

            def refuse(request, context):
                context.abort(
                    grpc.StatusCode.UNAUTHENTICATED,
                    "auth check failure, please check api key is correct",
                )

            return grpc.unary_unary_rpc_method_handler(refuse)

    database = MilvusLite(str(tmp_path / "guarded"))
    server = grpc.server(ThreadPoolExecutor(4), interceptors=[Guard()])
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(database), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(0).wait()
    database.close()


def test_a_wrong_token_is_a_sentence_and_the_right_one_lets_in(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKALIKE_MILVUS_TOKEN", "root:no")
    with pytest.raises(MilvusError, match="Check the token in LOOKALIKE_MILVUS_TOKEN"):
        fill(tmp_path / "c", 3, guarded)
    monkeypatch.setenv("LOOKALIKE_MILVUS_TOKEN", "root:ok")
    with Collection(tmp_path / "c") as collection:
        collection.deliver()
        assert collection.gallery.count() == 3
        facts = str(collection.store.rows("SELECT * FROM facts"))
        assert "root:ok" not in facts


@pytest.mark.parametrize(
    ("uri", "cure"),
    [
        ("ftp://somewhere", "http://HOST:19530"),
        ("folder", r"ends in \.db"),
        ("http://ada:secret@host:19530", "LOOKALIKE_MILVUS_TOKEN"),
    ],
)
def test_an_address_that_is_none_is_refused_with_the_cure(uri: str, cure: str) -> None:
    with pytest.raises(LookalikeError, match=cure):
        Place(uri, "pictures")


def test_without_the_package_the_command_that_installs_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(LookalikeError, match=r"-m pip install -r retrieval/req"):
        fill(tmp_path / "c", 3, "http://127.0.0.1:9")


def test_where_there_is_no_milvus_lite_that_is_said_and_not_that_a_server_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "milvus_lite"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MilvusError, match="for Windows there is none"):
        fill(tmp_path / "c", 3, str(tmp_path / "vectors.db"))


def test_a_file_is_a_milvus_too(tmp_path: Path) -> None:
    query = queries(1)[0]
    with fill(tmp_path / "c", 50, str(tmp_path / "vectors.db")) as collection:
        searcher = Searcher(collection, of_width(WIDTHS[0]))
        assert len(found(searcher, query, Request(5))[0]) == 5
        assert search([searcher], query, Request(5)).method == "exact"


def test_a_file_that_another_program_holds_is_a_sentence_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with fill(tmp_path / "c", 3, str(tmp_path / "vectors.db")):
        link(tmp_path / "same.db", tmp_path / "vectors.db")
        with pytest.raises(MilvusError, match="Where another program has it open, close that"):
            connect(str(tmp_path / "same.db"))
    assert [record.name for record in caplog.records] == ["retrieval.milvus_access"]


def test_a_file_in_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MilvusError, match=r"is not there\. Make it"):
        connect(str(tmp_path / "missing" / "vectors.db"))
