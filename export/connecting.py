"""How fully connected layers learn, and the trunk's last block with them, from kept crops.

What runs have taught (crops as `export connect` makes them, collected by a script of the same
steps; PCA 256 of 2,000 photos without whitening, in the first line 0.25; half of CIFAR-10's part):

                                             Corel-1k     CIFAR-10   shipped pictures
                                   crops   P@10   mAP   P@10   mAP     P@10    mAP
    what is pooled, alone                  94.2  85.0   63.7  41.3     88.1   84.5
    embeddings by linear heads    13,312   94.6  86.2   65.1  42.8     86.4   82.8
    fc1 and fc2, nothing added    14,976   94.5  86.5   66.2  44.8     85.7   82.1
      a ReLU behind fc2           14,976   94.3  86.4   66.1  45.0     85.3   81.9
      with mixup                  14,976   94.5  86.4   67.1  45.3     85.8   82.4
      with relations (30)         14,976   94.7  86.2   66.8  44.3     86.8   83.4
      a linear layer beside them  14,976   94.7  86.8   66.8  44.5     87.1   83.6
    added to what is pooled, with
      mixup and relations (15)    26,976   94.6  86.8   67.0  44.5     88.1   84.7
                                  45,568   94.8  87.0   67.9  45.1     88.1   84.5   taken

On held-out photos KL and cosine distance are 0.178 and 0.345, of what is learned from 0.177 and
0.337, and by linear heads 0.230 and 0.380 (of other photos): it has not learned by heart, so a
wider fc1 (2,048 was better in an early trial, and is too large for the 32 MB of the model's file)
and more crops might add to it. Not tried: more than 20 epochs, other rates and weights.

The last block with them (--together), once, by a script of these steps that began from the layers
that shipped: 30,208 crops, two fifths spoiled and one fifth sharpened, 131,000 times in 41 minutes
(bfloat16; 18 milliseconds each, where the whole trunk would take 200). On held-out photos KL and
cosine distance were 0.202 and 0.371 after 40 % of the schedule (with heads fitted to the layers as
they were, 0.233 and 0.403), and on what it learned from, mixed, 0.174 and 0.332 at the end. The
result lies between the weights before and these (PCA of 2,000 photos; half of CIFAR-10's part; 100
spoiled queries of Corel-1k, P@10):

    share of     Corel-1k     CIFAR-10   shipped pictures   JPEG of    blur of 4
    the new    P@10   mAP   P@10   mAP     P@10    mAP     quality 5   in 384
       0       94.7  87.0   64.3  45.6     88.2   84.6       74.2       88.1
       0.3     94.8  87.2   65.4  46.8     87.1   83.8       77.5       89.0   taken
       0.5     94.8  87.1   65.9  47.4     86.0   83.0       78.9       89.1
       0.6     94.8  87.0   66.0  47.7     85.4   82.6       79.7       89.3
       1       94.4  86.5   66.5  48.5     83.6   81.0       80.9       89.9

So it comes nearer to the teachers on such photos as it learns from, and further from what made the
shipped pictures look alike. That the photos are small need not be why: of the shipped pictures made
as small as they, the teachers' embeddings together find 89.2 (at their own size 91.2, each alone
88). By their classes alone they find 76.5, so these may have too much weight. Layers learned anew
behind the block at a share of 0.5, with a quarter and a twentieth of the classes' weight and two to
five times as much for embeddings and relations, find 86.2 and 86.6 of the shipped pictures, and 0.8
and 0.9 less on CIFAR-10. To let the block itself learn so was not tried.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.connected import Connected
from export.crops import BATCH, Examples
from export.last_block import LastBlock
from export.losses import distances, relation
from export.measuring import Targets, slices
from export.network import MAP_CHANNELS
from export.recipe import BETWEEN_LINES, HIDDEN, seed_for, set_rates
from export.student import halve
from export.teachers import CLASSES
from retrieval.errors import LookalikeError
from retrieval.files import replace_when_done

CHECKPOINT = "learning.pt"


@dataclass(frozen=True)
class Plan:
    """Everything that decides what is learned from examples."""

    hidden: int = HIDDEN
    epochs: int = 20
    batch: int = 256
    rate: float = 1e-3  # the highest learning rate, AdamW's
    together: int = 0  # epochs in which the last block learns too, behind the others
    together_batch: int = 64
    together_rate: float = 5e-4
    block_rate: float = 2e-4
    # Share of what the first weights of the block, and the layers behind it before they learned
    # together, have in the result ("Robust fine-tuning of zero-shot models", Wortsman et al. 2022).
    kept: float = 0.0
    decay: float = 1e-2  # of the fully connected layers and the heads
    warm_up: float = 0.03  # share of the schedule in which the rate rises
    dropout: float = 0.1  # behind fc1, as in VGG-16
    mixup: float = 0.3  # both parameters of the beta distribution that shares are drawn from
    temperature: float = 2.0
    embedding_weight: float = 8.0  # of the cosine distance; the KL has temperature squared
    relation_weight: float = 15.0  # of how alike pictures are to one another
    seed: int = 0


class Connections(nn.Module):
    """fc1 and fc2, and the heads that are thrown away.

    Args:
        pooled: features `(n, 512)` by which what enters is centred and scaled while it learns.
        embeddings: numbers in each teacher's embedding.
    """

    def __init__(self, plan: Plan, pooled: Tensor, embeddings: Sequence[int]) -> None:
        super().__init__()
        self.connected = Connected(MAP_CHANNELS, plan.hidden, plan.dropout)
        self.connected.suit(pooled)
        self.cls = nn.Linear(MAP_CHANNELS, CLASSES)
        self.emb = nn.ModuleList(nn.Linear(MAP_CHANNELS, numbers) for numbers in embeddings)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return features, classes and embeddings."""
        features = self.connected(pooled)
        return features, self.cls(features), [head(features) for head in self.emb]

    def folded(self) -> dict[str, Tensor]:
        """Return fc1 and fc2 in torchvision's names, matrices in 16 bits."""
        return halve(self.connected.folded())


