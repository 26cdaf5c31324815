"""Training: teachers held against ONNX Runtime, and runs of seconds that stop, go on and end."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image, ImageFilter

from export.__main__ import main
from export.data import TEACHERS
from export.errors import StoppedError
from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.folders import find_images
from retrieval.images import open_picture
from retrieval.preprocessing import Preprocessing, preprocess
from tests.made import encode, need, noise, pattern

CURE = "pip install -r export/requirements.txt"
torch = need("torch", CURE)
onnx = need("onnx", CURE)
safetensors = need("safetensors.torch", CURE)
ort = need("onnxruntime", "pip install -r requirements.txt")
losses = need("export.losses", CURE)
measuring = need("export.measuring", CURE)
network = need("export.network", CURE)
photos = need("export.photos", CURE)
spoiling = need("export.spoiling", CURE)
student = need("export.student", CURE)
teachers = need("export.teachers", CURE)
training = need("export.training", CURE)
weights = need("export.weights", CURE)

WIDTH = 2  # channels of the first convolution; VGG-16 has 64
PHOTOS = 16


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these are faster with one thread, on a busy machine by far."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Colours:
    """A teacher that one can do in the head: it sees the mean colour, and nothing else."""

    def __init__(self, name: str = "googlenet") -> None:
        self.name = name

    def __call__(self, pictures: Any) -> tuple[Any, Any]:
        colours = pictures.mean((2, 3)) / 255
        logits = torch.zeros(len(pictures), teachers.CLASSES)
        logits[:, :3] = 5 * colours
        seen = torch.zeros(len(pictures), teachers.DIMENSIONS[self.name])
        seen[:, :3] = colours
        return logits.log_softmax(1), seen


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two packs of made-up photos, wide, tall and square, and one damaged file."""
    folder = tmp_path_factory.mktemp("photos")
    sizes = ((150, 112), (112, 150), (112, 112), (60, 40))
    for number in range(2):
        with ZipFile(folder / f"photos-{number}.zip", "w") as archive:
            for i in range(PHOTOS // 2):
                image = noise(sizes[i % 4], seed=8 * number + i, coarse=3)
                archive.writestr(f"{i:06}.webp", encode(image, "WEBP", quality=60))
            archive.writestr(f"damaged-{number}.webp", b"RIFF")
    return folder


@pytest.fixture(scope="module")
def few(pack: Path) -> Any:
    """The photos of the packs, in squares of 32."""
    return photos.read_photos(pack, side=32)


def recipe(**options: Any) -> Any:
    """A recipe of seconds."""
    kept = {"sides": ((32, 0.0), (48, 0.5)), "batch": 8, "rate": 0.05, "teacher_side": 32}
    return training.Recipe(**{**kept, "half": False, "half_life": 0.2, **options})


def make_run(
    few: Any,
    folder: Path,
    budget: Any,
    say: list[str] | None = None,
    hidden: int = 0,
    **options: Any,
):
    """A run from made-up weights that are always the same."""
    torch.manual_seed(1)
    lines = [] if say is None else say
    workshop = training.Workshop(
        teachers=[Colours()],
        photos=few[4:],
        held_out=few[:4],
        retrieval=None,
        folder=folder,
        parts=None,
        say=lines.append,
        begun=time.monotonic(),
    )
    made = student.Student(["googlenet"], WIDTH, hidden)
    return training.Run(made, recipe(**options), budget, workshop)


def state_of(run: Any) -> dict[str, Any]:
    """Return all that a run has learned, the average of its weights included."""
    parts = {"student": run.student, "average": run.average}
    return {
        f"{name}.{key}": value
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }


# --- teachers ---


def picture_batch(n: int, side: int) -> Any:
    pixels = np.stack([np.asarray(pattern("clouds", i, (side, side))) for i in range(n)])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("name", TEACHERS)
def test_the_interpreter_computes_what_onnx_runtime_does(data_folder: Path, name: str) -> None:
    path = data_folder / "teacher" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"There is no teacher at {path}.")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    outputs = [output.name for output in session.get_outputs()]
    pictures = picture_batch(2, 224) / 127.5 - 1
    if given.shape[1] == 3:
        pictures = pictures.flip(1) * 127.5
    else:
        pictures = pictures.permute(0, 2, 3, 1).contiguous()
    theirs = session.run(outputs, {given.name: pictures.numpy()})
    for ours, expected in zip(teachers.Graph(path, outputs)(pictures), theirs, strict=True):
        assert ours.shape == expected.shape
        assert np.abs(ours.numpy() - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_says_the_same_on_the_processor_and_by_the_interpreter(
    data_folder: Path, name: str
) -> None:
    path = data_folder / "teacher" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"There is no teacher at {path}.")
    (on_cpu,) = teachers.open_teachers(path.parent, [name], torch.device("cpu"))
    graph = teachers.Graph(path, teachers.TENSORS[name])
    by_interpreter = teachers.Teacher(name, graph, torch.float32)
    pictures = picture_batch(2, 224)
    for ours, theirs in zip(by_interpreter(pictures), on_cpu(pictures), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-3)
    logits, embedding = on_cpu(pictures)
    assert logits.exp().sum(1).tolist() == pytest.approx([1, 1], abs=1e-4)
    assert embedding.shape == (2, teachers.DIMENSIONS[name])


def test_teachers_know_elephants(data_folder: Path) -> None:
    elephants, folder = data_folder / "corel1k" / "elephants", data_folder / "teacher"
    if not elephants.is_dir() or not folder.is_dir():
        pytest.skip(f"There are no elephants and teachers in {data_folder}.")
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()[1:]
    how = Preprocessing(224, "squash", "bilinear", 224)
    paths = list(find_images(elephants))[:8]
    pixels = np.stack([preprocess(open_picture(path).image, how) for path in paths])
    given = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    for teacher in teachers.open_teachers(folder, TEACHERS, torch.device("cpu")):
        best = [labels[i] for i in teacher(given)[0].argmax(1)]
        assert sum("elephant" in label or "tusker" in label for label in best) >= 6, best


def save_graph(path: Path, nodes: list[Any], values: dict[str, np.ndarray]) -> Path:
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", kinds.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    opset = helper.make_opsetid("", 13)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


