"""The teachers: ONNX networks, run in torch on a GPU by a short interpreter of their graphs.

So they run where the student is trained, on the very crop that it sees; tests hold the interpreter
against ONNX Runtime. On a CPU ONNX Runtime computes them itself: it is four times as fast there
(MobileNetV2: 65 pictures a second of processor time against 15).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor

from retrieval.errors import LookalikeError
from retrieval.model import cpu_options

CLASSES = 1000  # ImageNet's, without the background that the MobileNets know besides
GOOGLENET_SIDE = 224  # its last pooling is 7x7, so nothing else fits
GOOGLENET_MEAN = (104.0, 117.0, 123.0)  # of blue, green and red
OPERATORS = (
    *("Conv", "Clip", "Relu", "Add", "Concat", "LRN", "MaxPool", "AveragePool"),
    *("GlobalAveragePool", "Gemm", "Softmax", "Flatten", "Reshape", "Transpose", "Identity"),
    "Cast",
)


class Network(Protocol):
    """One input in, the wanted tensors out, on the input's device and in its dtype."""

    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True)
class Step:
    """One node of a graph."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


class Graph:
    """An ONNX graph as torch computes it, as far as `outputs` need it.

    Raises:
        LookalikeError: when there is no such file, or the graph holds an unknown operator.
    """

    def __init__(
        self,
        path: Path,
        outputs: Sequence[str],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        graph = _load(path).graph
        self.input = str(graph.input[0].name)
        self.outputs = tuple(outputs)
        constants = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in graph.initializer
        }
        steps = []
        for node in graph.node:
            if node.op_type == "Cast" and node.input[0] in constants:
                # Weights are kept in 16 bits with a cast behind each: undone here, once.
                constants[node.output[0]] = constants.pop(node.input[0])
                continue
            if node.op_type not in OPERATORS:
                raise LookalikeError(
                    f"{path.name} holds {node.op_type}, which the interpreter does not know. "
                    "Add it in export/teachers.py."
                )
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            steps.append(Step(node.op_type, tuple(node.input), node.output[0], attributes))
        self._steps, self._last_use = _prune(steps, self.outputs)
        self._constants: dict[str, Any] = {}
        for name, value in constants.items():
            if value.ndim == 0 or not value.is_floating_point():
                # Bounds and shapes: plain numbers, so that a GPU is never asked for them.
                self._constants[name] = value.tolist()
            else:
                layout = torch.channels_last if value.ndim == 4 else torch.preserve_format
                value = value.to(device, dtype)
                self._constants[name] = value.contiguous(memory_format=layout)

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs for one input, in its own dtype and on its own device."""
        values: dict[str, Any] = {**self._constants, self.input: pictures}
        for number, step in enumerate(self._steps):
            values[step.output] = _compute(step, [values[name] for name in step.inputs])
            for name in set(step.inputs):
                # A batch of 512 would hold 15 GB until the end otherwise.
                if self._last_use[name] == number and name not in self._constants:
                    del values[name]
        return tuple(values[name] for name in self.outputs)


