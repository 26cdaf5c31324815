"""The session for a GPU, as far as a processor can run it: 16 bits, bound tensors, what is taken.

A processor without arithmetic for 16 bits computes such a graph in 32. That CUDA or TensorRT does
it right is seen where there is a GPU: `python -m retrieval bench`.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from retrieval import gpu_session, model, settings
from retrieval.gpu_session import MOST, GpuSession, Way, are_alike, in_16_bits, open_gpu
from retrieval.model import OnnxExtractor
from retrieval.reduction import to_unit
from tests.made import need, noise

PROCESSOR = (("CPUExecutionProvider", {}),)
OUTPUTS = ["features", "feature_map", "texture"]


def pictures(n: int, side: int = 32) -> np.ndarray:
    return np.stack([np.asarray(noise((side, side), seed, coarse=8)) for seed in range(n)])


def on_processor(path: Path | bytes) -> GpuSession:
    return GpuSession(path, ort.SessionOptions(), PROCESSOR, "cpu")


@pytest.fixture(scope="module")
def halved() -> bytes:
    need("onnx", "pip install -r export/requirements.txt")
    return in_16_bits(settings.BUNDLED_MODEL)


def test_more_pictures_than_a_plan_is_made_for_come_in_parts(tiny_model: Path) -> None:
    shown = pictures(2 * MOST + 3)
    whole = on_processor(tiny_model).run(OUTPUTS, {"images": shown})
    usual = ort.InferenceSession(tiny_model, providers=["CPUExecutionProvider"])
    for ours, theirs in zip(whole, usual.run(OUTPUTS, {"images": shown}), strict=True):
        assert np.array_equal(ours, theirs)


def test_pictures_that_are_a_view_of_others_are_taken_as_they_look(tiny_model: Path) -> None:
    session, shown = on_processor(tiny_model), pictures(6)
    every_other = session.run(["features"], {"images": shown[::2]})[0]
    assert np.array_equal(every_other, session.run(["features"], {"images": shown})[0][::2])


def test_two_threads_do_not_mix_their_pictures_up(tiny_model: Path) -> None:
    session, shown = on_processor(tiny_model), pictures(16)

    def describe(i: int) -> np.ndarray:
        return session.run(["features"], {"images": shown[i : i + 1]})[0]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(describe, range(16)))
    assert all(np.array_equal(describe(i), together[i]) for i in range(16))


def test_the_bundled_model_sees_the_same_in_16_bits(halved: bytes) -> None:
    usual = OnnxExtractor(settings.BUNDLED_MODEL, gpu=False)
    shown = pictures(4, usual.card.preprocessing.side)
    features, maps, texture = on_processor(halved).run(OUTPUTS, {"images": shown})
    assert are_alike(features, usual.extract(shown))
    assert are_alike(texture, usual.extract_with_texture(shown)[1])
    theirs = usual.extract_with_map(shown)[1]
    assert maps.shape == theirs.shape
    assert maps.dtype == np.float32
    assert (to_unit(maps.reshape(4, -1)) * to_unit(theirs.reshape(4, -1))).sum(1).min() > 0.999


def test_all_layers_and_nothing_else_are_in_16_bits(halved: bytes) -> None:
    onnx = need("onnx", "pip install -r export/requirements.txt")
    found = onnx.shape_inference.infer_shapes(onnx.load_from_string(halved))
    half, kinds = onnx.TensorProto.FLOAT16, {}
    for value in found.graph.value_info:
        kinds[value.name] = value.type.tensor_type.elem_type
    layers = [
        node for node in found.graph.node if node.op_type in ("Conv", "Relu", "MaxPool", "Gemm")
    ]
    assert len(layers) == 13 + 13 + 5 + 3  # fc1, its ReLU and fc2
    assert {kinds[node.output[0]] for node in layers} == {half}
    rest = [node for node in found.graph.node if node.op_type in ("Pow", "ReduceMean", "Sqrt")]
    assert rest
    assert half not in {kinds.get(node.output[0]) for node in rest}
    # From the pixels, down, and up for each of what leaves: the texture's maps and the last ones;
    # then down for what was pooled, and up for what is added to it.
    assert sum(node.op_type == "Cast" for node in found.graph.node) == 1 + 1 + 2 + 2


def test_features_that_point_elsewhere_or_nowhere_are_not_alike() -> None:
    ones = np.ones((2, 3), np.float32)
    assert are_alike(2 * ones, ones)
    assert not are_alike(np.array([[1, 1, 1], [1, 0, 0]], np.float32), ones)
    assert not are_alike(np.full((2, 3), np.nan, np.float32), ones)


def test_where_no_gpu_works_there_is_none_and_nothing_is_printed(
    tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if OnnxExtractor(tiny_model).provider != "CPU":
        pytest.skip("This machine has a GPU that works.")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    expected = OnnxExtractor(tiny_model).extract(pictures(1))
    assert open_gpu(tiny_model, options, pictures(1), expected) is None
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("broken", ["its package", "the place of its plans"])
def test_a_tensorrt_that_cannot_be_used_leaves_the_other_ways(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    need("onnx", "pip install -r export/requirements.txt")
    package = tmp_path / "packages" / "tensorrt.py"
    package.parent.mkdir()
    package.write_text("import no_such_library" if broken == "its package" else "")
    (tiny_files.parent / ".tensorrt").touch()
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    ways = list(gpu_session._ways(tiny_files, 32))
    assert [way.precision for way in ways] == ["16 bits", "16 bits", "", ""]
    assert {way.providers[0][0] for way in ways} == {"CUDAExecutionProvider"}


def test_the_first_way_whose_features_are_right_is_taken(
    tiny_model: Path, halved: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ways(path: Path, side: int) -> Iterator[Way]:
        assert side == 32
        yield Way(b"no model", PROCESSOR, "a crash", "cpu")
        yield Way(halved, PROCESSOR, "another model", "cpu")
        yield Way(path, (("CUDAExecutionProvider", {}), *PROCESSOR), "no such card", "cpu")
        yield Way(path, PROCESSOR, "16 bits", "cpu")

    monkeypatch.setattr(model, "has_cuda_driver", lambda: True)
    monkeypatch.setattr(gpu_session, "_ways", ways)
    extractor = OnnxExtractor(tiny_model)
    assert extractor.provider == "CPUExecutionProvider, 16 bits"
    usual = OnnxExtractor(tiny_model, gpu=False)
    assert np.array_equal(extractor.extract(pictures(3)), usual.extract(pictures(3)))
