"""Evaluation: by hand, and against scikit-learn and torchmetrics."""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from retrieval import rankings
from retrieval.errors import LookalikeError
from retrieval.evaluation import (
    METRICS,
    Labelled,
    SelfTest,
    as_rows,
    as_table,
    bootstrap,
    evaluate,
    measure_queries,
)
from retrieval.reduction import to_unit
from tests.made import need


def random_pictures(n: int, classes: int, seed: int) -> Labelled:
    """Return `n` embeddings of 8 numbers that know a little of their class."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(0, classes, n)
    centres = np.random.default_rng(99).standard_normal((classes, 8))
    vectors = to_unit(centres[numbers] + 2 * generator.standard_normal((n, 8)))
    return Labelled(vectors, tuple(f"class {number}" for number in numbers))


def at_angles(**degrees: float) -> Labelled:
    """Return pictures on a circle; the first letter of a name is its class."""
    angles = np.radians(list(degrees.values()))
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return Labelled(vectors, tuple(name[0] for name in degrees))


def column(per_query: np.ndarray, metric: str) -> list[float]:
    return per_query[:, METRICS.index(metric)].tolist()


def test_an_example_that_one_can_do_by_hand() -> None:
    collection = at_angles(a1=0, b1=10, a2=21, b2=33, b3=50)
    # Leave one out; the neighbours by angle, and which of them are relevant:
    # a1: b1 a2 b2 b3   0 1 0 0
    # b1: a1 a2 b2 b3   0 0 1 1
    # a2: b1 b2 a1 b3   0 0 1 0
    # b2: a2 b3 b1 a1   0 1 1 0
    # b3: b2 a2 b1 a1   1 0 1 0
    per_query = evaluate(collection, None, "by hand").per_query
    assert column(per_query, "P@1") == [0, 0, 0, 0, 1]
    assert column(per_query, "P@10") == pytest.approx([0.1, 0.2, 0.1, 0.2, 0.2])
    assert column(per_query, "P@20") == pytest.approx([0.05, 0.1, 0.05, 0.1, 0.1])
    assert column(per_query, "hit@10") == [1, 1, 1, 1, 1]
    expected = [1 / 2, (1 / 3 + 2 / 4) / 2, 1 / 3, (1 / 2 + 2 / 3) / 2, (1 + 2 / 3) / 2]
    assert column(per_query, "mAP") == pytest.approx(expected)


def test_separate_queries_rank_the_whole_collection() -> None:
    collection = at_angles(a1=0, b1=10, a2=21, b2=33)
    queries = at_angles(a=0, b=33, c=5)
    evaluation = evaluate(collection, queries, "by hand")
    # a: a1 b1 a2 b2, 1 0 1 0; b: b2 a2 b1 a1, 1 0 1 0; c: nothing is relevant.
    assert column(evaluation.per_query, "mAP") == pytest.approx([5 / 6, 5 / 6, 0])
    assert column(evaluation.per_query, "P@1") == [1, 1, 0]
    assert column(evaluation.per_query, "hit@10") == [1, 1, 0]
    assert evaluation.overall["mAP"].mean == pytest.approx(100 * (5 / 6 + 5 / 6) / 3)
    assert "1 query, counted as 0" in evaluation.protocol["without a relevant picture"]


def test_how_high_precision_can_be_at_all_is_said_where_kinds_are_small() -> None:
    perfect = evaluate(at_angles(a1=0, a2=1, a3=2, b1=90, b2=91, b3=92), None, "by hand")
    assert perfect.overall["mAP"].mean == 100
    assert perfect.overall["P@10"].mean == pytest.approx(20)
    assert perfect.protocol["highest possible"].startswith("P@10 20.0 %, P@20 10.0 %,")
    large = random_pictures(100, classes=2, seed=0)
    assert "highest possible" not in evaluate(large, None, "by hand").protocol


def cosines(collection: Labelled, queries: Labelled, i: int, leave_one_out: bool) -> tuple:
    """Return similarities and relevance of query `i`, itself left out if asked for."""
    similarities = collection.vectors @ queries.vectors[i]
    relevant = np.array([label == queries.labels[i] for label in collection.labels])
    if leave_one_out:
        similarities, relevant = np.delete(similarities, i), np.delete(relevant, i)
    return similarities, relevant


@pytest.mark.parametrize("block", [50, 10**9], ids=["in many blocks", "in one block"])
@pytest.mark.parametrize("leave_one_out", [True, False], ids=["leave one out", "queries"])
def test_average_precision_is_scikit_learns(
    monkeypatch: pytest.MonkeyPatch, leave_one_out: bool, block: int
) -> None:
    monkeypatch.setattr(rankings, "BLOCK", block)
    collection = random_pictures(157, classes=5, seed=0)
    queries = collection if leave_one_out else random_pictures(40, classes=5, seed=1)
    ours = column(measure_queries(collection, queries, leave_one_out), "mAP")
    for i, value in enumerate(ours):
        similarities, relevant = cosines(collection, queries, i, leave_one_out)
        assert value == pytest.approx(average_precision_score(relevant, similarities), abs=1e-6)


@pytest.mark.parametrize("leave_one_out", [True, False], ids=["leave one out", "queries"])
@pytest.mark.parametrize("n", [157, 15, 8], ids=lambda n: f"{n} pictures")
def test_all_figures_are_those_of_torchmetrics(leave_one_out: bool, n: int) -> None:
    torch = need("torch", "pip install -r export/requirements.txt")
    retrieval = need("torchmetrics.retrieval", "pip install -r tests/requirements.txt")
    collection = random_pictures(n, classes=2, seed=0)
    queries = collection if leave_one_out else random_pictures(20, classes=2, seed=1)
    theirs = {
        "P@1": retrieval.RetrievalPrecision(top_k=1),
        "P@10": retrieval.RetrievalPrecision(top_k=10),
        "P@20": retrieval.RetrievalPrecision(top_k=20),
        "hit@10": retrieval.RetrievalHitRate(top_k=10),
        "mAP": retrieval.RetrievalMAP(),
    }
    for i in range(len(queries.labels)):
        similarities, relevant = cosines(collection, queries, i, leave_one_out)
        for metric in theirs.values():
            metric.update(
                torch.from_numpy(similarities) + 2,  # it takes what is not positive for not found
                torch.from_numpy(relevant),
                indexes=torch.full((len(relevant),), i),
            )
    means = measure_queries(collection, queries, leave_one_out).mean(axis=0)
    expected = [float(theirs[metric].compute()) for metric in METRICS]
    assert means.tolist() == pytest.approx(expected, abs=1e-5)


def test_a_perfect_ranking_has_a_hundred_everywhere() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), 30, axis=0)
    evaluation = evaluate(Labelled(vectors, ("a",) * 30 + ("b",) * 30 + ("c",) * 30), None, "m")
    for metric in METRICS:
        score = evaluation.overall[metric]
        assert (score.mean, score.low, score.high) == (100, 100, 100)


def test_copies_do_not_let_a_picture_find_itself() -> None:
    # Two identical pictures of different classes: each is the other's first, wrong, neighbour.
    vectors = np.repeat(np.eye(2, dtype=np.float32), 2, axis=0)
    per_query = evaluate(Labelled(vectors, ("a", "b", "a", "b")), None, "m").per_query
    assert column(per_query, "P@1") == [0, 0, 0, 0]


def test_the_classes_are_measured_apart_and_average_to_the_whole() -> None:
    pictures = random_pictures(120, classes=4, seed=3)
    evaluation = evaluate(pictures, None, "m")
    assert [row.label for row in evaluation.classes] == [f"class {i}" for i in range(4)]
    for row in evaluation.classes:
        assert row.queries == pictures.labels.count(row.label)
        assert row.relevant == row.queries - 1
    weighted = sum(row.queries * row.scores["mAP"].mean for row in evaluation.classes) / 120
    assert evaluation.overall["mAP"].mean == pytest.approx(weighted)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ((), "too few"),
        (("a",), "too few"),
        (("a", "a", "a"), "same kind, a, .*subfolder"),
        (("a", "b", "c"), "single picture.*at least two"),
    ],
    ids=["nothing", "one picture", "one class", "a picture of each"],
)
def test_what_cannot_be_compared_is_refused_with_the_cure(
    labels: tuple[str, ...], sentence: str
) -> None:
    vectors = np.ones((len(labels), 1), np.float32)
    with pytest.raises(LookalikeError, match=sentence):
        evaluate(Labelled(vectors, labels), None, "m")


def test_the_interval_is_about_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(5).normal(0.6, 0.2, (400, 1))
    low, high = bootstrap(values)[:, 0]
    margin = 1.96 * values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - margin, abs=0.1 * margin)
    assert high == pytest.approx(values.mean() + margin, abs=0.1 * margin)


def test_the_interval_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    generator = np.random.default_rng(6)
    # 200 columns are 200 experiments, in each of which the true mean is a half.
    low, high = bootstrap(generator.integers(0, 2, (300, 200)).astype(float))
    covered = ((low <= 0.5) & (high >= 0.5)).mean()
    assert 0.88 <= covered <= 0.99


def test_the_interval_is_the_same_each_time_and_shrinks_with_more_queries() -> None:
    few, many = np.tile([[0.0], [1.0]], (10, 1)), np.tile([[0.0], [1.0]], (1000, 1))
    assert np.array_equal(bootstrap(few), bootstrap(few))
    assert np.ptp(bootstrap(many)) < np.ptp(bootstrap(few)) / 5


def test_the_table_shows_every_class_the_whole_and_how_it_was_measured() -> None:
    table = as_table(evaluate(random_pictures(60, classes=3, seed=0), None, "a made-up model"))
    lines = table.splitlines()
    assert lines[0].split() == ["queries", *METRICS]
    assert [line[:7] for line in lines[1:4]] == ["class 0", "class 1", "class 2"]
    assert lines[4].startswith("all queries")
    assert "model: a made-up model" in lines
    assert any(line.startswith("query itself: left out") for line in lines)
    assert any(line.startswith("intervals: 95 %") for line in lines)


def test_the_rows_carry_the_figures_with_their_intervals() -> None:
    evaluation = evaluate(random_pictures(60, classes=3, seed=0), None, "m")
    rows = as_rows(evaluation)
    assert [row["class"] for row in rows] == ["class 0", "class 1", "class 2", "all queries"]
    assert rows[-1]["queries"] == 60
    for metric in METRICS:
        low, mean, high = (rows[-1][f"{metric}{end}"] for end in (" low", "", " high"))
        assert low <= mean <= high
        assert mean == pytest.approx(evaluation.overall[metric].mean, abs=1e-3)


def test_a_kind_that_is_called_as_the_whole_is_told_apart_from_it() -> None:
    vectors = random_pictures(40, classes=2, seed=0).vectors
    evaluation = evaluate(Labelled(vectors, ("all queries", "b") * 20), None, "m")
    assert [row["class"] for row in as_rows(evaluation)] == [
        *("all queries", "b", "all queries of all kinds")
    ]
    starts = [line for line in as_table(evaluation).splitlines() if line.startswith("all queries")]
    assert [line.startswith("all queries of all kinds") for line in starts] == [False, True, False]


def test_queries_of_no_kind_that_there_is_are_refused_with_the_cure() -> None:
    collection, queries = at_angles(a1=0, b1=10), at_angles(c=0)
    with pytest.raises(LookalikeError, match=r"No query is of a kind.*in both folders"):
        evaluate(collection, queries, "m")


def test_one_long_label_does_not_make_all_of_them_long() -> None:
    # As an array of texts these labels would take 160 MB, and 8 KB more for every picture.
    vectors = to_unit(np.random.default_rng(0).standard_normal((20_000, 2)))
    labels = ("x" * 2_000, *(f"kind {i % 500}" for i in range(19_999)))
    test = SelfTest(Labelled(vectors, labels), None, "m", rows=np.arange(3))
    tracemalloc.start()
    try:
        found = test.summarise(list(test.rank()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60e6
    assert sorted(found.asked) == [one.label for one in found.classes]
