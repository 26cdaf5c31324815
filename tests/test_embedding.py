"""Embeddings: features, made unit, projected and made unit again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval import settings
from retrieval.embedding import Embedder, describe, open_embedder
from retrieval.errors import LookalikeError
from retrieval.preprocessing import preprocess
from retrieval.reduction import Reduction, to_unit
from tests.made import SQUASH_8, MeanColour, by_hue, embed_image, mean_colour, noise


def last_two_colours(mean: float = 0.0) -> Reduction:
    """Return a PCA that one can do in the head: it keeps green and blue."""
    components = np.float32([[0, 1, 0], [0, 0, 1]])
    return Reduction(
        np.full(3, mean, np.float32), components, np.ones(2, np.float32), 0.0, fitted_on=9
    )


@pytest.mark.parametrize(
    ("hue", "expected"),
    [(0, [1, 0, 0]), (120, [0, 1, 0]), (60, [0.7071, 0.7071, 0]), (240, [0, 0, 1])],
    ids=["red", "green", "yellow", "blue"],
)
def test_without_a_pca_the_embedding_is_the_feature_made_unit(
    hue: float, expected: list[float]
) -> None:
    embedding = embed_image(mean_colour(), by_hue(hue))
    assert embedding.tolist() == [pytest.approx(expected, abs=1e-4)]


def test_with_a_pca_the_embedding_is_projected_and_made_unit_again() -> None:
    embedder = Embedder(MeanColour(), last_two_colours())
    assert embed_image(embedder, by_hue(180)).tolist() == [
        pytest.approx([0.7071, 0.7071], abs=1e-4)
    ]
    assert embed_image(embedder, by_hue(60)).tolist() == [pytest.approx([1, 0], abs=1e-4)]
    assert embedder.dimension == 2


def test_features_are_centred_after_they_were_made_unit() -> None:
    embedder = Embedder(MeanColour(), last_two_colours(mean=0.5))
    # Yellow: (0.7071, 0.7071, 0) less 0.5 keeps green 0.2071 and blue -0.5.
    expected = to_unit(np.array([[0.2071, -0.5]]))
    assert embed_image(embedder, by_hue(60)) == pytest.approx(expected, abs=1e-3)


def test_a_picture_alone_and_in_a_batch_has_the_same_embedding() -> None:
    embedder = mean_colour()
    images = [noise((50, 40), seed) for seed in range(5)]
    batch = embedder.embed(np.stack([preprocess(image, SQUASH_8) for image in images]))
    alone = np.concatenate([embed_image(embedder, image) for image in images])
    assert batch == pytest.approx(alone, abs=1e-6)


def test_a_pca_of_another_dimension_is_refused_with_the_cure() -> None:
    pca = Reduction(np.zeros(4, np.float32), np.eye(4, dtype="f"), np.ones(4, np.float32), 0.0, 9)
    with pytest.raises(LookalikeError, match=r"takes 4 numbers, and the model gives 3.*fit-pca"):
        Embedder(MeanColour(), pca)


def test_embedders_that_cannot_be_compared_have_another_fingerprint() -> None:
    plain = mean_colour()
    assert mean_colour().fingerprint == plain.fingerprint
    assert mean_colour(weights="1" * 64).fingerprint != plain.fingerprint
    reduced = Embedder(MeanColour(), last_two_colours())
    assert reduced.fingerprint != plain.fingerprint
    assert Embedder(MeanColour(), last_two_colours(0.5)).fingerprint != reduced.fingerprint


def test_an_embedder_says_in_one_line_what_it_is() -> None:
    line = "mean colour, pool5 (mean), 8x8, whole picture squashed, "
    assert mean_colour().describe() == line + "no PCA"
    assert Embedder(MeanColour(), last_two_colours()).describe() == line + "PCA 2"
    card = replace(mean_colour().card, preprocessing=replace(SQUASH_8, mirrored=4))
    assert describe(card, None) == line + "no PCA, pictures of up to 4 pixels mirrored"


def test_a_model_and_the_pca_beside_it_are_opened_together(tiny_files: Path) -> None:
    embedder = open_embedder(tiny_files, settings.pca_path(tiny_files), gpu=False)
    assert (embedder.card.name, embedder.dimension) == ("tiny", 2)
    assert np.linalg.norm(embed_image(embedder, by_hue(10))) == pytest.approx(1, abs=1e-6)


def test_all_vectors_of_a_picture_come_from_one_run_of_the_network(tiny_files: Path) -> None:
    pca = settings.pca_path(tiny_files)
    embedder = open_embedder(tiny_files, pca, gpu=False, texture=settings.texture_path(pca))
    pictures = np.stack([np.asarray(noise((32, 32), seed)) for seed in range(4)])
    aspects = embedder.describe_pictures(pictures)
    assert np.array_equal(aspects.subject, embedder.embed(pictures))
    assert (len(aspects.colour), aspects.texture.shape) == (4, (4, 2))
    for vectors in (aspects.subject, aspects.colour, aspects.texture):
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    plain = open_embedder(tiny_files, pca, gpu=False)
    assert plain.describe_pictures(pictures).texture.shape == (4, 0)
    assert plain.fingerprint != embedder.fingerprint


def test_a_model_without_its_pca_is_refused_and_with_none_asked_for_is_not(
    tiny_model: Path,
) -> None:
    with pytest.raises(LookalikeError, match=r"no PCA for this model.*fit-pca FOLDER"):
        open_embedder(tiny_model, settings.pca_path(tiny_model), gpu=False)
    assert open_embedder(tiny_model, None, gpu=False).dimension == 3
