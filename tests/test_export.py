"""The export: held against torchvision, and refusing what it cannot use without leaving a trace."""

import contextlib
import hashlib
import http.server
import io
import json
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.__main__ import main
from retrieval import settings
from retrieval.__main__ import main as retrieval_main
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.explanation import explain, place_shares
from retrieval.files import sha256_of_file
from retrieval.model import ModelCard, OnnxExtractor
from retrieval.preprocessing import Preprocessing, preprocess
from tests.made import need, noise

CURE = "pip install -r export/requirements.txt"
torch = need("torch", CURE)
torchvision = need("torchvision", CURE)
safetensors = need("safetensors.torch", CURE)
onnx = need("onnx", CURE)
network = need("export.network", CURE)
onnx_file = need("export.onnx_file", CURE)
quantising = need("export.quantising", CURE)
weights = need("export.weights", CURE)

# torchvision's own preprocessing, down to normalised floats.
TRANSFORMS = torchvision.models.VGG16_Weights.IMAGENET1K_V1.transforms()
SIZES = ((640, 427), (300, 500), (97, 203))


def relative(ours: np.ndarray, theirs: Any) -> float:
    """Return the largest difference, relative to the largest value."""
    theirs = theirs.numpy()
    assert ours.shape == theirs.shape
    assert np.abs(theirs).max() > 0
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def scale_as_he(module: Any, seed: int) -> Any:
    """Fill a network with made-up weights that keep the size of what passes through it."""
    torch.manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            torch.nn.init.normal_(layer.bias, std=0.1)
        elif isinstance(layer, torch.nn.BatchNorm2d):
            for values in (layer.weight, layer.running_var):
                torch.nn.init.uniform_(values, 0.5, 1.5)
            for values in (layer.bias, layer.running_mean):
                torch.nn.init.normal_(values, std=0.2)
    return module.eval().requires_grad_(False)


def normalised(pictures: np.ndarray) -> Any:
    """Do by hand what the exported graph does with pixels, in torchvision's words."""
    functional = torchvision.transforms.functional
    return torch.stack(
        [functional.normalize(functional.to_tensor(p), network.MEAN, network.STD) for p in pictures]
    )


def pixels(n: int, side: int) -> np.ndarray:
    return np.stack([np.asarray(noise((side, side), seed)) for seed in range(n)])


