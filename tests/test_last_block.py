"""The trunk's last block, learning together with the fully connected layers behind it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.__main__ import main
from retrieval import settings
from retrieval.errors import LookalikeError
from retrieval.family import int8_path
from retrieval.model import OnnxExtractor
from retrieval.preprocessing import preprocess
from tests.made import need, pattern

CURE = "pip install -r export/requirements.txt"
torch = need("torch", CURE)
connect = need("export.connect", CURE)
connecting = need("export.connecting", CURE)
crops = need("export.crops", CURE)
last_block = need("export.last_block", CURE)
measuring = need("export.measuring", CURE)
network = need("export.network", CURE)
weights = need("export.weights", CURE)

INT8 = int8_path(settings.BUNDLED_MODEL)
N, HELD_OUT = 24, 4
PLAN = connecting.Plan(hidden=8, epochs=1, batch=8, together=2, together_batch=8, kept=0.2)


@pytest.fixture(scope="module")
def trunk() -> Any:
    return weights.read_weights(settings.BUNDLED_MODEL).state


def made_up(seed: int) -> dict[str, Any]:
    """Weights of a last block that has learned nothing."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name in last_block.NAMES:
        kernels = torch.randn(512, 512, 3, 3, generator=generator) * (2 / (512 * 9)) ** 0.5
        state |= {f"{name}.weight": kernels, f"{name}.bias": torch.zeros(512)}
    return state


@pytest.fixture(scope="module")
def examples() -> Any:
    """Crops in which a teacher sees how much there is of the first channels before the block."""
    generator = torch.Generator().manual_seed(0)
    taken = torch.randint(0, 256, (N, 2, 2, 512), dtype=torch.uint8, generator=generator)
    seen = taken[..., :8].float().mean((1, 2)) / 255
    logits = torch.zeros(N, 1000)
    logits[:, :8] = 20 * seen
    targets = measuring.Targets(logits.log_softmax(1).half(), (seen.half(),))
    with torch.no_grad():
        pooled = last_block.LastBlock(made_up(1), 1 / 255)(taken)
    return crops.Examples(pooled, targets, taken)


def lessons(examples: Any, plan: Any = PLAN, say: Any = lambda _: None) -> Any:
    block = last_block.LastBlock(made_up(1), 1 / 255)
    return connecting.Lessons(examples[HELD_OUT:], examples[:HELD_OUT], plan, say, block)


def test_the_block_goes_on_from_what_the_8_bit_model_gives(trunk: Any, tmp_path: Path) -> None:
    before = last_block.BeforeLastBlock(INT8, tmp_path)
    how = before.card.preprocessing
    pictures = np.stack(
        [preprocess(pattern(kind, 0), how) for kind in ("stripes", "dots", "clouds")]
    )
    maps, taken = before.extract_both(pictures)
    assert taken.shape == (3, how.side // 16, how.side // 16, 512)
    assert np.array_equal(maps, OnnxExtractor(INT8, gpu=False).extract_with_map(pictures)[1])
    pooled = network.GeneralizedMean()(torch.from_numpy(maps))
    found = crops.Examples(pooled, measuring.Targets(pooled, ()), torch.from_numpy(taken))
    block = last_block.LastBlock(trunk, before.scale)
    with torch.no_grad():
        cosines = torch.cosine_similarity(block(found.taken), pooled)
    assert cosines.min() > 0.99
    assert connect._same_trunk(block, found)
    assert not connect._same_trunk(last_block.LastBlock(made_up(2), before.scale), found)


def test_a_float_model_and_another_trunk_are_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"not in 8 bits throughout.*export int8"):
        last_block.BeforeLastBlock(settings.BUNDLED_MODEL, tmp_path)
    with pytest.raises(LookalikeError, match=r"features\.28 is missing or of another shape"):
        last_block.LastBlock({k: v for k, v in made_up(1).items() if "28" not in k}, 1.0)


def test_a_block_that_learns_agrees_better_with_the_teacher(examples: Any) -> None:
    together = connecting.Plan(hidden=8, epochs=4, batch=8, together=12, together_batch=8)
    seen = examples[HELD_OUT:]
    learning = lessons(examples, together)
    learning._learn_alone()
    before = learning._measure(seen)
    first = made_up(1)
    state = learning.learn()
    after = learning._measure(seen)
    assert after[0] < before[0]
    assert after[1] < before[1]
    names = {f"{name}.{part}" for name in last_block.NAMES for part in ("weight", "bias")}
    assert names < state.keys()
    for name in last_block.NAMES:
        kernels = state[f"{name}.weight"]
        assert kernels.dtype == torch.float16
        assert not torch.equal(kernels, first[f"{name}.weight"].half())


def test_killed_between_epochs_it_goes_on_to_the_same_weights(
    examples: Any, tmp_path: Path
) -> None:
    whole = lessons(examples).learn()

    def kill(line: str) -> None:
        if line.startswith("2 of 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lessons(examples, say=kill).learn(tmp_path)
    lines: list[str] = []
    state = lessons(examples, say=lines.append).learn(tmp_path)
    assert lines[:2] == ["The last block learns too.", "Going on after epoch 1."]
    assert not any(line.startswith("1 of ") for line in lines)
    assert state.keys() == whole.keys()
    assert all(torch.equal(state[name], value) for name, value in whole.items())


def test_what_was_before_can_be_kept_in_part(examples: Any) -> None:
    def learned(kept: float) -> Any:
        return lessons(examples, replace(PLAN, kept=kept)).learn()

    new, half, old = (learned(kept) for kept in (0.0, 0.5, 1.0))
    first = lessons(examples).block.folded()
    for name, value in old.items():
        assert torch.allclose(
            half[name].float(), (value.float() + new[name].float()) / 2, atol=1e-3
        )
        if name in first:
            assert torch.equal(value, first[name].to(value.dtype))
            assert not torch.equal(value, new[name])


def test_a_checkpoint_that_does_not_fit_is_refused_with_the_cure(
    examples: Any, tmp_path: Path
) -> None:
    lessons(examples).learn(tmp_path)
    other = connecting.Plan(hidden=8, epochs=1, batch=8, together=3, together_batch=8)
    with pytest.raises(LookalikeError, match=r"with other options\. Repeat them, or delete"):
        lessons(examples, other).learn(tmp_path)
    (tmp_path / connecting.CHECKPOINT).write_bytes(b"no")
    with pytest.raises(LookalikeError, match=r"learning\.pt is damaged. Delete it"):
        lessons(examples).learn(tmp_path)


def test_the_command_writes_a_whole_trunk_that_can_be_exported(
    data_folder: Path, tmp_path: Path
) -> None:
    if not (data_folder / "teacher").is_dir() or not list((data_folder / "photos").glob("*.zip")):
        pytest.skip(f"There are no photos and teachers in {data_folder}.")
    run, model = tmp_path / "run", tmp_path / "model.onnx"
    options = ("--model", INT8, "--data", data_folder, "--run", run, "--photos", 8)
    assert main(["connect", *map(str, options), "--epochs", "1", "--together", "1"]) == 0
    names = {last_block.COPY, connecting.CHECKPOINT, "crops-00000.npz", "options.json"}
    assert set(os.listdir(run)) == {*names, connect.WHOLE}
    words = ("--weights", run / connect.WHOLE, "--layer", "fc2", "--pool", "gem", "--half")
    assert main([*map(str, words), "--side", "32", "--output", str(model)]) == 0
    assert OnnxExtractor(model, gpu=False).card.dimension == 512
