"""What a model's file says of itself, and the ONNX Runtime session that computes its features."""

import hashlib
import logging
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from retrieval.connected import Connected, read_connected
from retrieval.errors import LookalikeError
from retrieval.gpu_session import has_cuda_driver, open_gpu
from retrieval.openvino_session import OpenVinoSession, is_wanted
from retrieval.preprocessing import Preprocessing
from retrieval.settings import PYTHON
from retrieval.terminal import keeping_ctrl_c

NOT_LOADED = (
    "ONNX Runtime, which runs the network, cannot be loaded here. On Windows install what it needs "
    "from Microsoft, https://aka.ms/vs/17/release/vc_redist.x64.exe (with an ARM processor "
    "vc_redist.arm64.exe); elsewhere delete the folder .venv here. Then start again."
)
FORMAT_VERSION = 2  # of models whose small pictures are mirrored; the others are of the first
PREFIX = "lookalike."
# In 8 bits, as a number of steps. x86 processors without VNNI add products up in pairs of 16 bits,
# and 2 x 255 x 64 is the most that fits: with larger weights they would compute something else.
LARGEST_WEIGHT = 64

# Generalised mean pooling (GeM), (mean of x^p)^(1/p): what "gem" in a card means. The floor keeps
# the root's slope finite where a channel is silent.
GEM_POWER = 2.0
GEM_FLOOR = 1e-6

PROVIDERS = {
    "TensorrtExecutionProvider": "TensorRT",
    "CUDAExecutionProvider": "CUDA",
}


