"""How fully connected layers learn: from the features of crops and what teachers say of these."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.measuring import Targets, ask, join
from export.network import MAP_CHANNELS, GeneralizedMean
from export.photos import Photos, resize, rows_at
from export.spoiling import spoil
from export.student import halve
from export.teachers import CLASSES, Teacher
from export.training import distances
from retrieval.errors import LookalikeError
from retrieval.files import replace_when_done
from retrieval.model import OnnxExtractor

CHUNK = 1024  # crops in a file of what was collected
BATCH = 64  # crops that the networks see at once
TEACHER_SIDE = 224


@dataclass(frozen=True)
class Plan:
    """Everything that decides what is learned."""

    views: int = 1  # crops of each photo
    low: float = 0.35  # the smallest share of a photo that is cropped
    spoiled: float = 0.4  # share of the crops that the trunk sees spoiled
    hidden: int = 1216  # numbers that leave fc1
    epochs: int = 20
    batch: int = 256
    rate: float = 1e-3  # the highest learning rate, AdamW's
    decay: float = 1e-2
    warm_up: int = 100  # steps in which the rate rises
    dropout: float = 0.1  # behind fc1, as in VGG-16
    mixup: float = 0.3  # both parameters of the beta distribution that shares are drawn from
    temperature: float = 2.0
    embedding_weight: float = 8.0  # of the cosine distance; the KL has temperature squared
    relation_weight: float = 15.0  # of how alike pictures are to one another
    seed: int = 0

    @property
    def collected(self) -> dict[str, float]:
        """What decides the crops and what is seen of them, learning apart."""
        kept = {"views": self.views, "low": self.low}
        return {**kept, "spoiled": self.spoiled, "seed": self.seed}


@dataclass(frozen=True)
class Examples:
    """Crops as the trunk and as the teachers see them."""

    pooled: Tensor  # (n, 512), in 32 bits
    targets: Targets  # of n, in 16 bits

    def __len__(self) -> int:
        return len(self.pooled)

    def __getitem__(self, rows: Tensor | slice) -> "Examples":
        logits, embeddings = self.targets.logits[rows], self.targets.embeddings
        return Examples(
            self.pooled[rows], Targets(logits, tuple(each[rows] for each in embeddings))
        )


class Connections(nn.Module):
    """fc1 and fc2, which add to the pooled features, and the heads that are thrown away.

    Args:
        pooled: features `(n, 512)` by which what enters is centred and scaled while it learns.
        embeddings: numbers in each teacher's embedding.
    """

    def __init__(self, plan: Plan, pooled: Tensor, embeddings: Sequence[int]) -> None:
        super().__init__()
        self.first = nn.Linear(MAP_CHANNELS, plan.hidden)
        self.dropout = nn.Dropout(plan.dropout)
        self.second = nn.Linear(plan.hidden, MAP_CHANNELS)
        self.cls = nn.Linear(MAP_CHANNELS, CLASSES)
        self.emb = nn.ModuleList(nn.Linear(MAP_CHANNELS, numbers) for numbers in embeddings)
        self.centre = pooled.mean(0)
        self.spread = pooled.std(0).mean()  # one for all: their proportions tell something

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return features, classes and embeddings."""
        centred = (pooled - self.centre) / self.spread
        features = centred + self.second(self.dropout(self.first(centred).relu()))
        return features, self.cls(features), [head(features) for head in self.emb]

    def folded(self) -> dict[str, Tensor]:
        """Return fc1 and fc2 as they take features that are neither centred nor scaled.

        What comes out is longer by `spread`, which no cosine sees.
        """
        first, second = self.first, self.second
        weight = first.weight / self.spread
        state = {
            "classifier.0.weight": weight,
            "classifier.0.bias": first.bias - weight @ self.centre,
            "classifier.3.weight": second.weight * self.spread,
            "classifier.3.bias": second.bias * self.spread - self.centre,
        }
        return halve({key: value.detach() for key, value in state.items()})


def collect(
    extractor: OnnxExtractor,
    teachers: Sequence[Teacher],
    photos: Photos,
    held_out: int,
    plan: Plan,
    folder: Path,
    say: Callable[[str], None],
) -> Examples:
    """Return crops as the trunk and the teachers see them, from `folder` where they are.

    One of each of the first `held_out` photos, and then `plan.views` of each of the others.

    Raises:
        LookalikeError: when what lies in the folder is of another model or other options.
    """
    options = {
        "model": extractor.card.fingerprint,
        "teachers": [teacher.name for teacher in teachers],
        "photos": _fingerprint(photos),
        "held_out": held_out,
    }
    _require_same(folder / "options.json", {**options, **plan.collected})
    views = rows_at(0, plan.views * (len(photos) - held_out), len(photos) - held_out, plan.seed)
    rows = torch.cat([torch.arange(held_out), held_out + views])
    begun, done, parts = time.monotonic(), 0, []
    for number, chunk in enumerate(torch.split(rows, CHUNK)):
        file = folder / f"crops-{number:05}.npz"
        if not file.is_file():
            looks = list(_look(extractor, teachers, photos, plan, chunk, number))
            with replace_when_done(file) as temporary, temporary.open("wb") as opened:
                np.savez(opened, allow_pickle=False, **_as_arrays(_join(looks)))
            done += len(chunk)
            pace = done / (time.monotonic() - begun)
            say(f"{number * CHUNK + len(chunk):,} of {len(rows):,} crops, {pace:.0f} a second")
        parts.append(_read(file))
    return _join(parts)


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
    extractor: OnnxExtractor,
    teachers: Sequence[Teacher],
    photos: Photos,
    plan: Plan,
    rows: Tensor,
    number: int,
) -> Iterator[Examples]:
    """Yield crops of photos `rows` in batches; the same number gives the same crops."""
    how, pool = extractor.card.preprocessing, GeneralizedMean()
    generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + number)
    for batch in torch.split(rows, BATCH):
        crops = photos.crop(batch, max(how.side, TEACHER_SIDE), generator, plan.low)
        targets = ask(teachers, resize(crops, TEACHER_SIDE)).half()
        seen = spoil(resize(crops, how.side), plan.spoiled, generator)
        pixels = seen.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()
        maps = extractor.extract_with_map(pixels.numpy())[1]
        if maps.shape[1] != MAP_CHANNELS:
            raise LookalikeError(f"The model's last map has {maps.shape[1]} channels, not 512.")
        yield Examples(pool(torch.from_numpy(maps)), targets)


