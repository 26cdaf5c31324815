"""Who imports whom: torch belongs to the export, Gradio to the pages, and the engine to neither."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import retrieval
from retrieval.settings import PROJECT

ENGINE = sorted((PROJECT / "retrieval").glob("*.py"))
PAGES = [*sorted((PROJECT / "retrieval" / "pages").rglob("*.py")), PROJECT / "app.py"]
EXPORT = sorted((PROJECT / "export").glob("*.py"))
TORCH = {"torch", "torchvision", "onnx", "onnxscript", "safetensors"}
WEB = {"gradio", "gradio_client", "fastapi", "starlette", "pydantic", "httpx"}
SERVER = {"uvicorn", "h11"}  # on which Gradio runs
OURS = {"retrieval", "export"}
APP = PROJECT / "requirements.txt"
EXTRAS = PROJECT / "retrieval" / "requirements-scale.txt"
# What only those import who were asked for a Milvus, a Ray cluster or object storage.
SCALE = {"pymilvus", "milvus_lite", "ray", "fsspec", "s3fs", "pyarrow"}


def imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def packages(path: Path) -> set[str]:
    """Return the packages that a file imports beside the standard library."""
    return {name.partition(".")[0] for name in imported(path)} - set(sys.stdlib_module_names)


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def test_the_engine_is_described_in_an_order_in_which_each_module_knows_only_those_before() -> None:
    described = re.findall(r"`(\w+)`", retrieval.__doc__ or "")
    modules = {path.stem: path for path in ENGINE if not path.stem.startswith("__")}
    assert sorted(described) == sorted([*modules, "commands", "pages"])
    place = {name: number for number, name in enumerate(described)}
    for name, path in modules.items():
        for known in imported(path):
            _, _, rest = known.partition("retrieval.")
            if rest:
                assert place[rest.partition(".")[0]] < place[name], (name, known)


@pytest.mark.parametrize("path", ENGINE, ids=name_of)
def test_the_engine_imports_neither_torch_nor_gradio_nor_the_pages(path: Path) -> None:
    # A model's weights are read with onnx, where somebody asks why pictures match.
    assert not packages(path) & (TORCH - {"onnx"} | WEB | {"export"})
    assert not [name for name in imported(path) if name.startswith("retrieval.pages")]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_pages_never_import_torch(path: Path) -> None:
    assert not packages(path) & (TORCH | {"export"})


@pytest.mark.parametrize("path", EXPORT, ids=name_of)
def test_the_export_imports_nothing_of_the_web(path: Path) -> None:
    assert not packages(path) & WEB


def required(path: Path) -> set[str]:
    """Return the names in a requirements file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    names = [re.match(r"[\w.-]+", line) for line in lines if not line.startswith(("#", "-"))]
    return {name.group().lower().replace("_", "-") for name in names if name}


@pytest.mark.parametrize(
    ("files", "requirements"),
    [([*ENGINE, *PAGES], [APP, EXTRAS]), (EXPORT, [APP, PROJECT / "export" / "requirements.txt"])],
    ids=["the app", "the export"],
)
def test_everything_that_is_imported_is_required(
    files: list[Path], requirements: list[Path]
) -> None:
    names = set().union(*map(required, requirements))
    if "gradio" in names:
        # Gradio's own, and part of its interface.
        names |= {name.replace("_", "-") for name in WEB | SERVER}
    provided_by = {name: [name] for name in SCALE} | packages_distributions()
    missing = {
        f"{package} in {name_of(path)}"
        for path in files
        for package in packages(path) - OURS
        if not names & {name.lower().replace("_", "-") for name in provided_by.get(package, ())}
    }
    assert missing == set()


def loaded_by(statement: str) -> set[str]:
    """Return the packages that are loaded after a statement, whoever imported them."""
    program = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_nothing_that_the_engine_imports_loads_torch_or_gradio() -> None:
    modules = [f"retrieval.{path.stem}" for path in ENGINE if path.stem != "__init__"]
    assert not loaded_by(f"import {', '.join(modules)}") & (TORCH | WEB)


def test_nothing_of_milvus_or_ray_is_loaded_unless_it_is_asked_for() -> None:
    modules = [f"retrieval.{path.stem}" for path in ENGINE if path.stem != "__init__"]
    assert not loaded_by(f"import {', '.join(modules)}") & SCALE
    # Gradio loads fsspec itself.
    assert not loaded_by("import retrieval.pages.server") & {"pymilvus", "milvus_lite", "ray"}


def test_the_help_of_the_export_needs_no_torch() -> None:
    assert not loaded_by("import export.__main__") & TORCH


@pytest.mark.parametrize("first", ["", "import gradio; "], ids=["by us", "before"])
def test_gradio_writes_no_stubs_however_it_was_imported(first: str, tmp_path: Path) -> None:
    copy = tmp_path / "retrieval"
    shutil.copytree(PROJECT / "retrieval", copy, ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        f"{first}import retrieval.pages.server, gradio.component_meta as meta; "
        "print(meta.create_or_modify_pyi.__module__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["retrieval.pages.stubs"]
    assert list(tmp_path.rglob("*.pyi")) == []


def test_opening_a_model_and_its_pca_loads_no_scikit_learn(tiny_files: Path) -> None:
    paths = f"Path({str(tiny_files)!r}), Path({str(tiny_files.with_suffix('.pca.pkl'))!r})"
    loaded = loaded_by(
        "from pathlib import Path; from retrieval.embedding import open_embedder; "
        f"open_embedder({paths}, gpu=False)"
    )
    assert "onnxruntime" in loaded
    assert not loaded & {"sklearn", "scipy"}


@pytest.mark.parametrize("package", ["retrieval", "export"])
def test_onnx_runtime_is_told_to_report_nothing_before_it_is_loaded(
    package: str, tmp_path: Path, tiny_model: Path
) -> None:
    """Its telemetry writes a file with an identity of this machine as soon as it is on."""
    told_otherwise = ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI")
    environment = {key: value for key, value in os.environ.items() if key not in told_otherwise}
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP", "HOME"), str(tmp_path))
    program = (
        f"import {package}, onnxruntime; "
        f"onnxruntime.InferenceSession({str(tiny_model)!r}, providers=['CPUExecutionProvider'])"
    )
    subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, env={**environment, **places}, check=True
    )
    assert list(tmp_path.rglob(".ses")) == []
