"""The command `fit-pca`: fits the PCA of a model."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval import settings
from retrieval.commands.reading import features_of, pca_of
from retrieval.errors import LookalikeError
from retrieval.files import need_place
from retrieval.model import OnnxExtractor
from retrieval.reduction import Matrix, fit_pca, load_pca, save_pca


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser = commands.add_parser("fit-pca", parents=[common], help="fit the PCA of a model")
    parser.add_argument("folder", type=Path, help="pictures of all kinds; thousands are best")
    parser.add_argument(
        "--components", type=int, default=settings.PRINCIPAL_COMPONENTS, help="default 256"
    )
    parser.add_argument("--whitening", type=float, default=0.0, help="0 (none, default) to 1")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> None:
    """Fit the PCA of its features and of its textures, and write both."""
    if arguments.components < 1 or not 0 <= arguments.whitening <= 1:
        raise LookalikeError("--components must be at least 1, and --whitening from 0 to 1.")
    path = pca_of(arguments)
    if path == settings.BUNDLED_PCA and not arguments.pca:
        raise LookalikeError(
            "That would replace the PCA that came with the app, and all its pictures would have to "
            "be indexed again. Name another model to fit one for: --model FILE (or another "
            "place for it: --pca FILE)."
        )
    _need_new(path)
    _need_new(settings.texture_path(path))
    extractor = OnnxExtractor(arguments.model, gpu=not arguments.cpu)
    textures: list[Matrix] = []

    def extract(pictures: npt.NDArray[np.uint8]) -> Matrix:
        """Keep the textures aside, so that the network runs once for both."""
        if not extractor.texture_dimension:
            return extractor.extract(pictures)
        features, texture = extractor.extract_with_texture(pictures)
        textures.append(texture)
        return features

    features, _ = features_of(arguments.folder, extractor, extract)
    card = extractor.card
    fitted = fit_pca(features, card, arguments.components, arguments.whitening)
    if textures:
        texture = fit_pca(
            np.concatenate(textures), card, settings.TEXTURE_COMPONENTS, settings.TEXTURE_WHITENING
        )
        save_pca(texture, settings.texture_path(path))
    save_pca(fitted, path)
    reduction = load_pca(path, card)
    print(f"{path}: {reduction.dimension} components, fitted on {reduction.fitted_on:,} pictures")


def _need_new(path: Path) -> None:
    """Raise a LookalikeError where a PCA cannot be written, or something is there already."""
    need_place(path, ".pkl")
    if path.suffix.lower() != ".pkl":
        raise LookalikeError(f"The name of a PCA ends in .pkl: --pca {path}.pkl")
    if path.exists():
        raise LookalikeError(
            f"{path} is there already. Collections that were made with a PCA can only be searched "
            "with that very one, so it is not written over. Name another place with --pca FILE, or "
            "delete that file first."
        )
