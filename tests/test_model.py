"""A model's file: what it says of itself, and what it computes through ONNX Runtime."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from retrieval import model
from retrieval.errors import LookalikeError
from retrieval.model import ModelCard, OnnxExtractor
from retrieval.preprocessing import Preprocessing
from tests.made import MeanColour, need

CARD = ModelCard(
    "VGG-16, made up", "pool5", "gem", 512, "c" * 64, Preprocessing(224, "crop", "bilinear", 256)
)


def pictures(n: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def test_a_card_survives_its_metadata() -> None:
    metadata = CARD.to_metadata()
    assert all(isinstance(value, str) for value in metadata.values())
    assert ModelCard.from_metadata(metadata) == CARD


@pytest.mark.parametrize(
    "change",
    [
        {"layer": "fc2"},
        {"pooling": "mean"},
        {"dimension": 4096},
        {"weights_sha256": "d" * 64},
        {"preprocessing": Preprocessing(128, "crop", "bilinear", 146)},
        {"preprocessing": Preprocessing(224, "squash", "bilinear", 224)},
        {"preprocessing": Preprocessing(224, "crop", "bilinear", 256, mirrored=64)},
    ],
    ids=["layer", "pooling", "dimension", "weights", "side", "fit", "mirrored"],
)
def test_features_that_cannot_be_compared_have_another_fingerprint(
    change: dict[str, object],
) -> None:
    assert replace(CARD, **change).fingerprint != CARD.fingerprint


def test_only_a_model_that_mirrors_asks_for_a_program_that_can() -> None:
    assert CARD.to_metadata()["lookalike.format_version"] == "1"
    assert CARD.fingerprint == "003a58d6695c8c3e"  # as it was before
    how = replace(CARD.preprocessing, mirrored=64)
    mirroring = replace(CARD, preprocessing=how)
    assert mirroring.to_metadata()["lookalike.format_version"] == "2"
    assert ModelCard.from_metadata(mirroring.to_metadata()) == mirroring


def test_the_name_for_people_is_no_part_of_the_fingerprint() -> None:
    assert replace(CARD, name="another").fingerprint == CARD.fingerprint


@pytest.mark.parametrize(
    ("alter", "sentence"),
    [
        (lambda kept: kept.clear(), r"does not say how it was made.*-m export"),
        (lambda kept: kept.pop("lookalike.layer"), "does not say how it was made"),
        (lambda kept: kept.update({"lookalike.side": "wide"}), "does not say how it was made"),
        (lambda kept: kept.update({"lookalike.fit": "stretch"}), "does not say how it was made"),
        (lambda kept: kept.update({"lookalike.format_version": "99"}), "newer version.*Update it"),
    ],
    ids=["none of ours", "no layer", "side in words", "unknown fit", "from the future"],
)
def test_metadata_that_are_not_ours_are_refused_with_the_cure(
    alter: Callable[[dict[str, str]], object], sentence: str
) -> None:
    metadata = CARD.to_metadata()
    alter(metadata)
    with pytest.raises(LookalikeError, match=sentence):
        ModelCard.from_metadata(metadata)


def test_the_file_of_a_model_is_opened_and_computes(tiny_model: Path) -> None:
    extractor = OnnxExtractor(tiny_model)
    features = extractor.extract(pictures(5))
    assert extractor.provider in ("CPU", "CUDA", "TensorRT")
    assert (extractor.card.name, extractor.card.dimension) == ("tiny", 3)
    assert features.dtype == np.float32
    # The fake network of the other tests is the same mean colour, computed by NumPy.
    assert features == pytest.approx(MeanColour().extract(pictures(5)), abs=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 7, 33])
def test_every_batch_size_gives_the_same_features(tiny_model: Path, batch: int) -> None:
    extractor = OnnxExtractor(tiny_model, threads=1, gpu=False)
    whole = extractor.extract(pictures(33))
    parts = [extractor.extract(pictures(33)[i : i + batch]) for i in range(0, 33, batch)]
    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-6)


def test_the_map_comes_with_the_same_features(tiny_model: Path) -> None:
    extractor = OnnxExtractor(tiny_model, gpu=False)
    features, maps = extractor.extract_with_map(pictures(4))
    assert maps.shape == (4, 3, 1, 1)
    assert np.array_equal(features, extractor.extract(pictures(4)))
    assert maps[:, :, 0, 0] == pytest.approx(features)


def test_the_texture_comes_with_the_same_features(tiny_model: Path) -> None:
    extractor = OnnxExtractor(tiny_model, gpu=False)
    features, texture = extractor.extract_with_texture(pictures(4))
    assert extractor.texture_dimension == 3
    assert np.array_equal(features, extractor.extract(pictures(4)))
    assert texture == pytest.approx(MeanColour().extract_with_texture(pictures(4))[1])


def test_one_to_be_called_from_several_threads_gives_the_same_features(tiny_model: Path) -> None:
    extractor = OnnxExtractor(tiny_model, gpu=False)
    beside = extractor.side_by_side(2)
    assert beside is not None
    with ThreadPoolExecutor(2) as pool:
        for features in pool.map(beside.extract, [pictures(9)] * 4):
            assert features == pytest.approx(extractor.extract(pictures(9)), abs=1e-6)


@pytest.mark.parametrize("gone", [True, False], ids=["taken away", "exchanged"])
def test_a_model_whose_file_has_changed_is_not_opened_once_more(
    gone: bool, tiny_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "own.onnx"
    shutil.copy(tiny_model, path)
    extractor = OnnxExtractor(path, gpu=False)
    if gone:
        path.unlink()
    else:
        onnx = need("onnx", "pip install -r export/requirements.txt")
        other = onnx.load(path)
        card = replace(extractor.card, weights_sha256="2" * 64)
        onnx.helper.set_model_props(other, card.to_metadata())
        onnx.save(other, path)
    assert extractor.side_by_side(2) is None


def test_without_a_gpu_the_processor_is_named(tiny_model: Path) -> None:
    assert OnnxExtractor(tiny_model, gpu=False).provider == "CPU"


def test_opening_a_model_prints_nothing(
    tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    OnnxExtractor(tiny_model)
    assert capfd.readouterr() == ("", "")


def test_what_a_gpu_lacks_is_not_printed_among_results(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As where NVIDIA's driver is there, but not CUDA."""

    def refuse(*_: object) -> None:
        raise RuntimeError("no CUDA")

    monkeypatch.setattr(model, "has_cuda_driver", lambda: True)
    monkeypatch.setattr(ort, "preload_dlls", lambda: sys.stdout.write("no libcublas\n"))
    create = ort.InferenceSession._create_inference_session

    def create_without_cuda(session: object, providers: list[str], *rest: object) -> None:
        (refuse if "CUDAExecutionProvider" in providers else create)(session, providers, *rest)

    monkeypatch.setattr(ort.InferenceSession, "_create_inference_session", create_without_cuda)
    assert OnnxExtractor(tiny_model).provider == "CPU"
    assert capfd.readouterr().out == ""


