"""Principal components: parity with scikit-learn, and pickles that cannot run code."""

import os
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA, TruncatedSVD

from retrieval.errors import LookalikeError
from retrieval.model import ModelCard
from retrieval.reduction import Reduction, fit_pca, load_pca, save_pca, to_unit
from tests.made import SQUASH_8

CARD = ModelCard("made up", "pool5", "mean", 24, "a" * 64, SQUASH_8)
OTHER_WEIGHTS = ModelCard("made up", "pool5", "mean", 24, "b" * 64, SQUASH_8)


def made_features(n: int = 200, seed: int = 0) -> np.ndarray:
    """Return `(n, 24)` features as a network's: none negative, and correlated."""
    generator = np.random.default_rng(seed)
    mixed = generator.standard_normal((n, 8)) @ generator.standard_normal((8, 24))
    return np.maximum(mixed + 0.1 * generator.standard_normal((n, 24)), 0).astype(np.float32)


def fitted(path: Path, components: int = 6, whitening: float = 0.0) -> Path:
    save_pca(fit_pca(made_features(), CARD, components, whitening), path / "pca.pkl")
    return path / "pca.pkl"


def altered(path: Path, alter: Callable[[dict[str, Any]], object]) -> Path:
    """Change what a PCA's pickle holds, and write it back."""
    kept = pickle.loads(path.read_bytes())
    alter(kept)
    path.write_bytes(pickle.dumps(kept))
    return path


def test_unit_rows_have_length_one_and_zeros_stay_zeros() -> None:
    rows = to_unit(np.array([[3, 4], [0, 0], [-2, 0], [1e-9, 0]]))
    assert rows.dtype == np.float32
    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0], [-1, 0], [1, 0]]


def test_projecting_is_scikit_learns_transform_of_unit_features(tmp_path: Path) -> None:
    theirs = PCA(6, random_state=0).fit(to_unit(made_features()))
    queries = made_features(50, seed=1)
    ours = load_pca(fitted(tmp_path), CARD).project(queries)
    assert ours.dtype == np.float32
    assert ours == pytest.approx(to_unit(theirs.transform(to_unit(queries))), abs=1e-5)


def test_full_whitening_is_scikit_learns(tmp_path: Path) -> None:
    theirs = PCA(6, random_state=0, whiten=True).fit(to_unit(made_features()))
    queries = made_features(50, seed=1)
    ours = load_pca(fitted(tmp_path, whitening=1), CARD).project(queries)
    assert ours == pytest.approx(to_unit(theirs.transform(to_unit(queries))), abs=1e-4)


def test_half_whitening_divides_by_the_fourth_root_of_the_variance(tmp_path: Path) -> None:
    theirs = PCA(6, random_state=0).fit(to_unit(made_features()))
    queries = made_features(50, seed=1)
    expected = theirs.transform(to_unit(queries)) / theirs.explained_variance_**0.25
    reduction = load_pca(fitted(tmp_path, whitening=0.5), CARD)
    assert reduction.whitening == 0.5
    assert reduction.project(queries) == pytest.approx(to_unit(expected), abs=1e-4)


def test_what_is_projected_does_not_depend_on_the_features_length(tmp_path: Path) -> None:
    reduction = load_pca(fitted(tmp_path), CARD)
    features = made_features(5)
    assert reduction.project(features * 1000) == pytest.approx(
        reduction.project(features), abs=1e-5
    )


@pytest.mark.parametrize(
    ("pictures", "asked", "given"),
    [(200, 6, 6), (200, 500, 24), (5, 6, 4), (2, 6, 1)],
    ids=["as asked", "as the features have", "one fewer than pictures", "two pictures"],
)
def test_there_are_as_many_components_as_pictures_and_features_allow(
    tmp_path: Path, pictures: int, asked: int, given: int
) -> None:
    save_pca(fit_pca(made_features(pictures), CARD, asked), tmp_path / "pca.pkl")
    reduction = load_pca(tmp_path / "pca.pkl", CARD)
    assert (reduction.dimension, reduction.fitted_on) == (given, pictures)


