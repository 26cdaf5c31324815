"""How pictures are shaped for a network."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from retrieval.images import open_picture
from retrieval.preprocessing import Preprocessing, is_mirrored, preprocess, scale_for
from tests.made import by_hue, encode, need, noise

IMAGENET = Preprocessing(side=224, fit="crop", interpolation="bilinear", resize=256)


@pytest.mark.parametrize(
    "size",
    [(640, 427), (427, 640), (1200, 801), (97, 203), (255, 257), (256, 256), (300, 1000), (5, 9)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_the_crop_is_that_of_torchvision(size: tuple[int, int]) -> None:
    torchvision = need("torchvision", "pip install -r export/requirements.txt")
    theirs = torchvision.models.VGG16_Weights.IMAGENET1K_V1.transforms()
    functional = torchvision.transforms.functional
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(values)
    # Its steps before it scales to floats, on a picture of pure noise, where a crop that is one
    # pixel off differs everywhere.
    resized = functional.resize(image, theirs.resize_size, theirs.interpolation)
    expected = np.asarray(functional.center_crop(resized, theirs.crop_size)).astype(int)
    difference = np.abs(preprocess(image, IMAGENET) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.005


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_squashing_presses_the_whole_picture_into_the_square(interpolation: str) -> None:
    image = noise((300, 100))
    how = Preprocessing(64, "squash", interpolation, 64)
    filter_ = getattr(Image.Resampling, interpolation.upper())
    assert np.array_equal(preprocess(image, how), np.asarray(image.resize((64, 64), filter_)))


def test_a_crop_keeps_the_middle_and_a_squash_keeps_everything() -> None:
    image = by_hue(0, (300, 100))
    image.paste(by_hue(240, (100, 100)), (100, 0))
    crop = preprocess(image, Preprocessing(8, "crop", "bilinear", 8))
    squash = preprocess(image, Preprocessing(30, "squash", "bilinear", 30))
    assert (crop[:, 1:-1] == [0, 0, 255]).all()  # the filter mixes the edges
    assert squash[15, [5, 15, 25]].tolist() == [[255, 0, 0], [0, 0, 255], [255, 0, 0]]


@pytest.mark.parametrize("size", [(20_000, 1), (1, 20_000), (1, 1), (3, 2)])
def test_strips_and_dots_are_shaped_without_enlarging_them_first(size: tuple[int, int]) -> None:
    tracemalloc.start()
    try:
        shaped = preprocess(by_hue(240, size), IMAGENET)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert shaped.shape == (224, 224, 3)
    assert (shaped == [0, 0, 255]).all()


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_a_small_picture_fills_half_the_side_and_is_mirrored(fit: str) -> None:
    how = Preprocessing(64, fit, "bilinear", 64 if fit == "squash" else 72, mirrored=32)
    image = noise((32, 20), 1)
    seen = preprocess(image, how)
    half = Preprocessing(32, fit, "bilinear", 32 if fit == "squash" else 36)
    assert seen.shape == (64, 64, 3)
    assert np.array_equal(seen[:32, :32], preprocess(image, half))
    assert np.array_equal(seen, seen[:, ::-1])
    assert np.array_equal(seen, seen[::-1])
    assert is_mirrored(seen, how)
    larger = preprocess(noise((33, 20), 1), how)
    assert np.array_equal(larger, preprocess(noise((33, 20), 1), replace(how, mirrored=0)))
    assert not is_mirrored(larger, how)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fit": "stretch"},
        {"interpolation": "nearest"},
        {"side": 0},
        {"side": 300},
        {"resize": 5000},
        {"mirrored": 300},
    ],
    ids=lambda wrong: "-".join(f"{key} {value}" for key, value in wrong.items()),
)
def test_a_preprocessing_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    right = {"side": 224, "fit": "crop", "interpolation": "bilinear", "resize": 256}
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        Preprocessing(**{**right, **wrong})


@pytest.mark.parametrize("kind", ["JPEG", "BMP"])
def test_decoding_at_a_reduced_scale_hardly_changes_what_the_network_sees(kind: str) -> None:
    data = encode(noise((3150, 2100), coarse=40), kind, quality=92)
    reduced = open_picture(data, at_least=scale_for(IMAGENET))
    full = open_picture(data)
    assert scale_for(IMAGENET) <= min(reduced.image.size) < 2100
    assert (reduced.width, reduced.height) == (3150, 2100)
    difference = preprocess(reduced.image, IMAGENET).astype(int) - preprocess(full.image, IMAGENET)
    assert np.abs(difference).mean() < 1.5
    assert np.abs(difference).max() <= 8