@dataclass(frozen=True)
class Stage:
    """What is learned from, how often, and by how many at once."""

    examples: Examples
    held_out: Examples
    epochs: int
    batch: int

    @property
    def steps(self) -> int:
        """How many batches an epoch has; what is left over waits for the next."""
        return len(self.examples) // self.batch


class Lessons:
    """What is learned, by which losses, from which examples.

    The losses are those of `export.losses`. Features and what was said of them are mixed pairwise
    ("mixup: Beyond Empirical Risk Minimization", Zhang et al. 2018).

    First fc1, fc2 and the heads learn alone, from features that stand still; then, where there is
    a block, all of them together.
    """

    def __init__(
        self,
        examples: Examples,
        held_out: Examples,
        plan: Plan,
        say: Callable[[str], None],
        block: LastBlock | None = None,
    ) -> None:
        self._examples, self._held_out, self._plan, self._say = examples, held_out, plan, say
        self._centres = [each.float().mean(0) for each in examples.targets.embeddings]
        torch.manual_seed(plan.seed)
        self.layers = Connections(plan, examples.pooled, [len(each) for each in self._centres])
        self.block = block
        self._first: dict[str, Tensor] = {}  # before all learn together

    def learn(self, folder: Path | None = None) -> dict[str, Tensor]:
        """Learn; return fc1 and fc2 in torchvision's names, matrices in 16 bits, and the block.

        Args:
            folder: where a checkpoint of what all learn together is kept after each epoch, and
                gone on from.

        Raises:
            LookalikeError: when the checkpoint is of another plan, or what was learned does not
                fit 16 bits.
        """
        plan, checkpoint = self._plan, folder / CHECKPOINT if folder else None
        if self.block is None:
            self._learn_alone()
            return self.layers.folded()
        if not (checkpoint and checkpoint.is_file()):
            self._learn_alone()
            self._first = self._weights()
        self._say("The last block learns too.")
        groups = [
            {"params": self.layers.parameters(), "highest": plan.together_rate},
            {"params": self.block.parameters(), "highest": plan.block_rate, "weight_decay": 0.0},
        ]
        batch = min(plan.together_batch, len(self._examples))
        stage = Stage(self._examples, self._held_out, plan.together, batch)
        self._learn(stage, groups, checkpoint)
        return halve(
            {
                name: torch.lerp(value, self._first[name], plan.kept)
                for name, value in self._weights().items()
            }
        )

    def _weights(self) -> dict[str, Tensor]:
        """Return fc1, fc2 and the block, in torchvision's names and 32 bits."""
        parts = [self.layers.folded()] + ([self.block.folded()] if self.block else [])
        return {name: value.float().clone() for part in parts for name, value in part.items()}

    def _learn_alone(self) -> None:
        """Let fc1, fc2 and the heads learn from features that stand still."""
        plan = self._plan
        examples, held_out = (
            replace(some, taken=None) for some in (self._examples, self._held_out)
        )
        stage = Stage(examples, held_out, plan.epochs, min(plan.batch, len(examples)))
        self._learn(stage, [{"params": self.layers.parameters(), "highest": plan.rate}])

    def _learn(
        self, stage: Stage, groups: list[dict[str, Any]], checkpoint: Path | None = None
    ) -> None:
        """Learn for all epochs of a stage that are not done yet."""
        optimizer = torch.optim.AdamW(groups, weight_decay=self._plan.decay)
        for epoch in range(self._resume(checkpoint, optimizer), stage.epochs):
            learned = self._epoch(stage, epoch, optimizer)
            kl, cosine = self._measure(stage.held_out)
            self._say(
                f"{epoch + 1} of {stage.epochs}: KL {learned[0]:.3f}, embeddings {learned[1]:.3f}; "
                f"held out {kl:.3f}, {cosine:.3f}"
            )
            if checkpoint:
                self._save(checkpoint, optimizer, epoch + 1)

    def _epoch(
        self, stage: Stage, epoch: int, optimizer: torch.optim.Optimizer
    ) -> tuple[float, float]:
        """Learn once from each example; return mean KL divergence and cosine distance."""
        plan, n = self._plan, len(stage.examples)
        # So that a run that was killed goes on as if it had not been.
        torch.manual_seed(seed_for(plan.seed, epoch))
        shares = np.random.default_rng((plan.seed, epoch))
        self.layers.train()
        batches = torch.split(torch.randperm(n)[: stage.steps * stage.batch], stage.batch)
        sums, begun = torch.zeros(2), time.monotonic()
        lined = begun
        for number, rows in enumerate(batches):
            progress = (epoch + number / stage.steps) / stage.epochs
            set_rates(optimizer, progress, plan.warm_up)
            some, left = stage.examples[rows], float(shares.beta(plan.mixup, plan.mixup))
            optimizer.zero_grad(set_to_none=True)
            total, *parts = self._losses(*_mix(self._pooled(some), some.targets, left))
            torch.autograd.backward(total)
            optimizer.step()
            sums += torch.stack(parts).detach()
            if (now := time.monotonic()) - lined > BETWEEN_LINES:
                done = (number + 1) * stage.batch
                self._say(f"{done:,} of {n:,}, {done / (now - begun):.0f} pictures a second")
                lined = now
        kl, cosine = (sums / stage.steps).tolist()
        return kl, cosine

    def _pooled(self, some: Examples) -> Tensor:
        """Return pooled features `(n, 512)`, by the block where it learns."""
        if self.block is None or some.taken is None:
            return some.pooled
        pooled: Tensor = self.block(some.taken)
        return pooled

    @torch.no_grad()
    def _measure(self, held_out: Examples) -> tuple[float, float]:
        """Return KL divergence and cosine distance of the held-out examples."""
        self.layers.eval()
        parts = [self._pooled(held_out[rows]) for rows in slices(len(held_out), BATCH)]
        _, kl, cosine = self._losses(torch.cat(parts), held_out.targets)
        return float(kl), float(cosine)

    def _losses(self, pooled: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
        """Return the whole loss, the KL divergence and the mean cosine distance."""
        plan, centres = self._plan, self._centres
        features, logits, embeddings = self.layers(pooled)
        kl, cosine = distances(logits, embeddings, targets, centres, plan.temperature)
        total = plan.temperature**2 * kl + plan.embedding_weight * cosine
        return total + plan.relation_weight * relation(features, targets, centres), kl, cosine

    # --- checkpoints ---

    def _modules(self) -> dict[str, nn.Module]:
        return {"layers": self.layers, **({"block": self.block} if self.block else {})}

    def _save(self, path: Path, optimizer: torch.optim.Optimizer, epoch: int) -> None:
        kept = {name: module.state_dict() for name, module in self._modules().items()}
        state = {"plan": json.dumps(asdict(self._plan)), "epoch": epoch, "first": self._first}
        with replace_when_done(path) as temporary:
            torch.save({**state, **kept, "optimizer": optimizer.state_dict()}, temporary)

    def _resume(self, path: Path | None, optimizer: torch.optim.Optimizer) -> int:
        """Go on where a checkpoint was written; return how many epochs are done."""
        if path is None or not path.is_file():
            return 0
        try:
            kept = torch.load(path, weights_only=True)
            same = kept["plan"] == json.dumps(asdict(self._plan))
            if same:
                for name, module in self._modules().items():
                    module.load_state_dict(kept[name])
                optimizer.load_state_dict(kept["optimizer"])
                self._first = kept["first"]
        except Exception as error:  # torch.load raises pickle's own, and others
            raise LookalikeError(
                f"{path} is damaged. Delete it, and run the same command."
            ) from error
        if not same:
            raise LookalikeError(
                f"{path} was learned with other options. Repeat them, or delete it."
            )
        epoch = int(kept["epoch"])
        self._say(f"Going on after epoch {epoch}.")
        return epoch


def _mix(pooled: Tensor, targets: Targets, share: float) -> tuple[Tensor, Targets]:
    """Mix each example with another: a share of it is left, at least half."""
    share = max(share, 1 - share)
    other = torch.randperm(len(pooled))

    def mixed(values: Tensor) -> Tensor:
        return torch.lerp(values[other], values, share)

    # Probabilities are mixed, not their logarithms, whose average over the teachers is of less than
    # a whole where these disagree.
    logits = mixed(targets.logits.float().softmax(1)).clamp(min=1e-9).log()
    embeddings = tuple(mixed(each.float()) for each in targets.embeddings)
    return mixed(pooled), Targets(logits, embeddings)
