"""The commands `evaluate` and `paper`, run as people run them, on pictures made here."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval import paper, settings
from retrieval.__main__ import main
from retrieval.baselines import ColourHistogram
from retrieval.cifar import Pictures, Split
from retrieval.commands import paper as paper_command
from retrieval.commands.paper import IMAGENET
from retrieval.family import int8_path
from retrieval.files import need_place
from retrieval.model import OnnxExtractor
from tests.made import by_hue, need, noise, save_hues

HUES = {"red": 0.0, "green": 120.0, "blue": 240.0}


def kinds(folder: Path, each: int = 5, seed: int = 0) -> Path:
    for kind, hue in HUES.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            picture = Image.blend(by_hue(hue), noise((40, 30), 100 * seed + i), 0.4)
            picture.save(folder / kind / f"{i}.png")
    return folder


def test_evaluate_writes_what_was_asked_for(
    tiny_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = kinds(tmp_path / "kinds")
    save_hues(folder, {"stray.png": 60, "blue/odd.png": 1})
    outputs = {kind: tmp_path / f"result.{kind}" for kind in ("csv", "json", "png", "report")}
    wanted = [part for kind, path in outputs.items() for part in (f"--{kind}", str(path))]
    arguments = ["evaluate", str(folder), "--model", str(tiny_files), *wanted]
    assert main([*arguments, "--compare", "pca=off", "--compare", "components=1"]) == 0
    printed = capsys.readouterr().out
    assert "all queries       16" in printed
    assert "left out: 1 without a kind" in printed
    assert printed.count("paired bootstrap") == 2
    table = outputs["csv"].read_text(encoding="utf-8-sig")
    assert table.splitlines()[0].startswith("class,queries,P@1,P@1 low")
    kept = json.loads(outputs["json"].read_text())
    assert [one["protocol"]["model"][-6:] for one in kept["comparisons"]] == ["no PCA", " PCA 1"]
    assert kept["comparisons"][0]["differences"]["P@1"]["more than chance"] is False
    assert outputs["png"].read_bytes().startswith(b"\x89PNG")
    page = outputs["report"].read_text()
    assert page.count("data:image/jpeg;base64,") == 6  # the odd one, and those of its kind
    assert page.count("Two settings, the same pictures") == 2
    assert str(tmp_path) not in page


def test_evaluate_takes_the_classes_that_a_csv_names(
    tiny_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_hues(tmp_path / "flat", {f"{hue}.png": hue for hue in (0, 4, 8, 200, 204, 208)})
    rows = [f"{hue}.png,{'warm' if hue < 100 else 'cold'}" for hue in (0, 4, 8, 200, 204, 208)]
    (folder / "labels.csv").write_text("\n".join(["filename,label", *rows]))
    assert main(["evaluate", str(folder), "--model", str(tiny_files)]) == 0
    assert "all queries        6    100.0" in capsys.readouterr().out


def test_evaluate_with_queries_shows_them_and_not_the_collection(
    tiny_files: Path, tmp_path: Path
) -> None:
    folder, asked = kinds(tmp_path / "kinds"), kinds(tmp_path / "asked", each=1, seed=1)
    (asked / "red" / "0.png").rename(asked / "blue" / "the one.png")  # which is hard to find
    report = tmp_path / "report.html"
    arguments = ["evaluate", str(folder), "--queries", str(asked), "--model", str(tiny_files)]
    assert main([*arguments, "--report", str(report), "--compare", f"model={tiny_files}"]) == 0
    page = report.read_text()
    assert "the one.png" in page
    assert "3 pictures, not in the collection" in page


@pytest.fixture
def family(tiny_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with a sibling that says it is in 8 bits."""
    onnx = need("onnx", "pip install -r export/requirements.txt")
    small = onnx.load(tiny_files)
    card = replace(OnnxExtractor(tiny_files, gpu=False).card, precision="int8")
    onnx.helper.set_model_props(small, card.to_metadata())
    onnx.save(small, int8_path(tiny_files))
    monkeypatch.setenv("LOOKALIKE_OPENVINO", "0")
    return tiny_files


