"""The bench: what it measures is what it says, and what is not installed is named."""

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from retrieval.__main__ import main
from retrieval.commands import bench, contenders
from retrieval.commands.bench import MARK, as_table, make_photos
from retrieval.commands.racing import Bench, Row, race
from retrieval.errors import LookalikeError
from retrieval.family import int8_path
from retrieval.files import need_place
from retrieval.folders import find_images
from retrieval.images import open_picture
from retrieval.ranking import rank
from retrieval.settings import PYTHON

SERVER = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a page")
assert sys.argv[1] == "--port"
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Page).serve_forever()
"""


def test_the_command_prints_a_table_and_writes_json(
    tiny_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "bench.json"
    sizes = ["--only", "pipeline", "--photos", "2", "--only", "ranking", "--vectors", "3000"]
    code = main(["bench", "--model", str(tiny_files), "--cpu", "--json", str(written), *sizes])
    printed = capsys.readouterr().out
    assert code == 0
    assert "pipeline: 2 JPEGs of 12 megapixels, CPU" in printed
    assert "ranking: 3,000 x 256, 64 queries" in printed
    everything = json.loads(written.read_text(encoding="utf-8"))
    rows = everything["rows"]
    assert {row["part"] for row in rows} == {"pipeline", "ranking"}
    assert all(row["milliseconds"] > 0 and row["ratio"] > 0 for row in rows)
    assert [row["ratio"] for row in rows if row["program"] == row["against"]] == [1, 1, 1]
    assert everything["machine"]["cpus"] >= 1
    need_place(written, ".json", mark=MARK)  # it may be written over


@pytest.mark.parametrize(
    "wrong", [("--photos", "0"), ("--vectors", "5")], ids=["photos", "vectors"]
)
def test_sizes_that_measure_nothing_are_refused(
    wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *wrong]) == 1
    assert "must be at least" in capsys.readouterr().err


def test_what_cannot_be_measured_costs_nothing_that_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ["--only", "ranking", "--vectors", "300", "--only", "pipeline", "--photos", "2"]
    missing = ["--model", str(tmp_path / "none.onnx")]
    assert main(["bench", *missing, *parts]) == 0
    printed = capsys.readouterr().out
    assert "ranking: 300 x 256, 64 queries" in printed
    assert "Left out: pipeline: There is no model at" in printed
    assert main(["bench", *missing, "--only", "pipeline"]) == 1
    assert "There is no model at" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--json", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "is a folder. Name a file" in printed.err
    assert "Measuring" not in printed.err


def test_every_program_that_is_not_installed_is_left_out_by_name(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("torch", "openvino", "faiss"):
        monkeypatch.setitem(sys.modules, package, None)  # importing it now fails
    extraction = bench.measure_extraction(tiny_model, gpu=False)
    ranking = bench.measure_ranking(500)
    assert {row.program for row in extraction.rows} == {"ours, float"}
    assert [line.partition(":")[0] for line in extraction.left_out] == [
        *("torch", "int8", "openvino", "GPU"),
    ]
    cure = f"{PYTHON} -m pip install -r tests/requirements-bench.txt"
    assert f"faiss-cpu: not installed ({cure})" in ranking.left_out
    assert {row.against for row in ranking.rows} == {"ours"}


def test_a_damaged_file_of_8_bits_costs_its_own_rows_alone(tiny_files: Path) -> None:
    int8_path(tiny_files).write_bytes(b"words " * 99)
    extraction = bench.measure_extraction(tiny_files, gpu=False)
    programs = {row.program for row in extraction.rows}
    assert "ours, float" in programs
    assert not [name for name in programs if "int8" in name]
    assert any(int8_path(tiny_files).name in line for line in extraction.left_out)


def test_taking_turns_finds_the_faster_one() -> None:
    runs = {"slow": lambda: time.sleep(0.05), "fast": lambda: time.sleep(0.005)}
    seconds = race(runs, rounds=2)
    assert seconds["fast"] >= 0.005
    assert seconds["slow"] >= 0.05


def test_the_ratio_says_how_many_times_faster() -> None:
    rows = [
        Row("extraction", "one picture", "theirs", 100.0, 1.0, "theirs"),
        Row("extraction", "one picture", "ours", 25.0, 4.0, "theirs"),
    ]
    table = as_table(Bench(rows, ["faiss-cpu: not installed", "faiss-cpu: not installed"]))
    assert "extraction: one picture" in table
    assert "4.00 times as fast" in table
    assert table.count("Left out: faiss-cpu") == 1


def test_photos_are_different_files_of_12_megapixels(tmp_path: Path) -> None:
    make_photos(tmp_path, 5)
    paths = list(find_images(tmp_path))
    assert len({path.read_bytes() for path in paths}) == len(paths) == 5
    picture = open_picture(paths[0], 128)
    assert picture.width * picture.height == 12_000_000


def test_reading_all_vectors_returns_the_largest_number() -> None:
    vectors = np.arange(40, dtype=np.float32).reshape(10, 4)
    assert bench.read_all(vectors, 3) == 39


@pytest.mark.parametrize(
    ("package", "make"),
    [
        ("faiss", lambda vectors: contenders.faiss_index(vectors, 1)),
        ("sklearn", contenders.nearest_neighbors),
    ],
    ids=["faiss", "scikit-learn"],
)
def test_the_others_find_what_we_find(package: str, make: object) -> None:
    try:
        importlib.import_module(package)
    except ImportError:
        pytest.skip(f"{package} is not installed: pip install -r tests/requirements-bench.txt")
    vectors = bench.made_vectors(2000, seed=0)
    queries = bench.made_vectors(3, seed=1)
    theirs = make(vectors)(queries, 24)[1]  # type: ignore[operator]
    assert np.array_equal(theirs, rank(queries, vectors, 24)[0])


def test_a_start_lasts_until_the_first_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = tmp_path / "app.py"
    app.write_text(f"import time\ntime.sleep(0.5)\n{SERVER}", encoding="utf-8")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # is for other addresses
    monkeypatch.setattr(bench, "PATIENCE", 30)
    started = time.perf_counter()
    bench.start_once(app)
    assert time.perf_counter() - started >= 0.5


def test_an_app_that_ends_at_once_is_named(tmp_path: Path) -> None:
    app = tmp_path / "broken.py"
    app.write_text("raise SystemExit(1)", encoding="utf-8")
    with pytest.raises(LookalikeError, match=r"broken\.py did not start"):
        bench.start_once(app)