class Session:
    """The same by ONNX Runtime, on the CPU, for pictures of any side."""

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        model = _load(path)
        self._input, self._outputs = str(model.graph.input[0].name), list(outputs)
        # The files fix a side of 224, and name the outputs that their makers wanted.
        for dimension in model.graph.input[0].type.tensor_type.shape.dim:
            if dimension.dim_value != 3:
                dimension.Clear()
        del model.graph.output[:], model.graph.value_info[:]
        for name in outputs:
            model.graph.output.append(
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            )
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(),
            cpu_options(torch.get_num_threads()),
            providers=["CPUExecutionProvider"],
        )

    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs for one input."""
        given = {self._input: pictures.contiguous().numpy()}
        return tuple(map(torch.from_numpy, self._session.run(self._outputs, given)))


def _load(path: Path) -> Any:
    if not path.is_file():
        raise LookalikeError(f"There is no teacher at {path}. Name the data with --data.")
    return onnx.load(path)


def _prune(
    steps: Sequence[Step], outputs: Sequence[str]
) -> tuple[tuple[Step, ...], dict[str, int]]:
    """Return the steps that the outputs need, and the number of the last step to use each value."""
    needed = set(outputs)
    kept: list[Step] = []
    for step in reversed(steps):
        if step.output in needed:
            kept.append(step)
            needed |= set(step.inputs)
    if missing := set(outputs) - {step.output for step in kept}:
        raise LookalikeError(f"The teacher has no {missing.pop()}. Use the files of the data.")
    kept.reverse()
    last_use = {name: number for number, step in enumerate(kept) for name in step.inputs}
    return tuple(kept), last_use | dict.fromkeys(outputs, -1)


def _compute(step: Step, inputs: Sequence[Any]) -> Tensor:
    """Compute one node as ONNX's operator of that name (opset 13) is defined."""
    x, has = inputs[0], step.attributes
    result: Tensor
    match step.operator:
        case "Conv":
            x, padding = _pad(x, has.get("pads", (0, 0, 0, 0)))
            bias = inputs[2] if len(inputs) > 2 else None
            strides, dilations = has.get("strides", (1, 1)), has.get("dilations", (1, 1))
            group = has.get("group", 1)
            result = F.conv2d(x, inputs[1], bias, strides, padding, dilations, group)
        case "Clip":
            result = x.clamp(inputs[1], inputs[2])
        case "Relu":
            result = x.relu()
        case "Add":
            result = x + inputs[1]
        case "Concat":
            result = torch.cat(list(inputs), has["axis"])
        case "LRN":
            # In 32 bits: 16 do not hold the squares.
            wide = F.local_response_norm(
                x.float(), has["size"], has["alpha"], has["beta"], has["bias"]
            )
            result = wide.to(x.dtype)
        case "MaxPool":
            pads, ceil = has.get("pads", (0, 0, 0, 0)), bool(has.get("ceil_mode", 0))
            x, padding = _pad(x, pads, float("-inf"))
            result = F.max_pool2d(x, has["kernel_shape"], has["strides"], padding, 1, ceil)
        case "AveragePool":
            pads, ceil = has.get("pads", (0, 0, 0, 0)), bool(has.get("ceil_mode", 0))
            counted = bool(has.get("count_include_pad", 0))
            size, strides = has["kernel_shape"], has["strides"]
            result = F.avg_pool2d(x, size, strides, (pads[0], pads[1]), ceil, counted)
        case "GlobalAveragePool":
            result = x.mean((2, 3), keepdim=True)
        case "Gemm":
            matrix = inputs[1].T if has.get("transB") else inputs[1]
            result = x @ matrix + inputs[2]
        case "Softmax":
            result = x.softmax(has.get("axis", -1))
        case "Flatten":
            result = x.flatten(has.get("axis", 1))
        case "Reshape":
            shape = [x.shape[i] if size == 0 else size for i, size in enumerate(inputs[1])]
            result = x.reshape(shape)
        case "Transpose":
            result = x.permute(has["perm"])
        case _:  # Identity, and Cast between floats, which all are of one kind here
            result = x
    return result


def _pad(x: Tensor, pads: Sequence[int], value: float = 0.0) -> tuple[Tensor, tuple[int, int]]:
    """Return `x` and the padding that is the same on both sides, or `x` padded and none."""
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return x, (top, left)
    return F.pad(x, (left, right, top, bottom), value=value), (0, 0)


@dataclass(frozen=True)
class Teacher:
    """A network that knows ImageNet: what it says of a picture, and how it sees it."""

    name: str
    network: Network
    dtype: torch.dtype

    def __call__(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Map RGB from 0 to 255, `(n, 3, s, s)`, to logits `(n, 1000)` and embeddings `(n, d)`.

        The logits are log-probabilities, so that those of several teachers can be averaged.
        """
        if self.name == "googlenet":
            mean = pictures.new_tensor(GOOGLENET_MEAN).view(1, 3, 1, 1)
            prepared = pictures.flip(1) - mean
            prepared = prepared.contiguous(memory_format=torch.channels_last)
        else:
            prepared = (pictures / 127.5 - 1).permute(0, 2, 3, 1)
        logits, embedding = self.network(prepared.to(self.dtype))
        logits = logits.float()[:, -CLASSES:]  # the background comes first, where there is one
        return logits.log_softmax(1), embedding.float().flatten(1)


# Of each file the tensors that are its logits and its embedding. GoogLeNet's logits lie one node
# before its output, `prob`, whose small values 16 bits would not hold.
TENSORS = {
    "mobilenet_v2_a": ("logits", "t172"),
    "mobilenet_v2_b": ("logits", "t169"),
    "googlenet": ("loss3/classifier", "pool5/7x7_s1"),
}
DIMENSIONS = {"mobilenet_v2_a": 1280, "mobilenet_v2_b": 1280, "googlenet": 1024}


def open_teachers(folder: Path, names: Sequence[str], device: torch.device) -> list[Teacher]:
    """Open the teachers in the data's folder `teacher`."""
    teachers = []
    for name in names:
        path, tensors = folder / f"{name}.onnx", TENSORS[name]
        if device.type == "cpu":
            teachers.append(Teacher(name, Session(path, tensors), torch.float32))
        else:
            # Their weights are kept in these 16 bits, so none is rounded.
            graph = Graph(path, tensors, device, torch.float16)
            teachers.append(Teacher(name, graph, torch.float16))
    return teachers
