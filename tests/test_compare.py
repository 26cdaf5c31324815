"""Settings as they are written, and whether two of them differ by more than chance."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.compare import Comparison, Difference, Setting, as_table, compare, signed
from retrieval.errors import LookalikeError
from retrieval.evaluation import Labelled, SelfTest, evaluate
from retrieval.reduction import Reduction, project, to_unit
from retrieval.report import compare_section


def pca(k: int = 3, d: int = 4, variance: bool = True) -> Reduction:
    spread = np.array([4, 2, 1, 0.5], np.float32)[:k] if variance else None
    ones = np.ones(k, np.float32)
    return Reduction(
        np.zeros(d, np.float32), np.eye(k, d, dtype=np.float32), ones, 0.0, 9, variance=spread
    )


def clouds(noise: float, seed: int, n: int = 300) -> Labelled:
    """Return three clouds of points; the noisier, the harder to tell apart."""
    generator = np.random.default_rng(seed)
    centres = np.eye(3, 6).repeat(n // 3, axis=0)
    vectors = to_unit(centres + noise * generator.standard_normal((n, 6)))
    return Labelled(vectors, tuple("abc"[i // (n // 3)] for i in range(n)))


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("pca=off", Setting(pca=False)),
        ("components=64", Setting(components=64)),
        ("components=64, whitening=0.5", Setting(components=64, whitening=0.5)),
        ("model=a/b.onnx", Setting(model=Path("a/b.onnx"))),
        ("model=b.onnx,pca=off", Setting(pca=False, model=Path("b.onnx"))),
        ("pca=on", Setting(pca=True)),
        ("neighbours=off", Setting(neighbours=False)),
        ("neighbours=on,components=9", Setting(components=9, neighbours=True)),
    ],
)
def test_a_setting_is_read(text: str, setting: Setting) -> None:
    assert Setting.parse(text) == setting


@pytest.mark.parametrize(
    "text",
    [
        *("", "pca", "pca=maybe", "components=many", "components=0", "whitening=2"),
        *("model=", "neighbours=2", "colour=red", "pca=off,components=3"),
        *(",", " , ", "pca=on,pca=off", "components=2, Components=1"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(LookalikeError, match=r"\.$"):
        Setting.parse(text)


def test_fewer_components_are_the_first_ones() -> None:
    features = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    changed = Setting(components=2).reduce(pca())
    assert changed is not None
    assert project(features, changed) == pytest.approx(to_unit(features[:, :2]), abs=1e-6)


def test_whitening_divides_by_the_spread() -> None:
    features = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    changed = Setting(whitening=1).reduce(pca())
    assert changed is not None
    expected = to_unit(to_unit(features)[:, :3] / np.sqrt([4, 2, 1]))
    assert project(features, changed) == pytest.approx(expected, abs=1e-6)
    assert changed.whitening == 1
    assert changed.fingerprint != pca().fingerprint


def test_without_a_pca_the_features_are_made_unit() -> None:
    features = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    assert Setting(pca=False).reduce(pca()) is None
    assert (project(features, None) == to_unit(features)).all()


@pytest.mark.parametrize(
    ("setting", "reduction", "sentence"),
    [
        (Setting(components=9), pca(), "has 3 components, not 9"),
        (Setting(components=2), None, "no PCA to change"),
        (Setting(whitening=0), None, "no PCA to change"),
        (Setting(whitening=0.5), pca(variance=False), "no variances"),
    ],
    ids=["too many", "no PCA", "nothing to unwhiten", "no variances"],
)
def test_what_there_is_not_is_refused(
    setting: Setting, reduction: Reduction | None, sentence: str
) -> None:
    with pytest.raises(LookalikeError, match=sentence):
        setting.reduce(reduction)


def compared(first: Labelled, second: Labelled) -> Comparison:
    return compare(evaluate(first, None, "first"), evaluate(second, None, "second"))


def test_the_same_twice_differs_by_nothing() -> None:
    same = compared(clouds(0.5, 0), clouds(0.5, 0))
    for gap in same.differences.values():
        assert (gap.mean, gap.low, gap.high) == (0, 0, 0)
        assert not gap.is_more_than_chance
        assert gap.verdict == "the same"
    few = compared(clouds(0.5, 0, 27), clouds(0.5, 0, 27))
    assert few.differences["P@1"].verdict == "too few to tell"


def test_a_difference_that_cancels_out_may_be_chance() -> None:
    assert Difference(0.0, -0.4, 0.4, 1000).verdict == "may be chance"
    assert Difference(0.0, 0.0, 0.4, 1000).verdict == "may be chance"


def test_a_clear_loss_is_more_than_chance() -> None:
    gap = compared(clouds(0.3, 0), clouds(0.9, 1)).differences["P@10"]
    assert gap.mean < gap.high < 0
    assert gap.is_more_than_chance


def test_what_differs_by_luck_alone_is_called_chance_about_nineteen_times_in_twenty() -> None:
    found = evaluate(clouds(0.5, 0, 60), None, "either")
    luck = np.random.default_rng(0).normal(0, 0.1, (60, *found.per_query.shape))
    called = [
        compare(found, replace(found, per_query=found.per_query + one)).differences["mAP"]
        for one in luck
    ]
    assert sum(gap.is_more_than_chance for gap in called) <= 8


def test_of_a_handful_of_queries_nothing_is_said_to_be_more_than_chance() -> None:
    few, many = (compared(clouds(0.1, 0, n), clouds(3, 1, n)) for n in (27, 30))
    assert few.differences["P@1"].high < 0
    assert few.differences["P@1"].verdict == "too few to tell"
    assert many.differences["P@1"].verdict == "more than chance"
    assert "too few to tell" in as_table(few)
    assert "too few to tell" in compare_section(few)


def test_pairing_sees_what_two_intervals_that_overlap_hide() -> None:
    first, second = evaluate(clouds(0.5, 0), None, "a"), evaluate(clouds(0.5, 0), None, "b")
    second.per_query[:, 4] += 0.01  # a little better on every single query
    found = compare(first, second)
    score = first.overall["mAP"]
    assert score.low < score.mean + 1 < score.high
    assert found.differences["mAP"].is_more_than_chance
    assert found.differences["mAP"].mean == pytest.approx(1)


def test_other_queries_are_not_compared() -> None:
    pictures = clouds(0.5, 0)
    part = SelfTest(pictures, None, "part", rows=np.arange(10))
    with pytest.raises(ValueError, match="different queries"):
        compare(evaluate(pictures, None, "whole"), part.summarise(list(part.rank())))


def test_the_table_names_both_settings_and_says_whether_it_is_chance() -> None:
    table = as_table(compared(clouds(0.3, 0), clouds(0.9, 1)))
    assert "A: first" in table
    assert "B: second" in table
    assert "more than chance" in table
    assert "ranked" not in table


def test_a_bound_that_is_not_zero_is_not_shown_as_zero() -> None:
    found = compared(clouds(0.3, 0), clouds(0.9, 1))
    found.differences["P@20"] = Difference(-1.67, -3.67, -0.0021, 300)
    assert "-3.67 to -0.0021, more than chance" in as_table(found)
    assert "3.67 to \N{MINUS SIGN}0.0021" in compare_section(found)
    assert [signed(one) for one in (-0.0, -1e-15, -0.006)] == ["+0.00", "+0.00", "-0.01"]


def test_what_is_ranked_in_another_way_is_named_by_it() -> None:
    test = SelfTest(clouds(0.5, 0), None, "one network", reranked=True)
    both = (test, replace(test, reranked=False))
    comparison = compare(*(one.summarise(list(one.rank())) for one in both))
    for text in (as_table(comparison), compare_section(comparison)):
        assert "one network, ranked by the cosine, then the first" in text
        assert "one network, ranked by the cosine alone" in text
        assert text.count("ranked") == 2
