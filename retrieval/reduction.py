"""Principal components: fitted with scikit-learn, kept in a pickle that cannot run code."""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.errors import LookalikeError
from retrieval.files import replace_when_done
from retrieval.model import ModelCard
from retrieval.paths import as_text
from retrieval.pickles import ARRAYS, ArrayUnpickler, StoredArray
from retrieval.settings import PYTHON
from retrieval.terminal import printable

Matrix = npt.NDArray[np.float32]
FORMAT_VERSION = 1
# A component that varies less, as a share of the first one, is rounding: copies and very few
# pictures leave such ones, and whitening would make them all that counts.
LEAST_VARIANCE = 1e-6


def to_unit(vectors: npt.NDArray[Any]) -> Matrix:
    """Scale the rows of `(n, d)` to length 1; a row of zeros stays zero."""
    vectors = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Matrix = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit


@dataclass(frozen=True)
class Reduction:
    """A fitted PCA as the linear map it is: unit features to unit embeddings."""

    mean: Matrix  # (d,)
    components: Matrix  # (k, d), orthonormal rows, by falling variance
    scale: Matrix  # (k,), variance to the power of minus half the whitening: ones without it
    whitening: float  # 0: none, 1: every component has equal weight
    fitted_on: int  # pictures
    variance: Matrix | None = None  # (k,), of each component; None when it was not kept

    def __post_init__(self) -> None:
        k, d = self.components.shape
        if self.mean.shape != (d,) or self.scale.shape != (k,):
            raise ValueError("mean, components and scale do not belong together")
        if not all(np.isfinite(part).all() for part in (self.mean, self.components, self.scale)):
            raise ValueError("a PCA of numbers that are not finite")

    @property
    def dimension(self) -> int:
        """How many numbers an embedding has."""
        return len(self.components)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that are equal when embeddings can be compared."""
        parts = (self.mean, self.components, self.scale)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]

    def variant(self, components: int | None = None, whitening: float | None = None) -> "Reduction":
        """Return the same PCA with fewer components, or with another whitening.

        The first components of a PCA are the PCA with fewer, so nothing is fitted anew.

        Raises:
            LookalikeError: when it has fewer components, or does not know their variances.
        """
        k = components or self.dimension
        if not 1 <= k <= self.dimension:
            raise LookalikeError(
                f"The PCA has {self.dimension} components, not {k}. Name at most as many."
            )
        scale, amount = self.scale, self.whitening
        if whitening is not None and whitening != amount:
            if self.variance is None:
                raise LookalikeError(
                    "The PCA keeps no variances, so it cannot whiten. Fit it again."
                )
            scale, amount = _scale(self.variance, whitening), whitening
        variance = self.variance if self.variance is None else self.variance[:k]
        return replace(
            self,
            components=self.components[:k],
            scale=scale[:k],
            whitening=amount,
            variance=variance,
        )

    def project(self, features: Matrix) -> Matrix:
        """Map features `(n, d)` to unit embeddings `(n, k)`: unit, centred, projected, unit."""
        return to_unit(((to_unit(features) - self.mean) @ self.components.T) * self.scale)


def project(features: Matrix, reduction: Reduction | None) -> Matrix:
    """Map features `(n, d)` to unit embeddings `(n, k)`; without a PCA they are only made unit."""
    return reduction.project(features) if reduction else to_unit(features)


def fit_pca(features: Matrix, card: ModelCard, components: int, whitening: float = 0.0) -> bytes:
    """Fit scikit-learn's PCA on features `(n, d)` and return the pickle to be kept.

    It has fewer components than asked for where the pictures differ in fewer ways.

    Beside the PCA it holds the model's fingerprint, and a probe vector with its projection, by
    which a later version of scikit-learn is recognised as agreeing or not.

    Raises:
        LookalikeError: with fewer than two pictures, or where all are alike.
    """
    # scikit-learn takes over a second to import, and only fitting needs it.
    import sklearn
    from sklearn.decomposition import PCA

    n, d = features.shape
    if n < 2:
        raise LookalikeError("A PCA needs at least two pictures. Name a folder with more.")
    unit = to_unit(features)
    if np.allclose(unit, unit[0], rtol=0, atol=1e-6):
        raise LookalikeError("All these pictures look the same. Name a folder with others.")
    pca = PCA(n_components=min(components, n - 1, d), random_state=0).fit(unit)
    variance = pca.explained_variance_
    varying = int((variance > LEAST_VARIANCE * variance[0]).sum())
    if varying < len(variance):
        pca = PCA(n_components=varying, random_state=0).fit(unit)
    probe = to_unit(np.random.default_rng(0).random((1, d)))
    return pickle.dumps(
        {
            "format_version": FORMAT_VERSION,
            "pca": pca,
            "whitening": float(whitening),
            "model": card.name,
            "model_fingerprint": card.fingerprint,
            "fitted_on": n,
            "scikit_learn": sklearn.__version__,
            "probe": probe,
            "projected": pca.transform(probe),
        }
    )


def save_pca(pickled: bytes, path: Path) -> None:
    """Write what `fit_pca` returned, whole or not at all."""
    with replace_when_done(path) as temporary:
        temporary.write_bytes(pickled)


def load_pca(path: Path, card: ModelCard, dimension: int | None = None) -> Reduction:
    """Read a PCA fitted for the model of `card`.

    Args:
        dimension: how many numbers it takes; those of a feature by default.

    Raises:
        LookalikeError: when the file is missing, damaged, holds anything but a PCA, was fitted for
            another model, or no longer projects its probe to the stored result.
    """
    cure = f"Fit one with: {PYTHON} -m retrieval fit-pca FOLDER --model FILE"
    if not path.is_file():
        raise LookalikeError(f"There is no PCA for this model at {path}. {cure}")
    try:
        kept = _PcaUnpickler(path.read_bytes()).load()
        for_model = kept["model_fingerprint"]
        reduction = _from_parts(kept)
        probe, projected = _numbers(kept["probe"]), _numbers(kept["projected"])
        ours = (probe - reduction.mean) @ reduction.components.T
        agrees = ours.shape == projected.shape and np.allclose(ours, projected, atol=1e-4)
    except LookalikeError:
        raise
    except Exception as error:  # hostile bytes make an unpickler raise whatever they like
        raise LookalikeError(f"{path.name} is damaged or not a PCA of ours. {cure}") from error
    if for_model != card.fingerprint or reduction.mean.shape != (dimension or card.dimension,):
        raise LookalikeError(
            f"{path.name} was fitted for another model ({_name_in(kept, 'model')}), not for "
            f"{card.name}, {card.layer}. {cure}"
        )
    if not agrees:
        raise LookalikeError(
            f"{path.name} was made by scikit-learn {_name_in(kept, 'scikit_learn')} and no longer "
            f"gives the results that it gave there. {cure}"
        )
    return reduction


def _from_parts(kept: dict[str, Any]) -> Reduction:
    pca = kept["pca"]
    if kept["format_version"] != FORMAT_VERSION or not isinstance(pca, _StoredPca):
        raise LookalikeError(
            "The PCA was written by another version of this program. Fit it again."
        )
    variance = np.asarray(_numbers(pca.explained_variance_), np.float32)
    whitening = float(kept["whitening"])
    return Reduction(
        mean=np.asarray(_numbers(pca.mean_), np.float32),
        components=np.ascontiguousarray(_numbers(pca.components_), np.float32),
        scale=_scale(variance, whitening),
        whitening=whitening,
        fitted_on=int(kept["fitted_on"]),
        variance=variance,
    )


def _name_in(kept: dict[str, Any], key: str) -> str:
    """Return a name in the pickle as a sentence can hold it."""
    name = kept.get(key)
    return printable(as_text(name[:200])) if isinstance(name, str) else "unknown"


def _numbers(stored: object) -> npt.NDArray[Any]:
    """Return the numbers of an array in the pickle.

    NumPy would take whatever says of itself where its numbers lie for an array as well, and read
    any memory.
    """
    if not isinstance(stored, StoredArray):
        raise pickle.UnpicklingError(f"{type(stored).__name__} is no array")
    return stored.values


def _scale(variance: Matrix, whitening: float) -> Matrix:
    scale = np.maximum(variance.astype(np.float64), 1e-12) ** (-whitening / 2)
    return scale.astype(np.float32)


class _StoredPca:
    """Stands in for scikit-learn's PCA while unpickling: its numbers are read, no code of it runs.

    So the app starts without importing scikit-learn, and a pickle has nothing to call.
    """

    mean_: object
    components_: object
    explained_variance_: object

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the three that are read, and no other: NumPy and Python follow some names."""
        self.mean_ = state["mean_"]
        self.components_ = state["components_"]
        self.explained_variance_ = state["explained_variance_"]


class _PcaUnpickler(ArrayUnpickler):
    """Knows the PCA's class and what NumPy's arrays are pickled with, and nothing else."""

    STAND_INS: Mapping[tuple[str, str], type] = {
        **ARRAYS,
        ("sklearn.decomposition._pca", "PCA"): _StoredPca,
    }