def _join(parts: Sequence[Examples]) -> Examples:
    pooled = torch.cat([part.pooled for part in parts])
    return Examples(pooled, join([part.targets for part in parts]))


def _as_arrays(examples: Examples) -> dict[str, npt.NDArray[np.floating]]:
    arrays = {"pooled": examples.pooled.numpy(), "logits": examples.targets.logits.numpy()}
    for number, embedding in enumerate(examples.targets.embeddings):
        arrays[f"embedding-{number}"] = embedding.numpy()
    return arrays


def _read(file: Path) -> Examples:
    try:
        with np.load(file) as kept:
            arrays = {name: torch.from_numpy(kept[name]) for name in kept.files}
        embeddings = [arrays[name] for name in sorted(arrays) if name.startswith("embedding-")]
        return Examples(arrays["pooled"], Targets(arrays["logits"], tuple(embeddings)))
    except Exception as error:  # whatever damaged bytes make NumPy raise
        raise LookalikeError(f"{file} is damaged. Delete it, and run the same command.") from error


def fit(
    examples: Examples, held_out: Examples, plan: Plan, say: Callable[[str], None]
) -> dict[str, Tensor]:
    """Learn; return fc1 and fc2 in torchvision's names, matrices in 16 bits.

    The losses are those of `export.training`, the KL divergence of the softened classes and the
    cosine distance of each teacher's centred embedding; and how far the cosines between the
    pictures of a batch are from those between the teachers' embeddings, since by them a search
    goes ("Similarity-Preserving Knowledge Distillation", Tung and Mori 2019). Features and what was
    said of them are mixed pairwise ("mixup: Beyond Empirical Risk Minimization", Zhang et al.
    2018).
    """
    torch.manual_seed(plan.seed)
    centres = [each.float().mean(0) for each in examples.targets.embeddings]
    layers = Connections(plan, examples.pooled, [len(centre) for centre in centres])
    optimizer = torch.optim.AdamW(layers.parameters(), lr=plan.rate, weight_decay=plan.decay)
    batch = min(plan.batch, len(examples))
    per_epoch = len(examples) // batch
    steps, shares = plan.epochs * per_epoch, np.random.default_rng(plan.seed)
    for epoch in range(plan.epochs):
        layers.train()
        order, sums = torch.randperm(len(examples)), torch.zeros(2)
        for number, rows in enumerate(torch.split(order[: per_epoch * batch], batch)):
            step = epoch * per_epoch + number
            rise = min(1.0, (step + 1) / plan.warm_up)
            for group in optimizer.param_groups:
                group["lr"] = plan.rate * rise * (1 + math.cos(math.pi * step / steps)) / 2
            seen = _mix(examples[rows], float(shares.beta(plan.mixup, plan.mixup)))
            optimizer.zero_grad(set_to_none=True)
            total, *parts = _losses(layers, seen, centres, plan)
            torch.autograd.backward(total)
            optimizer.step()
            sums += torch.stack(parts).detach()
        layers.eval()
        with torch.no_grad():
            _, kl, cosine = _losses(layers, held_out, centres, plan)
        learned = (sums / per_epoch).tolist()
        say(
            f"{epoch + 1} of {plan.epochs}: KL {learned[0]:.3f}, embeddings {learned[1]:.3f}; "
            f"held out {kl:.3f}, {cosine:.3f}"
        )
    return layers.folded()


def _losses(
    layers: Connections, seen: Examples, centres: Sequence[Tensor], plan: Plan
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the whole loss, the KL divergence and the mean cosine distance."""
    features, logits, embeddings = layers(seen.pooled)
    kl, cosine = distances(logits, embeddings, seen.targets, centres, plan.temperature)
    theirs = [
        F.normalize(each.float() - centre, dim=1)
        for each, centre in zip(seen.targets.embeddings, centres, strict=True)
    ]
    wanted = torch.stack([each @ each.T for each in theirs]).mean(0)
    ours = F.normalize(features - features.mean(0), dim=1)
    others = ~torch.eye(len(ours), dtype=torch.bool)
    relation = F.mse_loss((ours @ ours.T)[others], wanted[others])
    total = plan.temperature**2 * kl + plan.embedding_weight * cosine
    return total + plan.relation_weight * relation, kl, cosine


def _mix(examples: Examples, share: float) -> Examples:
    """Mix each example with another: a share of it is left, at least half."""
    share = max(share, 1 - share)
    other = torch.randperm(len(examples))

    def mixed(values: Tensor) -> Tensor:
        return torch.lerp(values[other], values, share)

    # Probabilities are mixed, not their logarithms, whose average over the teachers is of less than
    # a whole where these disagree.
    logits = mixed(examples.targets.logits.float().softmax(1)).clamp(min=1e-9).log()
    embeddings = tuple(mixed(each.float()) for each in examples.targets.embeddings)
    return Examples(mixed(examples.pooled), Targets(logits, embeddings))
