"""What tests are made of: pictures that a line of code draws, and a network that a reader can do.

Choose colours by hue, not by brightness: blue and navy point the same way, so cosine ties them.
"""

import colorsys
import errno
import importlib
import io
import json
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from retrieval.embedding import Embedder
from retrieval.model import ModelCard
from retrieval.preprocessing import Preprocessing, preprocess
from retrieval.search import Found, Request, Searcher, search

SQUASH_8 = Preprocessing(side=8, fit="squash", interpolation="bilinear", resize=8)


class Clock:
    """Tells the seconds that a test sets it to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def need(module: str, cure: str) -> Any:
    """Import a module that only tests and exports use, or skip and say how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        reason = f"{module} is not installed. Install it with: {cure}"
        pytest.skip(reason, allow_module_level=True)


def link(at: Path, to: Path) -> None:
    """Make a symbolic link, or skip the test and say why there is none."""
    try:
        at.symlink_to(to, target_is_directory=to.is_dir())
    except OSError:
        pytest.skip("This account may not make symbolic links (Windows without developer mode).")


def wait_for(done: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is so, which another thread does."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


class _Unreadable(io.FileIO):
    """A file in a bad sector of its disk: it opens, and cannot be read."""

    def readinto(self, buffer: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    def readall(self) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


def spoil(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a file lie in a bad sector from now on."""
    whole = Path.open

    def opened(self: Path, *how: Any, **more: Any) -> Any:
        return io.BufferedReader(_Unreadable(path)) if self == path else whole(self, *how, **more)

    monkeypatch.setattr(Path, "open", opened)


def by_hue(degrees: float, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Return a picture of one colour of the colour wheel: 0 red, 120 green, 240 blue."""
    red, green, blue = colorsys.hsv_to_rgb(degrees / 360, 1, 1)
    return Image.new("RGB", size, (round(255 * red), round(255 * green), round(255 * blue)))


def noise(size: tuple[int, int], seed: int = 0, coarse: int = 12) -> Image.Image:
    """Return coloured clouds: `coarse` x `coarse` random colours, enlarged to `size`."""
    colours = np.random.default_rng(seed).integers(0, 256, (coarse, coarse, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the bytes of a file of that kind: "PNG", "JPEG" ..."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def vast_jpeg() -> bytes:
    """Return a small JPEG that says it has 65,500 x 65,500 pixels."""
    data = encode(by_hue(0), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 65_500, 65_500) + data[at + 4 :]


def with_scans(data: bytes, more: int) -> bytes:
    """Return a JPEG whose last scan stands there so many more times."""
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * more + data[-2:]


def slow_jpeg() -> bytes:
    """Return a small JPEG that is built up in a thousand steps."""
    return with_scans(encode(by_hue(0), "JPEG", progressive=True), 1_000)


def save_hues(folder: Path, hues: dict[str, float]) -> Path:
    """Write a PNG for each relative path and hue, and return the folder."""
    for name, degrees in hues.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        by_hue(degrees).save(path, "PNG")
    return folder


class MeanColour:
    """An extractor that one can do in the head: the mean of red, green and blue, from 0 to 1."""

    def __init__(self, weights: str = "0" * 64) -> None:
        self.card = ModelCard("mean colour", "pool5", "mean", 3, weights, SQUASH_8)
        self.provider = "CPU"
        self.batches: list[int] = []  # how many pictures each call got

    def extract(self, pictures: np.ndarray) -> np.ndarray:
        self.batches.append(len(pictures))
        return pictures.mean(axis=(1, 2), dtype=np.float32) / 255

    def extract_with_texture(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the largest value of each colour beside the mean, from 0 to 1."""
        return self.extract(pictures), pictures.max(axis=(1, 2)).astype(np.float32) / 255

    def side_by_side(self, calls: int) -> "MeanColour | None":
        return None


def mean_colour(weights: str = "0" * 64) -> Embedder:
    """Return an embedder of mean colours, without a PCA."""
    return Embedder(MeanColour(weights))


def extracted(embedder: Embedder) -> int:
    """Return how many pictures the fake network has been given."""
    assert isinstance(embedder.extractor, MeanColour)
    return sum(embedder.extractor.batches)


def embed_image(embedder: Embedder, image: Image.Image) -> np.ndarray:
    """Map one RGB picture of any size to its unit embedding `(1, k)`."""
    return embedder.embed(preprocess(image, embedder.card.preprocessing)[None])


def search_like(searcher: Searcher, id_: int, k: int) -> Found:
    """Find the pictures most similar to one of the collection, itself left out."""
    left_out = {(searcher.key, id_)}
    return search([searcher], searcher.aspects(id_), Request(k, left_out=left_out))


def read_manifest(path: Path) -> dict[str, Any]:
    """Return what a packed collection says of itself."""
    with zipfile.ZipFile(path) as bundle:
        manifest: dict[str, Any] = json.loads(bundle.read("manifest.json"))
    return manifest


def save_tiny_model(path: Path) -> Path:
    """Write a real ONNX file of ours in miniature, and return its path.

    Its feature is the mean colour of 32x32 pixels, its map a single place, its texture the largest
    value of each colour.
    """
    onnx = need("onnx", "pip install -r export/requirements.txt")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Transpose", ["images"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["floats"], to=kinds.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["pixels"]),
        helper.make_node(
            "AveragePool", ["pixels"], ["feature_map"], kernel_shape=[32, 32], strides=[32, 32]
        ),
        helper.make_node("GlobalAveragePool", ["feature_map"], ["colour"]),
        helper.make_node("Flatten", ["colour"], ["features"]),
        helper.make_node("GlobalMaxPool", ["pixels"], ["brightest"]),
        helper.make_node("Flatten", ["brightest"], ["texture"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean colour",
        [helper.make_tensor_value_info("images", kinds.UINT8, ["n", 32, 32, 3])],
        [
            helper.make_tensor_value_info("features", kinds.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("feature_map", kinds.FLOAT, ["n", 3, 1, 1]),
            helper.make_tensor_value_info("texture", kinds.FLOAT, ["n", 3]),
        ],
        [helper.make_tensor("white", kinds.FLOAT, [], [255.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    card = ModelCard(
        "tiny", "pool5", "mean", 3, "1" * 64, Preprocessing(32, "squash", "bilinear", 32)
    )
    helper.set_model_props(model, card.to_metadata())
    onnx.save(model, path)
    return path


KINDS = ("checks", "clouds", "dots", "stripes")


def pattern(kind: str, seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Draw a picture of one of `KINDS`, which a network tells apart; the seed varies the rest."""
    generator = np.random.default_rng(seed)
    if kind == "clouds":
        return noise(size, seed, coarse=int(generator.integers(3, 6)))
    paper, ink = (tuple(int(c) for c in generator.integers(low, low + 80, 3)) for low in (170, 0))
    image = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(image)
    step = int(generator.integers(17, 29))
    # Where it begins varies, or two of the same step would be copies of each other.
    left, top = (int(start) for start in generator.integers(-2 * step, -step, 2))
    for x in range(left, size[0] + step, step):
        if kind == "stripes":
            draw.line([(x, 0), (x + size[1] // 3, size[1])], ink, step // 3)
            continue
        for y in range(top, size[1] + step, step):
            if kind == "dots":
                draw.ellipse([x, y, x + step * 2 // 3, y + step * 2 // 3], ink)
            elif ((x - left) // step + (y - top) // step) % 2:
                draw.rectangle([x, y, x + step, y + step], ink)
    return image


def save_patterns(folder: Path, each: int) -> Path:
    """Write so many patterns of each of `KINDS`, a subfolder for each kind; return the folder."""
    for kind in KINDS:
        (folder / kind).mkdir(parents=True)
        for seed in range(each):
            pattern(kind, seed).save(folder / kind / f"{kind} {seed}.jpg")
    return folder
