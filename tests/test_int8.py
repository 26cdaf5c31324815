"""Models in 8 bits: quantised by the command, refused when they cost too much, and one family."""

import io
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from PIL import Image

from retrieval import settings
from retrieval.changes import find_changes
from retrieval.collection import Collection
from retrieval.embedding import Embedder, open_embedder
from retrieval.errors import LookalikeError
from retrieval.family import int8_path, open_model, read_card
from retrieval.features import extract_files
from retrieval.folders import find_images
from retrieval.indexing import index_folder
from retrieval.model import LARGEST_WEIGHT, PREFIX, ModelCard, OnnxExtractor, cpu_options
from retrieval.preprocessing import Preprocessing
from retrieval.ranking import rank
from retrieval.search import Searcher
from tests.made import by_hue, encode, need, noise

CURE = "pip install -r export/requirements.txt"
onnx = need("onnx", CURE)
comparing = need("export.comparing", CURE)
quantising = need("export.quantising", CURE)
stored = need("export.stored", CURE)
main = need("export.__main__", CURE).main

SIDE = 32
CARD = ModelCard(
    "small", "pool5", "mean", 16, "2" * 64, Preprocessing(SIDE, "squash", "bilinear", SIDE)
)
ENOUGH = 500 + 128  # photos to calibrate on and to choose by


