import time

import numpy as np
import pytest
from PIL import Image

from retrieval.cleaning import LONG_SIDE, clean_up, measure_noise, needs_cleaning
from tests.made import by_hue, noise
from tests.measure_cleaning import KINDS, degrade


def photo(seed: int = 0, size: tuple[int, int] = (256, 192)) -> Image.Image:
    """Smooth clouds of colour, as free of noise as no camera is."""
    return noise(size, seed, coarse=8)


def distance(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).mean())


@pytest.mark.parametrize("kind", ["slightly noisy", "noisy", "dark"])
def test_a_spoiled_picture_comes_closer_to_what_it_was(kind: str) -> None:
    image = photo()
    spoiled = degrade(image, kind, seed=0)
    assert distance(clean_up(spoiled), image) < 0.7 * distance(spoiled, image)


@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        ("unspoiled", False),
        ("slightly noisy", True),
        ("noisy", True),
        ("blurred", False),
        ("dark", True),
        ("heavily compressed", False),
    ],
)
def test_the_rule_asks_for_what_can_be_helped(kind: str, needed: bool) -> None:
    assert needs_cleaning(degrade(photo(), kind, seed=0)) is needed


def test_a_picture_that_is_dark_on_purpose_needs_no_cleaning() -> None:
    night = Image.new("RGB", (100, 100), (5, 5, 10))
    night.paste("white", (40, 40, 60, 60))
    assert not needs_cleaning(night)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
def test_the_noise_that_was_added_is_measured(sigma: float) -> None:
    pixels = 0.5 + np.random.default_rng(0).normal(0, sigma, (100, 100, 3))
    assert measure_noise(pixels.astype(np.float32)) == pytest.approx(sigma, rel=0.05)


def test_edges_are_not_measured_as_noise() -> None:
    stripes = np.zeros((100, 100, 3), np.float32)
    stripes[:, ::4] = 1
    assert measure_noise(stripes) == 0


@pytest.mark.parametrize("hue", [0, 120, 240])
def test_colours_keep_their_hue(hue: int) -> None:
    image = photo()
    image.paste(by_hue(hue, (60, 60)).point(lambda value: value // 3), (20, 20))
    middle = clean_up(image).crop((40, 40, 50, 50)).convert("HSV").resize((1, 1))
    found = middle.getpixel((0, 0))
    assert isinstance(found, tuple)
    assert min(abs(found[0] - hue * 255 / 360), 255 - found[0] + hue) < 12


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (2, 2), (3, 700), (40, 30)])
@pytest.mark.parametrize("colour", ["black", "white", "red", None])
def test_pictures_of_any_size_and_colour_come_through(
    size: tuple[int, int], colour: str | None
) -> None:
    image = Image.new("RGB", size, colour) if colour else degrade(photo(0, size), "noisy", 0)
    cleaned = clean_up(image)
    assert cleaned.mode == "RGB"
    assert max(cleaned.size) <= LONG_SIDE
    assert isinstance(needs_cleaning(image), bool)
    if colour:
        assert cleaned.getpixel((0, 0)) == image.getpixel((0, 0))


def test_the_picture_that_was_given_is_left_as_it_was() -> None:
    image = degrade(photo(), "noisy", 0)
    before = image.copy()
    clean_up(image)
    assert image == before


def test_a_picture_of_a_thousand_pixels_is_cleaned_up_in_a_moment() -> None:
    image = degrade(photo(0, (1000, 750)), "noisy", 0)
    clean_up(photo(0, (8, 8)))
    started = time.process_time()
    clean_up(image)
    assert time.process_time() - started < 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_spoils_a_picture_the_same_way(kind: str) -> None:
    image = photo()
    assert degrade(image, kind, seed=3) == degrade(image, kind, seed=3)
    assert (degrade(image, kind, seed=3) == image) is (kind == "unspoiled")
