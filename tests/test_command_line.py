"""The command `python -m retrieval`, from a folder of pictures to results and figures."""

import codecs
import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import unicodedata
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from retrieval import settings
from retrieval.__main__ import main
from retrieval.collection import Collection
from retrieval.commands import evaluate, index, move
from retrieval.embedding import open_embedder
from retrieval.library import collection_for, find_collection
from retrieval.model import OnnxExtractor
from retrieval.pages.parts import PartMaker
from retrieval.schema import DATABASE
from retrieval.search import Request, Searcher, search
from tests.made import by_hue, pattern, save_hues
from tests.measure_cleaning import degrade


@pytest.fixture
def options(tiny_files: Path) -> list[str]:
    """What every command here is told: which model, and to leave the GPU alone."""
    return ["--model", str(tiny_files), "--cpu"]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def search_rows(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run("search", *arguments, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert isinstance(rows, list)
    return rows


def test_a_folder_is_indexed_and_searched(
    wheel: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("index", wheel, *options) == 0
    assert "wheel: 6 pictures ready, 0 could not be read" in capsys.readouterr().out
    by_hue(238).save(tmp_path / "query.png")
    assert run("search", tmp_path / "query.png", "-k", 2, *options) == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert first[6:] == "  cold/blue.png"
    assert 0.9 < float(first[:6]) <= 1
    assert float(first[:6]) >= float(second[:6])
    assert "6 pictures compared" in err


def test_json_holds_the_same_results_and_nothing_else_is_printed(
    wheel: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run("index", wheel, *options)
    rows = search_rows(capsys, wheel / "warm" / "red.png", *options)
    assert len(rows) == 6
    assert rows[0] == {
        "picture": "warm/red.png",
        "label": "warm",
        "similarity": pytest.approx(1, abs=1e-5),
    }


def test_a_dark_picture_is_cleaned_up_first_as_on_the_page_unless_it_is_not_to_be(
    wheel: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("index", wheel, *options)
    dark = tmp_path / "dark.png"
    degrade(pattern("clouds", 0, (800, 600)), "dark", seed=0).save(dark)
    pca = settings.pca_path(Path(options[1]))
    embedder = open_embedder(Path(options[1]), pca, False, settings.texture_path(pca))
    page = PartMaker(SimpleNamespace(embedder=embedder))  # type: ignore[arg-type]
    similarities = {}
    for cleaning, leaving in (("auto", []), ("never", ["--no-cleaning"])):
        part, _ = page.of_upload(dark.read_bytes(), cleaning)  # type: ignore[arg-type]
        with Collection(find_collection(settings.COLLECTIONS, None)) as collection:
            (match, *_) = search([Searcher(collection, embedder)], part.aspects, Request()).matches
        capsys.readouterr()
        assert run("search", dark, "-k", 1, "--json", *leaving, *options) == 0
        out, err = capsys.readouterr()
        (row,) = json.loads(out)
        assert row["similarity"] == pytest.approx(match.similarity, abs=2e-6)
        assert ("The picture was cleaned up before searching" in err) == (not leaving)
        similarities[cleaning] = match.similarity
    assert abs(similarities["auto"] - similarities["never"]) > 1e-4
    run("search", wheel / "warm/red.png", *options)
    assert "cleaned up" not in capsys.readouterr().err


def test_indexing_again_reads_nothing_and_says_so(
    wheel: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run("index", wheel, *options)
    (wheel / "warm" / "red.png").unlink()
    capsys.readouterr()
    assert run("index", wheel, *options) == 0
    assert "5 were known, 1 are gone" in capsys.readouterr().out


@pytest.mark.parametrize("url", [False, True], ids=["a folder", "a URL"])
def test_indexing_again_says_what_was_read_for_another_date_alone(
    wheel: Path, options: list[str], capsys: pytest.CaptureFixture[str], url: bool
) -> None:
    if url:
        pytest.importorskip("fsspec")
    where = wheel.as_uri() if url else wheel
    run("index", where, *options)
    for path in (wheel / "warm").iterdir():
        os.utime(path, (1, 1))
    capsys.readouterr()
    assert run("index", where, *options) == 0
    assert "3 were known, 3 with another date, 0 are gone" in capsys.readouterr().out


def test_indexing_again_says_how_many_have_moved(
    wheel: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run("index", wheel, *options)
    capsys.readouterr()
    (wheel / "warm").rename(wheel / "hot")
    run("index", wheel, *options)
    assert "3 were known, 3 have moved, 0 are gone" in capsys.readouterr().out
    (wheel / "hot/red.png").rename(wheel / "red.png")
    run("index", wheel, *options)
    assert "5 were known, 1 has moved, 0 are gone" in capsys.readouterr().out
    run("index", wheel, *options)
    assert "6 were known, 0 are gone" in capsys.readouterr().out


@pytest.mark.parametrize("url", [False, True], ids=["a folder", "a URL"])
def test_what_a_page_left_unfinished_is_finished_by_an_index(
    wheel: Path, options: list[str], url: bool
) -> None:
    if url:
        pytest.importorskip("fsspec")
    where = wheel.as_uri() if url else wheel
    assert run("index", where, *options) == 0
    with Collection(settings.COLLECTIONS / "wheel") as collection:
        collection.mark_unfinished(True)
        assert run("index", where, *options) == 0
        assert not collection.unfinished


def test_bad_files_are_named_with_the_reason_and_the_rest_is_indexed(
    wheel: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (wheel / "bad.jpg").write_text("no picture")
    assert run("index", wheel, *options) == 0
    out, err = capsys.readouterr()
    assert "6 pictures ready, 1 could not be read" in out
    assert "bad.jpg: This is not a picture" in err


def test_two_collections_need_a_name_and_are_kept_apart(
    wheel: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    greens = save_hues(tmp_path / "greens", {"a.png": 120.0})
    run("index", wheel, *options)
    run("index", greens, "--name", "all greens", *options)
    query = wheel / "warm" / "red.png"
    assert run("search", query, *options) == 1
    assert 'several collections. Choose one with --name: "all greens", "wheel"' in (
        capsys.readouterr().err
    )
    rows = search_rows(capsys, query, "--name", "all greens", *options)
    assert [row["picture"] for row in rows] == ["a.png"]


def test_a_folder_whose_name_is_no_text_is_refused_with_the_cure(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if sys.platform != "linux":
        pytest.skip("Only Linux allows file names that are no text.")
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    save_hues(folder, {"a.png": 0.0})
    assert run("index", folder, *options) == 1
    assert "name is not valid text. Rename it." in capsys.readouterr().err
    (folder / "a.png").rename(tmp_path / "a.png")
    assert run("index", tmp_path, "--name", os.fsdecode(b"F\xfc\xdfe"), *options) == 1
    assert "name is not valid text. Choose another" in capsys.readouterr().err
    assert run("index", tmp_path, "--name", "text", *options) == 0
    assert run("move", "text", "--to", os.fsdecode(b"stra\xdfe.db")) == 1
    assert "name is not valid text. Choose another" in capsys.readouterr().err


def test_a_terminal_whose_folder_was_deleted_is_told_so(
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows deletes no folder that a program is in.")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run("index", ".", *options) == 1
    err = capsys.readouterr().err
    assert err.startswith(("The folder that this terminal is in is not", "There is no folder"))
    assert not list(settings.COLLECTIONS.glob("F*"))


@pytest.mark.parametrize("command", ["index", "search"])
def test_a_name_that_is_empty_is_not_that_of_where_one_is(
    command: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, "", *options) == 1
    assert "is named. Name the" in capsys.readouterr().err


def test_a_collection_of_a_name_that_is_blank_is_called_as_its_folder(
    wheel: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run("index", wheel, "--name", "  ", *options) == 0
        assert capsys.readouterr().out.startswith("wheel: 6 pictures ready")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes.")
def test_a_pipe_is_not_waited_for_in_place_of_a_picture(
    wheel: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("index", wheel, *options)
    os.mkfifo(tmp_path / "pipe.png")
    assert run("search", tmp_path / "pipe.png", *options) == 1
    assert "pipe.png is no file. Name that of a picture." in capsys.readouterr().err


def test_a_folder_with_an_emoji_for_a_name_is_indexed_and_found(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("index", save_hues(tmp_path / "🐈‍⬛", {"a.png": 0.0}), *options) == 0
    rows = search_rows(capsys, tmp_path / "🐈‍⬛" / "a.png", "--name", "🐈‍⬛", *options)
    assert [row["picture"] for row in rows] == ["a.png"]


def test_the_name_of_another_folders_collection_is_refused(
    wheel: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_hues(tmp_path / "other", {"a.png": 120.0})
    run("index", wheel, "--name", "mine", *options)
    assert run("index", other, "--name", "mine", *options) == 1
    assert "already a collection mine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["index", "{tmp}/gone"], "There is no folder"),
        (["search", "{tmp}/photos/0.png"], "There is no collection yet"),
        (["search", "{tmp}/photos/0.png", "--name", "gone"], "There is no collection"),
        (["search", "{tmp}/photos/0.png", "--name", " "], "The name of the collection is empty"),
        (["unpack", "{tmp}/photos"], "photos is a folder. Name a file in it."),
        (["search", "{tmp}/photos/0.png", "-k", "0"], "-k must be"),
        (["search", "{tmp}/photos/0.png", "-k", "1000000"], "-k must be"),
        (["evaluate", "{tmp}/gone"], "There is no folder"),
        (["evaluate", "{tmp}/empty"], "There are no pictures"),
        (["evaluate", "{tmp}/photos"], "in no subfolders, so they have no kinds"),
        (["fit-pca", "{tmp}/empty", "--pca", "{tmp}/new.pkl"], "There are no pictures"),
        (["fit-pca", "{tmp}/photos", "--model", str(settings.BUNDLED_MODEL)], "Name another"),
        (["fit-pca", "{tmp}/photos", "--components", "0"], "--components must be at least 1"),
        (["fit-pca", "{tmp}/photos", "--whitening", "2"], "--whitening from 0 to 1"),
        (["index", "{tmp}/photos", "--pca", "{tmp}/gone.pkl"], "There is no PCA"),
        (["index", "{tmp}/photos", "--pca", "{tmp}/photos/0.png"], "damaged or not a PCA"),
        (["index", "{tmp}/photos", "--model", "{tmp}/gone.onnx"], "There is no model"),
    ],
    ids=lambda value: " ".join(value).replace("{tmp}/", "") if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_a_sentence_and_a_status_of_one(
    options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    (tmp_path / "empty").mkdir()
    told = [argument.format(tmp=tmp_path) for argument in arguments]
    assert run(told[0], *options, *told[1:]) == 1
    out, err = capsys.readouterr()
    assert sentence in err.splitlines()[-1]
    assert out == ""


@pytest.mark.parametrize("kept", [False, True], ids=["new", "known"])
def test_a_folder_without_pictures_makes_no_collection(
    wheel: Path, options: list[str], kept: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if kept:
        assert run("index", wheel, *options) == 0
    shutil.rmtree(wheel)
    wheel.mkdir()
    assert run("index", wheel, *options) == 1
    assert "There is no picture in" in capsys.readouterr().err
    assert (settings.COLLECTIONS / "wheel").exists() == kept


def test_a_collection_that_another_program_just_makes_is_left_to_it(
    wheel: Path,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ExitStack() as other:

        def come_second(*arguments: Any) -> Collection:
            made = other.enter_context(collection_for(*arguments))
            other.enter_context(made.building())
            return collection_for(*arguments)

        monkeypatch.setattr(index, "collection_for", come_second)
        assert run("index", wheel, *options) == 1
        assert "already working on wheel" in capsys.readouterr().err
    assert (settings.COLLECTIONS / "wheel" / DATABASE).exists()


def test_what_lies_in_the_place_of_a_collection_is_left_alone(
    options: list[str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    kept = settings.COLLECTIONS / "Trip" / "originals" / "only copy.jpg"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert run("index", tmp_path / "empty", "--name", "Trip", *options) == 1
    assert kept.exists()


def test_that_all_pictures_were_taken_out_is_no_reason_to_choose_another_folder(
    options: list[str], tmp_path: Path
) -> None:
    right = save_hues(tmp_path / "right", {"a.png": 0})
    assert run("index", right, "--name", "Trip", *options) == 0
    with Collection(settings.COLLECTIONS / "Trip") as collection:
        collection.exclude(["a.png"])
    assert run("index", right, "--name", "Trip", *options) == 0


def test_filters_that_no_picture_passes_are_told(
    wheel: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run("index", wheel, *options)
    query = wheel / "warm" / "red.png"
    no_text = os.fsdecode(b"stra\xdfe")  # as a terminal completes a name in Latin-1
    for wrong in (["--label", "Warm"], ["--folder", "cool"], ["--label", no_text]):
        assert run("search", query, *wrong, *options) == 0
        err = capsys.readouterr().err
        assert "wheel has no such picture. Check how" in err
    assert run("search", query, "--label", "warm", *options) == 0
    assert "no such picture" not in capsys.readouterr().err


@pytest.mark.parametrize("command", ["index", "unpack"])
def test_a_place_where_nothing_can_be_kept_is_named_with_the_cure(
    wheel: Path,
    options: list[str],
    tmp_path: Path,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packed = tmp_path / "w.lookalike"
    assert run("index", wheel, *options) == 0
    assert run("pack", packed) == 0
    (tmp_path / "file").touch()
    monkeypatch.setattr(settings, "COLLECTIONS", tmp_path / "file" / "collections")
    assert run(command, packed if command == "unpack" else wheel, *options) == 1
    err = capsys.readouterr().err
    assert "Collections cannot be kept in" in err
    assert "LOOKALIKE_HOME" in err


@pytest.mark.skipif(sys.platform == "win32", reason="it has neither such files nor such a shell")
@pytest.mark.parametrize("where", [">&- 2>&-", ">/dev/full 2>/dev/full", "2>&- | true"])
def test_what_an_app_cannot_print_is_lost_and_it_goes_on(where: str, tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from retrieval.terminal import bear_lost_output\n"
        "bear_lost_output()\n"
        "time.sleep(0.2)\n"  # until the reader has gone
        "for stream in (sys.stdout, sys.stderr):\n"
        "    for line in range(3_000):\n"
        "        print(line, file=stream, flush=line % 2)\n"
        "    stream.isatty()\n"
        f"open({str(tmp_path / 'done')!r}, 'w').write('to the end')\n"
    )
    shell = f'"{sys.executable}" -c "$PROGRAM" {where}'
    environment = {**os.environ, "PROGRAM": program}
    run = subprocess.run(
        shell, shell=True, cwd=settings.PROJECT, env=environment, capture_output=True
    )
    assert (tmp_path / "done").read_text() == "to the end"
    assert (run.returncode, run.stderr) == (0, b"")


def test_ctrl_c_while_modules_are_imported_ends_it_without_a_word() -> None:
    program = (
        "import os, signal\n"
        "from retrieval.terminal import ending_at_once\n"
        "with ending_at_once():\n"
        "    print('importing', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "print('went on')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=settings.PROJECT, capture_output=True, text=True
    )
    assert run.returncode != 0
    assert (run.stdout, run.stderr) == ("importing\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="there these signals end a program at once")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_ends_a_program_has_it_clear_away_and_a_second_time_ends_it_at_once(name: str) -> None:
    program = (
        "import os, signal\n"
        "from retrieval.terminal import stopping_once\n"
        "with stopping_once():\n"
        "    try:\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        "    finally:\n"
        "        print('cleared away', flush=True)\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=settings.PROJECT, capture_output=True, text=True
    )
    assert run.returncode == -getattr(signal, name)
    assert (run.stdout, run.stderr) == ("cleared away\n", "")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone.png", "gone.png does not exist"),
        ("words.png", "not a picture"),
        ("wheel", "wheel is a folder. Name a file in it."),
    ],
    ids=["missing", "text", "folder"],
)
def test_a_query_that_cannot_be_used_is_explained(
    wheel: Path,
    options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    sentence: str,
) -> None:
    run("index", wheel, *options)
    (tmp_path / "words.png").write_text("words")
    assert run("search", tmp_path / name, *options) == 1
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_a_collection_of_another_model_is_refused(
    wheel: Path, options: list[str], tiny_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("index", wheel, *options)
    # The same model with another PCA cannot be compared either.
    other = ["--pca", tiny_files.with_name("other.pkl")]
    assert run("fit-pca", wheel, "--components", 1, *options, *other) == 0
    assert run("search", wheel / "warm" / "red.png", *options, *other) == 1
    assert "another model or PCA" in capsys.readouterr().err.splitlines()[-1]
    assert run("search", wheel / "warm" / "red.png", *options) == 0


def test_a_pca_is_fitted_beside_its_model_and_used(
    tiny_model: Path, wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "fresh.onnx"
    shutil.copy(tiny_model, model)
    assert run("fit-pca", wheel, "--components", 2, "--model", model, "--cpu") == 0
    assert "2 components, fitted on 6 pictures" in capsys.readouterr().out
    assert settings.pca_path(model).is_file()
    assert run("index", wheel, "--model", model, "--cpu") == 0


@pytest.mark.parametrize("there", ["mine.pkl", "mine.texture.pkl"])
@pytest.mark.parametrize("own", [True, False], ids=["a PCA of ours", "somebody's own"])
def test_a_pca_is_written_over_nothing(
    wheel: Path,
    options: list[str],
    tmp_path: Path,
    there: str,
    own: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fitting = ["fit-pca", wheel, "--components", 1, *options]
    data = settings.pca_path(Path(options[1])).read_bytes() if own else b"somebody's own"
    (tmp_path / there).write_bytes(data)
    assert run(*fitting, "--pca", tmp_path / "mine.pkl") == 1
    said = capsys.readouterr().err
    assert f"{there} is there already. Collections that were made with a PCA" in said
    assert "with --pca FILE, or delete that file first." in said
    assert (tmp_path / there).read_bytes() == data
    assert [path.name for path in tmp_path.glob("mine.*")] == [there]


def test_a_model_keeps_the_pca_that_it_has(
    wheel: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("index", wheel, *options) == 0
    assert run("fit-pca", wheel, "--components", 1, *options) == 1
    assert "it is not written over. Name another place with --pca" in capsys.readouterr().err
    assert run("search", wheel / "warm" / "red.png", *options) == 0


def test_the_name_of_a_pca_ends_in_pkl(
    wheel: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "own.pca"
    assert run("fit-pca", wheel, "--components", 1, *options, "--pca", place) == 1
    assert f"ends in .pkl: --pca {place}.pkl" in capsys.readouterr().err
    assert not list(tmp_path.glob("own.*"))


def test_an_evaluation_is_printed_and_written_as_csv_and_json(
    wheel: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--csv", tmp_path / "table.csv", "--json", tmp_path / "all.json"]
    assert run("evaluate", wheel, *options, *files) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["queries", "P@1", "P@10", "P@20", "hit@10", "mAP"]
    assert (tmp_path / "table.csv").read_bytes().startswith(codecs.BOM_UTF8)  # for Excel
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["cold", "warm", "all queries"]
    written = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert written["protocol"]["query itself"].startswith("left out")
    for row, also in zip(rows, written["results"], strict=True):
        assert float(row["mAP"]) == also["mAP"]
        assert also["mAP low"] <= also["mAP"] <= also["mAP high"]
    # Three cold and three warm neighbours on a wheel: nearly everybody's nearest is a friend.
    assert float(rows[-1]["P@1"]) >= 60


def test_results_are_written_over_those_of_before(
    wheel: Path, options: list[str], tmp_path: Path
) -> None:
    kinds = {"csv": "csv", "json": "json", "png": "png", "report": "html"}
    written = [
        part for kind, end in kinds.items() for part in (f"--{kind}", tmp_path / f"out.{end}")
    ]
    assert run("evaluate", wheel, *options, *written) == 0
    assert run("evaluate", wheel, *options, "--no-pca", *written) == 0
    for end in kinds.values():
        assert b"no PCA" in (tmp_path / f"out.{end}").read_bytes() or end == "png"


def test_a_table_that_is_open_elsewhere_does_not_cost_the_other_results(
    wheel: Path,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def replace(source: Path, target: Path) -> None:
        if target.name == "table.csv":
            held = PermissionError(errno.EACCES, "held")
            held.winerror = 32  # type: ignore[attr-defined]
            raise held
        source.rename(target)

    monkeypatch.setattr(os, "replace", replace)
    files = ["--csv", tmp_path / "table.csv", "--json", tmp_path / "all.json"]
    assert run("evaluate", wheel, *options, *files) == 1
    assert "table.csv is used by another program. Close it" in capsys.readouterr().err
    assert json.loads((tmp_path / "all.json").read_text("utf-8"))["results"]


def test_separate_queries_are_evaluated_against_the_folder(
    wheel: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queries = save_hues(tmp_path / "queries", {"warm/a.png": 10.0, "cold/b.png": 235.0})
    assert run("evaluate", wheel, "--queries", queries, "--no-pca", *options) == 0
    out = capsys.readouterr().out
    whole = next(line for line in out.splitlines() if line.startswith("all queries"))
    # P@1 and mAP are perfect; three of ten and three of twenty are relevant.
    assert whole.split()[2:] == ["2", "100.0", "30.0", "15.0", "100.0", "100.0"]
    assert "no PCA" in out
    assert "not in the collection" in out


def test_a_kind_is_one_however_its_folders_and_a_table_spell_its_accents(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apart, typed = (unicodedata.normalize(form, "été") for form in ("NFD", "NFC"))
    pictures = save_hues(tmp_path / "all", {f"{apart}/a.png": 10, "b.png": 20, "hiver/c.png": 200})
    (pictures / "table.csv").write_text(f"filename,label\nb.png,{apart}\n", encoding="utf-8")
    queries = save_hues(tmp_path / "queries", {f"{typed}/d.png": 15.0})
    assert run("evaluate", pictures, "--queries", queries, "--no-pca", *options) == 0
    out = capsys.readouterr().out
    assert "collection: 3 pictures in 2 kinds" in out
    assert next(line for line in out.splitlines() if line.startswith(typed)).split()[2] == "100.0"


def test_a_query_that_is_in_the_folder_too_is_left_out(
    wheel: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queries = save_hues(tmp_path / "queries", {"warm/a.png": 10.0, "cold/b.png": 235.0})
    shutil.copy(wheel / "warm" / "red.png", queries / "warm" / "again.png")
    shutil.copy(wheel / "warm" / "red.png", wheel / "warm" / "twice.png")
    assert run("evaluate", wheel, "--queries", queries, *options) == 0
    out = capsys.readouterr().out
    assert "queries: 2 pictures, not in the collection" in out
    assert "collection: 6 pictures in 2 kinds" in out
    assert "left out: 2 identical copies" in out
    for path in (queries / "warm" / "a.png", queries / "cold" / "b.png"):
        path.unlink()
    assert run("evaluate", wheel, "--queries", queries, *options) == 1
    assert "so they would find themselves" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a.png", "b.png"], "in no subfolders, so they have no kinds"),
        (["warm/a.png", "warm/b.png"], "of the same kind, warm, so every result would be right"),
        (["warm/a.png", "cold/b.png"], "Every kind has a single picture"),
        (["warm/a.png", "warm/copy.png", "cold/b.png"], "Every kind has a single picture"),
    ],
    ids=["no kinds", "one kind", "a picture of each", "a copy is no second picture"],
)
def test_kinds_that_say_nothing_are_refused_before_the_network_runs(
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    names: list[str],
    sentence: str,
) -> None:
    hues = {name: 20.0 if "copy" in name else 20.0 + 10 * i for i, name in enumerate(names)}
    folder = save_hues(tmp_path / "kinds", hues)
    read: list[object] = []
    monkeypatch.setattr(OnnxExtractor, "extract", lambda self, pictures: read.append(pictures))
    assert run("evaluate", folder, *options) == 1
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert read == []


def test_what_takes_no_part_is_said_unreadable_files_and_copies_of_another_kind_too(
    wheel: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.jpg", "two.jpg"):
        (wheel / "warm" / name).write_bytes(b"no picture " + name.encode())
    shutil.copy(wheel / "warm" / "red.png", wheel / "warm" / "red too.png")
    shutil.copy(wheel / "warm" / "red.png", wheel / "zero.png")  # of no kind
    (wheel / "zzz").mkdir()
    shutil.copy(wheel / "warm" / "red.png", wheel / "zzz" / "red.png")
    assert run("evaluate", wheel, *options) == 0
    said = "1 without a kind, 2 that cannot be read, 2 identical copies (1 of another kind than"
    assert f"left out: {said} the first)" in capsys.readouterr().out


def test_an_evaluation_of_names_that_are_no_text_is_written_all_the_same(
    options: list[str], tmp_path: Path
) -> None:
    if sys.platform != "linux":
        pytest.skip("Only Linux allows file names that are no text.")
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xfcll"))
    hues = {
        f"{kind}/{i}.png": hue + i for kind, hue in (("rot", 0), ("gr\udcfcn", 99)) for i in (1, 2)
    }
    save_hues(folder, hues)
    (folder / "rot" / "1.png").rename(folder / "rot" / "\udce4.png")
    files = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "json", "png", "report")}
    written = [part for kind, file in files.items() for part in (f"--{kind}", file)]
    assert run("evaluate", folder, *options, *written) == 0
    for kind in ("csv", "json", "report"):
        assert "gr\\" in files[kind].read_text("utf-8")
    assert "m\\udcfcll" in files["report"].read_text("utf-8")
    assert files["png"].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--compare", "model=MODEL,components=9"], "has 2 components, not 9"),
        (["--compare", "model=BARE,components=1"], "no PCA to change"),
        (["--compare", "model=BARE,pca=on"], "There is no PCA for this model"),
        (["--no-pca", "--compare", "components=1"], "Leave out --no-pca"),
        (["--no-pca", "--compare", "model=MODEL,whitening=0"], "Leave out --no-pca"),
        (["--queries", "WHEEL"], "would find themselves. Leave out --queries"),
        (["--queries", "WHEEL/warm"], "would find themselves"),
        (["--queries", "WHEEL/.."], "would find themselves"),
        (["--queries", "WHEEL/none"], "There is no folder"),
        (["--csv", "WHEEL/warm/red.png/x.csv"], "x.csv cannot be written there: a part"),
        (["--report", "WHEEL"], "is a folder. Name a file"),
        (["--csv", "WHEEL/../a", "--json", "WHEEL/../b/../a"], "name the same file"),
        (["--queries", "FLAT"], "in no subfolders, so they have no kinds"),
        (["--queries", "OTHERS"], "No query is of a kind that the collection has"),
        (["--csv", "WHEEL/warm/red.png"], "red.png is there already, and its name does not end in"),
        (["--png", "WHEEL/warm/red.png"], "red.png is there already, and is no such result of"),
        (["--csv", "MINE.csv"], "mine.csv is there already, and is no such result of this program"),
        (["--report", "MINE.html"], "mine.html is there already, and is no such result"),
        (["--json", "MINE.json"], "mine.json is there already, and is no such result"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_a_picture_is_read(
    arguments: list[str],
    sentence: str,
    wheel: Path,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare = tmp_path / "bare.onnx"
    shutil.copy(options[1], bare)
    flat = save_hues(tmp_path / "flat", {"a.png": 10.0})
    others = save_hues(tmp_path / "others", {"grey/a.png": 10.0})
    names = {"MODEL": options[1], "BARE": str(bare), "WHEEL": str(wheel)}
    names |= {"FLAT": str(flat), "OTHERS": str(others), "MINE": str(tmp_path / "mine")}
    for end in ("csv", "html", "json"):
        (tmp_path / f"mine.{end}").write_text("filename,label\nwarm/red.png,red\n")
    for name, path in names.items():
        arguments = [one.replace(name, path) for one in arguments]
    read: list[object] = []
    monkeypatch.setattr(OnnxExtractor, "extract", lambda self, pictures: read.append(pictures))
    assert run("evaluate", wheel, *options, *arguments) == 1
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert read == []


@pytest.mark.parametrize(
    ("arguments", "first", "second"),
    [
        (["--no-pca", "--compare", "pca=on"], "no PCA", "PCA 2"),
        (["--no-pca", "--compare", "pca=on,components=1"], "no PCA", "PCA 1"),
        (["--no-pca", "--compare", "model=MODEL"], "no PCA", "no PCA"),
        (["--no-pca", "--compare", "model=MODEL,pca=on"], "no PCA", "PCA 2"),
        (["--compare", "model=MODEL"], "PCA 2", "PCA 2"),
        (["--compare", "model=MODEL,pca=off"], "PCA 2", "no PCA"),
    ],
)
def test_a_comparison_changes_what_it_says_and_nothing_else(
    arguments: list[str],
    first: str,
    second: str,
    wheel: Path,
    options: list[str],
    tmp_path: Path,
) -> None:
    arguments = [one.replace("MODEL", options[1]) for one in arguments]
    assert run("evaluate", wheel, *options, *arguments, "--json", tmp_path / "all.json") == 0
    written = json.loads((tmp_path / "all.json").read_text("utf-8"))
    assert written["protocol"]["model"].endswith(f", {first}")
    assert written["comparisons"][0]["protocol"]["model"].endswith(f", {second}")
    assert written["comparisons"][0]["setting"] == arguments[-1]


@pytest.mark.parametrize(
    ("arguments", "first", "second"),
    [
        (["--compare", "neighbours=off"], True, False),
        (["--compare", "pca=off"], True, True),
        (["--no-neighbours", "--compare", "pca=off"], False, False),
        (["--no-neighbours", "--compare", "neighbours=on"], False, True),
    ],
)
def test_neighbours_have_a_say_unless_it_is_asked_without_them(
    arguments: list[str],
    first: bool,
    second: bool,
    wheel: Path,
    options: list[str],
    tmp_path: Path,
) -> None:
    assert run("evaluate", wheel, *options, *arguments, "--json", tmp_path / "all.json") == 0
    written = json.loads((tmp_path / "all.json").read_text("utf-8"))
    protocols = written["protocol"], written["comparisons"][0]["protocol"]
    assert ["neighbours" in one["ranking"] for one in protocols] == [first, second]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["evaluate", "here"], "Stopped."),
        (["index", "here"], "Stopped. What was finished is kept; run it again to go on."),
        (["move", "here", "--to", "local"], "Stopped. What was finished is kept; run it again to"),
    ],
    ids=["evaluate", "index", "move"],
)
def test_what_is_kept_after_ctrl_c_is_said_of_what_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    said: str,
) -> None:
    def interrupted(arguments: object) -> None:
        raise KeyboardInterrupt

    for module in (evaluate, index, move):
        monkeypatch.setattr(module, "run", interrupted)
    assert main(command) == 130
    assert capsys.readouterr().err.startswith(said)
    assert ("kept" in said) is (command[0] != "evaluate")


def without_rights(*command: str | Path) -> list[str | Path]:
    """Return a command that may read no more than its user, also of an administrator."""
    rights = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if sys.platform != "linux" or not (shutil.which("setpriv") and os.geteuid() == 0):
        rights = []
    return [*rights, sys.executable, *command]


@pytest.mark.skipif(sys.platform == "win32", reason="a folder has no rights there by a number")
def test_pictures_in_a_closed_folder_take_no_part_in_an_evaluation_and_it_is_said(
    tmp_path: Path, options: list[str]
) -> None:
    kinds = ("a", "b", "closed")
    pictures = save_hues(
        tmp_path / "pictures", {f"{kinds[n // 3]}/{n}.png": 40 * n for n in range(9)}
    )
    closed = pictures / "closed"
    ran = {}
    for folder in (pictures, closed):
        closed.chmod(0)
        ran[folder] = subprocess.run(
            without_rights("-m", "retrieval", "evaluate", folder, *map(str, options)),
            cwd=settings.PROJECT,
            capture_output=True,
            text=True,
        )
        closed.chmod(0o700)
    assert ran[pictures].returncode == 0
    assert f"The folder {closed} may not be opened; it was passed over." in ran[pictures].stderr
    assert re.search(r"all queries +6 ", ran[pictures].stdout)
    assert ran[closed].returncode == 1
    assert ran[closed].stderr.startswith("closed may not be opened")


@pytest.mark.skipif(sys.platform == "win32", reason="names there have no such signs")
def test_a_name_of_a_file_sets_up_no_terminal_and_adds_no_line(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = "\x1b[31mred\x07\n1.0000  mine\x9b.png"
    pictures = save_hues(tmp_path / "pictures", {name: 10, "b.png": 90})
    assert run("index", pictures, *options, "--name", "odd") == 0
    capsys.readouterr()
    assert run("search", pictures / "b.png", *options, "--name", "odd") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("  b.png")
    assert lines[1].endswith("\ufffd[31mred\ufffd\ufffd1.0000  mine\ufffd.png")
    assert len(lines) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="names there have no such signs")
def test_no_command_prints_the_controls_of_a_name(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    odd = "\x1b[31mred\x07\nother"
    pictures = save_hues(
        tmp_path / "pictures", {f"{odd}/a.png": 10, f"{odd}/b.png": 20, "c/d.png": 90}
    )
    (pictures / odd / f"{odd}.png").write_bytes(b"no picture")
    for command in (["index", pictures, "--name", "odd"], ["evaluate", pictures, "--no-pca"]):
        assert run(*command, *options) == 0
        said = "".join(capsys.readouterr())
        assert "\ufffd[31mred\ufffd\ufffdother" in said
        assert "\x07" not in said
    assert not any(line.startswith("other") for line in said.splitlines())


@pytest.mark.parametrize("command", [["-m", "retrieval", "index", "."], ["-m", "export"]])
def test_what_lies_in_a_closed_folder_is_refused_with_a_sentence(
    tmp_path: Path, command: list[str]
) -> None:
    named = {"retrieval": "--model", "export": "--weights"}[command[1]]
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    output = ["--output", tmp_path / "x.onnx"] if named == "--weights" else []
    run = subprocess.run(
        without_rights(*command, named, closed / "gone", *output),
        cwd=settings.PROJECT,
        capture_output=True,
        text=True,
    )
    closed.chmod(0o700)
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.endswith(("check its permissions, or choose another folder.\n", "again.\n"))


@pytest.mark.skipif(sys.platform == "win32", reason="there this signal cannot be sent")
@pytest.mark.parametrize("module", ["retrieval", "export"])
def test_ctrl_c_while_a_program_begins_ends_it_without_a_traceback(module: str) -> None:
    program = (
        "import os, runpy, signal, sys\n"
        "def stop(event, arguments):\n"
        "    if event == 'import' and arguments[0] == 'retrieval.settings':\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.addaudithook(stop)\n"
        f"runpy.run_module('{module}', run_name='__main__')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=settings.PROJECT, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="there this signal cannot be sent")
def test_ctrl_c_does_not_get_into_what_milvus_lite_writes_at_the_end() -> None:
    program = (
        "import atexit, os, runpy, signal, sys, types\n"
        "def write():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('written')\n"
        "atexit.register(write)\n"
        "sys.modules['milvus_lite'] = types.ModuleType('milvus_lite')\n"
        "sys.argv = ['retrieval', 'check', '--name', '']\n"
        "runpy.run_module('retrieval', run_name='__main__')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=settings.PROJECT, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (1, "written\n")
    assert "Traceback" not in run.stderr


def python_m(*arguments: object, **changes: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **changes}
    environment.pop("PYTHONUNBUFFERED", None)  # a user's Python writes when it has enough
    return subprocess.Popen(
        [sys.executable, "-m", "retrieval", *map(str, arguments)],
        cwd=settings.PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_names_that_the_terminal_cannot_show_do_not_stop_it(
    options: list[str], tmp_path: Path
) -> None:
    photos = save_hues(tmp_path / "träume", {"🐈.png": 0.0, "bad.png": 9.0})
    (photos / "bad.png").write_text("words")
    (photos / "bad.png").rename(photos / "schlecht é.png")
    ascii_only = {"PYTHONIOENCODING": "ascii", "LOOKALIKE_HOME": str(tmp_path / "home")}
    index = python_m("index", photos, *options, **ascii_only)
    out, err = index.communicate()
    assert index.returncode == 0, err.decode()
    assert b"schlecht" in err
    for extra in ([], ["--json"]):
        search = python_m("search", photos / "🐈.png", *extra, *options, **ascii_only)
        out, err = search.communicate()
        assert search.returncode == 0, err.decode()
        if extra:
            assert json.loads(out)[0]["picture"] == "🐈.png"
        else:
            assert b".png" in out


def test_a_reader_that_has_seen_enough_is_no_error(options: list[str], tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no broken pipes of this kind.")
    home = {"LOOKALIKE_HOME": str(tmp_path / "home")}
    photos = save_hues(tmp_path / "some", {"a.png": 0.0, "b.png": 60.0})
    assert python_m("index", photos, *options, **home).communicate()
    search = python_m("search", photos / "a.png", *options, **home)
    assert search.stdout is not None
    search.stdout.close()  # as `| head -0` does
    assert search.stderr is not None
    said = search.stderr.read().decode()
    search.stderr.close()
    assert search.wait() == 0
    assert "Error" not in said


def test_a_reader_that_has_seen_enough_is_no_error_by_the_name_that_windows_has_for_it() -> None:
    program = (
        "import errno, sys\n"
        "from retrieval import __main__\n"
        "from retrieval.commands import search\n"
        "def run(arguments):\n"
        "    sys.platform = 'win32'\n"
        "    raise OSError(errno.EINVAL, 'Invalid argument')\n"
        "search.run = run\n"
        "sys.exit(__main__.main(['search', 'photo.png']))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=settings.PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="There is no full disk here.")
def test_an_output_to_a_full_disk_or_to_nowhere_ends_in_a_sentence_or_in_none(
    options: list[str], tmp_path: Path
) -> None:
    home = {**os.environ, "LOOKALIKE_HOME": str(tmp_path / "home")}
    photos = save_hues(tmp_path / "some", {"a.png": 0.0, "b.png": 60.0})
    assert python_m("index", photos, *options, LOOKALIKE_HOME=home["LOOKALIKE_HOME"]).communicate()
    command = [sys.executable, "-m", "retrieval", "search", str(photos / "a.png"), *options]
    for into, status, says in (("/dev/full", 1, "The disk is full"), ("&-", 0, "compared")):
        search = subprocess.run(
            ["sh", "-c", f'"$@" >{into}', "sh", *command],
            cwd=settings.PROJECT,
            env=home,
            capture_output=True,
            text=True,
        )
        assert search.returncode == status
        assert says in search.stderr
        assert "Traceback" not in search.stderr


@pytest.mark.skipif(os.name == "nt", reason="Its shell closes nothing.")
def test_a_folder_is_indexed_also_where_nobody_is_told_of_errors(
    options: list[str], tmp_path: Path
) -> None:
    photos = save_hues(tmp_path / "some", {"a.png": 0.0, "b.png": 60.0})
    command = [sys.executable, "-m", "retrieval", "index", str(photos), *options]
    index = subprocess.run(
        ["sh", "-c", '"$@" 2>&-', "sh", *command],
        cwd=settings.PROJECT,
        env={**os.environ, "LOOKALIKE_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert index.returncode == 0
    assert "2 pictures ready" in index.stdout


@pytest.mark.parametrize("command", [[], ["index"], ["search"], ["evaluate"], ["fit-pca"]])
def test_help_is_printed_at_once(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert "usage: python -m retrieval" in capsys.readouterr().out


def test_paths_are_found_from_any_working_folder(
    wheel: Path,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(wheel.parent)
    assert run("index", "wheel", *options) == 0
    monkeypatch.chdir(wheel)
    assert run("index", ".", *options) == 0
    assert "6 were known" in capsys.readouterr().out
    rows = search_rows(capsys, Path("warm", "red.png"), *options)
    assert rows[0]["picture"] == "warm/red.png"