def test_a_missing_model_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"no model at .*gone\.onnx.*-m export"):
        OnnxExtractor(tmp_path / "gone.onnx")


def test_where_onnx_runtime_cannot_be_loaded_the_cure_is_said(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unloadable:
        """Finds ONNX Runtime, and cannot load it."""

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "onnxruntime":
                raise ImportError("DLL load failed while importing onnxruntime_pybind11_state")

    monkeypatch.delitem(sys.modules, "onnxruntime")
    monkeypatch.setattr(sys, "meta_path", [Unloadable(), *sys.meta_path])
    with pytest.raises(LookalikeError, match=r"cannot be loaded here\. On Windows install"):
        OnnxExtractor(tiny_model)


def test_ctrl_c_while_onnx_runtime_is_imported_is_not_taken_for_one_that_cannot_be(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped:
        """Takes Ctrl+C in the middle of the import, as NumPy's C interface does."""

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "onnxruntime":
                try:
                    signal.raise_signal(signal.SIGINT)
                except KeyboardInterrupt:
                    raise ImportError("numpy.core.multiarray failed to import") from None

    monkeypatch.delitem(sys.modules, "onnxruntime")
    monkeypatch.setattr(sys, "meta_path", [Stopped(), *sys.meta_path])
    with pytest.raises(KeyboardInterrupt):
        OnnxExtractor(tiny_model)


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"words " * 99],
    ids=["empty", "cut short", "text"],
)
def test_a_damaged_model_is_refused_with_the_cure(
    tiny_model: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(damage(tiny_model.read_bytes()))
    with pytest.raises(LookalikeError, match=r"damaged\.onnx is damaged|does not say how"):
        OnnxExtractor(path)


def test_a_model_that_somebody_else_made_is_refused_with_the_cure(
    tiny_model: Path, tmp_path: Path
) -> None:
    onnx = need("onnx", "pip install -r export/requirements.txt")
    model = onnx.load(tiny_model)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(LookalikeError, match=r"does not say how it was made.*-m export"):
        OnnxExtractor(tmp_path / "other.onnx")


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, np.inf),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, np.inf),
        ({"cpu.max": "what is this\n"}, np.inf),
        ({}, np.inf),
    ],
    ids=["one and a half", "all", "older, two", "older, all", "nonsense", "none"],
)
def test_a_container_has_the_processors_that_it_gets_the_time_of(
    tmp_path: Path, files: dict[str, str], processors: float
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert model._allotted(tmp_path) == processors


def test_no_more_threads_are_started_than_a_container_gets_the_time_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(32), raising=False)
    for allotted, processors in ((np.inf, 32), (1.5, 2), (0.2, 1)):
        monkeypatch.setattr(model, "_allotted", lambda allotted=allotted: allotted)
        assert model.available_cpus() == processors
