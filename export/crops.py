"""Crops as a trunk that stands still and the teachers see them: each once, and kept."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from export.last_block import BeforeLastBlock
from export.measuring import Targets, ask
from export.network import MAP_CHANNELS, GeneralizedMean
from export.photos import Photos, resize, rows_at
from export.recipe import seed_for
from export.spoiling import as_seen
from export.teachers import Teacher
from retrieval.errors import LookalikeError
from retrieval.files import replace_when_done
from retrieval.model import OnnxExtractor

CHUNK = 1024  # crops in a file of what was collected
BATCH = 64  # crops that the networks see at once
TEACHER_SIDE = 224


@dataclass(frozen=True)
class Views:
    """What decides which crops there are, and how the trunk sees them."""

    number: int = 1  # of each photo
    low: float = 0.35  # the smallest share of a photo that is cropped
    spoiled: float = 0.4  # share of the crops that the trunk sees spoiled
    sharpened: float = 0.2  # share of all that it sees sharpened, none of them spoiled
    seed: int = 0


@dataclass(frozen=True)
class Examples:
    """Crops as the trunk and as the teachers see them."""

    pooled: Tensor  # (n, 512), in 32 bits
    targets: Targets  # of n, in 16 bits
    taken: Tensor | None = None  # (n, h, w, 512), uint8, what the last block takes, if it learns

    def __len__(self) -> int:
        return len(self.pooled)

    def __getitem__(self, rows: Tensor | slice) -> "Examples":
        return self.from_arrays({name: value[rows] for name, value in self.as_arrays().items()})

    def as_arrays(self) -> dict[str, Tensor]:
        """Return all that there is, by name."""
        arrays = {"pooled": self.pooled, "logits": self.targets.logits}
        for number, embedding in enumerate(self.targets.embeddings):
            arrays[f"embedding-{number}"] = embedding
        return arrays if self.taken is None else {**arrays, "taken": self.taken}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor]) -> "Examples":
        """Return what `as_arrays` gave."""
        embeddings = [arrays[name] for name in sorted(arrays) if name.startswith("embedding-")]
        targets = Targets(arrays["logits"], tuple(embeddings))
        return cls(arrays["pooled"], targets, arrays.get("taken"))


def collect(
    trunk: OnnxExtractor | BeforeLastBlock,
    teachers: Sequence[Teacher],
    photos: Photos,
    held_out: int,
    views: Views,
    folder: Path,
    say: Callable[[str], None],
) -> Examples:
    """Return crops as the trunk and the teachers see them, from `folder` where they are.

    One of each of the first `held_out` photos, and then `views.number` of each of the others.

    Raises:
        LookalikeError: when what lies in the folder is of another model or other options.
    """
    options = {
        "model": trunk.card.fingerprint,
        # What the last block takes is kept in steps of another size for each model in 8 bits.
        "last_block": trunk.scale if isinstance(trunk, BeforeLastBlock) else False,
        "teachers": [teacher.name for teacher in teachers],
        "photos": _fingerprint(photos),
        "held_out": held_out,
    }
    _require_same(folder / "options.json", {**options, **asdict(views)})
    learned = len(photos) - held_out
    shown = rows_at(0, views.number * learned, learned, views.seed)
    rows = torch.cat([torch.arange(held_out), held_out + shown])

    def parts() -> Iterator[Examples]:
        begun, done = time.monotonic(), 0
        for number, chunk in enumerate(torch.split(rows, CHUNK)):
            file = folder / f"crops-{number:05}.npz"
            if not file.is_file():
                looks = list(_look(trunk, teachers, photos, views, chunk, number))
                arrays = _join(looks, len(chunk)).as_arrays()
                with replace_when_done(file) as temporary, temporary.open("wb") as opened:
                    kept = {name: value.numpy() for name, value in arrays.items()}
                    np.savez(opened, allow_pickle=False, **kept)
                done += len(chunk)
                pace = done / (time.monotonic() - begun)
                say(f"{number * CHUNK + len(chunk):,} of {len(rows):,} crops, {pace:.0f} a second")
            yield _read(file)

    return _join(parts(), len(rows))


def _fingerprint(photos: Photos) -> str:
    """Tell photos from others, by some of their pixels."""
    some = photos.pixels[:, ::16, ::16].contiguous().numpy()
    return hashlib.sha256(some.tobytes()).hexdigest()[:16]


def _require_same(path: Path, options: dict[str, object]) -> None:
    """Note how crops were made, or refuse those that were made otherwise."""
    text = json.dumps(options)
    if not path.is_file():
        with replace_when_done(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise LookalikeError(
            f"{path.parent} holds crops of another model or with other options. Repeat them, or "
            "name another --run folder."
        )


@torch.no_grad()
def _look(
    trunk: OnnxExtractor | BeforeLastBlock,
    teachers: Sequence[Teacher],
    photos: Photos,
    views: Views,
    rows: Tensor,
    number: int,
) -> Iterator[Examples]:
    """Yield crops of photos `rows` in batches; the same number gives the same crops."""
    how, pool = trunk.card.preprocessing, GeneralizedMean()
    generator = torch.Generator().manual_seed(seed_for(views.seed, number))
    for batch in torch.split(rows, BATCH):
        crops = photos.crop(batch, max(how.side, TEACHER_SIDE), generator, views.low)
        targets = ask(teachers, resize(crops, TEACHER_SIDE)).half()
        seen = as_seen(resize(crops, how.side), views.spoiled, views.sharpened, generator)
        pixels = seen.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
        taken = None
        if isinstance(trunk, BeforeLastBlock):
            maps, steps = trunk.extract_both(pixels)
            taken = torch.from_numpy(steps)
        else:
            maps = trunk.extract_with_map(pixels)[1]
        if maps.shape[1] != MAP_CHANNELS:
            raise LookalikeError(f"The model's last map has {maps.shape[1]} channels, not 512.")
        yield Examples(pool(torch.from_numpy(maps)), targets, taken)


def _join(parts: Iterable[Examples], n: int) -> Examples:
    """Put `n` examples together; only one part more than these is in memory at a time."""
    joined: dict[str, Tensor] = {}
    at = 0
    for part in parts:
        for name, values in part.as_arrays().items():
            if name not in joined:
                joined[name] = values.new_empty(n, *values.shape[1:])
            joined[name][at : at + len(part)] = values
        at += len(part)
    return Examples.from_arrays(joined)


def _read(file: Path) -> Examples:
    try:
        with np.load(file) as kept:
            return Examples.from_arrays({name: torch.from_numpy(kept[name]) for name in kept.files})
    except Exception as error:  # whatever damaged bytes make NumPy raise
        raise LookalikeError(f"{file} is damaged. Delete it, and run the same command.") from error
