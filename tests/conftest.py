"""Fixtures that all tests share; nothing here touches the collections of this machine."""

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from retrieval import settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder
from retrieval.features import extract_files
from retrieval.indexing import index_folder
from retrieval.model import OnnxExtractor
from retrieval.reduction import fit_pca, save_pca
from retrieval.workspace import Workspace
from tests.made import mean_colour, noise, save_hues, save_tiny_model
from tests.serving import Served
from tests.visitor import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WHEEL = {
    "cold/azure.png": 210.0,
    "cold/blue.png": 240.0,
    "cold/cyan.png": 180.0,
    "warm/orange.png": 30.0,
    "warm/red.png": 0.0,
    "warm/yellow.png": 60.0,
}


# What most people have; `test_openvino.py` switches it on for itself.
os.environ["LOOKALIKE_OPENVINO"] = "0"

# What takes longest, a minute or more. Side by side it comes first, so that no process is left with
# it alone at the end; in one process after the seconds of everything else.
SLOW = (
    *("test_page.py", "test_library_page.py", "test_evaluate_page.py", "test_export.py"),
    *("test_hostile.py", "test_access.py", "test_faults_app.py", "test_milvus.py"),
    *("test_bundled.py", "test_training.py", "test_int8.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    items.sort(key=lambda item: (item.path.name in SLOW) == alone)
    # Two hundred tests drive a browser, four at once on two cores, and in about one whole run of
    # three a key or an answer fell into a moment that no person would meet. They have a second try,
    # and the summary names each that took it.
    for item in items:
        if {"browser", "page"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Collect the tests, which imports all there is: none of it becomes garbage, see `app.py`."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def collections(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a folder of its own for collections, and return it."""
    folder = tmp_path_factory.mktemp("collections")
    monkeypatch.setattr(settings, "COLLECTIONS", folder)
    return folder


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with evaluation sets and weights, which lies outside of the repository."""
    given = os.environ.get("LOOKALIKE_DATA")
    folder = Path(given) if given else settings.PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"There are no evaluation data at {folder}. Set LOOKALIKE_DATA to theirs.")
    return folder


@pytest.fixture
def embedder() -> Embedder:
    """Mean colours, without a PCA."""
    return mean_colour()


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Path]:
    """A folder, and an account that permissions bind: for root, `nobody` while the test runs."""
    if sys.platform == "win32":
        pytest.skip("Windows knows other permissions.")
    if os.geteuid() != 0:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory() as name:
        nobody = 65534
        os.chown(name, nobody, nobody)
        os.seteuid(nobody)
        try:
            yield Path(name)
        finally:
            os.seteuid(0)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A folder with three cold and three warm colours, a subfolder each."""
    return save_hues(tmp_path / "wheel", WHEEL)


@pytest.fixture
def indexed(wheel: Path, embedder: Embedder, tmp_path: Path) -> Iterator[Collection]:
    """The colour wheel, indexed."""
    with Collection.create(tmp_path / "collection", "wheel", wheel, embedder) as collection:
        for _ in index_folder(collection, wheel, embedder, find_changes(collection, wheel)):
            pass
        yield collection


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A Chromium without a window."""
    from tests.browser import open_browser  # playwright, which most tests need not have

    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real ONNX file of ours in miniature, see `tests.made`."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture
def tiny_files(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model in a folder of its own, with the PCAs fitted for it beside it."""
    path = tmp_path / "model" / "tiny.onnx"
    path.parent.mkdir()
    shutil.copy(tiny_model, path)
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(8):
        noise((40, 30), seed, coarse=2).save(photos / f"{seed}.png")
    extractor = OnnxExtractor(path, gpu=False)
    files, pca = sorted(photos.iterdir()), settings.pca_path(path)
    features, _, _ = extract_files(files, extractor)
    textures, _, _ = extract_files(
        files, extractor, extract=lambda pictures: extractor.extract_with_texture(pictures)[1]
    )
    save_pca(fit_pca(features, extractor.card, 2), pca)
    save_pca(fit_pca(textures, extractor.card, 2), settings.texture_path(pca))
    return path


@pytest.fixture
def workspace(tiny_files: Path, collections: Path) -> Iterator[Workspace]:
    """A workspace with this test's library, which is empty."""
    workspace = Workspace(tiny_files, settings.pca_path(tiny_files), gpu=False)
    workspace.open_library(collections)
    yield workspace
    workspace.stop()


@pytest.fixture
def visitor(served: Served) -> Iterator[Visitor]:
    """A visitor of the app that the module serves."""
    visitor = Visitor(served.address)
    yield visitor
    visitor.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for pictures.test and this machine, with its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed. Install it to test encrypted connections.")
    folder = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=pictures.test"),
            *("-addext", "subjectAltName=DNS:pictures.test,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both