NODE = onnx.helper.make_node
FLOATS = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("node", "values"),
    [
        (
            NODE("Conv", ["x", "w"], ["y"], pads=[0, 1, 2, 1], strides=[2, 1]),
            {"w": FLOATS.random((5, 3, 3, 3), np.float32)},
        ),
        (
            NODE("Conv", ["x", "w", "b"], ["y"], group=3, pads=[1, 1, 1, 1], dilations=[2, 2]),
            {
                "w": FLOATS.random((6, 1, 3, 3), np.float32),
                "b": FLOATS.random(6, np.float32),
            },
        ),
        (
            NODE("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
            {},
        ),
        (
            NODE("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
            {},
        ),
        (
            NODE(
                "AveragePool",
                ["x"],
                ["y"],
                kernel_shape=[3, 3],
                strides=[1, 1],
                pads=[1, 1, 1, 1],
            ),
            {},
        ),
        (NODE("LRN", ["x"], ["y"], size=3, alpha=0.5, beta=0.7, bias=2.0), {}),
        (NODE("Clip", ["x", "lo", "hi"], ["y"]), {"lo": np.float32(-0.2), "hi": np.float32(0.3)}),
        (NODE("Concat", ["x", "x"], ["y"], axis=1), {}),
        (NODE("Reshape", ["x", "shape"], ["y"]), {"shape": np.array([0, -1], np.int64)}),
        (NODE("Transpose", ["x"], ["y"], perm=[0, 2, 3, 1]), {}),
        (NODE("Softmax", ["x"], ["y"], axis=1), {}),
    ],
    ids=lambda value: value.op_type if hasattr(value, "op_type") else "",
)
def test_each_operator_is_onnx_runtimes(
    tmp_path: Path, node: Any, values: dict[str, np.ndarray]
) -> None:
    path = save_graph(tmp_path / "one.onnx", [node], {k: np.asarray(v) for k, v in values.items()})
    x = FLOATS.standard_normal((2, 3, 11, 9)).astype(np.float32)
    expected = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    (ours,) = teachers.Graph(path, ["y"])(torch.from_numpy(x))
    assert ours.shape == expected.shape
    assert np.allclose(ours.numpy(), expected, atol=1e-5)


def test_a_value_is_kept_until_its_last_use(tmp_path: Path) -> None:
    nodes = [
        NODE("Relu", ["x"], ["a"]),
        NODE("Add", ["a", "a"], ["b"]),
        NODE("Add", ["b", "a"], ["y"]),
    ]
    path = save_graph(tmp_path / "twice.onnx", nodes, {})
    graph = teachers.Graph(path, ["a", "y"])
    a, y = graph(torch.tensor([[-1.0, 2.0]]))
    assert a.tolist() == [[0, 2]]
    assert y.tolist() == [[0, 6]]


def test_an_unknown_operator_and_a_missing_teacher_are_sentences(tmp_path: Path) -> None:
    path = save_graph(tmp_path / "odd.onnx", [NODE("Sin", ["x"], ["y"])], {})
    with pytest.raises(LookalikeError, match=r"odd\.onnx holds Sin"):
        teachers.Graph(path, ["y"])
    with pytest.raises(LookalikeError, match=r"no teacher at .*none\.onnx"):
        teachers.Graph(tmp_path / "none.onnx", ["y"])


# --- photos ---


def test_photos_of_all_packs_are_decoded_once_and_damaged_ones_left_out(pack: Path) -> None:
    unread: list[str] = []
    read = photos.read_photos(pack, side=32, on_error=unread.append)
    assert read.pixels.shape == (PHOTOS, 32, 32, 3)
    assert read.pixels.dtype == torch.uint8
    assert read.aspects[:4].tolist() == pytest.approx([150 / 112, 112 / 150, 1, 1.5])
    assert unread == ["damaged-0.webp", "damaged-1.webp"]


@pytest.mark.parametrize("kind", ["no packs", "no photos", "no zip"])
def test_packs_that_cannot_be_used_are_a_sentence(tmp_path: Path, kind: str) -> None:
    if kind == "no photos":
        with ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("notes.txt", "nothing")
    elif kind == "no zip":
        (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(LookalikeError):
        photos.read_photos(tmp_path)


def test_a_crop_depends_on_the_seed_alone(few: Any) -> None:
    def crop(seed: int) -> Any:
        return few.crop(torch.arange(8), 24, torch.Generator().manual_seed(seed), 0.3)

    assert crop(5).shape == (8, 3, 24, 24)
    assert torch.equal(crop(5), crop(5))
    assert not torch.equal(crop(5), crop(6))
    assert crop(5).min() >= 0
    assert crop(5).max() <= 255


def test_crops_are_parts_of_the_photo_in_its_own_shape_or_half_way_to_a_square() -> None:
    # Red grows to the right and green downwards, so a crop's colours say where it lies.
    ramp = torch.linspace(0, 255, 64)
    pixels = torch.zeros(1, 64, 64, 3)
    pixels[0, :, :, 0], pixels[0, :, :, 1] = ramp[None, :], ramp[:, None]
    n, aspect = 500, 1.5
    wide = photos.Photos(pixels.to(torch.uint8), torch.tensor([aspect]))
    jitter, photos.JITTER = photos.JITTER, 0.0
    try:
        crops = wide.crop(torch.zeros(n, dtype=torch.int64), 32, torch.Generator(), 0.3)
    finally:
        photos.JITTER = jitter
    width = (crops[:, 0, :, -1] - crops[:, 0, :, 0]).mean(1) / 255 * 32 / 31
    height = (crops[:, 1, -1] - crops[:, 1, 0]).mean(1) / 255 * 32 / 31
    area = width.abs() * height
    assert 0.4 < float((width < 0).float().mean()) < 0.6  # mirrored
    assert 0.2 < float(area.min()) < 0.4
    assert 0.55 < float(area.mean()) < 0.7
    assert float(area.max()) < 1.03
    # A crop that keeps the photo's shape is narrower than high in the square that it is kept as.
    assert 1 / aspect < float((width.abs() / height).median()) < 1


def test_the_last_crops_are_cut_out_of_four_photos() -> None:
    n = 40
    one_colour = torch.arange(n, dtype=torch.uint8).mul(6).view(n, 1, 1, 1).expand(n, 32, 32, 3)
    some = photos.Photos(one_colour.contiguous(), torch.full((n,), 1.5))
    jitter, photos.JITTER = photos.JITTER, 0.0
    try:
        crops, all_tiled = (
            some.crop(torch.arange(n), 64, torch.Generator(), 0.3, tiled) for tiled in (0.25, 1.0)
        )
    finally:
        photos.JITTER = jitter
    colours = [len(crop.round().unique()) for crop in crops]
    assert colours[:30] == [1] * 30
    assert min(colours[30:]) > 1
    # The pictures next to one another in the batch, each whole colours but at the seams.
    seen = {round(float(value) / 6) for value in crops[35].flatten().mode().values.view(1)}
    assert seen <= {35, 34, 33, 32}
    assert len(all_tiled) == n


def test_every_photo_is_seen_once_before_one_is_seen_twice() -> None:
    seen = torch.cat([photos.rows_at(step, batch=4, n=10, seed=3) for step in range(5)])
    assert sorted(seen[:10].tolist()) == list(range(10))
    assert sorted(seen[10:].tolist()) == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()


def test_a_batch_larger_than_the_photos_repeats_them() -> None:
    rows = photos.rows_at(0, batch=25, n=10, seed=0)
    assert np.bincount(rows, minlength=10).tolist() in ([2] * 10, sorted([2] * 5 + [3] * 5)) or (
        len(rows) == 25 and np.bincount(rows).min() == 2
    )


# --- schedule ---


def test_the_rate_rises_and_falls_to_zero_and_the_sides_grow() -> None:
    plan = training.Recipe(sides=((64, 0.0), (96, 0.5)), rate=0.4, warm_up=0.1)
    assert [plan.rate_at(p) for p in (0, 0.05, 0.1)] == pytest.approx([0, 0.2, 0.4])
    assert plan.rate_at(0.55) == pytest.approx(0.2)
    assert plan.rate_at(1) == pytest.approx(0)
    assert [plan.side_at(p) for p in (0, 0.49, 0.5, 1)] == [64, 64, 96, 96]
    assert plan.shares() == [(64, 0.5), (96, 0.5)]


# --- runs ---


def test_a_short_run_lowers_the_losses(
    few: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "BETWEEN_LINES", 0.0)
    lines: list[str] = []
    run = make_run(few, tmp_path, training.Budget(steps=24), lines, sides=((32, 0.0),))
    assert "24 steps, 192 pictures" in run.train()
    losses = [
        [float(word) for word in re.findall(r"(?:KL|embeddings) ([\d.]+)", line)]
        for line in lines
        if "KL" in line
    ]
    assert len(losses) == 24
    early, late = np.mean(losses[:4], axis=0), np.mean(losses[-4:], axis=0)
    assert late[0] < 0.8 * early[0]
    assert late[1] < 0.98 * early[1]


CONNECTED = {"hidden": 8, "relation_weight": 5.0, "hold": 0.3, "tiled": 0.3, "sharpened": 0.3}


@pytest.mark.parametrize("more", [{"views": 0}, {"views": 2}, CONNECTED])
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    few: Any, tmp_path: Path, more: dict[str, Any]
) -> None:
    options = {"mixup": 0.5, **more}
    unbroken = make_run(few, tmp_path / "unbroken", training.Budget(steps=6), **options)
    unbroken.train()

    first = make_run(few, tmp_path / "broken", training.Budget(steps=6, save_every=0), **options)
    one_step = first._one_step

    def stop_at_three(progress: float) -> Any:
        if first.step == 2:
            first.stop()
        return one_step(progress)

    first._one_step = stop_at_three
    with pytest.raises(StoppedError, match="Stopped after step 3"):
        first.train()
    lines: list[str] = []
    again = make_run(few, tmp_path / "broken", training.Budget(steps=6), lines, **options)
    again.train()
    assert "Going on after step 3" in lines[0]
    ours, theirs = state_of(again), state_of(unbroken)
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    results = [
        weights.read_weights(tmp_path / name / "vgg16.safetensors").sha256
        for name in ("unbroken", "broken")
    ]
    assert results[0] == results[1]


def test_crops_that_come_again_are_shown_to_the_student_alone(few: Any, tmp_path: Path) -> None:
    seen: dict[str, list[Any]] = {"student": [], "teacher": []}
    run = make_run(few, tmp_path, training.Budget(steps=9), views=2, sides=((32, 0.0),))
    losses, (teacher,) = run._losses, run._in.teachers

    def see(student: Any, crops: Any, *rest: Any) -> Any:
        seen["student"].append(crops)
        return losses(student, crops, *rest)

    def answer(pictures: Any) -> Any:
        seen["teacher"].append(pictures)
        return Colours()(pictures)

    run._losses = see
    run._in.teachers[0] = answer
    for step in range(9):
        run._centres = (torch.zeros(teachers.DIMENSIONS[teacher.name]),)
        run._one_step(step / 9)
    # Twelve photos, two crops of each, eight in a batch: three batches, and then they come again.
    assert [len(seen["student"]), len(seen["teacher"])] == [9, 3]
    for step in range(9):
        assert torch.equal(seen["student"][step], seen["teacher"][step % 3])
    assert not torch.equal(seen["student"][0], seen["student"][1])


def test_only_the_last_block_learns_where_that_is_asked_for(few: Any, tmp_path: Path) -> None:
    options = {"last_block": True, "rate": 0.01, "spoiled": 0.5, "beside": 64}
    run = make_run(few, tmp_path, training.Budget(steps=12), **options)
    before = {name: value.clone() for name, value in run.student.state_dict().items()}
    run.train()
    after = run.student.state_dict()
    held = {f"features.{i}." for i in range(student.LAST_BLOCK)}
    for name, value in after.items():
        stands = name.startswith(tuple(held)) or "running" in name or "num_batches" in name
        assert torch.equal(value, before[name]) == stands, name
    assert run.recipe.crop_side(32) == 64


def test_the_first_blocks_stand_still_from_a_share_on_as_they_are_on_average(
    few: Any, tmp_path: Path
) -> None:
    run = make_run(few, tmp_path, training.Budget(steps=8), hold=0.5)
    kept: dict[int, dict[str, Any]] = {}
    one_step = run._one_step

    def look(progress: float) -> Any:
        kept[run.step] = {name: value.clone() for name, value in run.student.state_dict().items()}
        return one_step(progress)

    run._one_step = look
    run.train()
    early = tuple(f"features.{i}." for i in range(student.THIRD_BLOCK))
    moved = {
        name: (
            not torch.equal(kept[3][name], kept[4][name]),
            not torch.equal(kept[4][name], kept[7][name]),
        )
        for name, value in kept[0].items()
        if name.endswith("weight") and value.ndim == 4
    }
    assert moved == {name: (True, not name.startswith(early)) for name in moved}
    running = {name for name in kept[4] if name.startswith(early)}
    assert all(torch.equal(kept[4][name], kept[7][name]) for name in running)
    # What the average still had to learn of them, it has at once.
    assert all(torch.equal(run.average.state_dict()[name], kept[7][name]) for name in running)


def test_relations_are_the_teachers_where_pictures_lie_to_one_another_as_theirs_do() -> None:
    embeddings = torch.randn(6, 8)
    said = measuring.Targets(torch.zeros(6, 1000), (embeddings,))
    centre = (embeddings.mean(0),)
    assert float(losses.relation(3 * embeddings + 1, said, centre)) < 1e-10
    others = losses.relation(embeddings.flip(0), said, centre)
    unit = torch.nn.functional.normalize(embeddings - centre[0], dim=1).double()
    cosines = (unit @ unit.T).numpy()
    pairs = ~np.eye(6, dtype=bool)
    expected = np.square(cosines[::-1, ::-1] - cosines)[pairs].mean()
    assert float(others) == pytest.approx(float(expected), rel=1e-4)


def test_fully_connected_layers_learn_with_the_trunk_to_find_alike_what_the_teacher_does(
    few: Any, tmp_path: Path
) -> None:
    def distance(weight: float) -> float:
        options = {"hidden": 16, "relation_weight": weight, "batch": 12, "connected_rate": 0.02}
        budget, sides = training.Budget(steps=120), ((32, 0.0),)
        run = make_run(few, tmp_path / str(weight), budget, low=0.9, sides=sides, **options)
        run.train()
        seen = few[4:].whole(slice(None), 32)
        said = measuring.ask([Colours()], seen)
        with torch.no_grad():
            return float(losses.relation(run.average(seen)[0], said, run._centres))

    assert distance(200.0) < 0.8 * distance(0.0)


def test_of_the_first_weights_a_share_is_kept(few: Any, tmp_path: Path) -> None:
    def result(share: float) -> dict[str, Any]:
        run = make_run(few, tmp_path / str(share), training.Budget(steps=3), kept=share)
        first = {name: value.clone() for name, value in run.student.unfolded().items()}
        run.train()
        written = safetensors.load_file(tmp_path / str(share) / "vgg16-start.safetensors")
        return {
            name: written[name].float() - value.float()
            for name, value in first.items()
            if name.startswith("features.")
        }

    (tmp_path / "0.0").mkdir()
    (tmp_path / "0.75").mkdir()
    learned, less = result(0.0), result(0.75)
    for name, change in less.items():
        assert torch.allclose(change, learned[name] / 4, atol=2e-3), name
    assert max(float(change.abs().max()) for change in learned.values()) > 0.02


def test_of_layers_that_came_with_the_trunk_a_share_is_kept_too(few: Any, tmp_path: Path) -> None:
    begun = filled(WIDTH, 8)
    for values in begun.connected.parameters():
        torch.nn.init.normal_(values)

    def result(name: str, share: float, took: bool) -> dict[str, Any]:
        run = make_run(few, tmp_path / name, training.Budget(steps=3), hidden=8)
        made = run.student
        if took:
            made.start_from(begun.unfolded(), torch.zeros(2, 3, 32, 32))
        (tmp_path / name).mkdir()
        run = training.Run(made, recipe(kept=share, connected_rate=0.02), run._budget, run._in)
        run.train()
        written = safetensors.load_file(tmp_path / name / "vgg16-start.safetensors")
        return {
            key: (written[key].float() - value.float()).abs().max() / value.abs().max().clamp(min=1)
            for key, value in run._first.items()
            if key in written and key.startswith("connected.")
        }

    kept = result("all", 1.0, True)
    assert len(kept) == 6
    assert max(kept.values()) < 2e-3  # they are written in 16 bits
    assert max(result("half", 0.5, True).values()) > 2e-3
    # Layers that had not learned anything have nothing that could be kept.
    assert not result("none", 1.0, False)


def test_a_share_is_spoiled_the_same_way_from_the_same_seed() -> None:
    pictures = picture_batch(16, 64)

    def spoil(share: float, seed: int) -> Any:
        return spoiling.spoil(pictures, share, torch.Generator().manual_seed(seed))

    changed = (spoil(0.5, 1) != pictures).flatten(1).any(1)
    assert changed.tolist() == [True] * 8 + [False] * 8
    assert torch.equal(spoil(0.5, 1), spoil(0.5, 1))
    assert not torch.equal(spoil(0.5, 1), spoil(0.5, 2))
    assert torch.equal(spoil(0.0, 1), pictures)
    assert spoil(1.0, 3).min() > -0.01
    assert spoil(1.0, 3).max() < 255.01


def test_sharpened_pictures_have_steeper_edges_and_the_same_surfaces() -> None:
    pictures = torch.full((2, 3, 32, 32), 60.0)
    pictures[..., 16:] = 180
    soft = spoiling.blurred(pictures, 0.0)
    sharp = spoiling.sharpened(soft, torch.Generator().manual_seed(0))
    assert torch.equal(sharp, spoiling.sharpened(soft, torch.Generator().manual_seed(0)))
    assert (sharp[..., 16] - sharp[..., 15]).min() > 1.2 * (soft[..., 16] - soft[..., 15]).max()
    assert (sharp[..., (0, 31)] - pictures[..., (0, 31)]).abs().max() < 0.01
    assert sharp.min() >= 0
    assert sharp.max() <= 255


def as_picture(image: Any) -> Any:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


def test_pictures_are_spoiled_as_pillow_and_the_app_would() -> None:
    image = noise((96, 96), coarse=24)
    batch = as_picture(image).unsqueeze(0)

    def off(ours: Any, theirs: Any) -> float:
        return float((ours[0] - as_picture(theirs)).abs().mean())

    for drawn, quality in ((0.0, 4), (1.0, 25)):
        written = Image.open(BytesIO(encode(image, "JPEG", quality=quality))).convert("RGB")
        assert off(spoiling.jpeg(batch, drawn), written) < 0.25 * off(batch, written)
    for drawn, radius in ((0.0, 1.5), (1.0, 5.0)):
        soft = image.filter(ImageFilter.GaussianBlur(radius))
        assert off(spoiling.blurred(batch, drawn), soft) < 0.1 * off(batch, soft)
    few = image.resize((24, 24), Image.Resampling.BILINEAR)
    how = Preprocessing(side=96, fit="squash", interpolation="bilinear", resize=96, mirrored=64)
    laid_out = Image.fromarray(preprocess(few, how))
    assert off(spoiling.mirrored(batch, 0.0), laid_out) < 1
    assert off(spoiling.enlarged(batch, 0.0), few.resize((96, 96))) < 6


def test_a_checkpoint_of_other_options_or_damaged_is_a_sentence(few: Any, tmp_path: Path) -> None:
    make_run(few, tmp_path, training.Budget(steps=1)).train()
    with pytest.raises(LookalikeError, match="other options"):
        make_run(few, tmp_path, training.Budget(steps=1), rate=0.9).train()
    with pytest.raises(LookalikeError, match="other options"):
        make_run(few, tmp_path, training.Budget(steps=1), hidden=8).train()
    with pytest.raises(LookalikeError, match="photos or --start"):
        make_run(few[1:], tmp_path, training.Budget(steps=1)).train()
    other = make_run(few, tmp_path, training.Budget(steps=1))
    other._in = replace(other._in, start="5" * 64)
    with pytest.raises(LookalikeError, match="photos or --start"):
        other.train()
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(LookalikeError, match="damaged"):
        make_run(few, tmp_path, training.Budget(steps=1)).train()


def test_the_time_box_is_kept_and_the_schedule_fits_into_it(few: Any, tmp_path: Path) -> None:
    lines: list[str] = []
    budget = training.Budget(minutes=0.12, measure_every=0.02, save_every=0.02)
    begun = time.monotonic()
    run = make_run(few, tmp_path, budget, lines)
    run.train()
    # Seven seconds; a busy machine may take a step and a measurement longer than it planned.
    assert 4 < time.monotonic() - begun < 14
    assert run.step > 3
    assert run.progress == 1
    assert any("pictures/s" in line for line in lines)
    assert "48 px" in lines[-1]


def test_minutes_that_are_over_before_the_first_step_are_a_sentence_and_leave_nothing(
    few: Any, tmp_path: Path
) -> None:
    with pytest.raises(LookalikeError, match=r"over before the first step.* Name more\."):
        make_run(few, tmp_path, training.Budget(minutes=1e-4)).train()
    assert list(tmp_path.iterdir()) == []


def test_losses_that_are_no_numbers_end_the_run_with_the_cure(few: Any, tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"lower --rate|Lower --rate"):
        make_run(few, tmp_path, training.Budget(steps=40), rate=1e30, warm_up=0.0).train()


# --- the student, and what comes out of it ---


def filled(width: int = WIDTH, hidden: int = 0) -> Any:
    """A student whose batch normalisations have something to fold."""
    torch.manual_seed(3)
    made = student.Student(["mobilenet_v2_a"], width, hidden)
    for layer in made.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for values in (layer.weight, layer.running_var):
                torch.nn.init.uniform_(values, 0.5, 1.5)
            for values in (layer.bias, layer.running_mean):
                torch.nn.init.normal_(values, std=0.2)
    return made.eval()


def test_the_folded_result_is_the_network_that_was_trained() -> None:
    made = filled(64)
    pictures = np.stack([np.asarray(noise((64, 64), seed)) for seed in range(2)])
    state = made.folded()
    assert {value.dtype for value in state.values()} == {torch.float16, torch.float32}
    assert not [key for key in state if "running" in key]
    built = network.build_network(state, "pool5", "mean")
    with torch.inference_mode():
        features, maps, _ = built(torch.from_numpy(pictures))
        expected = made.maps(torch.from_numpy(pictures).permute(0, 3, 1, 2).float())
    assert maps.shape == expected.shape == (2, 512, 2, 2)
    # What 16 bits cost, over thirteen layers.
    assert float((maps - expected).abs().max()) < 5e-3 * float(expected.abs().max())
    pooled = expected.mean((2, 3))
    assert torch.allclose(features, pooled, atol=5e-3 * float(pooled.max()))


def test_the_folded_result_has_the_layers_that_learned_behind_the_trunk() -> None:
    torch.manual_seed(4)
    made = student.Student(["mobilenet_v2_a"], 64, 24).eval()
    pictures = torch.from_numpy(np.stack([np.asarray(noise((64, 64), seed)) for seed in range(4)]))
    planes = pictures.permute(0, 3, 1, 2).float()
    with torch.no_grad():
        made.connected.suit(made.pool(made.maps(planes)))
        for weight in made.connected.second.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        expected = made.described(planes)
        built = network.build_network(made.folded(), "fc2", "gem")
        features = built(pictures)[0]
        assert not torch.allclose(features, built.head.pool(built(pictures)[1]), rtol=0.1)
    cosines = torch.cosine_similarity(features, expected)
    assert float(cosines.min()) > 0.9999
    # Another student takes the same layers up behind other means.
    other = student.Student(["mobilenet_v2_a"], 64, 24)
    other.start_from(made.folded(), planes)
    with torch.no_grad():
        again = other.eval().described(planes)
    assert float(torch.cosine_similarity(again, expected).min()) > 0.999


def test_the_result_is_exported_whole_and_in_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = filled(64).folded()
    whole = tmp_path / "vgg16.safetensors"
    student.save_state(state, whole)
    parts = student.save_parts(state, tmp_path, "vgg16")
    assert [path.name for path in parts] == ["vgg16-1of2.safetensors", "vgg16-2of2.safetensors"]
    assert all(path.stat().st_size < 16 * 2**20 for path in parts)
    joined = weights.read_weights(*parts).state
    assert joined.keys() == state.keys()
    assert all(torch.equal(joined[key], value) for key, value in state.items())
    output = tmp_path / "ours.onnx"
    words = ["--layer", "pool5", "--pool", "gem", "--half", "--side", "64", "--fit", "squash"]
    named = [*words, "--output", str(output), "--weights"]
    assert main([*named, *map(str, parts)]) == 0
    assert "largest difference from torch" in capsys.readouterr().out
    assert output.stat().st_size < 32 * 2**20


def test_a_part_that_is_passed_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    student.save_state({"features.0.weight": torch.ones(2, 2)}, path)
    with pytest.raises(LookalikeError, match="Pass each part once"):
        weights.read_weights(path, path)


def test_layers_that_were_connected_take_the_place_of_those_before_them(tmp_path: Path) -> None:
    whole, layers = tmp_path / "whole.safetensors", tmp_path / "connected.safetensors"
    made = filled(WIDTH, 8)
    student.save_state(made.folded(), whole)
    torch.nn.init.ones_(made.connected.second.weight)
    student.save_state(made.connected.folded(), layers)
    state = weights.read_weights(whole, layers).state
    assert state.keys() == made.folded().keys()
    for name, value in made.connected.folded().items():
        assert torch.equal(state[name], value), name
    with pytest.raises(LookalikeError, match="Pass each part once"):
        weights.read_weights(layers, whole)


def test_a_student_starts_from_what_another_left_heads_included() -> None:
    made = filled()
    other = student.Student(["mobilenet_v2_a", "googlenet"], WIDTH)
    other.start_from(made.unfolded(), torch.zeros(2, 3, 32, 32))
    for key, value in made.unfolded().items():
        assert torch.allclose(other.state_dict()[key], value.float(), atol=1e-6), key


def test_of_layers_of_another_size_nothing_is_taken_and_heads_behind_them_are_fitted_anew() -> None:
    made = filled(WIDTH, 8)
    torch.nn.init.ones_(made.connected.second.bias)
    state, pictures = made.unfolded(), torch.zeros(2, 3, 32, 32)
    same = student.Student(["mobilenet_v2_a"], WIDTH, 8)
    same.start_from(state, pictures)
    assert (same.lacks_heads, same.has_layers) == (False, True)
    wider = student.Student(["mobilenet_v2_a"], WIDTH, 16)
    wider.start_from(state, pictures)
    assert (wider.lacks_heads, wider.has_layers) == (True, False)
    assert not wider.connected.second.bias.any()  # it adds nothing until it has learned
    without = student.Student(["mobilenet_v2_a"], WIDTH)
    without.start_from(state, pictures)
    assert without.lacks_heads


def test_the_first_trunks_heads_are_those_of_its_teacher() -> None:
    state = filled().unfolded()
    named = {key.replace("emb.mobilenet_v2_a.", "emb."): value for key, value in state.items()}
    other = student.Student(["mobilenet_v2_b", "mobilenet_v2_a"], WIDTH)
    other.start_from(named, torch.zeros(2, 3, 32, 32))
    assert torch.equal(other.emb["mobilenet_v2_a"].bias, named["emb.bias"])


def test_a_folded_trunk_is_taken_over_as_it_is_and_normalised_again() -> None:
    made = filled()
    seen = torch.from_numpy(np.stack([np.asarray(noise((64, 64), seed)) for seed in range(8)]))
    pictures = seen.permute(0, 3, 1, 2).float()
    other = student.Student(["mobilenet_v2_a"], WIDTH)
    other.start_from(made.folded(), pictures)
    assert other.lacks_heads
    with torch.no_grad():
        expected, ours = made.maps(pictures), other.eval().maps(pictures)
        learning = other.train().maps(pictures)
    assert float((ours - expected).abs().max()) < 5e-3 * float(expected.abs().max())
    for conv, normal in zip(other.features, other.features[1:], strict=False):
        if isinstance(conv, torch.nn.Conv2d):
            born = 2 * conv.in_channels / conv.out_channels
            assert torch.allclose(conv.weight.square().sum((1, 2, 3)), torch.tensor(born))
            assert isinstance(normal, torch.nn.BatchNorm2d)
    # The statistics are those of the pictures, so learning from them begins with the same maps.
    assert torch.allclose(learning, ours, atol=0.02 * float(ours.max()))


def test_a_model_is_taken_for_its_trunk(tmp_path: Path) -> None:
    state, path, output = filled(64).folded(), tmp_path / "t.safetensors", tmp_path / "m.onnx"
    student.save_state(state, path)
    options = ["--layer", "pool5", "--half", "--side", "64", "--fit", "squash"]
    assert main([*options, "--weights", str(path), "--output", str(output)]) == 0
    read = weights.read_weights(output).state
    assert read.keys() == state.keys()
    for key, value in state.items():  # --half rounds the biases too
        assert torch.equal(read[key].float(), value.half().float()), key
    (tmp_path / "none.onnx").write_bytes(b"no model")
    with pytest.raises(LookalikeError, match="damaged or no state dict"):
        weights.read_weights(tmp_path / "none.onnx")


def test_a_model_is_taken_for_its_fully_connected_layers_too(tmp_path: Path) -> None:
    made = filled(64, 8)
    path, output = tmp_path / "t.safetensors", tmp_path / "m.onnx"
    for values in made.connected.parameters():
        torch.nn.init.normal_(values)
    student.save_state(made.folded(), path)
    words = ["--layer", "fc2", "--pool", "gem", "--half", "--side", "64", "--fit", "squash"]
    assert main([*words, "--weights", str(path), "--output", str(output)]) == 0
    read, state = weights.read_weights(output).state, made.folded()
    assert read.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(read[key].float(), value.half().float()), key


def test_a_trunk_of_another_shape_is_a_sentence() -> None:
    pictures = torch.zeros(2, 3, 32, 32)
    for state in (filled(4).folded(), filled(4).unfolded(), {}):
        with pytest.raises(LookalikeError, match="--start needs a VGG-16 trunk"):
            student.Student(["googlenet"], WIDTH).start_from(state, pictures)


def test_heads_are_fitted_by_least_squares() -> None:
    from sklearn.linear_model import Ridge

    made = student.Student(["googlenet"], WIDTH)
    pooled = torch.from_numpy(FLOATS.standard_normal((60, 16)).astype(np.float32)) * 3 + 1
    logits = torch.from_numpy(FLOATS.standard_normal((60, 1000)).astype(np.float32))
    seen = torch.from_numpy(FLOATS.standard_normal((60, 1024)).astype(np.float32))
    made.fit_heads(pooled, logits, [seen], ridge=0.1)
    scaled = (pooled - pooled.mean(0)) / pooled.std(0)
    expected = Ridge(alpha=0.1 * 60).fit(scaled, seen).predict(scaled)
    assert np.allclose(made.emb["googlenet"](pooled).detach(), expected, atol=1e-3)
    centred = logits - logits.mean(1, keepdim=True)
    expected = Ridge(alpha=0.1 * 60).fit(scaled, centred).predict(scaled)
    assert np.allclose(made.cls(pooled).detach(), expected, atol=1e-3)


def test_a_run_from_a_folded_trunk_fits_its_heads_before_the_first_step(
    few: Any, tmp_path: Path
) -> None:
    def cosine(lacking: bool) -> float:
        run = make_run(few, tmp_path / str(lacking), training.Budget(steps=1), rate=1e-9)
        seen = few[4:].whole(slice(None), 32)
        run.student.start_from(filled().folded(), seen)
        run.average.load_state_dict(run.student.state_dict())
        run.student.lacks_heads = lacking
        run.train()
        wanted = Colours()(seen)[1]
        ours = run.average(seen)[2][0]
        return float(torch.cosine_similarity(ours, wanted - wanted.mean(0)).mean())

    assert cosine(True) > cosine(False) + 0.3


# --- the command ---


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in miniature: packs, two kinds to measure on, and a teacher that is none."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "photos").mkdir()
    with ZipFile(folder / "photos" / "photos-0.zip", "w") as archive:
        for i in range(12):
            archive.writestr(f"{i}.webp", encode(noise((60, 40), i, coarse=3), "WEBP"))
    for kind in ("dots", "stripes"):
        (folder / "corel1k" / kind).mkdir(parents=True)
        for seed in range(6):
            pattern(kind, seed, (64, 64)).save(folder / "corel1k" / kind / f"{seed}.png")
    with ZipFile(folder / "cifar10-part.zip", "w") as archive:
        for part in ("queries", "collection"):
            for kind in ("checks", "clouds"):
                for seed in range(4):
                    image = pattern(kind, seed + 10 * len(part), (32, 32))
                    archive.writestr(f"cifar10-part/{part}/{kind}/{seed}.png", encode(image, "PNG"))
    (folder / "teacher").mkdir()
    for name in ("mobilenet_v2_a", "mobilenet_v2_b"):
        values = {
            "matrix": FLOATS.standard_normal((1001, 1280)).astype(np.float32),
            "bias": np.zeros(1001, np.float32),
            "w": FLOATS.standard_normal((1280, 3, 8, 8)).astype(np.float32),
        }
        logits, embedding = teachers.TENSORS[name]
        nodes = [
            NODE("Transpose", ["input"], ["planes"], perm=[0, 3, 1, 2]),
            NODE("Conv", ["planes", "w"], ["seen"], strides=[8, 8]),
            NODE("GlobalAveragePool", ["seen"], [embedding]),
            NODE("Flatten", [embedding], ["flat"]),
            NODE("Gemm", ["flat", "matrix", "bias"], [logits], transB=1),
        ]
        helper, kinds = onnx.helper, onnx.TensorProto
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info("input", kinds.FLOAT, ["n", 224, 224, 3])],
            [helper.make_tensor_value_info(logits, kinds.FLOAT, ["n", 1001])],
            [onnx.numpy_helper.from_array(v, k) for k, v in values.items()],
        )
        opset = helper.make_opsetid("", 13)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        onnx.save(model, folder / "teacher" / f"{name}.onnx")
    return folder