@dataclass(frozen=True)
class ModelCard:
    """What the file of a model says of itself; everything downstream reads it from here."""

    name: str  # for people: "VGG-16, ImageNet"
    layer: str  # "fc1", "fc2" or "pool5"
    pooling: str  # "mean" or "gem" before what takes 512 numbers; "" for VGG-16's own fc1 and fc2
    dimension: int  # numbers in one feature
    weights_sha256: str
    preprocessing: Preprocessing
    precision: str = "float"  # what it computes in: "float" or "int8"

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that are equal when features can be compared.

        The same weights stored in another precision keep their fingerprint; another layer,
        pooling or preprocessing does not.
        """
        parts: tuple[object, ...] = (self.layer, self.pooling, self.dimension)
        parts = (*parts, self.weights_sha256, self.preprocessing)
        if self.preprocessing.mirrored:
            parts = (*parts, self.preprocessing.mirrored)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def to_metadata(self) -> dict[str, str]:
        """Return the card as the key-value strings of an ONNX file's metadata."""
        how = asdict(self.preprocessing)
        # A program that cannot mirror is to say so, and all others are to go on.
        version = FORMAT_VERSION if how["mirrored"] else 1
        if not how["mirrored"]:
            del how["mirrored"]
        own = {key: value for key, value in asdict(self).items() if key != "preprocessing"}
        values = {"format_version": version, **own, **how}
        if self.precision == "int8":
            values["largest_weight"] = LARGEST_WEIGHT
        return {PREFIX + key: str(value) for key, value in values.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "ModelCard":
        """Read the card back.

        Raises:
            LookalikeError: when the file was not written by `python -m export`, or by a newer one.
        """
        try:
            version = int(metadata[PREFIX + "format_version"])
            if version > FORMAT_VERSION:
                raise LookalikeError(
                    "The model was exported by a newer version of this program. Update it."
                )
            precision = metadata.get(PREFIX + "precision", "float")
            largest = int(metadata.get(PREFIX + "largest_weight", 127))
            if precision == "int8" and largest > LARGEST_WEIGHT:
                raise LookalikeError(
                    "The model was stored in 8 bits by an earlier version, in a way that many "
                    f"processors compute wrongly. Make it again with: {PYTHON} -m export int8"
                )
            return cls(
                name=metadata[PREFIX + "name"],
                layer=metadata[PREFIX + "layer"],
                pooling=metadata[PREFIX + "pooling"],
                dimension=int(metadata[PREFIX + "dimension"]),
                weights_sha256=metadata[PREFIX + "weights_sha256"],
                preprocessing=Preprocessing(
                    side=int(metadata[PREFIX + "side"]),
                    fit=metadata[PREFIX + "fit"],
                    interpolation=metadata[PREFIX + "interpolation"],
                    resize=int(metadata[PREFIX + "resize"]),
                    mirrored=int(metadata.get(PREFIX + "mirrored", 0)),
                ),
                precision=precision,
            )
        except (KeyError, ValueError) as error:
            raise LookalikeError(
                f"The model's file does not say how it was made. Export it with: {PYTHON} -m export"
            ) from error


class FeatureExtractor(Protocol):
    """Turns preprocessed pictures into features: a network, or a baseline to judge it by."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def provider(self) -> str:
        """What computes, in a word or two: "CPU", "CPU, int8", "CUDA"."""
        ...

    def extract(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Map `(n, side, side, 3)` RGB pictures to `(n, dimension)` features."""
        ...


class Extractor(FeatureExtractor, Protocol):
    """What the app needs of a network; the one part that tests and engines swap."""

    def extract_with_texture(
        self, pictures: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the features, and the texture `(n, t)` from the same run of the network."""
        ...

    def side_by_side(self, calls: int) -> "Extractor | None":
        """Return one to be called from so many threads at once, or None where it is no faster."""
        ...


class OnnxExtractor:
    """The features of a model exported by `python -m export`, computed by ONNX Runtime.

    A model in 8 bits is run by OpenVINO on the CPU where that is installed.
    """

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        gpu: bool = True,
        calls: int = 1,
    ) -> None:
        """Open the model at `path`.

        CUDA is used where it really works, else the CPU, quietly; `provider` says which.

        Args:
            calls: from how many threads it will be called at once; each has its share of `threads`.

        Raises:
            LookalikeError: when there is no model, or the file is no model of ours.
        """
        # Importing takes a quarter of a second, and a page without a model never needs it.
        try:
            with keeping_ctrl_c():
                import onnxruntime as ort
        except ModuleNotFoundError:
            raise
        except ImportError as error:  # it is there, and one of the system's libraries is not
            raise LookalikeError(NOT_LOADED) from error

        ort.disable_telemetry_events()  # on Windows; elsewhere it is off already

        if not path.is_file():
            raise LookalikeError(f"There is no model at {path}. Make one with: {PYTHON} -m export")
        self._path = path
        threads = threads or available_cpus()
        options = cpu_options(max(1, threads // calls))
        self._session: Any
        try:
            self._session = ort.InferenceSession(
                path, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            self.card = ModelCard.from_metadata(self._session.get_modelmeta().custom_metadata_map)
            self._try_out()
        except LookalikeError:
            raise
        except Exception as error:  # ONNX Runtime's own have no common class
            raise LookalikeError(
                f"{path.name} is damaged or not a model. Copy it again, or make it again with: "
                f"{PYTHON} -m export"
            ) from error
        outputs = {output.name: output.shape for output in self._session.get_outputs()}
        # Numbers in one texture; 0 for a model that was exported without it.
        self.texture_dimension = int(outputs["texture"][1]) if "texture" in outputs else 0
        self.provider = "CPU"
        if gpu and self.card.precision == "float" and has_cuda_driver():
            self._move_to_gpu(options)
        elif self.card.precision == "int8" and is_wanted():
            self._move_to_openvino(threads, calls)
        if self.card.precision != "float":
            self.provider += f", {self.card.precision}"

    def _try_out(self) -> None:
        """Compute something: a file may open and still be harmed inside.

        Raises:
            ValueError: when what comes are no features.
        """
        features = self._session.run(["features"], {"images": self._probe()})[0]
        if features.shape != (1, self.card.dimension) or not np.isfinite(features).all():
            raise ValueError(f"features of the shape {features.shape}")

    def _move_to_gpu(self, options: Any) -> None:
        """Compute on a GPU from here on, where one really works."""
        probe = self._probe()
        found = open_gpu(self._path, options, probe, self.extract(probe))
        if found:
            self._session, precision = found
            name = PROVIDERS.get(self._session.provider, self._session.provider)
            self.provider = f"{name}, {precision}" if precision else name

    def _move_to_openvino(self, threads: int, calls: int) -> None:
        """Compute by OpenVINO from here on, where it runs."""
        try:
            with keeping_ctrl_c():  # it may say then that it cannot be loaded as well
                other = OpenVinoSession(self._path, threads, calls)
            other.run(["features"], {"images": self._probe()})
            self._session, self.provider = other, "CPU, OpenVINO"
        except Exception:  # whatever keeps it from working, ONNX Runtime is there
            logging.getLogger(__name__).debug("OpenVINO does not run here", exc_info=True)

    def _probe(self) -> npt.NDArray[np.uint8]:
        """Return a picture `(1, side, side, 3)` with something to see in it.

        Nothing looks alike however it is computed.
        """
        side = self.card.preprocessing.side
        return np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)

    @cached_property
    def connected(self) -> Connected | None:
        """The fully connected layers behind the pooling, if any, read from the file when asked."""
        has_them = self.card.layer != "pool5" and self.card.pooling
        return read_connected(self._path) if has_them else None

    def side_by_side(self, calls: int) -> "OnnxExtractor | None":
        """Return one for so many threads at once, each with its share of the processors.

        That makes the most of processors which other work is done on as well: within one call, all
        threads wait at each layer for the one that was held up. None where it is no faster, on a
        GPU; and where the file has been taken away or exchanged.
        """
        if not self.provider.startswith("CPU"):
            return None
        with suppress(LookalikeError):
            other = OnnxExtractor(self._path, None, False, calls)
            if (other.card, other.provider) == (self.card, self.provider):
                return other
        return None

    def extract(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Map `(n, side, side, 3)` RGB pictures to `(n, dimension)` features."""
        features: npt.NDArray[np.float32] = self.run(["features"], pictures)[0]
        return features

    def extract_with_texture(
        self, pictures: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the features, and the texture `(n, t)` from the same run of the network."""
        features, texture = self.run(["features", "texture"], pictures)
        return features, texture

    def extract_with_map(
        self, pictures: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the features and the maps `(n, 512, side / 32, side / 32)` they come from."""
        features, maps = self.run(["features", "feature_map"], pictures)
        return features, maps

    def run(self, outputs: Sequence[str], pictures: npt.NDArray[np.uint8]) -> Any:
        """Return these outputs of the graph, each an array, for pictures `(n, side, side, 3)`."""
        return self._session.run(list(outputs), {"images": pictures})


def available_cpus() -> int:
    """Return how many processors this process may use, or of how many it gets the time."""
    if sys.platform == "linux":
        return max(1, math.ceil(min(len(os.sched_getaffinity(0)), _allotted())))
    return os.cpu_count() or 1


def _allotted(groups: Path = Path("/sys/fs/cgroup")) -> float:
    """Return of how many processors a container gets the time, as by `docker run --cpus`."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (groups / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):  # the older kind
        quota, period = (
            (groups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
        )
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    return math.inf


def cpu_options(threads: int) -> Any:
    """Return the options of an ONNX Runtime session for the processor."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    return options
