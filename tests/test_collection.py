"""A collection on disk: what it keeps, whom it refuses, and that nothing breaks it."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval import vectors
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.errors import BusyError, LookalikeError
from retrieval.gallery import Described
from retrieval.query import Weights
from retrieval.records import Aspect, Content, Entry, Move
from retrieval.reduction import Matrix, to_unit
from retrieval.schema import ADDED, DATABASE, FORMAT_VERSION, THUMBNAILS
from tests.made import mean_colour

ODD_NAMES = (
    'it\'s "quoted".png',
    "100% {of} [it];--.png",
    "sub/tab\tand\nnewline.png",
    "日本/🐈‍⬛ café.png",
    "a" * 246 + ".png",
    "back\\slash.png",
)


def content(sha256: str, *embedding: float) -> Content:
    vector = np.float32(embedding or (1, 0, 0))
    return Content(sha256, 40, 30, None, vector, b"jpeg of " + sha256.encode())


def entry(path: str, sha256: str | None, problem: str | None = None) -> Entry:
    return Entry(path, 100, 1_700_000_000_000_000_000, path.partition("/")[0], sha256, problem)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Collection]:
    """A new collection without pictures."""
    with Collection.create(tmp_path / "new", "new ones", tmp_path, mean_colour()) as collection:
        yield collection


def test_an_address_that_is_none_of_milvus_leaves_no_collection(tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match="no address of Milvus"):
        Collection.create(tmp_path / "new", "new", None, mean_colour(), milvus="htp://typo")
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_there_after_opening_it_again(empty: Collection, tmp_path: Path) -> None:
    empty.write(
        [entry("b.png", "bb"), entry("a.png", "aa")], [content("aa"), content("bb", 0, 1, 0)]
    )
    empty.write([entry("c.png", None, "The file is empty.")])
    empty.close()
    with Collection(tmp_path / "new") as again:
        assert (again.name, again.root) == ("new ones", tmp_path.resolve())
        assert again.listing.count() == (2, 1)
        assert [p.path for p in again.listing.pictures()] == ["a.png", "b.png"]
        assert again.listing.problems() == [("c.png", "The file is empty.")]
        assert again.embeddings().vectors.tolist() == [[1, 0, 0], [0, 1, 0]]
        assert again.thumbnail("bb") == b"jpeg of bb"
        assert again.thumbnail("cc") is None


def test_creating_it_again_keeps_what_is_there(empty: Collection, tmp_path: Path) -> None:
    empty.write([entry("a.png", "aa")], [content("aa")])
    empty.close()
    with Collection.create(tmp_path / "new", "another name", None, mean_colour()) as again:
        assert again.listing.count() == (1, 0)
        assert again.name == "new ones"


def test_its_first_name_stays_and_does_not_travel_with_a_copy(
    empty: Collection, tmp_path: Path
) -> None:
    first = empty.name
    assert empty.first_name == first
    for name in ("Second", "Third"):
        empty.rename(name)
    assert (empty.name, empty.first_name) == ("Third", first)
    empty.copy_to(tmp_path / "copy", "")
    with Collection(tmp_path / "copy", read_only=True) as copy:
        assert (copy.name, copy.first_name) == ("Third", "Third")


def test_ids_and_embeddings_go_together_and_in_the_order_of_the_paths(empty: Collection) -> None:
    empty.write(
        [entry("z.png", "zz"), entry("a.png", "aa")], [content("zz", 0, 0, 1), content("aa")]
    )
    held = empty.embeddings()
    paths = [picture.path for picture in empty.listing.pictures(held.ids.tolist())]
    assert paths == ["a.png", "z.png"]
    for id_, vector in zip(held.ids.tolist(), held.vectors, strict=True):
        assert np.array_equal(empty.embedding(id_), vector[None])
    assert empty.embedding(12345) is None


def test_vectors_of_some_are_those_of_now_whether_all_are_held_or_not(empty: Collection) -> None:
    names = ("d", "a", "c", "b")  # the ids are not in the order of the paths
    vectors = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0.6, 0.8))
    empty.write(
        [entry(f"{name}.png", name * 2) for name in names],
        [content(name * 2, *vector) for name, vector in zip(names, vectors, strict=True)],
    )
    ids = {picture.path[0]: picture.id for picture in empty.listing.pictures()}
    wanted = [ids["b"], 99_999, ids["d"], 0, ids["a"], ids["b"]]
    expected = np.float32([vectors[3], (0, 0, 0), vectors[0], (0, 0, 0), vectors[1], vectors[3]])
    from_the_file = empty.vectors_of(wanted, "subject")
    empty.embeddings()
    for fetched in (from_the_file, empty.vectors_of(wanted, "subject")):
        assert fetched == pytest.approx(expected, abs=1e-6)
    assert empty.vectors_of([], "subject").shape[0] == 0
    empty.write([entry("d.png", "ee")], [content("ee", 0, 1, 0)])
    assert empty.vectors_of([ids["d"]], "subject").tolist() == [[0, 1, 0]]


def test_of_contents_that_were_read_before_none_is_read_again(
    empty: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def note(
        database: sqlite3.Connection, aspect: Aspect, contents: vectors.Numbers, width: int
    ) -> Matrix:
        read.extend(contents.tolist())
        return whole(database, aspect, contents, width)

    whole = vectors._read
    monkeypatch.setattr(vectors, "_read", note)
    empty.write([entry("b.png", "bb"), entry("c.png", "cc")], [content("bb"), content("cc")])
    empty.embeddings()
    assert read == [1, 2]
    read.clear()
    empty.write([entry("a.png", "aa"), entry("d.png", "bb")], [content("aa", 0, 1, 0)], ["c.png"])
    assert empty.embeddings().vectors.tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert read == [3]
    empty.caption([("a.png", "sea", "")])
    empty.embeddings()
    assert read == [3]


def test_what_is_held_is_what_a_new_reader_finds_whatever_was_changed_and_by_whom(
    empty: Collection,
) -> None:
    random, sums = np.random.default_rng(1), [f"{n:02x}" for n in range(40)]
    mixed = Weights(1, 0.5, 0)

    def described(sha256: str) -> Content:
        subject, colour = to_unit(random.standard_normal((2, 3)).astype(np.float32))
        return replace(content(sha256, *subject), colour=colour)

    for _ in range(60):
        # Another connection, as of another program, for each second change.
        with Collection(empty.folder) as other:
            writer = other if random.integers(2) else empty
            some = [str(one) for one in random.choice(sums, 3)]
            paths = [f"{number}.png" for number in random.integers(0, 20, 3)]
            change = random.integers(6)
            if change < 3:
                entries = [entry(*pair) for pair in dict(zip(paths, some, strict=True)).items()]
                writer.write(entries, [described(one) for one in dict.fromkeys(some)])
            elif change == 3:
                writer.write([], vanished=paths)
                writer.prune()
            elif change == 4:  # as a gallery that moves elsewhere and back does
                writer.exact.remove(known := writer.listing.ids())
                new = {id_: {"subject": described("").embedding} for id_ in known}
                writer.exact.add([Described(i, "", "", 1, 1, None, new[i]) for i in known])
            else:
                writer.write([], moved=[Move(paths[0], entry(f"{paths[0]}.png", None))])
        with Collection(empty.folder) as anew:
            held, found = empty.embeddings(), anew.embeddings()
            assert np.array_equal(held.vectors, found.vectors)
            assert np.array_equal(held.ids, found.ids)
            assert held.ids.tolist() == [picture.id for picture in anew.listing.pictures()]
            assert np.array_equal(empty.exact.sample(mixed), anew.exact.sample(mixed))


def test_pictures_are_given_in_the_order_asked_for_and_without_those_that_are_gone(
    empty: Collection,
) -> None:
    empty.write([entry("a.png", "aa"), entry("b.png", "aa")], [content("aa")])
    a, b = (picture.id for picture in empty.listing.pictures())
    assert [p.path for p in empty.listing.pictures([b, 999, a])] == ["b.png", "a.png"]


def test_a_changed_file_keeps_its_id_and_a_file_that_turns_bad_leaves_the_ranking(
    empty: Collection,
) -> None:
    empty.write([entry("a.png", "aa")], [content("aa")])
    (before,) = empty.listing.pictures()
    empty.write([entry("a.png", "bb")], [content("bb", 0, 1, 0)])
    (after,) = empty.listing.pictures()
    assert (after.id, after.sha256) == (before.id, "bb")
    empty.write([entry("a.png", None, "damaged")])
    assert empty.listing.count() == (0, 1)
    assert len(empty.embeddings().ids) == 0


def test_a_picture_that_is_gone_never_lends_its_id_to_another(empty: Collection) -> None:
    empty.write([entry("a.png", "aa")], [content("aa")])
    (gone,) = empty.listing.pictures()
    empty.write([], vanished=["a.png"])
    empty.write([entry("b.png", "aa")])
    assert [picture.id for picture in empty.listing.pictures()] != [gone.id]


def test_what_was_taken_out_is_not_written_again_until_it_is_let_in(empty: Collection) -> None:
    photo = content("aa", 1, 0)
    empty.write([entry("a.png", "aa"), entry("b.png", "aa"), entry("c.png", "aa")], [photo])
    empty.exclude(["a.png", "b.png", "d.png"])
    moved = Move("c.png", entry("d.png", None))
    empty.write([entry("a.png", "aa"), entry("b.png", None, "gone")], [photo], moved=[moved])
    assert empty.listing.files() == {}
    empty.excluded.readmit(["a.png"])
    empty.write([entry("a.png", "aa"), entry("e.png", None, "damaged")])
    assert empty.listing.count() == (1, 1)


def test_pruning_drops_what_no_picture_uses_and_nothing_else(empty: Collection) -> None:
    empty.write(
        [entry("a.png", "aa"), entry("copy.png", "aa"), entry("b.png", "bb")],
        [content("aa"), content("bb")],
    )
    empty.write([], vanished=["a.png", "b.png"])
    assert empty.listing.known_contents() == {"aa", "bb"}
    empty.prune()
    assert empty.listing.known_contents() == {"aa"}
    assert (empty.thumbnail("aa"), empty.thumbnail("bb")) == (b"jpeg of aa", None)
    assert [p.path for p in empty.listing.pictures()] == ["copy.png"]


def test_every_change_raises_the_revision_also_for_other_connections(
    empty: Collection, tmp_path: Path
) -> None:
    with Collection(tmp_path / "new") as other:
        before = other.revision
        empty.write([entry("a.png", "aa")], [content("aa")])
        assert other.revision > before
        assert other.embeddings().revision == other.revision
        assert other.listing.count() == (1, 0)


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: ascii(name[:12]))
def test_names_of_any_kind_are_kept_as_they_are(empty: Collection, name: str) -> None:
    empty.write([entry(name, "aa")], [content("aa")])
    assert [picture.path for picture in empty.listing.pictures()] == [name]
    assert list(empty.listing.files()) == [name]
    empty.write([], vanished=[name])
    assert empty.listing.files() == {}


def test_a_write_that_fails_changes_nothing(empty: Collection) -> None:
    empty.write([entry("a.png", "aa")], [content("aa")])
    before = empty.revision
    neither = Entry("b.png", 1, 1, "", None, None)  # neither a content nor a reason for none
    with pytest.raises(LookalikeError):
        empty.write([entry("c.png", "cc"), neither], [content("cc")], vanished=["a.png"])
    assert list(empty.listing.files()) == ["a.png"]
    assert empty.listing.known_contents() == {"aa"}
    assert empty.revision == before
    empty.write([entry("c.png", "aa")])  # and it is not left in the middle of anything
    assert len(empty.listing.files()) == 2


def test_an_embedding_that_is_not_a_number_is_a_bug_and_not_written(empty: Collection) -> None:
    with pytest.raises(ValueError, match="not finite"):
        empty.write([entry("a.png", "aa")], [content("aa", np.nan, 0, 0)])
    assert empty.listing.files() == {}


def test_another_model_is_refused_with_both_named_and_the_cure(empty: Collection) -> None:
    empty.require(mean_colour())
    with pytest.raises(LookalikeError, match=r"new ones was made with another .*another name"):
        empty.require(mean_colour(weights="1" * 64))


def test_a_folder_without_a_collection_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"no collection in nothing.*index FOLDER"):
        Collection(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def damage_header(path: Path) -> None:
    path.write_bytes(b"this is no database at all" * 100)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def drop_facts(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM facts")
    database.close()


def shorten_embedding(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE contents SET embedding = x'00000000'")
    database.close()


@pytest.mark.parametrize(
    "damage", [damage_header, cut_short, drop_facts, shorten_embedding], ids=lambda f: f.__name__
)
def test_a_damaged_collection_is_refused_with_the_cure(
    empty: Collection, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    empty.write(
        [entry(f"{i}.png", f"{i}") for i in range(50)], [content(f"{i}") for i in range(50)]
    )
    empty.close()
    damage(tmp_path / "new" / DATABASE)

    def use() -> None:
        with Collection(tmp_path / "new") as damaged:
            damaged.embeddings()

    with pytest.raises(LookalikeError, match=r"new is damaged; .* check --repair --name new"):
        use()


def test_a_collection_from_the_future_is_refused_with_the_cure(
    empty: Collection, tmp_path: Path
) -> None:
    empty.close()
    database = sqlite3.connect(tmp_path / "new" / DATABASE)
    with database:
        database.execute("UPDATE facts SET value = 99 WHERE key = 'format_version'")
    database.close()
    with pytest.raises(LookalikeError, match=r"newer version .* Update it"):
        Collection(tmp_path / "new")


def test_only_one_at_a_time_may_build(empty: Collection, tmp_path: Path) -> None:
    with Collection(tmp_path / "new") as other:
        first, second = empty.building(), other.building()
        with first, pytest.raises(BusyError, match="already working on new ones"), second:
            pytest.fail("both were let in")
        with other.building():  # and afterwards the next one may
            pass


def test_a_builder_in_another_process_is_respected_until_it_is_killed(
    empty: Collection, tmp_path: Path
) -> None:
    program = (
        "import sys, time, pathlib; from retrieval.collection import Collection\n"
        "with Collection(pathlib.Path(sys.argv[1])).building():\n"
        "    print('building', flush=True); time.sleep(60)"
    )
    builder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "new")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "building\n"
        with pytest.raises(BusyError), empty.building():
            pytest.fail("both were let in")
    finally:
        builder.kill()
        builder.communicate()
    with empty.building():
        pass


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(folder.iterdir())}


def test_opening_it_to_read_only_writes_not_a_byte(empty: Collection, tmp_path: Path) -> None:
    empty.write([entry("a.png", "aa")], [content("aa")])
    empty.close()
    folder = tmp_path / "new"
    before = listing(folder)
    with Collection(folder, read_only=True) as shipped:
        assert shipped.listing.count() == (1, 0)
        assert shipped.embeddings().vectors.tolist() == [[1, 0, 0]]
        assert shipped.thumbnail("aa") == b"jpeg of aa"
        with pytest.raises(LookalikeError, match="may not be changed"):
            shipped.write([entry("b.png", "aa")])
        assert listing(folder) == before
    assert listing(folder) == before


def test_a_collection_in_a_folder_with_odd_characters_opens_to_read_only(tmp_path: Path) -> None:
    folder = tmp_path / "50% off? #1 'é"
    if sys.platform == "win32":
        folder = tmp_path / "50% off #1 'é"
    Collection.create(folder, "odd", None, mean_colour()).close()
    with Collection(folder, read_only=True) as shipped:
        assert (shipped.name, shipped.root) == ("odd", None)


def test_closing_it_leaves_two_files_and_the_lock(empty: Collection, tmp_path: Path) -> None:
    with empty.building():
        empty.write([entry("a.png", "aa")], [content("aa")])
    empty.close()
    kept = {DATABASE, THUMBNAILS}
    assert kept <= set(os.listdir(tmp_path / "new")) <= kept | {"building.lock"}


def test_many_threads_read_while_one_writes(empty: Collection) -> None:
    failures: list[BaseException] = []
    finished = threading.Event()

    def read() -> None:
        try:
            while not finished.is_set():
                held = empty.embeddings()
                assert len(empty.listing.pictures(held.ids.tolist())) == len(held.ids)
                assert empty.thumbnail("0") in (None, b"jpeg of 0")
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for i in range(50):
        empty.write([entry(f"{i}.png", str(i))], [content(str(i))])
    finished.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert empty.listing.count() == (50, 0)


def test_a_kill_between_two_files_of_a_new_collection_does_not_spoil_it(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    # What is left when the program is killed before its first transaction.
    sqlite3.connect(folder / THUMBNAILS).close()
    database = sqlite3.connect(folder / DATABASE)
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    with Collection.create(folder, "new", None, mean_colour()) as collection:
        collection.write([entry("a.png", "aa")], [content("aa")])
        assert collection.listing.count() == (1, 0)


def test_a_collection_of_the_first_version_opens_with_all_it_had(
    indexed: Collection, embedder: Embedder
) -> None:
    folder, ids = indexed.folder, [picture.id for picture in indexed.listing.pictures()]
    vectors = indexed.embeddings().vectors
    indexed.close()
    # As version 1 laid it out: without captions, and with what the pictures show alone.
    with closing(sqlite3.connect(folder / "collection.sqlite")) as database, database:
        for table, column, _ in ADDED:
            database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.execute("DROP TABLE excluded")
        database.execute("UPDATE facts SET value = '1' WHERE key = 'format_version'")
    with pytest.raises(LookalikeError, match=r"older version .* Open it once where it may be"):
        Collection(folder, read_only=True)
    for _ in range(2):  # upgraded, and opened once more
        with Collection(folder) as upgraded:
            assert upgraded.store.fact("format_version") == str(FORMAT_VERSION)
            assert [picture.id for picture in upgraded.listing.pictures()] == ids
            np.testing.assert_array_equal(upgraded.embeddings().vectors, vectors)
            assert not upgraded.embeddings("colour").vectors.any()
            upgraded.caption([("warm/red.png", "warm", '{"place": "here"}')])
            assert upgraded.listing.captions()["warm/red.png"] == ("warm", '{"place": "here"}')
            upgraded.exclude(["cold/blue.png"])
            assert upgraded.excluded.paths() == {"cold/blue.png"}
            ids = [picture.id for picture in upgraded.listing.pictures()]
            vectors = upgraded.embeddings().vectors


@pytest.mark.parametrize("written", ["", "nan", "-1", "soon", "9" * 40])
def test_when_it_was_made_is_a_time_or_unknown(empty: Collection, written: str) -> None:
    assert 0 <= time.time() - empty.created < 60
    empty.store.note({"created": written})
    assert empty.created == 0


def test_thumbnails_are_shown_while_all_vectors_are_read(empty: Collection) -> None:
    empty.write([entry("a.png", "aa")], [content("aa")])
    shown: list[bytes | None] = []
    asking = threading.Thread(target=lambda: shown.append(empty.thumbnail("aa")))
    with empty.store.view():  # as whoever reads them does
        asking.start()
        asking.join(30)
        assert shown == [b"jpeg of aa"]


def test_folders_and_labels_are_those_of_now(empty: Collection) -> None:
    empty.write([entry("x/a.png", "aa")], [content("aa")])
    assert (empty.listing.folders(), empty.listing.distinct_labels()) == (["x"], ["x"])
    empty.write([entry("y/z/b.png", "bb")], [content("bb")])
    assert (empty.listing.folders(), empty.listing.distinct_labels()) == (
        ["x", "y", "y/z"],
        ["x", "y"],
    )
    assert empty.listing.folders() == ["x", "y", "y/z"]
