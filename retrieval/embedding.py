"""From pictures to embeddings: a network and the PCA that was fitted for it, as one."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.colour import describe_colours
from retrieval.errors import LookalikeError
from retrieval.family import open_model
from retrieval.model import Extractor, ModelCard
from retrieval.reduction import Matrix, Reduction, load_pca, project
from retrieval.settings import PYTHON


@dataclass(frozen=True)
class Aspects:
    """What pictures are compared by, row by row, each a unit vector."""

    subject: Matrix  # (n, k): what they show
    colour: Matrix  # (n, 245): which colours they have
    texture: Matrix  # (n, 64): what their surfaces are like; (n, 0) where it is left out


@dataclass(frozen=True)
class Embedder:
    """Pictures in, unit vectors out: features -> unit -> PCA -> unit."""

    extractor: Extractor
    reduction: Reduction | None = None  # None keeps the features as they are, only made unit
    texture: Reduction | None = None  # of the textures; None leaves them out

    def __post_init__(self) -> None:
        if self.reduction and len(self.reduction.mean) != self.card.dimension:
            raise LookalikeError(
                f"The PCA takes {len(self.reduction.mean)} numbers, and the model gives "
                f"{self.card.dimension}. Fit one with: {PYTHON} -m retrieval fit-pca FOLDER "
                "--model FILE"
            )

    @property
    def card(self) -> ModelCard:
        """What the model's file says of itself."""
        return self.extractor.card

    @property
    def dimension(self) -> int:
        """How many numbers an embedding has."""
        return self.reduction.dimension if self.reduction else self.card.dimension

    @property
    def fingerprint(self) -> str:
        """Equal for embedders whose embeddings can be compared."""
        pca = self.reduction.fingerprint if self.reduction else "none"
        texture = f"-{self.texture.fingerprint}" if self.texture else ""
        return f"{self.card.fingerprint}-{pca}{texture}"

    def side_by_side(self, calls: int) -> "Embedder | None":
        """Return one to be called from so many threads at once, or None where that is no faster."""
        extractor = self.extractor.side_by_side(calls)
        return replace(self, extractor=extractor) if extractor else None

    def describe(self) -> str:
        """Say in one line what the embeddings are, for the protocol beside a figure."""
        return describe(self.card, self.reduction)

    def embed(self, pictures: npt.NDArray[np.uint8]) -> Matrix:
        """Map preprocessed pictures `(n, side, side, 3)` to unit embeddings `(n, k)`."""
        return self.project(self.extractor.extract(pictures))

    def project(self, features: Matrix) -> Matrix:
        """Map features `(n, d)` to unit embeddings `(n, k)`."""
        return project(features, self.reduction)

    def describe_pictures(self, pictures: npt.NDArray[np.uint8]) -> Aspects:
        """Map preprocessed pictures to all their vectors, in one run of the network."""
        if self.texture is None:
            subject = self.embed(pictures)
            texture = np.zeros((len(pictures), 0), np.float32)
        else:
            features, textures = self.extractor.extract_with_texture(pictures)
            subject = self.project(features)
            texture = self.texture.project(textures)
        return Aspects(subject, describe_colours(pictures), texture)


def describe(card: ModelCard, reduction: Reduction | None) -> str:
    """Say in one line what made embeddings: model, layer, preprocessing, PCA."""
    how = card.preprocessing
    layer = f"{card.layer} ({card.pooling})" if card.pooling else card.layer
    fit = "centre crop" if how.fit == "crop" else "whole picture squashed"
    pca = "no PCA"
    if reduction:
        pca = f"PCA {reduction.dimension}"
        if reduction.whitening:
            pca += f", whitening {reduction.whitening:g}"
    small = f", pictures of up to {how.mirrored} pixels mirrored" if how.mirrored else ""
    return f"{card.name}, {layer}, {how.side}x{how.side}, {fit}, {pca}{small}"


def open_embedder(
    model: Path,
    pca: Path | None,
    gpu: bool = True,
    texture: Path | None = None,
    threads: int | None = None,
) -> Embedder:
    """Open a model and, unless they are None, the PCAs of its features and textures.

    On a CPU that is its sibling in 8 bits, where it has one. There need not be a PCA of the
    textures; then pictures are not compared by them.
    """
    extractor = open_model(model, threads, gpu)
    return Embedder(
        extractor,
        load_pca(pca, extractor.card) if pca else None,
        load_pca(texture, extractor.card, extractor.texture_dimension)
        if texture and texture.exists()
        else None,
    )