def words(data: Path, run: Path, *more: str) -> list[str]:
    """The command of seconds."""
    options = ["--batch", "4", "--width", str(WIDTH), "--sides", "32@0", "48@0.5", "--fp32"]
    named = ["--teachers", "mobilenet_v2_a", "mobilenet_v2_b", "--teacher-side", "32"]
    return ["train", "--data", str(data), "--run", str(run), *options, *named, *more]


def test_the_command_trains_measures_and_writes_whole_and_parts(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, parts = tmp_path / "run", tmp_path / "parts"
    assert main(words(data, run, "--steps", "2", "--parts", str(parts))) == 0
    printed = capsys.readouterr()
    assert "2 steps, 8 pictures" in printed.out
    assert "P@10" in printed.err
    assert "top-1 agreement" in printed.err
    names = {path.name for path in run.iterdir()}
    assert names == {"checkpoint.pt", "vgg16.safetensors", "vgg16-start.safetensors"}
    assert sorted(path.name for path in parts.iterdir()) == [
        "vgg16-1of1.safetensors",
        "vgg16-start-1of1.safetensors",
    ]
    for name in ("vgg16-start", "vgg16"):
        start = str(run / f"{name}.safetensors")
        assert main(words(data, tmp_path / f"after-{name}", "--steps", "1", "--start", start)) == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--steps", "1", "--teachers", "googlenet"], "GoogLeNet sees 224"),
        (["--steps", "1", "--sides", "96"], "--sides takes"),
        (["--steps", "1", "--sides", "64@0.5", "96@0.8"], "--sides takes"),
        (["--steps", "1", "--beside", "40"], "--beside takes"),
        (["--steps", "1", "--spoiled", "2"], "--spoiled takes"),
        (["--steps", "1", "--kept", "-1"], "--kept takes"),
        (["--steps", "1", "--hidden", "-1"], "--hidden must be"),
        (["--steps", "0"], "--steps must be at least 1"),
        (["--steps", "1", "--views", "-1"], "--views must be at least 0"),
        (["--steps", "1", "--warm-up", "2"], "--warm-up takes a share"),
        (["--steps", "1", "--spoiled", "0.6", "--sharpened", "0.6"], "together must be at most 1"),
        (["--steps", "1", "--teachers", *["mobilenet_v2_a"] * 2], "names one twice"),
        (["--steps", "1", "--last-block"], "Name --start"),
        (["--steps", "1", "--device", "nowhere"], "--device nowhere cannot be used here"),
        (["--minutes", "0"], "more than 0"),
        (["--steps", "1", "--photos", "3"], "at least four photos"),
        (["--steps", "1", "--photos", "-3"], "--photos must be at least 1"),
        (["--steps", "1", "--rate", "-1"], "--rate must be more than 0"),
        (["--steps", "1", "--rate", "nan"], "--rate must be more than 0"),
        (["--steps", "1", "--teacher-side", "-5"], "--teacher-side must be at least 32"),
        (["--steps", "1", "--measure-every", "nan"], "--measure-every must be at least 0"),
        (["--steps", "1", "--seed", "-1"], "--seed takes a number from 0"),
        (["--steps", "1", "--sides", "32@0", "48@nan", "64@0.5"], "--sides takes"),
        (["--steps", "1", "--start", "gone.safetensors"], "There are no weights at gone"),
        (["--steps", "1", "--run", "{data}/photos/photos-0.zip"], "a part of its path is a file"),
        (["--steps", "1", "--parts", "{data}/photos/photos-0.zip"], "a part of its path is a file"),
    ],
    ids=[
        "GoogLeNet's side",
        "no share",
        "no beginning",
        "odd side",
        "over all",
        "under none",
        "fewer than none",
        "no step",
        "no views",
        "too warm",
        "more than all",
        "twice",
        "nothing to keep",
        "no device",
        "no time",
        "too few photos",
        "fewer photos than none",
        "a rate below none",
        "no rate",
        "teachers see nothing",
        "never measured",
        "a seed below none",
        "a share that is no number",
        "no start",
        "a run in a file",
        "parts in a file",
    ],
)
def test_what_cannot_be_trained_is_a_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert main([*words(data, tmp_path), *(word.format(data=data) for word in more)]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "decoded" not in err


def start_command(arguments: Sequence[str], prelude: str = "") -> subprocess.Popen[str]:
    program = f"import sys; {prelude}; from export.__main__ import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=settings.PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to be caught.")
