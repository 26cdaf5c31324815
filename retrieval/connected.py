"""The fully connected layers behind the pooling of a model, as the matrices that they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from retrieval.errors import LookalikeError
from retrieval.settings import PYTHON

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Matrix64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Connected:
    """Two layers with a ReLU between them, whose sum with what enters are a model's features.

    See `export.network.PooledAndConnected`.
    """

    first: Matrix64  # (h, d)
    first_bias: Matrix64  # (h,)
    second: Matrix64  # (d, h)
    second_bias: Matrix64  # (d,)

    def __call__(self, pooled: Matrix64) -> Matrix64:
        """Map what was pooled `(d,)` to the feature `(d,)`."""
        hidden = np.maximum(self.first @ pooled + self.first_bias, 0)
        feature: Matrix64 = pooled + self.second @ hidden + self.second_bias
        return feature

    def pull_back(self, pooled: Matrix64, weights: Matrix64) -> Matrix64:
        """Return how much each pooled number adds to the sum of the feature's, each weighted.

        Args:
            pooled: `(d,)`, which decides what the ReLU lets through.
            weights: `(d,)`, of the feature's numbers.
        """
        through = self.first @ pooled + self.first_bias > 0
        pulled: Matrix64 = weights + self.first.T @ (through * (self.second.T @ weights))
        return pulled


def read_connected(path: Path) -> Connected:
    """Read the layers from a model that `python -m export` wrote, in 32, 16 or 8 bits.

    Raises:
        LookalikeError: when the file is no such model, or `onnx` is not installed.
    """
    try:
        import onnx  # a fifth of a second, and few ask why pictures match
    except ImportError as error:
        raise LookalikeError(
            "This needs onnx, which is not installed. Install it with: "
            f"{PYTHON} -m pip install onnx"
        ) from error
    try:
        graph = onnx.load(path).graph
        stored = {tensor.name: tensor for tensor in graph.initializer}
        makers = {node.output[0]: node for node in graph.node}
        first, second = (node.input for node in graph.node if node.op_type == "Gemm")
        return Connected(
            *(_value(name, stored, makers) for name in (*first[1:3], *second[1:3])),
        )
    except Exception as error:  # protobuf raises its own errors
        raise LookalikeError(
            f"{path.name} is damaged or not a model. Copy it again, or make it again with: "
            f"{PYTHON} -m export"
        ) from error


def _value(
    name: str, stored: "Mapping[str, TensorProto]", makers: "Mapping[str, NodeProto]"
) -> Any:
    """Return a constant of a graph in 64 bits, however it is stored: as it is, cast, in 8 bits."""
    from onnx import numpy_helper

    if name in stored:
        return numpy_helper.to_array(stored[name]).astype(np.float64)
    maker = makers[name]
    values = [_value(source, stored, makers) for source in maker.input]
    if maker.op_type == "Cast":
        return values[0]
    if maker.op_type != "DequantizeLinear":
        raise ValueError(f"a weight made by {maker.op_type}")
    quantised, scale, zero = values
    # Of a matrix, each row has its own.
    scale, zero = (part.reshape(-1, *[1] * (quantised.ndim - 1)) for part in (scale, zero))
    return (quantised - zero) * scale