def test_one_picture_is_too_few() -> None:
    with pytest.raises(LookalikeError, match="at least two"):
        fit_pca(made_features(1), CARD, 6)


@pytest.mark.parametrize("whitening", [0.5, 1])
def test_a_copy_adds_no_component_of_nothing_that_whitening_would_make_all_that_counts(
    tmp_path: Path, whitening: float
) -> None:
    features, queries = made_features(10), made_features(50, seed=1)
    alike = []
    for pictures in (features, np.concatenate([features, features[:3]])):
        save_pca(fit_pca(pictures, CARD, 12, whitening), tmp_path / "pca.pkl")
        reduction = load_pca(tmp_path / "pca.pkl", CARD)
        assert (reduction.dimension, reduction.fitted_on) == (9, len(pictures))
        embedded = reduction.project(queries)
        alike.append(float(np.median(np.abs(embedded @ embedded.T))))
    assert alike[1] == pytest.approx(alike[0], abs=0.1)


@pytest.mark.parametrize("n", [2, 30])
@pytest.mark.filterwarnings("error")
def test_pictures_that_all_look_the_same_are_refused(n: int) -> None:
    with pytest.raises(LookalikeError, match="look the same"):
        fit_pca(np.repeat(made_features(1), n, axis=0), CARD, 6)


def test_the_same_features_give_the_same_fingerprint_and_others_another(tmp_path: Path) -> None:
    first = load_pca(fitted(tmp_path), CARD).fingerprint
    assert load_pca(fitted(tmp_path), CARD).fingerprint == first
    assert load_pca(fitted(tmp_path, components=5), CARD).fingerprint != first
    assert load_pca(fitted(tmp_path, whitening=0.5), CARD).fingerprint != first


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["C", "F"])
def test_pickles_of_every_protocol_and_memory_order_are_read(
    tmp_path: Path, protocol: int, order: str
) -> None:
    path = fitted(tmp_path)
    expected = load_pca(path, CARD)
    kept = pickle.loads(path.read_bytes())
    kept["pca"].components_ = np.array(kept["pca"].components_, order=order)
    path.write_bytes(pickle.dumps(kept, protocol))
    read = load_pca(path, CARD)
    assert np.array_equal(read.components, expected.components)
    assert np.array_equal(read.mean, expected.mean)


def test_big_endian_numbers_are_read(tmp_path: Path) -> None:
    path = fitted(tmp_path)
    expected = load_pca(path, CARD).components

    def swap(kept: dict[str, Any]) -> None:
        kept["pca"].components_ = kept["pca"].components_.astype(">f8")

    read = load_pca(altered(path, swap), CARD).components
    assert np.array_equal(read, expected)


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        (OTHER_WEIGHTS, "fitted for another model"),
        (ModelCard("made up", "fc2", "", 24, "a" * 64, SQUASH_8), "fitted for another model"),
        (ModelCard("made up", "pool5", "gem", 24, "a" * 64, SQUASH_8), "fitted for another model"),
        (ModelCard("made up", "pool5", "mean", 9, "a" * 64, SQUASH_8), "fitted for another model"),
    ],
    ids=["weights", "layer", "pooling", "dimension"],
)
def test_a_pca_of_another_model_is_refused_with_the_cure(
    tmp_path: Path, card: ModelCard, sentence: str
) -> None:
    with pytest.raises(LookalikeError, match=sentence + r".*fit-pca FOLDER"):
        load_pca(fitted(tmp_path), card)


def test_a_missing_pca_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"no PCA .*gone\.pkl.*fit-pca FOLDER"):
        load_pca(tmp_path / "gone.pkl", CARD)


def shorten_mean(kept: dict[str, Any]) -> None:
    kept["pca"].mean_ = kept["pca"].mean_[:-1]


def turn_components(kept: dict[str, Any]) -> None:
    kept["pca"].components_ = kept["pca"].components_[::-1].copy()


def poison(kept: dict[str, Any]) -> None:
    kept["pca"].components_[0, 0] = np.nan


def objects(kept: dict[str, Any]) -> None:
    kept["pca"].mean_ = kept["pca"].mean_.astype(object)