def make_network(path: Path, drowned: bool = False, connected: bool = False) -> Path:
    """Write two convolutions, pooled to 16 features, as a model of ours.

    Args:
        drowned: add a channel of thousands beside what matters, which 8 bits cannot hold together.
        connected: a fully connected layer instead of the mean.
    """
    helper, kinds = onnx.helper, onnx.TensorProto
    generator = np.random.default_rng(5)
    first = generator.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32)
    second = generator.normal(0, 0.15, (16, 8, 3, 3)).astype(np.float32)
    bias = np.zeros(8, np.float32)
    if drowned:
        bias[0], second[:, 0] = 5000, 0
    dense = generator.normal(0, 0.03, (16, 16 * 8 * 8)).astype(np.float32)
    constants = {
        "white": np.float32(255),
        "first": first,
        "bias": bias,
        "second": second,
        "dense": dense,
        "flat": np.array([-1, 16 * 8 * 8]),
        "places": np.array([2, 3]),
    }
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    half = {"kernel_shape": [2, 2], "strides": [2, 2]}
    head = [helper.make_node("ReduceMean", ["feature_map", "places"], ["features"], keepdims=0)]
    if connected:
        head = [
            helper.make_node("Reshape", ["feature_map", "flat"], ["row"], "reshape"),
            helper.make_node("Gemm", ["row", "dense"], ["sums"], "gemm", transB=1),
            helper.make_node("Relu", ["sums"], ["features"], "relu_2"),
        ]
    nodes = [
        helper.make_node("Transpose", ["images"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["floats"], to=kinds.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["pixels"]),
        helper.make_node("Conv", ["pixels", "first", "bias"], ["sums_0"], "conv_0", **same),
        helper.make_node("Relu", ["sums_0"], ["early"], "relu_0"),
        helper.make_node("MaxPool", ["early"], ["smaller"], "pool_0", **half),
        helper.make_node("Conv", ["smaller", "second"], ["sums_1"], "conv_1", **same),
        helper.make_node("Relu", ["sums_1"], ["late"], "relu_1"),
        helper.make_node("MaxPool", ["late"], ["feature_map"], "pool_1", **half),
        *head,
        helper.make_node("ReduceMean", ["early", "places"], ["texture"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", kinds.UINT8, ["n", SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info("features", kinds.FLOAT, ["n", 16]),
            helper.make_tensor_value_info("feature_map", kinds.FLOAT, ["n", 16, 8, 8]),
            helper.make_tensor_value_info("texture", kinds.FLOAT, ["n", 8]),
        ],
        [onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, CARD.to_metadata())
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two ZIPs of small photos, as the training photos come."""
    folder = tmp_path_factory.mktemp("packs")
    for pack in range(2):
        with zipfile.ZipFile(folder / f"photos-{pack}.zip", "w") as archive:
            for row in range(ENOUGH // 2):
                photo = noise((24, 20), 1000 * pack + row, coarse=2 + row % 9)
                archive.writestr(f"{row:06}.png", encode(photo, "PNG", compress_level=0))
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with something to compare on: two kinds that no precision confounds."""
    folder = tmp_path_factory.mktemp("data")
    for kind, hue in (("red", 0.0), ("blue", 240.0)):
        (folder / "corel1k" / kind).mkdir(parents=True)
        for n in range(12):
            picture = Image.blend(by_hue(hue), noise((40, 30), n), 0.2)
            picture.save(folder / "corel1k" / kind / f"{n}.png")
    return folder


@pytest.fixture(scope="session")
def quantised(tmp_path_factory: pytest.TempPathFactory, packs: Path, data: Path) -> Path:
    """A float model, with its sibling in 8 bits beside it."""
    path = make_network(tmp_path_factory.mktemp("family") / "small.onnx")
    assert int8("--model", path, "--photos", packs, "--data", data) == 0
    return path


def int8(*arguments: object) -> int:
    code: int = main(["int8", *map(str, arguments)])
    return code


def pictures(n: int) -> np.ndarray:
    return np.stack([np.asarray(noise((SIDE, SIDE), seed, coarse=5)) for seed in range(n)])


# --- the command ---


def test_the_sibling_lies_beside_the_model_and_keeps_what_it_says_of_itself(
    quantised: Path,
) -> None:
    small = OnnxExtractor(int8_path(quantised), gpu=False)
    assert int8_path(quantised).name == "small-int8.onnx"
    assert small.card.precision == "int8"
    assert small.card.fingerprint == OnnxExtractor(quantised, gpu=False).card.fingerprint
    assert small.provider == "CPU, int8"


def test_weights_are_stored_in_8_bits_with_a_scale_for_each_channel(quantised: Path) -> None:
    model = onnx.load(int8_path(quantised))
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    kinds = {name: values.dtype for name, values in tensors.items()}
    assert kinds["second_quantized"] == np.int8
    assert tensors["second_scale"].shape == (16,)
    assert kinds["early_zero_point"] == np.uint8


@pytest.mark.parametrize("bundled", [False, True])
def test_sums_of_two_products_fit_16_bits_which_is_all_that_older_processors_have(
    quantised: Path, bundled: bool
) -> None:
    path = int8_path(settings.BUNDLED_MODEL if bundled else quantised)
    model = onnx.load(path)
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    filters = [t for t in tensors.values() if t.dtype == np.int8 and t.ndim == 4]
    assert len(filters) == (13 if bundled else 2)
    for weights in filters:
        assert 2 * 255 * np.abs(weights.astype(int)).max() < 2**15
        # Each channel makes use of all the steps that there are.
        assert (np.abs(weights.astype(int)).max(axis=(1, 2, 3)) == LARGEST_WEIGHT).all()

    def features(careful: bool) -> npt.NDArray[np.float32]:
        options = cpu_options(2)
        if careful:  # ONNX Runtime avoids what would overflow
            options.add_session_config_entry("session.x64quantprecision", "1")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        side = session.get_inputs()[0].shape[1]
        shown = np.asarray(noise((side, side), 3, coarse=9))[None]
        found: npt.NDArray[np.float32] = session.run(["features"], {"images": shown})[0]
        return found

    assert features(False) == pytest.approx(features(True), abs=1e-6)


def test_all_outputs_are_floats_near_those_of_the_float_model(quantised: Path) -> None:
    seen = pictures(40)
    ours, theirs = (
        comparing.outputs_of(onnx.load(path), seen) for path in (int8_path(quantised), quantised)
    )
    assert ours.keys() == {"features", "feature_map", "texture"}
    for name, values in ours.items():
        assert values.dtype == np.float32
        assert values.shape == theirs[name].shape
        assert comparing.cosine(values, theirs[name]).mean() > 0.999


@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
def test_a_small_fully_connected_layer_is_stored_in_8_bits_and_a_large_one_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    if not small:
        monkeypatch.setattr(quantising, "SMALL", 1)
    model = quantising.read_float(make_network(tmp_path / "fc.onnx", connected=True))
    assert [layer.name for layer in quantising.small_layers(model)] == ["gemm"] * small
    ranges = quantising.measure_ranges(model, [pictures(64)])["min-max"]
    quantised = quantising.quantise(model, ranges)
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in quantised.graph.initializer}
    assert tensors["dense_quantized"].dtype == np.int8
    assert tensors["dense_scale"].shape == (16,)
    assert "dense" not in tensors
    rounded = {node.input[0] for node in quantised.graph.node if node.op_type == "QuantizeLinear"}
    assert ("features_QuantizeLinear_Input" in rounded or "sums" in rounded) != small
    ours, theirs = (comparing.outputs_of(one, pictures(20)) for one in (quantised, model))
    assert comparing.cosine(ours["features"], theirs["features"]).mean() > 0.99


def test_a_stored_matrix_is_off_by_half_a_step_of_its_row_at_most(tmp_path: Path) -> None:
    model = quantising.read_float(make_network(tmp_path / "fc.onnx", connected=True))
    [before] = (
        onnx.numpy_helper.to_array(t).copy() for t in model.graph.initializer if t.name == "dense"
    )
    ranges = quantising.measure_ranges(model, [pictures(16)])["min-max"]
    tensors = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in quantising.quantise(model, ranges).graph.initializer
    }
    scale = tensors["dense_scale"][:, None]
    wrong = np.abs(tensors["dense_quantized"] * scale - before)
    assert (wrong <= 0.501 * scale).all()
    assert np.abs(before).max(axis=1) == pytest.approx(127 * scale[:, 0])


def test_weights_are_rounded_so_that_sums_over_places_hold() -> None:
    weights = np.random.default_rng(1).normal(0, 1, (6, 5, 3, 3)).astype(np.float32)
    weights[5] = 0
    rounded = quantising._round(weights)
    assert not rounded[5].any()
    step = np.abs(weights[:5]).max(axis=(1, 2, 3), keepdims=True) / LARGEST_WEIGHT
    off = (rounded[:5] - weights[:5]) / step
    assert np.abs(off).max() <= 1.001
    assert np.abs(off.sum(axis=(2, 3))).max() <= 0.501  # to the nearest, some are off by 1.5
    assert np.abs((np.rint(weights[:5] / step) - weights[:5] / step).sum(axis=(2, 3))).max() > 1
    np.testing.assert_allclose(
        np.abs(rounded).max(axis=(1, 2, 3)), np.abs(weights).max(axis=(1, 2, 3)), rtol=1e-6
    )
    # What stores them finds the same steps.
    assert rounded[:5] / step == pytest.approx(np.rint(rounded[:5] / step), abs=1e-3)


def test_what_rounding_shifts_on_average_is_given_back_by_the_biases(tmp_path: Path) -> None:
    model = quantising.read_float(make_network(tmp_path / "fc.onnx"))
    # A range that cuts off what is large shifts every mean behind it.
    ranges = dict(quantising.measure_ranges(model, [pictures(64)])["min-max"])
    ranges["pixels"] = (np.float32(0), np.float32(0.7))
    seen = [pictures(64)[start : start + 8] for start in range(0, 64, 8)]
    corrected = quantising.correct_biases(model, ranges, seen)

    def shift(source: Any, other: np.ndarray) -> float:
        ours, theirs = (
            comparing.outputs_of(one, other)["texture"].mean(axis=0)
            for one in (quantising.quantise(source, ranges), model)
        )
        return float(np.abs(ours - theirs).max())

    others = np.stack([np.asarray(noise((SIDE, SIDE), seed, coarse=5)) for seed in range(64, 128)])
    assert shift(corrected, others) < 0.5 * shift(model, others)
    tensors = [
        {t.name: onnx.numpy_helper.to_array(t) for t in one.graph.initializer}
        for one in (model, corrected)
    ]
    changed = {name for name in tensors[0] if not np.array_equal(*(t[name] for t in tensors))}
    assert changed == {"bias"}  # the second convolution has none


def test_the_bias_of_a_layer_in_float_is_left_as_it_is(tmp_path: Path) -> None:
    model = quantising.read_float(make_network(tmp_path / "fc.onnx"))
    ranges = quantising.measure_ranges(model, [pictures(8)])["entropy"]
    first = quantising.weighted_layers(model)[0]
    same = quantising.correct_biases(model, ranges, [pictures(8)], [first])
    assert same.SerializeToString() == model.SerializeToString()


def test_weights_in_16_bits_are_read_as_the_floats_they_are(tmp_path: Path) -> None:
    path = make_network(tmp_path / "half.onnx")
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "second":
            values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, "second.half"))
    cast = onnx.helper.make_node("Cast", ["second.half"], ["second"], to=onnx.TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
    onnx.save(model, path)
    read = quantising.read_float(path)
    ours, theirs = (comparing.outputs_of(one, pictures(3)) for one in (read, model))
    assert ours["features"] == pytest.approx(theirs["features"], abs=1e-5)
    assert [node.op_type for node in read.graph.node].count("Cast") == 1  # that of the pixels


def test_entropy_and_percentiles_cut_a_few_large_values_off(tmp_path: Path) -> None:
    model = quantising.read_float(make_network(tmp_path / "model.onnx"))
    found = quantising.measure_ranges(model, [pictures(64)])
    assert set(found) == set(quantising.METHODS)
    ends = {method: float(ranges["late"][1]) for method, ranges in found.items()}
    assert ends["percentile 99.99"] <= ends["percentile 99.999"] <= ends["min-max"]
    assert 0 < ends["entropy"] <= ends["min-max"]
    for ranges in found.values():
        # Before a ReLU the range is that behind it, and a pool does not change it.
        assert ranges["sums_1"] == ranges["feature_map"] == ranges["late"]


# --- refusing ---


@pytest.mark.parametrize(
    ("arrange", "sentence"),
    [
        (lambda p: ["--photos", p / "none"], r"no photos at .*none\. Name a folder or a ZIP"),
        (lambda p: ["--photos", p / "empty"], r"no picture in .*empty\. Name a folder"),
        (lambda p: ["--photos", p / "broken.zip"], r"broken\.zip is damaged or not a ZIP"),
        (
            lambda p: ["--photos", p / "few.zip"],
            r"few\.zip has 3 readable photos, and .* takes 628",
        ),
        (lambda p: ["--calibrate", 499], r"--calibrate must be at least 500"),
        (lambda p: ["--output", p / "model.onnx"], r"--output is the model itself"),
        (lambda p: ["--output", p / "empty"], r"empty is a folder\. Name a file"),
        (lambda p: ["--model", p / "gone.onnx"], r"no model at .*-m export"),
        (lambda p: ["--model", p / "broken.zip"], r"broken\.zip is damaged or not a model"),
    ],
    ids=[
        "no photos",
        "empty",
        "broken",
        "few",
        "fewer",
        "same file",
        "a folder",
        "no model",
        "not a model",
    ],
)
def test_what_cannot_be_used_is_refused_with_the_cure(
    tmp_path: Path,
    data: Path,
    arrange: Callable[[Path], list[object]],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_network(tmp_path / "model.onnx")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"words " * 99)
    with zipfile.ZipFile(tmp_path / "few.zip", "w") as archive:
        for row in range(3):
            archive.writestr(f"{row}.png", encode(noise((9, 9), row), "PNG"))
    before = sorted(tmp_path.iterdir())
    given = arrange(tmp_path)
    if "--model" not in given:
        given = ["--model", tmp_path / "model.onnx", *given]
    assert int8("--data", data, *given) == 1
    assert re.search(sentence, capsys.readouterr().err)
    assert sorted(tmp_path.iterdir()) == before


def test_a_model_in_8_bits_is_not_quantised_again(
    quantised: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert int8("--model", int8_path(quantised)) == 1
    assert "in 8 bits already. Name the float model" in capsys.readouterr().err


def test_nothing_is_written_where_nothing_can_be_compared(
    tmp_path: Path, packs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_network(tmp_path / "small.onnx")
    assert int8("--model", path, "--photos", packs, "--data", tmp_path) == 1
    assert "Name a folder with corel1k or cifar10-part.zip: --data" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.onnx"]


def test_a_part_of_cifar_without_its_folders_is_refused_before_anything_is_computed(
    tmp_path: Path, packs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_network(tmp_path / "small.onnx")
    with zipfile.ZipFile(tmp_path / "cifar10-part.zip", "w") as archive:
        for part in ("train", "test"):
            archive.writestr(f"{part}/cat/1.png", encode(noise((9, 9), 1), "PNG"))
    assert int8("--model", path, "--photos", packs, "--data", tmp_path) == 1
    said = capsys.readouterr().err
    assert "in a folder `collection` and others in `queries`" in said
    assert "cosine" not in said


def test_a_model_that_8_bits_spoil_is_not_written(
    tmp_path: Path, packs: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_network(tmp_path / "drowned.onnx", drowned=True)
    assert int8("--model", path, "--photos", packs, "--data", data) == 1
    said = capsys.readouterr().err
    assert "8 bits cost too much, so nothing was written" in said
    assert "mean cosine of features" in said
    assert [entry.name for entry in tmp_path.iterdir()] == ["drowned.onnx"]


def row(cosine: float = 1.0, **after: float) -> Any:
    before = {"P@10": 90.0, "mAP": 70.0}
    return comparing.Row("a set", cosine, cosine, before, {**before, **after})


@pytest.mark.parametrize(
    ("measured", "failures"),
    [
        (row(), []),
        (row(0.995, **{"P@10": 89.75, "mAP": 71.0}), []),
        (row(0.9949), ["a set: mean cosine 0.9949, not 0.995"]),
        (row(**{"P@10": 89.65}), ["a set: P@10 falls by 0.35 points"]),
        (row(mAP=69.0), ["a set: mAP falls by 1.00 points"]),
        (row(float("nan")), ["a set: mean cosine nan, not 0.995"]),
    ],
    ids=["equal", "within", "cosine", "P@10", "mAP", "nan"],
)
def test_what_is_lost_is_held_against_what_may_be(measured: Any, failures: list[str]) -> None:
    assert measured.failures() == failures


# --- pictures in folders and ZIPs ---


def test_pictures_come_from_folders_zips_and_folders_of_zips(packs: Path, tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    noise((9, 9)).save(tmp_path / "red" / "1.png")
    assert [str(one.path) for one in stored.list_pictures(tmp_path)] == ["red/1.png"]
    assert len(stored.list_pictures(packs / "photos-0.zip")) == ENOUGH // 2
    both = stored.list_pictures(packs)
    assert len(both) == ENOUGH
    assert len({one.read() for one in both[:: ENOUGH // 4]}) == 4


def test_photos_are_taken_at_equal_distances() -> None:
    assert stored.spread(range(11), 3) == [0, 5, 10]
    assert stored.spread(range(2), 3) == [0, 1]


def test_unreadable_pictures_are_left_out_and_the_others_keep_their_names(tmp_path: Path) -> None:
    for name in "abc":
        noise((9, 9)).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    listed = stored.list_pictures(tmp_path)
    [(chunk, pixels)] = stored.prepare(listed, CARD.preprocessing)
    assert [str(one.path) for one in chunk] == ["a.png", "c.png"]
    assert pixels.shape == (2, SIDE, SIDE, 3)


def test_a_set_without_a_readable_picture_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"no picture")
    listed = stored.list_pictures(tmp_path)
    model = SimpleNamespace(card=CARD)
    with pytest.raises(LookalikeError, match="None of the 1 pictures of Set can be read"):
        comparing.extract(listed, model, model, "Set", lambda *_: lambda _: None)  # type: ignore[arg-type]


def test_a_member_that_is_damaged_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in "ab":
            archive.writestr(f"{name}.png", encode(noise((9, 9)), "PNG"))
        archive.writestr("notes.txt", "no picture")
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"IDAT")] ^= 1  # of a.png: its checksum does not fit any more
    path.write_bytes(damaged)
    listed = stored.list_pictures(path)
    assert [(str(one.path), one.size > 60) for one in listed] == [("a.png", True), ("b.png", True)]
    [(chunk, _)] = stored.prepare(listed, CARD.preprocessing)
    assert [str(one.path) for one in chunk] == ["b.png"]


def test_others_take_the_place_of_photos_that_cannot_be_read(tmp_path: Path, data: Path) -> None:
    path = make_network(tmp_path / "small.onnx")
    with zipfile.ZipFile(tmp_path / "photos-0.zip", "w") as archive:
        archive.writestr("000000.png", b"no picture")
        for row in range(1, ENOUGH + 1):
            photo = encode(noise((12, 10), row % 9), "PNG", compress_level=0)
            archive.writestr(f"{row:06}.png", photo)
        archive.writestr(f"{ENOUGH + 1:06}.png", b"no picture")
    given = ("--photos", tmp_path, "--calibrate", 500)
    assert int8("--model", path, "--data", data, *given) == 0


def test_photos_and_what_is_compared_come_from_the_data_that_is_named(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_network(tmp_path / "small.onnx")
    (data / "photos").mkdir()
    noise((9, 9)).save(data / "photos" / "one.png")
    try:
        assert int8("--model", path, "--data", data) == 1
    finally:
        shutil.rmtree(data / "photos")
    assert f"{data / 'photos'} has 1 readable photos" in capsys.readouterr().err


def test_the_comparison_covers_corel_and_cifar_where_they_are(
    tmp_path: Path, quantised: Path, packs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in range(2):
        (tmp_path / "corel1k" / f"kind {kind}").mkdir(parents=True)
        for n in range(12):
            colours = noise((30, 20), n, coarse=3 + 9 * kind)
            colours.save(tmp_path / "corel1k" / f"kind {kind}" / f"{n}.png")
    with zipfile.ZipFile(tmp_path / "cifar10-part.zip", "w") as archive:
        for part, many in (("queries", 2), ("collection", 12)):
            for kind in range(2):
                for n in range(many):
                    photo = noise((32, 32), 50 * many + n, coarse=3 + 9 * kind)
                    name = f"cifar10-part/{part}/kind {kind}/{n}.png"
                    archive.writestr(name, encode(photo, "PNG"))
    output = tmp_path / "again.onnx"
    given = ("--model", quantised, "--photos", packs, "--output", output, "--data", tmp_path)
    code = int8(*given)
    said = capsys.readouterr()
    table = said.err
    assert "Corel-1k " in table
    assert "CIFAR-10, part " in table
    # So few and so alike pictures may well change places; then the command has to say so.
    assert output.exists() == (code == 0) == ("cost too much" not in table)


# --- one family ---


@pytest.fixture
def family(quantised: Path, tmp_path: Path) -> Path:
    """A copy of model and sibling that a test may change."""
    folder = tmp_path / "models"
    folder.mkdir()
    for path in (quantised, int8_path(quantised)):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / quantised.name


def test_a_cpu_computes_with_the_sibling(family: Path) -> None:
    assert open_model(family, gpu=False).provider == "CPU, int8"
    assert open_embedder(family, None, gpu=False).extractor.provider == "CPU, int8"


def test_without_a_sibling_the_model_itself_is_used(family: Path) -> None:
    int8_path(family).unlink()
    assert open_model(family, gpu=False).provider == "CPU"


def test_a_sibling_of_other_weights_is_passed_over(family: Path) -> None:
    model = onnx.load(family)
    onnx.helper.set_model_props(model, {**CARD.to_metadata(), "lookalike.weights_sha256": "3" * 64})
    onnx.save(model, family)
    assert open_model(family, gpu=False).provider == "CPU"


def test_weights_of_all_8_bits_as_an_earlier_version_stored_them_are_not_computed_with(
    family: Path,
) -> None:
    small = int8_path(family)
    model = onnx.load(small)
    card = {entry.key: entry.value for entry in model.metadata_props}
    del card[f"{PREFIX}largest_weight"]
    onnx.helper.set_model_props(model, card)
    onnx.save(model, small)
    assert open_model(family, gpu=False).provider == "CPU"
    with pytest.raises(LookalikeError, match=r"earlier version.*-m export int8"):
        OnnxExtractor(small, gpu=False)


def test_a_damaged_sibling_is_passed_over(family: Path) -> None:
    int8_path(family).write_bytes(b"words " * 99)
    assert open_model(family, gpu=False).provider == "CPU"


def test_a_family_without_its_model_is_named_with_the_cure(family: Path) -> None:
    family.unlink()
    with pytest.raises(LookalikeError, match=r"no model at .*small\.onnx.*-m export"):
        open_model(family, gpu=False)


def test_the_sibling_shares_the_pca_of_its_model(family: Path) -> None:
    assert settings.pca_path(int8_path(family)) == settings.pca_path(family)
    assert settings.pca_path(int8_path(settings.BUNDLED_MODEL)) == settings.BUNDLED_PCA


def test_a_card_is_read_without_opening_the_model(family: Path, tiny_model: Path) -> None:
    for path in (family, int8_path(family), tiny_model):
        assert read_card(path) == OnnxExtractor(path, gpu=False).card


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:100], lambda data: data[:-9], lambda data: b"word" * 99],
    ids=["empty", "start", "cut short", "text"],
)
def test_a_damaged_card_is_refused(family: Path, damage: Callable[[bytes], bytes]) -> None:
    family.write_bytes(damage(family.read_bytes()))
    with pytest.raises(LookalikeError, match=r"damaged or not a model|does not say how"):
        read_card(family)


@pytest.mark.parametrize("built_with", ["float", "int8"])
def test_a_collection_built_with_one_is_searched_with_the_other(
    family: Path, tmp_path: Path, built_with: str
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(12):
        noise((40, 30), seed, coarse=2 + seed).save(photos / f"{seed}.png")
    large = Embedder(OnnxExtractor(family, gpu=False))
    small = Embedder(OnnxExtractor(int8_path(family), gpu=False))
    assert small.fingerprint == large.fingerprint
    builder, seeker = (large, small) if built_with == "float" else (small, large)
    with Collection.create(tmp_path / "kept", "photos", photos, builder) as collection:
        for _ in index_folder(collection, photos, builder, find_changes(collection, photos)):
            pass
        searcher = Searcher(collection, seeker)
        for seed in range(12):
            buffer = io.BytesIO()
            Image.open(photos / f"{seed}.png").save(buffer, "PNG")
            found = searcher.search_file(buffer.getvalue(), 3, 10**6)
            assert found.matches[0].picture.path == f"{seed}.png"
            assert found.matches[0].similarity > 0.99


# --- the bundled family, on real pictures ---


@pytest.mark.timeout(600)
def test_float_and_int8_agree_on_the_ten_nearest_of_real_pictures(data_folder: Path) -> None:
    corel, small = data_folder / "corel1k", int8_path(settings.BUNDLED_MODEL)
    if not corel.is_dir():
        pytest.skip(f"There is no Corel-1k at {corel}.")
    if not small.is_file():
        pytest.skip(f"There is no {small.name}. Make it with: python -m export int8")
    files = list(find_images(corel))[::20]  # 50, five of each class
    large = open_embedder(settings.BUNDLED_MODEL, settings.BUNDLED_PCA, gpu=False)
    nearest = []
    for path in (settings.BUNDLED_MODEL, small):
        features, read, _ = extract_files(files, OnnxExtractor(path, gpu=False))
        assert read == files
        vectors = large.project(features)
        nearest.append(rank(vectors, vectors, 11)[0][:, 1:])
    overlap = [len(set(a) & set(b)) / 10 for a, b in zip(*nearest, strict=True)]
    assert np.mean(overlap) >= 0.95
    assert np.mean(nearest[0][:, 0] == nearest[1][:, 0]) >= 0.9
