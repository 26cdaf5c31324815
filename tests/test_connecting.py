"""Fully connected layers: collected in pieces, learned, and taken up by the export."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.__main__ import main
from retrieval.errors import LookalikeError
from retrieval.model import ModelCard
from retrieval.preprocessing import Preprocessing
from tests.made import need

CURE = "pip install -r export/requirements.txt"
torch = need("torch", CURE)
connecting = need("export.connecting", CURE)
crops = need("export.crops", CURE)
measuring = need("export.measuring", CURE)
network = need("export.network", CURE)
photos = need("export.photos", CURE)

SIDE, HELD_OUT, PHOTOS = 32, 4, 24


class Trunk:
    """A trunk whose 512 channels are random looks at the mean colours of the four quarters."""

    card = ModelCard(
        "made up", "pool5", "gem", 512, "0" * 64, Preprocessing(SIDE, "squash", "bilinear", SIDE)
    )
    calls = 0

    def extract_with_map(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        type(self).calls += 1
        looks = np.random.default_rng(0).normal(size=(512, 12)) / 255
        quarters = pictures.reshape(len(pictures), 2, SIDE // 2, 2, SIDE // 2, 3).mean((2, 4))
        seen = np.maximum(quarters.reshape(-1, 12) @ looks.T, 0).astype(np.float32)
        maps = np.broadcast_to(seen[:, :, None, None], (*seen.shape, 2, 2)).copy()
        return seen, maps


class Colours:
    """A teacher that sees which of two colours there is more of, which is not linear in a look."""

    name = "googlenet"

    def __call__(self, pictures: Any) -> tuple[Any, Any]:
        red, green, blue = pictures.mean((2, 3)).div(255).unbind(1)
        seen = torch.stack([(red - green).abs(), (green - blue).abs(), torch.maximum(red, blue)], 1)
        logits = torch.zeros(len(pictures), 1000)
        logits[:, :3] = 20 * seen
        return logits.log_softmax(1), torch.nn.functional.pad(seen, (0, 5))


def made_photos(n: int) -> Any:
    generator = torch.Generator().manual_seed(0)
    colours = torch.randint(0, 256, (n, 2, 2, 3), generator=generator, dtype=torch.uint8)
    pixels = colours.repeat_interleave(SIDE // 2, 1).repeat_interleave(SIDE // 2, 2)
    return photos.Photos(pixels, torch.ones(n))


def collect(folder: Path, **options: Any) -> Any:
    views = crops.Views(**{"number": 2, **options})
    some = made_photos(PHOTOS)
    return crops.collect(Trunk(), [Colours()], some, HELD_OUT, views, folder, lambda _: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("connecting")


@pytest.fixture(scope="module")
def examples(folder: Path) -> Any:
    return collect(folder)


def same(ours: Any, theirs: Any) -> bool:
    a, b = ours.as_arrays(), theirs.as_arrays()
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def test_each_photo_is_held_out_or_seen_once_a_view(examples: Any, folder: Path) -> None:
    assert len(examples) == HELD_OUT + 2 * (PHOTOS - HELD_OUT)
    assert examples.pooled.shape == (len(examples), 512)
    assert examples.pooled.dtype == torch.float32
    calls = Trunk.calls
    assert same(collect(folder), examples)
    assert Trunk.calls == calls  # all of it was kept


def test_what_was_collected_before_a_kill_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crops, "CHUNK", 16)
    whole = collect(tmp_path)
    files = sorted(tmp_path.glob("crops-*.npz"))
    assert len(files) == 3
    files[1].unlink()
    calls = Trunk.calls
    assert same(collect(tmp_path), whole)
    assert Trunk.calls == calls + 1
    files[0].write_bytes(b"no")
    with pytest.raises(LookalikeError, match=r"crops-00000.npz is damaged. Delete it"):
        collect(tmp_path)


def test_crops_of_other_options_are_not_mixed_up(examples: Any, folder: Path) -> None:
    with pytest.raises(LookalikeError, match=r"other options\. Repeat them, or name another --run"):
        collect(folder, spoiled=0.1)


def likeness(features: Any) -> Any:
    """The cosines between centred features, of each pair once."""
    unit = torch.nn.functional.normalize(features.float() - features.float().mean(0), dim=1)
    rows = torch.triu_indices(len(unit), len(unit), 1)
    return (unit @ unit.T)[rows[0], rows[1]]


def test_what_is_learned_makes_alike_what_the_teacher_finds_alike(
    examples: Any, tmp_path: Path
) -> None:
    plan = connecting.Plan(hidden=64, epochs=60, batch=20)
    seen, lines = examples[HELD_OUT:], []
    state = connecting.Lessons(seen, examples[:HELD_OUT], plan, lines.append).learn()
    assert len(lines) == 60
    first, second = (
        network._build_connected(state, name, n)
        for name, n in (("classifier.0", 512), ("classifier.3", 64))
    )
    head = network.PooledAndConnected(torch.nn.Identity(), first, second)
    wanted = likeness(seen.targets.embeddings[0])
    with torch.inference_mode():
        ours = likeness(head(seen.pooled))
    before, after = (
        float(torch.corrcoef(torch.stack([x, wanted]))[0, 1]) for x in (likeness(seen.pooled), ours)
    )
    assert after > before + 0.1


def test_what_is_written_computes_what_was_learned(examples: Any) -> None:
    torch.manual_seed(0)
    layers = connecting.Connections(connecting.Plan(hidden=8), examples.pooled, [8]).eval()
    state = layers.folded()
    assert {key: (tuple(value.shape), value.dtype) for key, value in state.items()} == {
        "classifier.0.weight": ((8, 512), torch.float16),
        "classifier.0.bias": ((8,), torch.float32),
        "classifier.3.weight": ((512, 8), torch.float16),
        "classifier.3.bias": ((512,), torch.float32),
    }
    first, second = (
        network._build_connected(state, name, n)
        for name, n in (("classifier.0", 512), ("classifier.3", 8))
    )
    head = network.PooledAndConnected(torch.nn.Identity(), first, second)
    with torch.inference_mode():
        ours, theirs = head(examples.pooled), layers(examples.pooled)[0]
    cosines = torch.nn.functional.cosine_similarity(ours, theirs)
    assert cosines.min() > 0.9999


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--epochs", "0"), "--epochs must be at least 1"),
        (("--together", "-1"), "--together must be at least 0"),
        (("--kept", "1.5"), "--kept takes a share"),
        (("--start", "trunk.safetensors"), "--start is for --together"),
        (("--data", "gone"), "There is no teacher at"),
        (("--data", "gone", "--run", __file__), "a part of its path is a file"),
    ],
)
def test_what_cannot_be_learned_from_is_a_sentence(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["connect", "--run", str(tmp_path / "run"), *arguments]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_command_learns_from_photos_and_teachers(data_folder: Path, tmp_path: Path) -> None:
    if not (data_folder / "teacher").is_dir() or not list((data_folder / "photos").glob("*.zip")):
        pytest.skip(f"There are no photos and teachers in {data_folder}.")
    options = ("--data", data_folder, "--run", tmp_path, "--photos", 8, "--epochs", 1)
    assert main(["connect", *map(str, options), "--hidden", "16"]) == 0
    names = sorted(os.listdir(tmp_path))
    assert names == ["connected.safetensors", "crops-00000.npz", "options.json"]
    assert json.loads((tmp_path / "options.json").read_text("utf-8"))["held_out"] == 2
