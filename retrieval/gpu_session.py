"""A model on an NVIDIA GPU: in 16 bits, its tensors bound on the card.

What a card, its driver and its libraries can do shows only when they have computed something: each
way is tried in turn, the fastest first, and believed when its features are the processor's.
"""

import ctypes
import importlib
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]

ALIKE = 0.999  # least cosine of features computed in 16 bits and in 32
MOST = 64  # pictures at once: for so many TensorRT plans, and more fill no card better
# Layers that 16 bits are enough for. GeM's powers and the variances of texture stay in 32.
LAYERS = ("Conv", "Gemm", "Relu", "MaxPool", "Flatten")


def has_cuda_driver() -> bool:
    """Say whether NVIDIA's driver is there.

    It is asked for by name, since asking ONNX Runtime would print red lines where it is not.
    """
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return sys.platform != "darwin"


class GpuSession:
    """Runs a model as `onnxruntime.InferenceSession.run` does; safe to use from several threads."""

    def __init__(
        self, model: Path | bytes, options: Any, providers: Sequence[object], device: str
    ) -> None:
        """Open a model, from its file or its bytes, by the first of `providers` that can.

        Args:
            device: where inputs and outputs are bound: "cuda", or "cpu" in tests.
        """
        self._runtime = importlib.import_module("onnxruntime")
        self._session: Any = self._runtime.InferenceSession(
            model, options, providers=list(providers), enable_fallback=0
        )
        self._device = device

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of what really computes."""
        return str(self._session.get_providers()[0])

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Pictures]) -> list[Features]:
        """Return the outputs with these names, at most `MOST` pictures of the inputs at a time."""
        n = len(next(iter(inputs.values())))
        parts = [
            self._run(outputs, {name: value[at : at + MOST] for name, value in inputs.items()})
            for at in range(0, max(n, 1), MOST)
        ]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]

    def _run(self, outputs: Sequence[str], inputs: Mapping[str, Pictures]) -> list[Features]:
        # Bound, so that the pictures cross over in 8 bits and only what was asked for comes back.
        binding = self._session.io_binding()
        for name, value in inputs.items():
            given = np.ascontiguousarray(value)
            placed = self._runtime.OrtValue.ortvalue_from_numpy(given, self._device, 0)
            binding.bind_ortvalue_input(name, placed)
        for name in outputs:
            binding.bind_output(name, self._device)
        self._session.run_with_iobinding(binding)
        found: list[Features] = binding.copy_outputs_to_cpu()
        return found


@dataclass(frozen=True)
class Way:
    """One way to compute a model on the card."""

    model: Path | bytes
    providers: tuple[tuple[str, dict[str, str]], ...]
    precision: str  # for people: "16 bits", or "" for the model as it is stored
    device: str = "cuda"


def open_gpu(
    model: Path, options: Any, probe: Pictures, expected: Features
) -> tuple[GpuSession, str] | None:
    """Return a session on the GPU and the precision it computes in, or None where none works.

    Args:
        options: ONNX Runtime's `SessionOptions`.
        probe: preprocessed pictures `(n, side, side, 3)`.
        expected: their features `(n, d)`, computed by the processor.
    """
    runtime = importlib.import_module("onnxruntime")
    # It prints what it does not find, among the results of a command.
    with redirect_stdout(io.StringIO()):
        with suppress(Exception):
            runtime.preload_dlls()
        for way in _ways(model, probe.shape[1]):
            # A driver may be there while a library is missing or the card is full.
            with suppress(Exception):
                session = GpuSession(way.model, options, way.providers, way.device)
                if session.provider != way.providers[0][0]:
                    continue
                found = session.run(["features"], {"images": probe})[0]
                if found.shape == expected.shape and are_alike(found, expected):
                    return session, way.precision
    return None


def _ways(model: Path, side: int) -> Iterator[Way]:
    """Yield what to try, the fastest first; a model is converted only when it comes to that."""
    # As tensor cores want them. The bias in the same kernel took 16 % off 64 pictures of 128
    # pixels on an H200, and 1 % off 64 of 224.
    channels_last = ("CUDAExecutionProvider", {"prefer_nhwc": "1", "fuse_conv_bias": "1"})
    planes: tuple[str, dict[str, str]] = ("CUDAExecutionProvider", {})
    halved: bytes | None = None
    # What 16 bits need may be missing or fail; the model as it is stored remains.
    with suppress(Exception):
        halved = in_16_bits(model)
    if halved is not None:
        # It may be missing or broken, or have no place for its plans beside the model.
        with suppress(Exception):
            tensorrt = ("TensorrtExecutionProvider", _tensorrt_options(model, side))
            yield Way(halved, (tensorrt, planes), "16 bits")
        yield Way(halved, (channels_last,), "16 bits")
        yield Way(halved, (planes,), "16 bits")
    yield Way(model, (channels_last,), "")
    yield Way(model, (planes,), "")


def _tensorrt_options(model: Path, side: int) -> dict[str, str]:
    """Return what TensorRT needs to make one plan for all batches, and to make it only once."""
    importlib.import_module("tensorrt")  # loads its libraries, which ONNX Runtime then finds
    plans = model.parent / ".tensorrt"
    plans.mkdir(exist_ok=True)
    shape = "images:{}x" + f"{side}x{side}x3"
    return {
        "trt_fp16_enable": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(plans),
        "trt_profile_min_shapes": shape.format(1),
        "trt_profile_opt_shapes": shape.format(8),  # a batch of a collection that is built
        "trt_profile_max_shapes": shape.format(MOST),
    }


def are_alike(ours: Features, theirs: Features) -> bool:
    """Say whether each row of features `(n, d)` points where the other's does."""
    products = (ours * theirs).sum(axis=1)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return bool((products >= ALIKE * lengths).all() and np.isfinite(ours).all())


def in_16_bits(model: Path) -> bytes:
    """Return a model of ours whose layers are computed in 16 bits, as an ONNX file's bytes.

    Tensor cores are twice as fast and more in 16 bits, and half as much has to be moved. What goes
    in and comes out stays in 32.
    """
    onnx = importlib.import_module("onnx")
    whole = onnx.load(model)
    graph, kinds = whole.graph, onnx.TensorProto
    stored = {tensor.name: tensor for tensor in graph.initializer}
    # Weights are stored in 16 bits with a cast behind each, or in 32.
    halves = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Cast"
        and node.input[0] in stored
        and stored[node.input[0]].data_type == kinds.FLOAT16
    }
    nodes: list[Any] = []

    def cast(name: str, to: str, kind: int) -> None:
        nodes.append(onnx.helper.make_node("Cast", [name], [to], f"cast {to}", to=kind))

    def half_of(name: str) -> str:
        """Return the name of a tensor's copy in 16 bits, which is made where there is none."""
        if name not in halves:
            halves[name] = f"{name} in 16 bits"
            if tensor := stored.get(name):
                values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
                graph.initializer.append(onnx.numpy_helper.from_array(values, halves[name]))
            else:
                cast(name, halves[name], kinds.FLOAT16)
        half: str = halves[name]
        return half

    for node in graph.node:
        if node.op_type in LAYERS:
            node.input[:] = [half_of(name) if name else "" for name in node.input]
            wide = node.output[0]
            node.output[0] = halves[wide] = f"{wide} in 16 bits"
            nodes.append(node)
            cast(halves[wide], wide, kinds.FLOAT)  # left out below where nobody wants it
        else:
            nodes.append(node)
    wanted = {output.name for output in graph.output}
    kept: list[Any] = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    used = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(used)
    onnx.checker.check_model(whole)
    converted: bytes = whole.SerializeToString()
    return converted