def addresses(kept: dict[str, Any]) -> None:
    # NumPy would take these bytes for 24 objects at 0x4141414141414141.
    kept["pca"].mean_ = Call(np.ndarray, (24,), np.dtype(object), b"\x41" * 8 * 24)


@pytest.mark.parametrize(
    ("alter", "sentence"),
    [
        (lambda kept: kept.update(probe=kept["probe"] * 1.01), "no longer gives"),
        (lambda kept: kept.update(projected=kept["projected"] + 0.01), "no longer gives"),
        (turn_components, "no longer gives"),
        (lambda kept: kept.update(scikit_learn="0.1", probe=kept["probe"][:, ::-1]), "learn 0.1"),
        (shorten_mean, "damaged"),
        (poison, "damaged"),
        (objects, "damaged"),
        (addresses, "damaged"),
        (lambda kept: kept.pop("probe"), "damaged"),
        (lambda kept: kept.update(format_version=99), "another version"),
        (lambda kept: kept.update(pca={"components_": np.eye(3)}), "another version"),
        (lambda kept: kept.update(whitening="much"), "damaged"),
    ],
    ids=[
        "probe",
        "projection",
        "components",
        "probe of another scikit-learn",
        "shape",
        "not a number",
        "objects",
        "addresses of objects",
        "no probe",
        "version",
        "no PCA",
        "whitening",
    ],
)
def test_an_altered_pca_is_refused(
    tmp_path: Path, alter: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    path = altered(fitted(tmp_path), alter)
    with pytest.raises(LookalikeError, match=rf"(?s){sentence}.*(fit-pca FOLDER|Fit it again)"):
        load_pca(path, CARD)


@pytest.mark.parametrize("part", ["mean_", "explained_variance_", "probe", "projected"])
def test_what_says_of_itself_where_its_numbers_lie_is_no_array(tmp_path: Path, part: str) -> None:
    numbers = {"mean_": np.zeros(24), "explained_variance_": np.ones(6), "probe": np.zeros((1, 24))}
    memory = numbers.get(part, np.zeros((1, 6)))  # what anything else of this process might be
    reader = PCA(2).fit(np.random.default_rng(0).random((10, 24)))
    reader.__dict__["__array_interface__"] = memory.__array_interface__

    def alter(kept: dict[str, Any]) -> None:
        # The right ones, so that nothing else is wrong with it.
        kept["pca"].components_ = np.zeros((6, 24))
        kept["projected"] = np.zeros((1, 6))
        if part in kept:
            kept[part] = reader
        else:
            setattr(kept["pca"], part, reader)

    with pytest.raises(LookalikeError, match=r"damaged or not a PCA of ours.*fit-pca FOLDER"):
        load_pca(altered(fitted(tmp_path), alter), CARD)


@pytest.mark.parametrize("size", [0, 1, 100, -1, -100], ids=lambda size: f"{size} bytes")
def test_a_pickle_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    path = fitted(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(LookalikeError, match="damaged"):
        load_pca(path, CARD)


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pca_beside_very_many_other_things_is_read(tmp_path: Path, protocol: int) -> None:
    path = fitted(tmp_path)
    expected = load_pca(path, CARD)
    kept = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps({"more": [str(n) for n in range(10_000)], **kept}, protocol))
    assert load_pca(path, CARD).fingerprint == expected.fingerprint


HUGE = 2**24


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04Nr" + struct.pack("<I", HUGE) + b".",
        b"Np%d\n." % HUGE,
        b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b".",
    ],
    ids=["a number", "a number in letters", "bytes that are not there"],
)
def test_a_pickle_takes_no_more_memory_than_it_has_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "pca.pkl"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(LookalikeError, match=r"damaged or not a PCA.*fit-pca FOLDER"):
        load_pca(path, CARD)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_names_in_a_pca_are_told_without_signs_that_do_something(tmp_path: Path) -> None:
    for name, told in (("\x1b]0;t\x07 \ud800", "\ufffd]0;t\ufffd \\ud800"), ([1], "unknown")):
        path = altered(fitted(tmp_path), lambda kept, name=name: kept.update(model=name))
        with pytest.raises(LookalikeError) as error:
            load_pca(path, OTHER_WEIGHTS)
        assert f"another model ({told}), not for" in str(error.value)


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