def export(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


# --- a whole VGG-16, cut after fc2 ---


@dataclass(frozen=True)
class Whole:
    """A VGG-16 with made-up weights, as torch keeps it and as it was exported."""

    model: Any  # torchvision's own
    weights: Path  # .pth
    exported: Path  # .onnx
    printed: str


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Export a whole VGG-16 (528 MB, twice) with the command, and delete it afterwards."""
    folder = tmp_path_factory.mktemp("whole")
    try:
        with torch.device("meta"):
            model = torchvision.models.vgg16()
        model = scale_as_he(model.to_empty(device="cpu"), seed=16)
        path, exported = folder / "made-up.pth", folder / "made-up-fc2.onnx"
        torch.save(model.state_dict(), path)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert export("--weights", path, "--output", exported) == 0
        yield Whole(model, path, exported, printed.getvalue())
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def whole_extractor(whole: Whole) -> OnnxExtractor:
    return OnnxExtractor(whole.exported, gpu=False)


def test_fc2_is_torchvisions_classifier_cut_after_its_second_relu(
    whole: Whole, whole_extractor: OnnxExtractor
) -> None:
    images = [noise(size, seed) for seed, size in enumerate(SIZES)]
    functional = torchvision.transforms.functional
    crops = [
        functional.center_crop(functional.resize(image, TRANSFORMS.resize_size), 224)
        for image in images
    ]
    ours, maps = whole_extractor.extract_with_map(np.stack([np.asarray(crop) for crop in crops]))
    with torch.inference_mode():
        # From the picture's file on: nothing of ours in it.
        inputs = torch.stack([TRANSFORMS(image) for image in images])
        features = whole.model.features(inputs)
        flat = torch.flatten(whole.model.avgpool(features), 1)
        theirs = whole.model.classifier[:5](flat)
    assert ours.shape == (3, 4096)
    assert relative(ours, theirs) < 1e-4
    assert relative(maps, features) < 1e-4
    assert (ours >= 0).all()


def test_pictures_that_we_preprocess_give_torchvisions_features(
    whole: Whole, whole_extractor: OnnxExtractor
) -> None:
    image = noise((640, 427), seed=5)
    ours = whole_extractor.extract(preprocess(image, whole_extractor.card.preprocessing)[None])
    with torch.inference_mode():
        flat = torch.flatten(whole.model.features(TRANSFORMS(image)[None]), 1)
        theirs = whole.model.classifier[:5](flat).numpy()
    cosine = (ours * theirs).sum() / np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert cosine > 0.99999


def test_the_file_says_how_it_was_made(whole: Whole, whole_extractor: OnnxExtractor) -> None:
    assert whole_extractor.card == ModelCard(
        name="VGG-16, weights of made-up.pth",
        layer="fc2",
        pooling="",
        dimension=4096,
        weights_sha256=sha256_of_file(whole.weights),
        preprocessing=Preprocessing(224, "crop", "bilinear", 256),
    )


def test_the_command_says_what_it_wrote_and_how_far_it_is_from_torch(whole: Whole) -> None:
    assert str(whole.exported) in whole.printed
    assert " MB, largest difference from torch " in whole.printed
    assert float(whole.printed.split("from torch ")[1].split()[0]) < 1e-4
    assert sorted(os.listdir(whole.exported.parent)) == ["made-up-fc2.onnx", "made-up.pth"]


def test_fc1_is_torchvisions_classifier_cut_after_its_first_relu(whole: Whole) -> None:
    pictures = pixels(2, 224)
    with torch.inference_mode():
        built = network.build_network(whole.model.state_dict(), "fc1")
        ours = built(torch.from_numpy(pictures))[0]
        flat = torch.flatten(whole.model.features(normalised(pictures)), 1)
        theirs = whole.model.classifier[:2](flat)
    assert built.dimension == 4096
    assert relative(ours.numpy(), theirs) < 1e-5


def test_fc2_is_reduced_indexed_and_searched(
    whole: Whole, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    for seed in range(6):
        path = photos / f"kind {seed % 2}" / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise((260, 200), seed, coarse=3 if seed % 2 else 40).save(path)
    options = ["--model", str(whole.exported), "--pca", str(tmp_path / "pca.pkl"), "--cpu"]
    assert retrieval_main(["fit-pca", str(photos), "--components", "4", *options]) == 0
    assert retrieval_main(["index", str(photos), *options]) == 0
    capsys.readouterr()
    query = photos / "kind 1" / "3.png"
    assert retrieval_main(["search", str(query), "--json", *options]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 6
    assert rows[0]["picture"] == "kind 1/3.png"
    assert rows[0]["similarity"] == pytest.approx(1, abs=1e-3)


# --- trunks, cut after pool5 ---


@pytest.fixture(scope="module")
def plain() -> Any:
    """The convolutions of a VGG-16, made up."""
    return scale_as_he(torchvision.models.vgg16().features, seed=1)


@pytest.fixture(scope="module")
def normalising() -> Any:
    """The convolutions of a VGG-16 with batch normalisation, made up."""
    return scale_as_he(torchvision.models.vgg16_bn().features, seed=2)


def state_of(trunk: Any) -> dict[str, Any]:
    """Return the state dict that the whole network would have."""
    return {f"features.{name}": value for name, value in trunk.state_dict().items()}


def mean(maps: Any) -> Any:
    return maps.mean((2, 3))


def generalised_mean(maps: Any) -> Any:
    """GeM with p = 2, from its definition."""
    return ((maps**2).sum((2, 3)) / (maps.shape[2] * maps.shape[3])) ** (1 / 2)


@pytest.mark.parametrize(
    ("pooling", "pool"), [("mean", mean), ("gem", generalised_mean)], ids=["mean", "GeM"]
)
@pytest.mark.parametrize("side", [32, 64, 96])
def test_pool5_is_the_pooled_map_of_torchvisions_trunk(
    plain: Any, pooling: str, pool: Callable[[Any], Any], side: int
) -> None:
    pictures = pixels(2, side)
    with torch.inference_mode():
        built = network.build_network(state_of(plain), "pool5", pooling)
        features, maps, _ = built(torch.from_numpy(pictures))
        expected = plain(normalised(pictures))
    assert maps.shape == (2, 512, side // 32, side // 32)
    assert relative(maps.numpy(), expected) < 1e-5
    assert relative(features.numpy(), pool(expected)) < 1e-5


def test_folding_batch_normalisation_changes_nothing(normalising: Any) -> None:
    pictures = pixels(2, 64)
    with torch.inference_mode():
        built = network.build_network(state_of(normalising), "pool5")
        maps = built(torch.from_numpy(pictures))[1]
        expected = normalising(normalised(pictures))
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in built.modules())
    assert relative(maps.numpy(), expected) < 1e-4


def test_the_texture_is_mean_and_deviation_of_the_second_block(plain: Any) -> None:
    pictures = pixels(3, 64)
    with torch.inference_mode():
        texture = network.build_network(state_of(plain), "pool5")(torch.from_numpy(pictures))[2]
        early = plain[:9](normalised(pictures)).flatten(2)
    expected = torch.cat([early.mean(2), early.std(2, correction=0)], dim=1)
    assert relative(texture.numpy(), expected) < 1e-4


@pytest.fixture(scope="module")
def saved(plain: Any, normalising: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with both trunks on disk, 59 MB each; deleted afterwards."""
    folder = tmp_path_factory.mktemp("trunks")
    torch.save(state_of(plain), folder / "plain.pth")
    tensors = {name: value.contiguous() for name, value in state_of(normalising).items()}
    safetensors.save_file(tensors, folder / "normalising.safetensors")
    yield folder
    shutil.rmtree(folder)


POOL5 = ("--layer", "pool5", "--side", 64, "--fit", "squash")


@pytest.fixture(scope="module")
def halved(saved: Path) -> Path:
    """The plain trunk, exported with GeM and in 16 bits."""
    options = ("--weights", saved / "plain.pth", "--pool", "gem", "--half")
    assert export(*POOL5, *options, "--output", saved / "half.onnx") == 0
    return saved / "half.onnx"


@pytest.fixture(scope="module")
def folded(saved: Path) -> Path:
    """The trunk with batch normalisation, exported from safetensors."""
    options = ("--weights", saved / "normalising.safetensors", "--name", "ours")
    assert export(*POOL5, *options, "--output", saved / "folded.onnx") == 0
    return saved / "folded.onnx"


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_an_exported_trunk_computes_as_torch_before_folding_on_batches_of_any_size(
    normalising: Any, folded: Path, batch: int
) -> None:
    pictures = pixels(batch, 64)
    ours, maps = OnnxExtractor(folded, gpu=False).extract_with_map(pictures)
    with torch.inference_mode():
        expected = normalising(normalised(pictures))
    assert relative(maps, expected) < 1e-4
    assert relative(ours, mean(expected)) < 1e-4


def test_the_options_are_in_the_files_card(folded: Path, halved: Path) -> None:
    ours, other = (OnnxExtractor(path, gpu=False).card for path in (folded, halved))
    assert (ours.name, ours.layer, ours.pooling) == ("ours", "pool5", "mean")
    assert (other.name, other.layer, other.pooling) == (
        "VGG-16, weights of plain.pth",
        "pool5",
        "gem",
    )
    assert ours.preprocessing == Preprocessing(64, "squash", "bilinear", 64)
    assert ours.dimension == other.dimension == 512


def test_the_file_is_plain_vgg_with_a_free_batch_axis_and_nothing_of_this_machine(
    folded: Path,
) -> None:
    model = onnx.load(folded)
    graph = model.graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("Conv") == 13
    assert not any("Batch" in kind for kind in kinds)
    (images,) = graph.input
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    batch, *rest = images.type.tensor_type.shape.dim
    assert batch.dim_param != ""
    assert [size.dim_value for size in rest] == [64, 64, 3]
    del graph.initializer[:]  # random bytes may spell anything
    text = model.SerializeToString()
    assert str(settings.PROJECT).encode() not in text
    assert b".py" not in text


def test_half_keeps_half_the_bytes_and_the_features_close(
    plain: Any, folded: Path, halved: Path
) -> None:
    assert halved.stat().st_size < 0.51 * folded.stat().st_size
    ours = OnnxExtractor(halved, gpu=False).extract(pixels(3, 64))
    with torch.inference_mode():
        theirs = generalised_mean(plain(normalised(pixels(3, 64)))).numpy()
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert (cosines > 0.9999).all()


# --- fully connected layers of the pooled map ---


@pytest.fixture(scope="module")
def connections() -> Any:
    """What `export connect` learns, made up: fc1, its ReLU and fc2, small."""
    layers = torch.nn.Sequential(
        torch.nn.Linear(512, 24), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(24, 512)
    )
    return scale_as_he(layers, seed=3)


def prefixed(connections: Any) -> dict[str, Any]:
    return {f"classifier.{key}": value for key, value in connections.state_dict().items()}


@pytest.fixture(scope="module")
def connected(saved: Path, connections: Any) -> Path:
    """The plain trunk with these, exported with GeM and in 16 bits, from two files."""
    safetensors.save_file(prefixed(connections), saved / "connected.safetensors")
    files = (saved / "plain.pth", saved / "connected.safetensors")
    options = ("--layer", "fc2", "--pool", "gem", "--side", 64, "--fit", "squash", "--half")
    assert export("--weights", *files, *options, "--output", saved / "connected.onnx") == 0
    return saved / "connected.onnx"


def test_fully_connected_layers_of_the_pooled_map_are_computed_as_torch_does(
    plain: Any, connections: Any, connected: Path
) -> None:
    extractor = OnnxExtractor(connected, gpu=False)
    ours, maps = extractor.extract_with_map(pixels(3, 64))
    with torch.inference_mode():
        expected = plain(normalised(pixels(3, 64)))
        pooled = generalised_mean(expected)
        theirs = pooled + connections(pooled)
    assert maps.shape == (3, 512, 2, 2)
    assert relative(ours, theirs) < 1e-2  # weights in 16 bits
    assert (extractor.card.layer, extractor.card.pooling, extractor.card.dimension) == (
        *("fc2", "gem"),
        512,
    )


def test_layers_of_the_pooled_and_of_the_whole_map_are_not_confused(
    plain: Any, connections: Any
) -> None:
    state = {**state_of(plain), **prefixed(connections)}
    for layer in ("fc1", "fc2"):
        with pytest.raises(LookalikeError, match="take the pooled map"):
            network.build_network(state, layer, "")
    with pytest.raises(LookalikeError, match="Add --layer fc2 --pool gem"):
        network.build_network(state, "fc2", "mean")
    state["classifier.0.weight"] = torch.zeros(24, 25088)
    with pytest.raises(LookalikeError, match="take the whole map"):
        network.build_network(state, "fc2", "gem")


@pytest.mark.parametrize("stored", ["16 bits", "8 bits"])
def test_the_places_of_a_picture_add_up_behind_fully_connected_layers_too(
    connected: Path, stored: str, tmp_path: Path
) -> None:
    path = connected
    if stored == "8 bits":
        model = quantising.read_float(connected)
        ranges = quantising.measure_ranges(model, [pixels(8, 64)])["min-max"]
        path = tmp_path / "connected-int8.onnx"
        path.write_bytes(quantising.quantise(model, ranges).SerializeToString())
    embedder = Embedder(OnnxExtractor(path, gpu=False), None)
    features, maps = embedder.extractor.extract_with_map(pixels(2, 64))
    a, b = embedder.embed(pixels(2, 64))
    layers = embedder.extractor.connected
    assert layers is not None
    assert (layers.first.shape, layers.second.shape) == ((24, 512), (512, 24))
    explanation = explain(embedder, features[0], maps[0], b, layers)
    assert float(explanation.places.sum()) == pytest.approx(float(a @ b), abs=1e-4)
    pooled = place_shares(maps[0], "gem").sum((1, 2))
    # In 8 bits what passes from layer to layer is rounded.
    near = 1e-4 if stored == "16 bits" else 0.1
    np.testing.assert_allclose(layers(pooled), features[0], atol=near * np.abs(features[0]).max())


# --- what is refused ---


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--layer", "pool5", "--side", 100), "--side must be a multiple of 32 up to 1024"),
        (("--layer", "pool5", "--side", 2048), "--side must be a multiple of 32 up to 1024"),
        (("--layer", "pool5", "--side", 0), "--side must be a multiple of 32 up to 1024"),
        (
            ("--layer", "pool5", "--side", 96, "--mirror-small", 97),
            "--mirror-small takes from 0 (none) to 96 pixels",
        ),
        (("--layer", "fc2", "--pool", "gem"), "no fully connected layers. Export them with"),
        (("--layer", "fc1", "--pool", "gem"), "--pool is for pool5 and fc2"),
        (("--layer", "fc2", "--side", 256), "of the whole map need --side 224"),
        (("--layer", "fc2"), "no fully connected layers. Export them with --layer pool5"),
        (("--layer", "pool5", "--mirror-small", -5), "--mirror-small takes from 0 (none) to 224"),
        (("--weights", "gone.pth"), "There are no weights at gone.pth"),
        (("--weights", "{saved}"), "is a folder. Name a file in it."),
        (("--weights", "gone.pth", "--output", "{saved}"), "is a folder. Name a file"),
        (("--weights", "gone.pth", "--output", "{saved}/plain.pth/x.onnx"), "a part of its path"),
        (("--name", "a\udce9"), "is not valid text. Choose another one."),
        (("--output", "x\udce9.onnx"), "is not valid text. Choose another one."),
    ],
    ids=[
        *("odd side", "huge side", "no side", "odd corners", "no fc2", "pool of fc1"),
        "side of fc2",
        *("no classifier", "corners below none", "no weights", "weights in a folder"),
        *("a folder", "a place in a file", "a name of no text", "a place of no text"),
    ],
)
def test_what_cannot_be_exported_is_a_sentence_and_writes_nothing(
    saved: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[object, ...],
    sentence: str,
) -> None:
    options = ("--weights", saved / "plain.pth", "--output", tmp_path / "new" / "model.onnx")
    told = [str(word).format(saved=saved) for word in arguments]
    assert export(*options, *told) == 1
    assert sentence in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def without(prefix: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda state: {k: v for k, v in state.items() if not k.startswith(prefix)}


@pytest.mark.parametrize(
    "alter",
    [
        without("features.28"),
        without("features"),
        lambda state: {**state, "features.2.weight": state["features.2.weight"][:32]},
        lambda state: {k.replace("features", "backbone"): v for k, v in state.items()},
        lambda state: {**state, "features.31.weight": state["features.28.weight"]},
    ],
    ids=["a layer less", "no layers", "another shape", "other names", "a layer more"],
)
def test_convolutions_that_are_not_vgg_16s_are_refused_with_the_cure(
    plain: Any, alter: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    with pytest.raises(LookalikeError, match=r"not those of torchvision's vgg16.*names"):
        network.build_network(alter(state_of(plain)), "pool5")


@pytest.mark.parametrize("width", [8, 96])
def test_a_trunk_of_another_width_is_refused_and_told_its_width(width: int) -> None:
    plan = torchvision.models.vgg.cfgs["D"]
    plan = [one if isinstance(one, str) else one * width // 64 for one in plan]
    trunk = torchvision.models.vgg.make_layers(plan, batch_norm=True)
    with pytest.raises(LookalikeError, match=rf"has {width} channels, .*of another width\. Pass"):
        network.build_network(state_of(trunk), "pool5")


def test_a_classifier_of_another_shape_is_refused_with_the_cure(plain: Any) -> None:
    state = {**state_of(plain), "classifier.0.weight": torch.zeros(8, 8)}
    with pytest.raises(
        LookalikeError,
        match=r"weights of the fully connected layer classifier\.0 are not those of torchvision's",
    ):
        network.build_network(state, "fc1")


def test_a_classifier_that_is_one_number_is_refused_with_the_cure(plain: Any) -> None:
    state = {**state_of(plain), "classifier.0.weight": torch.tensor(3.0)}
    state["classifier.0.bias"] = torch.tensor(3.0)
    with pytest.raises(LookalikeError, match=r"classifier\.0 are not those of torchvision's"):
        network.build_network(state, "fc1")
    with pytest.raises(LookalikeError, match=r"take the whole map\. Leave out --pool"):
        network.build_network(state, "fc2", "gem")


def test_weights_that_are_no_numbers_are_refused_with_the_cure(plain: Any) -> None:
    state = state_of(plain)
    state["features.0.bias"] = torch.full((64,), float("nan"))
    with pytest.raises(LookalikeError, match=r"not numbers, or infinite\. Copy them again"):
        network.build_network(state, "pool5")


def test_weights_too_large_for_16_bits_are_refused_with_the_cure(plain: Any) -> None:
    state = state_of(plain)
    state["features.0.bias"] = torch.full((64,), 1e6)
    with pytest.raises(LookalikeError, match=r"too large for 16 bits\. Leave out --half"):
        network.build_network(state, "pool5", half=True)


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "bare pickle"])
@pytest.mark.parametrize("function", [os.system, eval], ids=["os.system", "eval"])
def test_weights_with_code_in_them_are_refused_and_it_does_not_run(
    tmp_path: Path, function: Callable[..., Any], legacy: bool
) -> None:
    trace, path = tmp_path / "trace", tmp_path / "hostile.pth"
    argument = f"echo > {trace}" if function is os.system else f"open({str(trace)!r}, 'w')"
    hostile = {"features.0.weight": Call(function, argument)}
    if legacy:
        path.write_bytes(pickle.dumps(hostile))
    else:
        torch.save(hostile, path)
    with pytest.raises(LookalikeError, match=r"hostile\.pth .*torch\.save\(model\.state_dict"):
        weights.read_weights(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pth", b""),
        ("a.pth", b"only words"),
        ("a.pth", None),
        ("a.safetensors", b""),
        ("a.safetensors", b"\xff" * 100),
    ],
    ids=["empty", "text", "cut short", "empty safetensors", "damaged safetensors"],
)
def test_damaged_weights_are_refused_with_the_cure(
    saved: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    path.write_bytes((saved / "plain.pth").read_bytes()[:100_000] if content is None else content)
    with pytest.raises(LookalikeError, match=rf"{name} (is damaged|holds more than plain tensors)"):
        weights.read_weights(path)


@pytest.mark.parametrize(
    "kept",
    [
        [1, 2],
        {"state_dict": {"a": torch.zeros(1)}},
        {"epoch": 3, "a": torch.zeros(1)},
        {5: torch.zeros(1), "a": torch.zeros(1)},
        {"a": torch.eye(3).to_sparse()},
    ],
    ids=["a list", "a training checkpoint", "more than tensors", "a number", "a sparse tensor"],
)
def test_what_is_no_state_dict_is_refused_with_the_cure(tmp_path: Path, kept: object) -> None:
    torch.save(kept, tmp_path / "other.pth")
    with pytest.raises(
        LookalikeError, match=r"other\.pth (is not a state dict|holds).*\. Save it with"
    ):
        weights.read_weights(tmp_path / "other.pth")


def small_network(head: Any) -> Any:
    """Return a network of the right kind and little work: four channels, ten modules."""
    layers = [torch.nn.Conv2d(3, 4, 3, padding=1), *(torch.nn.ReLU() for _ in range(8))]
    trunk = torch.nn.Sequential(*layers, torch.nn.MaxPool2d(32, 32))
    return network.FeatureNetwork(scale_as_he(trunk, seed=3), head, 4).eval()


class Restless(torch.nn.Module):
    """A head that never answers the same, so that no file can agree with it."""

    def forward(self, maps: Any) -> Any:
        return maps.mean((2, 3)) + torch.rand_like(maps).mean((2, 3))


SMALL = ModelCard(
    "small", "pool5", "mean", 4, "e" * 64, Preprocessing(32, "squash", "bilinear", 32)
)


def test_a_file_that_does_not_agree_with_torch_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"differs from torch by .*so nothing was written"):
        onnx_file.write_onnx(small_network(Restless()), SMALL, tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []


def test_the_difference_from_another_network_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    same = small_network(network.GlobalMean())
    assert onnx_file.write_onnx(same, SMALL, path) < 1e-5
    same.early[0].weight.mul_(1.001)
    assert 1e-4 < onnx_file.difference_from_torch(path, same) < 1e-2


@pytest.mark.parametrize("module", ["torch", "onnxscript"])
def test_a_package_that_is_missing_is_named_with_the_cure(
    module: str, saved: Path, tmp_path: Path
) -> None:
    program = (
        f"import sys; sys.modules[{module!r}] = None; from export.__main__ import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = [*POOL5, "--weights", saved / "plain.pth", "--output", tmp_path / "model.onnx"]
    run = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=settings.PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert f"Exporting needs {module}" in last
    assert "pip install -r export/requirements.txt" in last
    assert os.listdir(tmp_path) == []


# --- the disk ---


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a disk of that size, which root may do on Linux."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("Only root on Linux can mount a small disk to fill; see the test of limits.")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def heavy_network() -> Any:
    """Return a network that is quickly traced and has 4 MB of weights."""
    head = torch.nn.Sequential(network.GlobalMean(), torch.nn.Linear(4, 200_000))
    return small_network(scale_as_he(head, seed=4))


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        with pytest.raises(LookalikeError, match=r"^The disk is full\. model\.onnx could not be"):
            onnx_file.write_onnx(heavy_network(), SMALL, disk / "model.onnx")
        assert os.listdir(disk) == []


def test_a_file_that_grows_beyond_the_limit_is_a_sentence_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    resource = need("resource", "nothing: Windows has no such limit to set")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(LookalikeError, match=r"model\.onnx: File too large"):
            onnx_file.write_onnx(heavy_network(), SMALL, tmp_path / "model.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert os.listdir(tmp_path) == []


# --- the download ---

PUBLISHED = b"weights as they were published" * 1000
DIGITS = hashlib.sha256(PUBLISHED).hexdigest()[:8]


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file well, and others as bad networks do."""

    asked: list[str]

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        self.server.asked.append(kind)  # type: ignore[attr-defined]
        if kind == "missing":
            self.send_error(404)
            return
        body = b"something else entirely" if kind == "tampered" else PUBLISHED
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if kind in ("broken", "reset") else body)
        if kind == "reset":
            # Closed so, the connection is reset instead of ended.
            at_once = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            socket.close(self.connection.detach())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server on this machine, whatever proxies the environment names."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    served.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def url(server: Any, kind: str) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{kind}/vgg16-{DIGITS}.pth"


def test_weights_are_fetched_once_and_checked(server: Any, tmp_path: Path) -> None:
    path = weights.fetch_weights(url(server, "good"), tmp_path / "cache")
    assert path.read_bytes() == PUBLISHED
    assert weights.fetch_weights(url(server, "good"), tmp_path / "cache") == path
    assert server.asked == ["good"]
    assert os.listdir(tmp_path / "cache") == [path.name]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("tampered", r"not what was published.*another network"),
        ("broken", r"not what was published|could not be downloaded"),
        ("reset", r"could not be downloaded.*reset.*--weights"),
        ("missing", r"could not be downloaded.*Not Found.*--weights"),
    ],
)
def test_a_download_that_goes_wrong_is_a_sentence_and_leaves_nothing(
    server: Any, tmp_path: Path, kind: str, sentence: str
) -> None:
    with pytest.raises(LookalikeError, match=sentence):
        weights.fetch_weights(url(server, kind), tmp_path)
    assert os.listdir(tmp_path) == []


def test_without_a_network_the_cure_is_named(tmp_path: Path, server: Any) -> None:
    with socket.socket() as closed:  # bound and not listening: nobody answers there
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/vgg16-{DIGITS}.pth"
        with pytest.raises(LookalikeError, match=r"could not be downloaded.*another computer.*--w"):
            weights.fetch_weights(address, tmp_path)
    assert os.listdir(tmp_path) == []


def test_weights_on_disk_that_were_damaged_are_refused_with_the_cure(
    server: Any, tmp_path: Path
) -> None:
    (tmp_path / f"vgg16-{DIGITS}.pth").write_bytes(PUBLISHED[:-1])
    with pytest.raises(LookalikeError, match=r"damaged \(its hash differs\)\. Delete it"):
        weights.fetch_weights(url(server, "good"), tmp_path)
    assert server.asked == []


def test_a_download_that_fills_the_disk_is_a_sentence_and_leaves_nothing(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        (disk / "filler").write_bytes(bytes(2**20 - 8192))
        with pytest.raises(LookalikeError, match=r"disk is full.*vgg16-.*Free some space"):
            weights.fetch_weights(url(server, "good"), disk)
        assert os.listdir(disk) == ["filler"]
