"""Why two pictures match: their similarity, split exactly over the places of one of them.

Everything between the pooled feature map and the similarity is linear but for two divisions by a
length, which are known once the picture is known. So for a picture with the map x `(c, h, w)`, the
pooled feature f, the mean m and the rows of `components`, and another with the unit embedding e,

    similarity = < scale * components (f / |f| - m), e > / |scale * components (f / |f| - m)|
               = < f, back > + rest,         back = components^T (scale * e) / (|f| |...|)

and f is a sum over places: with mean pooling each contributes x / (h w), and with generalised mean
pooling (mean x^p)^(1/p) splits in proportion to x^p. What comes from subtracting the mean, `rest`,
belongs to no place and is spread evenly; so the places add up to the similarity itself.

Fully connected layers behind the pooling are linear as well once the picture is known: it decides
which numbers their ReLU lets through. `back` passes through them the other way, as a gradient does,
and what their biases add belongs to no place.
"""

from dataclasses import dataclass

import numpy as np

from retrieval.connected import Connected
from retrieval.embedding import Embedder
from retrieval.errors import LookalikeError
from retrieval.model import GEM_FLOOR, GEM_POWER
from retrieval.reduction import Matrix


@dataclass(frozen=True)
class Explanation:
    """What each place of a picture adds to its similarity to another one."""

    places: Matrix  # (h, w), summing to `similarity`
    similarity: float


def explain(
    embedder: Embedder,
    feature: Matrix,
    feature_map: Matrix,
    other: Matrix,
    layers: Connected | None = None,
) -> Explanation:
    """Split the similarity between a picture and a unit embedding over the picture's places.

    Args:
        feature: `(d,)`, of the picture.
        feature_map: `(c, h, w)`, from the same run of the network.
        other: `(k,)`, the unit embedding of the other picture.
        layers: the fully connected ones behind the pooling, where the model has them.

    Raises:
        LookalikeError: for a model whose fully connected layers take the whole map, and mix all
            places.
    """
    shares = place_shares(feature_map, embedder.card.pooling)
    feature = feature.astype(np.float64)
    length = float(np.linalg.norm(feature))
    reduction = embedder.reduction
    if reduction is None:
        back, rest, norm = other.astype(np.float64), 0.0, 1.0
    else:
        projection = reduction.scale[:, None] * reduction.components
        projected = projection @ (feature / max(length, 1e-12) - reduction.mean)
        norm = float(np.linalg.norm(projected))
        back = projection.T.astype(np.float64) @ other
        rest = -float(back @ reduction.mean) / max(norm, 1e-12)
    if layers:
        pooled, whole = shares.sum(axis=(1, 2)), float(back @ feature)
        back = layers.pull_back(pooled, back)
        # Their biases, and what is rounded where they are computed in fewer bits.
        rest += (whole - float(back @ pooled)) / max(length * norm, 1e-12)
    places = np.einsum("c,chw->hw", back, shares) / max(length * norm, 1e-12)
    places = places + rest / places.size
    return Explanation(places.astype(np.float32), float(places.sum()))


def fold(places: Matrix) -> Matrix:
    """Lay the four corners `(h, w)` of a mirrored picture over each other: `(h / 2, w / 2)`.

    Where the mirrors' lines run through places, these are halved first: `(h, w)` for odd sides.
    See `retrieval.preprocessing.Preprocessing.mirrored`.
    """
    if len(places) % 2:
        places = np.kron(places, np.full((2, 2), 0.25, np.float32))
    top, bottom = np.split(places, 2)
    left, right = np.split(top + bottom[::-1], 2, axis=1)
    folded: Matrix = left + right[:, ::-1]
    return folded


def place_shares(feature_map: Matrix, pooling: str) -> Matrix:
    """Split the pooled feature over places: `(c, h, w)` summing to the feature `(c,)` over h, w.

    Raises:
        LookalikeError: when the pooling is one that mixes all places.
    """
    if pooling == "mean":
        mean: Matrix = feature_map.astype(np.float64) / feature_map[0].size
        return mean
    if pooling == "gem":
        powers = np.maximum(feature_map.astype(np.float64), GEM_FLOOR) ** GEM_POWER
        totals = powers.sum(axis=(1, 2), keepdims=True)
        pooled = (totals / feature_map[0].size) ** (1 / GEM_POWER)
        shares: Matrix = powers / totals * pooled
        return shares
    raise LookalikeError(
        "This model's fully connected layers mix all places of the picture, so there is no map of "
        "the match. Use a model exported with --layer pool5."
    )