def remark(path: Path) -> str:
    return f"open({str(path)!r}, 'w').close()"


def sealed_in_a_pca(hostile: object) -> object:
    """Hide something in one of the PCA's own arrays."""
    pca = PCA(2).fit(np.random.default_rng(0).random((10, 24)))
    pca.mean_ = np.array([hostile], dtype=object)
    return pca


@pytest.mark.parametrize(
    "hostile",
    [
        lambda trace: Call(os.system, f"echo > {trace}"),
        lambda trace: Call(eval, remark(trace)),
        lambda trace: Call(exec, remark(trace)),
        lambda trace: Call(getattr, Call(__import__, "os"), "system"),
        lambda trace: Call(np.ndarray, Call(eval, remark(trace))),
        lambda trace: sealed_in_a_pca(Call(eval, remark(trace))),
        lambda trace: np.array([Call(eval, remark(trace))], dtype=object),
        lambda trace: {"pca": Call(np.load, str(trace), None, True)},
        lambda trace: Call(np.ndarray, (1,), np.dtype(object), b"\x41" * 8),
        lambda trace: Call(np.dtype, "O"),
        lambda trace: Call(np.dtype, [("a", "O")]),
        lambda trace: TruncatedSVD(2),
        lambda trace: np.random.default_rng(0),
        lambda trace: trace,
    ],
    ids=[
        "os.system",
        "eval",
        "exec",
        "getattr and import",
        "nested in a call that is allowed",
        "in the PCA's array",
        "array of objects",
        "a function of NumPy",
        "array of addresses",
        "type of objects",
        "record of objects",
        "another class of scikit-learn",
        "another class of NumPy",
        "a class of Python's",
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_hostile_pickle_is_refused_and_nothing_of_it_runs(
    tmp_path: Path, hostile: Callable[[Path], object], protocol: int
) -> None:
    trace, path = tmp_path / "trace", tmp_path / "pca.pkl"
    path.write_bytes(pickle.dumps(hostile(trace), protocol))
    with pytest.raises(LookalikeError, match=r"damaged or not a PCA.*fit-pca FOLDER"):
        load_pca(path, CARD)
    assert not trace.exists()


@pytest.mark.parametrize(
    "tail",
    [
        b"csklearn.decomposition._pca\nPCA\n(N(dX\x0c\x00\x00\x00__setstate__I1\nstb.",
        b"cnumpy\nndarray\n(N(dX\x0c\x00\x00\x00__setstate__I1\nstb.",
        b"cnumpy.core.numeric\n_frombuffer\n(N(dX\x0c\x00\x00\x00__setstate__I1\nstb.",
    ],
    ids=["PCA", "ndarray", "_frombuffer"],
)
def test_a_pickle_cannot_change_the_classes_that_read_it(tmp_path: Path, tail: bytes) -> None:
    good, bad = fitted(tmp_path), tmp_path / "bad.pkl"
    # GLOBAL and BUILD: sets an attribute of the class itself where nothing forbids it.
    bad.write_bytes(b"\x80\x02" + tail)
    with pytest.raises(LookalikeError, match="damaged"):
        load_pca(bad, CARD)
    assert load_pca(good, CARD).dimension == 6


@pytest.mark.parametrize(
    "parts",
    [
        {"mean": np.zeros(4, np.float32)},
        {"scale": np.ones(3, np.float32)},
        {"mean": np.full(3, np.inf, np.float32)},
    ],
    ids=["mean of another length", "scale of another length", "infinite"],
)
def test_parts_that_do_not_belong_together_are_refused(parts: dict[str, np.ndarray]) -> None:
    right = {
        "mean": np.zeros(3, np.float32),
        "components": np.eye(2, 3, dtype=np.float32),
        "scale": np.ones(2, np.float32),
    }
    with pytest.raises(ValueError, match=r"together|finite"):
        Reduction(**{**right, **parts}, whitening=0.0, fitted_on=10)
