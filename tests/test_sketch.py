"""Copies know each other by where light and dark lie."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from retrieval.sketch import COPY, DIMENSION, describe_layout
from tests.made import encode, noise


def sketch(image: Image.Image) -> np.ndarray:
    return describe_layout(np.asarray(image.resize((128, 128)))[None])[0]


def compressed(image: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(encode(image.resize((100, 75)), "JPEG", quality=40))).convert(
        "RGB"
    )


@pytest.mark.parametrize(
    "copy",
    [
        compressed,
        lambda image: image.convert("L").convert("RGB"),
        lambda image: image.point(lambda level: min(255, level * 6 // 5)),
    ],
    ids=["small and compressed", "grey", "brighter"],
)
def test_a_copy_is_recognised(copy: Callable[[Image.Image], Image.Image]) -> None:
    image = noise((320, 240), 1)
    assert float(sketch(image) @ sketch(copy(image))) > COPY


def test_other_pictures_are_not_copies() -> None:
    sketches = np.stack([sketch(noise((320, 240), seed)) for seed in range(20)])
    similarities = sketches @ sketches.T - np.eye(20)
    assert similarities.max() < COPY


def test_a_plain_picture_is_no_copy_of_anything() -> None:
    plain = sketch(Image.new("RGB", (64, 64), "white"))
    assert plain.shape == (DIMENSION,)
    assert not plain.any()
