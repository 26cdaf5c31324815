"""Two settings on the same queries: the difference of each metric, and whether it is chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval.errors import LookalikeError
from retrieval.evaluation import METRICS, RANKING, RESAMPLES, Evaluation, bootstrap
from retrieval.model import ModelCard
from retrieval.reduction import Reduction, load_pca
from retrieval.settings import PYTHON

CURE = (
    "Write it like: pca=off, components=64, whitening=0.5, neighbours=off, model=FILE, or several "
    "with commas."
)

# Of fewer queries a percentile interval is too narrow: where two average precisions do not differ,
# it leaves zero out for 26 in 100 samples of 3 queries, 15 of 5, 10 of 10 and 7 of 20 or 30,
# and not for 5 (1,500 simulated samples each).
FEW = 30

PAIRED = "paired bootstrap over the same queries, each measure by itself"
COMPUTED_BY = "computed by"  # in a protocol: what ran the network, and in how many bits


@dataclass(frozen=True)
class Setting:
    """What is different from the model and PCA that are in use; nothing by default."""

    pca: bool | None = None  # whether there is one; None leaves it as it is
    components: int | None = None  # fewer than the PCA has
    whitening: float | None = None  # 0 (none) to 1
    model: Path | None = None  # another network, or another layer of the same one
    neighbours: bool | None = None  # whether they have a say; None leaves it as it is

    @classmethod
    def parse(cls, text: str) -> "Setting":
        """Read a setting as it is written on the command line: `components=64,whitening=0.5`.

        Raises:
            LookalikeError: when it says anything else.
        """
        pca, components, whitening, model, neighbours = None, None, None, None, None
        named: set[str] = set()
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            name = name.strip().lower()
            if name in named:
                raise LookalikeError(f"The setting {text!r} says {name} twice. Say it once.")
            named.add(name)
            try:
                match name:
                    case "pca" if value in ("on", "off"):
                        pca = value == "on"
                    case "components":
                        components = int(value)
                    case "whitening":
                        whitening = float(value)
                    case "neighbours" if value in ("on", "off"):
                        neighbours = value == "on"
                    case "model" if value:
                        model = Path(value)
                    case _:
                        raise ValueError
            except ValueError:
                raise LookalikeError(f"The setting {part} cannot be read. {CURE}") from None
        if not named or (components is not None and components < 1):
            raise LookalikeError(f"The setting {text!r} cannot be used. {CURE}")
        if whitening is not None and not 0 <= whitening <= 1:
            raise LookalikeError("The whitening goes from 0 (none) to 1.")
        if pca is False and (components or whitening):
            raise LookalikeError("Without a PCA there are no components and no whitening to set.")
        return cls(pca, components, whitening, model, neighbours)

    @property
    def changes_pca(self) -> bool:
        """Whether there has to be a PCA, to be changed."""
        return self.components is not None or self.whitening is not None

    def choose(self, used: Reduction | None, card: ModelCard, path: Path) -> Reduction | None:
        """Return the PCA that the setting ranks by; None for none.

        Where it says nothing of it, it has one as the setting in use has: nothing else is to be
        different. Another model that was never given one goes without.

        Args:
            used: the PCA in use.
            card: of the setting's model.
            path: where the PCA of that model lies.

        Raises:
            LookalikeError: when it wants what there is not.
        """
        wanted = used is not None if self.pca is None else self.pca
        if not wanted:
            return self.reduce(None)
        if self.model is None and used is not None:
            return self.reduce(used)
        found = self.pca or path.exists()
        return self.reduce(load_pca(path, card) if found else None)

    def reduce(self, reduction: Reduction | None) -> Reduction | None:
        """Return the PCA as the setting wants it; None for none.

        Raises:
            LookalikeError: when it wants what there is not.
        """
        if self.pca is False:
            return None
        if reduction is None:
            if self.changes_pca:
                raise LookalikeError(
                    f"There is no PCA to change. Fit one with: {PYTHON} -m retrieval fit-pca "
                    "FOLDER --model FILE"
                )
            return None
        return reduction.variant(self.components, self.whitening)


@dataclass(frozen=True)
class Difference:
    """How much better the second setting is, in percentage points, with a 95 % interval."""

    mean: float
    low: float
    high: float
    queries: int

    @property
    def is_more_than_chance(self) -> bool:
        """Whether there are queries enough, and the interval leaves zero out."""
        return self.queries >= FEW and (self.low > 0 or self.high < 0)

    @property
    def verdict(self) -> str:
        """Say whether it is chance."""
        if self.queries < FEW:
            return "too few to tell"
        if self.is_more_than_chance:
            return "more than chance"
        # Not by the mean alone: gains and losses that cancel out are a difference all the same.
        is_nothing = round(self.low, 2) == round(self.high, 2) == 0
        return "the same" if is_nothing else "may be chance"


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of the same queries."""

    first: Evaluation
    second: Evaluation
    differences: dict[str, Difference]  # second minus first, for each metric
    called: str = "Another setting"  # the second one, for people


def compare(first: Evaluation, second: Evaluation) -> Comparison:
    """Compare two evaluations by a paired bootstrap over their queries.

    The same queries are drawn for both, so that what makes a query hard for either cancels out
    (Efron and Tibshirani 1993, ch. 8; Sakai 2006, "Evaluating evaluation metrics based on the
    bootstrap").

    Raises:
        ValueError: when the queries are not the same.
    """
    if first.asked != second.asked or not np.array_equal(first.rows, second.rows):
        raise ValueError("two evaluations of different queries")
    gain = 100 * (second.per_query - first.per_query)
    low, high = bootstrap(gain)
    means = gain.mean(axis=0)
    differences = {
        metric: Difference(float(means[i]), float(low[i]), float(high[i]), len(gain))
        for i, metric in enumerate(METRICS)
    }
    return Comparison(first, second, differences)


def names_of(comparison: Comparison) -> tuple[str, str]:
    """Say what made the embeddings, what ran the network where that is known, and the ranking."""
    protocols = comparison.first.protocol, comparison.second.protocol
    is_ranked_alike = protocols[0][RANKING] == protocols[1][RANKING]

    def name(protocol: Mapping[str, str]) -> str:
        provider = protocol.get(COMPUTED_BY)
        model = f"{protocol['model']} ({provider})" if provider else protocol["model"]
        return model if is_ranked_alike else f"{model}, ranked {protocol[RANKING]}"

    return name(protocols[0]), name(protocols[1])


def signed(points: float) -> str:
    """Write a difference with its sign, one that is close to zero in more digits."""
    points = round(points, 4) + 0.0  # zero has no minus
    return f"{points:+.4f}" if 0 < abs(points) < 0.005 else f"{points:+.2f}"


def as_table(comparison: Comparison) -> str:
    """Lay a comparison out for a terminal."""
    first, second = comparison.first, comparison.second
    names = names_of(comparison)
    lines = [
        f"A: {names[0]}",
        f"B: {names[1]}",
        "",
        f"{'':8}{'A':>7}{'B':>7}{'B - A':>8}   95 % interval",
    ]
    for metric in METRICS:
        gap = comparison.differences[metric]
        lines.append(
            f"{metric:8}{first.overall[metric].mean:7.1f}{second.overall[metric].mean:7.1f}"
            f"{signed(gap.mean):>8}   {signed(gap.low)} to {signed(gap.high)}, {gap.verdict}"
        )
    lines += ["", f"difference: {PAIRED}, {RESAMPLES:,} resamples"]
    return "\n".join(lines)