def test_a_command_that_is_told_to_end_keeps_its_state_and_goes_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nothing of the app's reader of HEIC is needed: a lent GPU has no package for it.
    hidden = "sys.modules['pillow_heif'] = None"
    running = start_command(words(data, tmp_path, "--minutes", "5"), hidden)
    killer = threading.Timer(250, running.kill)
    killer.start()
    assert running.stderr is not None
    for line in running.stderr:
        if "step 0]" in line:
            break
    running.terminate()
    out, err = running.communicate()
    killer.cancel()
    assert running.returncode == 130, err  # so that `&&` takes it for no success
    assert out == ""
    assert "The same command goes on from there" in err
    stopped_after = err.split("Stopped after ")[1].split(".")[0]
    # Less time than it has had: nothing is left but to measure and to write.
    assert main(words(data, tmp_path, "--minutes", "0.001")) == 0
    again = capsys.readouterr()
    assert f"Going on after {stopped_after}" in again.err
    assert f"{stopped_after.split()[1]} steps" in again.out


def test_the_help_of_training_needs_no_torch() -> None:
    program = (
        "import sys, contextlib, io\n"
        "from export.__main__ import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as said:\n"
        "    main(['train', '--help'])\n"
        "print('torch' in sys.modules, '--minutes' in said.getvalue())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=settings.PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]


# --- choosing ---


def test_choosing_measures_every_way_and_keeps_the_features(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trunk, kept = tmp_path / "trunk.safetensors", tmp_path / "kept"
    student.save_state(filled(64).folded(), trunk)
    asked = ["choose", "--weights", str(trunk), "--data", str(data), "--keep", str(kept)]
    asked += ["--sides", "32", "--components", "0", "4", "--whitening", "0", "0.5"]
    asked += ["--photos", "12", "--rows", "0"]
    assert main(asked) == 0
    printed = capsys.readouterr()
    table, best = printed.out.split("The best of each cost:")
    rows = [line for line in table.splitlines() if line.startswith("| 32 ")]
    # Two fits, one look or two, three poolings; no PCA, or four components with or without.
    assert len(rows) == 2 * 2 * 3 * 3
    means = [float(row.split("|")[-2]) for row in rows]
    assert means == sorted(means, reverse=True)
    assert len([line for line in best.splitlines() if line.startswith("| 32 ")]) == 2
    assert "12 pictures" in printed.err
    files = sorted(path.name for path in kept.iterdir())
    assert len(files) == 2 * (1 + 3 * 2)
    assert main(asked) == 0
    again = capsys.readouterr()
    assert again.out == printed.out
    assert "pictures ..." not in again.err


def test_what_cannot_be_read_is_said_and_left_out_of_what_is_measured_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trunk, kept, other = tmp_path / "trunk.safetensors", tmp_path / "kept", tmp_path / "data"
    student.save_state(filled(64).folded(), trunk)
    shutil.copytree(data, other)
    asked = ["choose", "--weights", str(trunk), "--keep", str(kept), "--sides", "32", "--fits"]
    asked += ["squash", "--photos", "30", "--no-mirror", "--components", "0", "--whitening", "0"]
    assert main([*asked, "--data", str(data)]) == 0
    good = capsys.readouterr().out
    (other / "corel1k" / "dots" / "a.png").write_bytes(b"")
    packs = (
        ("photos/photos-0.zip", "a.webp"),
        ("cifar10-part.zip", "cifar10-part/queries/a/a.png"),
    )
    for pack, name in packs:
        with ZipFile(other / pack, "a") as archive:
            archive.writestr(name, b"\x89PNG")
    assert main([*asked, "--data", str(other)]) == 0
    said = capsys.readouterr()
    assert said.out == good
    for name in ("dots/a.png", "a.webp", "cifar10-part/queries/a/a.png"):
        assert f"{name} is left out: " in said.err
    assert main(words(other, tmp_path / "run", "--steps", "1")) == 0
    said = capsys.readouterr()
    assert "dots/a.png is left out: The file is empty." in said.err
    assert "P@10" in said.err


def test_choosing_shows_small_pictures_as_the_app_does_unless_asked_not_to(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trunk, kept = tmp_path / "trunk.safetensors", tmp_path / "kept"
    student.save_state(filled(64).folded(), trunk)
    asked = ["choose", "--weights", str(trunk), "--data", str(data), "--keep", str(kept)]
    asked += ["--sides", "64", "--fits", "squash", "--photos", "8", "--no-mirror"]
    asked += ["--components", "0", "8", "--whitening", "0"]
    tables = []
    for small in ([], ["--mirror-small", "0"]):
        assert main([*asked, *small]) == 0
        printed = capsys.readouterr()
        tables.append(printed.out)
        assert "Not tried with 8 components: 8 photos give at most 7." in printed.err
    assert {path.name.split("-")[3] for path in kept.iterdir()} == {"small64", "small0"}
    assert tables[0] != tables[1]


def test_features_of_other_data_or_another_power_are_not_taken_for_these(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk, kept, other = tmp_path / "trunk.safetensors", tmp_path / "kept", tmp_path / "data"
    student.save_state(filled(64).folded(), trunk)
    shutil.copytree(data, other)
    asked = ["choose", "--weights", str(trunk), "--data", str(other), "--keep", str(kept)]
    asked += ["--sides", "32", "--fits", "squash", "--photos", "12", "--no-mirror"]
    asked += ["--components", "0", "--whitening", "0"]

    def computed() -> list[str]:
        assert main(asked) == 0
        said = capsys.readouterr().err
        return [name for name in ("photos", "corel", "queries") if f"-{name}-" in said]

    assert computed() == ["photos", "corel", "queries"]
    assert computed() == []
    picture = other / "corel1k" / "dots" / "0.png"
    pattern("dots", 99, (90, 64)).save(picture)  # as many pictures as before, of the same names
    assert computed() == ["corel"]
    monkeypatch.setattr("export.choose.GEM_POWER", 5.0)
    assert computed() == ["photos", "corel", "queries"]


def test_what_ctrl_c_leaves_is_told_as_it_is(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*anything: object, **more: object) -> None:
        raise KeyboardInterrupt

    trunk, kept = tmp_path / "trunk.safetensors", tmp_path / "kept"
    student.save_state(filled(64).folded(), trunk)
    asked = ["choose", "--weights", str(trunk), "--data", str(data), "--keep", str(kept)]
    asked += ["--sides", "32", "--fits", "squash", "--photos", "12", "--no-mirror"]
    monkeypatch.setattr("export.choose.measure", interrupt)
    assert main(asked) == 130
    assert "What was finished is kept" in capsys.readouterr().err
    assert len(list(kept.iterdir())) == 4

    monkeypatch.setattr(training.Run, "_measure", interrupt)  # as a second one does
    assert main(words(data, tmp_path / "run", "--steps", "2")) == 130
    assert "goes on from the last checkpoint, where there is one" in capsys.readouterr().err

    monkeypatch.setattr("export.int8.run", interrupt)
    assert main(["int8"]) == 130
    assert "Stopped; nothing was written." in capsys.readouterr().err


def test_the_pca_of_choosing_is_scikit_learns() -> None:
    from sklearn.decomposition import PCA

    from export.choose import fit_reduction
    from retrieval.reduction import to_unit

    features = FLOATS.random((40, 6)).astype(np.float32)
    ours, theirs = fit_reduction(features), PCA(n_components=6).fit(to_unit(features))
    assert ours.variance == pytest.approx(theirs.explained_variance_, rel=1e-3)
    overlap = np.abs((ours.components * theirs.components_).sum(axis=1))
    assert overlap == pytest.approx(np.ones(6), abs=1e-3)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["--components", "0", "--whitening", "0.25"], "Nothing is left to try: 12 photos"),
        (["--components", "12"], "at most 11 components"),
        (["--components", "-1"], "--components must be at least 0"),
        (["--whitening", "2"], "--whitening must be from 0 to 1"),
        (["--photos", "0"], "--photos must be at least 2"),
        (["--sides", "0"], "--sides must be multiples of 32"),
        (["--sides", "100"], "--sides must be multiples of 32"),
        (["--rows", "-3"], "--rows must be at least 0"),
        (["--mirror-small", "-5"], "--mirror-small must be at least 0"),
        (["--keep", "{data}/photos/photos-0.zip"], "a part of its path is a file"),
    ],
)
def test_what_would_leave_nothing_to_choose_from_is_refused_before_anything_is_computed(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    asked: list[str],
    sentence: str,
) -> None:
    trunk, kept = tmp_path / "trunk.safetensors", tmp_path / "kept"
    student.save_state(filled(64).folded(), trunk)
    usual = ["choose", "--weights", str(trunk), "--data", str(data), "--keep", str(kept)]
    told = [word.format(data=data) for word in asked]
    assert main([*usual, "--sides", "32", "--photos", "12", *told]) == 1
    assert sentence in capsys.readouterr().err
    assert not kept.exists()


def test_choosing_without_the_data_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trunk = tmp_path / "trunk.safetensors"
    student.save_state(filled(64).folded(), trunk)
    assert main(["choose", "--weights", str(trunk), "--data", str(tmp_path)]) == 1
    assert "Name the data with --data" in capsys.readouterr().err
