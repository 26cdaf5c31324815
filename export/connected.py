"""Fully connected layers of our own, as they learn: fc1 and fc2 behind a pooled map."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from export.network import CLASSIFIER


class Connected(nn.Module):
    """fc1 and fc2, which add to the pooled features `(n, c)` what these lack.

    What enters is centred and scaled, by numbers that do not learn: they are folded into the
    weights at the end, as batch normalisation is. Until it has learned it adds nothing.

    Args:
        channels: of the pooled features.
        hidden: numbers that leave fc1.
        dropout: share of these that is left out while it learns, as in VGG-16.
    """

    def __init__(self, channels: int, hidden: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Linear(channels, hidden)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(hidden, channels)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(()))

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the features `(n, c)`, centred and scaled too."""
        centred = (pooled - self.centre) / self.spread
        features: Tensor = centred + self.second(self.dropout(self.first(centred).relu()))
        return features

    def suit(self, pooled: Tensor) -> None:
        """Centre and scale as features `(n, c)` such as these need it."""
        self.centre.copy_(pooled.mean(0))
        self.spread.copy_(pooled.std(0).mean())  # one for all: their proportions tell something

    @torch.no_grad()
    def take(self, state: Mapping[str, Tensor]) -> bool:
        """Take over what `folded` returned, if it is there and fits; say whether it did."""
        own = {"weight": self.first.weight, "bias": self.first.bias}
        first, second = ({part: state.get(f"{name}.{part}") for part in own} for name in CLASSIFIER)
        found = [*first.values(), *second.values()]
        wanted = [*own.values(), self.second.weight, self.second.bias]
        for theirs, ours in zip(found, wanted, strict=True):
            if theirs is None or theirs.shape != ours.shape:
                return False
        weight, bias, after, shift = (each.float() for each in found if each is not None)
        self.first.weight.copy_(weight * self.spread)
        self.first.bias.copy_(bias + weight @ self.centre)
        self.second.weight.copy_(after / self.spread)
        self.second.bias.copy_((shift + self.centre) / self.spread)
        return True

    def folded(self) -> dict[str, Tensor]:
        """Return fc1 and fc2 as they take features that are neither centred nor scaled.

        What comes out is longer by `spread`, which no cosine sees.
        """
        weight = self.first.weight / self.spread
        values = (
            weight,
            self.first.bias - weight @ self.centre,
            self.second.weight * self.spread,
            self.second.bias * self.spread - self.centre,
        )
        names = [f"{name}.{part}" for name in CLASSIFIER for part in ("weight", "bias")]
        return {name: value.detach() for name, value in zip(names, values, strict=True)}