@pytest.mark.parametrize(
    ("options", "provider"),
    [(["--cpu"], "CPU, int8"), (["--cpu", "--float"], "CPU")],
    ids=["8 bits", "floats"],
)
def test_two_models_are_compared_in_the_same_precision_and_it_is_said_in_which(
    family: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    provider: str,
) -> None:
    arguments = ["evaluate", str(kinds(tmp_path / "kinds")), "--model", str(family), *options]
    assert main([*arguments, "--compare", f"model={family}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"computed by: {provider}" in lines
    assert [line.partition("PCA 2 ")[2] for line in lines if line.startswith(("A: ", "B: "))] == [
        f"({provider})",
        f"({provider})",
    ]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [("components=3", "has 2 components, not 3"), ("speed=9", "cannot be read")],
)
def test_a_setting_that_cannot_be_had_is_refused_before_anything_is_read(
    tiny_files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    sentence: str,
) -> None:
    arguments = ["evaluate", str(tmp_path), "--model", str(tiny_files)]  # no picture is in there
    assert main([*arguments, "--compare", setting]) == 1
    assert sentence in capsys.readouterr().err


def run_paper(tiny_files: Path, *arguments: str) -> int:
    return main(["paper", "--model", str(tiny_files), *arguments])


def test_the_paper_stands_beside_ours_with_baselines(
    tiny_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corel, cifar = kinds(tmp_path / "corel"), tmp_path / "cifar"
    kinds(cifar / "queries", each=2, seed=1)
    kinds(cifar / "collection")
    output = tmp_path / "table.txt"
    assert (
        run_paper(
            tiny_files, "--corel", str(corel), "--cifar10", str(cifar), "--output", str(output)
        )
        == 0
    )
    printed = capsys.readouterr().out
    for part in ("99.80", "98.26", "PCA 2", "no PCA", "colour histogram", "raw pixels"):
        assert part in printed
    assert "15 queries against 15 pictures, where the whole has 1,000 against 1,000" in printed
    assert "6 queries against 15 pictures, where the whole has 10,000 against 50,000" in printed
    assert printed.count("left out of the ranking") == 1
    assert printed.count("not in the ranking") == 1
    assert "computed by: CPU" in printed
    assert printed.count("not comparable with these, in either direction") == 2
    assert printed.count("identical copies: kept") == 2
    assert output.read_text().split() == printed.split()
    need_place(output, ".txt", mark=paper_command.MARK)  # it may be written over


def test_the_papers_own_network_has_its_row_where_it_is_and_a_hint_where_not(
    tiny_files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert IMAGENET == settings.ASSETS / "models" / "vgg16-fc2.onnx"
    corel = kinds(tmp_path / "corel", each=2)
    monkeypatch.setattr(paper_command, "IMAGENET", tmp_path / "gone.onnx")
    run_paper(tiny_files, "--corel", str(corel))
    assert f"not here. Make it with: {settings.PYTHON} -m export" in capsys.readouterr().out
    there = tmp_path / "vgg16-fc2.onnx"
    there.write_bytes(tiny_files.read_bytes())
    monkeypatch.setattr(paper_command, "IMAGENET", there)
    run_paper(tiny_files, "--corel", str(corel))
    printed = capsys.readouterr()
    assert printed.out.count("tiny, pool5") == 3  # with PCA, without, and the paper's without
    assert "Fit one with" in printed.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "at least one data set"),
        (["--corel", "nowhere"], "There is no folder"),
        (["--cifar10", "nowhere"], "no CIFAR-10"),
        (["--corel", "nowhere", "--output", "."], "is a folder. Name a file"),
    ],
)
def test_what_the_paper_cannot_be_measured_on_gets_a_sentence(
    tiny_files: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert run_paper(tiny_files, *arguments) == 1
    assert sentence in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_is_named_before_a_network_runs(
    tiny_files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    corel = kinds(tmp_path / "corel")
    (corel / "red" / "9.png").write_bytes(b"no picture")
    read: list[object] = []
    monkeypatch.setattr(OnnxExtractor, "extract", lambda self, pictures: read.append(pictures))
    assert run_paper(tiny_files, "--corel", str(corel)) == 1
    assert "9.png: This is not a picture that can be read" in capsys.readouterr().err
    assert read == []


def test_pixels_and_files_of_the_same_pictures_give_the_same_figures(tmp_path: Path) -> None:
    folder = kinds(tmp_path / "kinds", each=40)
    files = tuple(sorted(folder.rglob("*.png")))
    labels = tuple(path.parent.name for path in files)
    pixels = np.stack([np.asarray(Image.open(path)) for path in files])
    system = paper.System(ColourHistogram())
    (by_file,) = paper.measure(paper.corel(Pictures(labels, files)), system)
    (by_pixel,) = paper.measure(paper.corel(Pictures(labels, pixels=pixels)), system)
    assert (by_file.per_query == by_pixel.per_query).all()


def test_a_whole_data_set_is_not_called_a_part() -> None:
    def blank(n: int) -> Pictures:
        return Pictures(("cat",) * n, pixels=np.zeros((n, 1, 1, 3), np.uint8))

    assert paper.cifar10(Split(blank(50_000), blank(10_000))).shortfall() is None
    assert paper.corel(blank(1_000)).shortfall() is None
    assert paper.cifar10(Split(blank(50_000), blank(1_000))).shortfall() is not None
