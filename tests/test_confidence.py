"""How sure a match is, by what unrelated pictures of the same collection are like."""

import numpy as np

from retrieval.confidence import REACH, Calibration, Confidence, bounds_of, calibrate
from retrieval.reduction import to_unit


def kinds(n_kinds: int, each: int, spread: float, seed: int = 0) -> np.ndarray:
    """Vectors of kinds around random centres in 32 dimensions."""
    generator = np.random.default_rng(seed)
    centres = to_unit(generator.normal(size=(n_kinds, 32)))
    noise = generator.normal(size=(n_kinds, each, 32)) * spread
    return to_unit((centres[:, None] + noise).reshape(-1, 32))


def test_unrelated_pictures_do_not_match_and_related_ones_do() -> None:
    vectors = kinds(10, 30, 0.08)
    calibration = calibrate(vectors)
    related = float(vectors[0] @ vectors[1])
    unrelated = float(np.median(vectors[0] @ vectors[30:].T))
    assert calibration.judge(related) >= Confidence.SIMILAR
    assert calibration.judge(unrelated) == Confidence.NONE


def test_one_picture_in_ten_being_related_hardly_moves_the_middle() -> None:
    generator = np.random.default_rng(3)
    unrelated = to_unit(generator.normal(size=(300, 32)))
    assert abs(calibrate(unrelated).middle - calibrate(kinds(10, 30, 0.08)).middle) < 0.05


def test_the_same_similarity_means_less_where_all_pictures_are_alike() -> None:
    varied = calibrate(kinds(20, 20, 0.1))
    alike = calibrate(to_unit(kinds(20, 20, 0.1) + 2 * np.eye(32, dtype=np.float32)[0]))
    assert alike.judge(0.85) < varied.judge(0.85)


def test_a_picture_itself_is_almost_the_same_in_any_collection() -> None:
    assert Calibration(0.9, 0.05).judge(1.0) == Confidence.SAME


def test_other_than_by_the_subject_nothing_is_called_almost_the_same() -> None:
    by_colours = Calibration(0.2, 0.1, subject_only=False)
    assert by_colours.judge(1.0) == Confidence.VERY
    assert by_colours.judge(0.98) > by_colours.judge(0.5) > by_colours.judge(0.3)


def test_where_all_differ_a_chance_likeness_is_not_called_very_similar() -> None:
    of_anything = Calibration(-0.02, 0.07)
    assert of_anything.judge(0.45) == Confidence.SIMILAR
    assert of_anything.judge(0.55) == Confidence.VERY
    assert Calibration(-0.1, 0.05).judge(0.25) == Confidence.LOOSE


def test_a_handful_of_pictures_is_judged_too() -> None:
    assert calibrate(np.eye(3, dtype=np.float32)).judge(0.1) == Confidence.NONE


def test_colours_and_texture_have_steps_of_their_own() -> None:
    few = np.eye(3, dtype=np.float32)
    assert calibrate(few).judge(0.55) > calibrate(few, subject_only=False).judge(0.55)
    near = to_unit(kinds(20, 20, 0.1) + 2 * np.eye(32, dtype=np.float32)[0])
    for subject_only in (True, False):
        calibration = calibrate(near, subject_only)
        assert calibration.subject_only == subject_only
        # However alike all are, a match can be very similar.
        reach = (1 - calibration.middle) / calibration.spread
        assert reach >= bounds_of(subject_only)[-1] + REACH - 1e-6
