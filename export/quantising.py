"""A float model turned into an int8 one: measure how large activations get, then store in 8 bits.

Static quantisation after "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", Jacob et al. 2018: weights have a sign and a scale for each
channel, activations have none and a scale for each layer, which needs their range beforehand.
Weights are rounded so that sums over places hold (`_round`), and what rounding shifts on average is
taken out of the biases (`correct_biases`).
"""

import contextlib
import copy
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import NodeProto, TensorProto, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import HistogramCollector, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from retrieval.errors import LookalikeError
from retrieval.model import LARGEST_WEIGHT, ModelCard, available_cpus, cpu_options
from retrieval.settings import PYTHON

# Layers with weights, and what leaves the range of values as it is.
LAYERS = ("Conv", "Gemm")
PASSING = ("MaxPool", "Flatten", "Reshape")
# A fully connected layer of fewer weights takes no time worth saving: it is stored in 8 bits, and
# what passes through it is not rounded. VGG-16's own, of up to 103 million, are computed in 8 bits.
SMALL = 2**20

# Where a method puts the end of the range: at the largest value, at a percentile, or where the
# histogram of 8-bit values diverges least from that of the values (Migacz, "8-bit Inference with
# TensorRT", 2017).
METHODS = ("min-max", "percentile 99.999", "percentile 99.99", "entropy")
# Histograms reach from -max to max, and activations fill one half of them.
BINS, LEVELS = 1024, 512
LARGEST_STORED = 127  # of a weight that is stored in 8 bits, and not computed with

Range = tuple[np.float32, np.float32]
Ranges = Mapping[str, Range]  # of each tensor


def read_float(path: Path) -> onnx.ModelProto:
    """Read a model of ours with its weights as float32, however they are stored.

    Raises:
        LookalikeError: when there is none, it is not a model, or it is in 8 bits already.
    """
    if not path.is_file():
        raise LookalikeError(f"There is no model at {path}. Make one with: {PYTHON} -m export")
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf raises its own errors
        raise LookalikeError(
            f"{path.name} is damaged or not a model. Make it again with: {PYTHON} -m export"
        ) from error
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise LookalikeError(f"{path.name} is in 8 bits already. Name the float model it is from.")
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Cast"]:
        if tensor := stored.get(node.input[0]):
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, node.output[0]))
            model.graph.node.remove(node)
    return onnx.shape_inference.infer_shapes(model)


def weighted_layers(model: onnx.ModelProto) -> list[NodeProto]:
    """Return the convolutions and fully connected layers, in order."""
    return [node for node in model.graph.node if node.op_type in LAYERS]


def small_layers(model: onnx.ModelProto) -> list[NodeProto]:
    """Return the fully connected layers that are only stored in 8 bits."""
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
    dense = [node for node in weighted_layers(model) if node.op_type == "Gemm"]
    return [node for node in dense if sizes[node.input[1]] < SMALL]


def measure_ranges(
    model: onnx.ModelProto, batches: Iterable[npt.NDArray[np.uint8]]
) -> dict[str, Ranges]:
    """Run the float model and return, by each method, the range of each tensor to be stored.

    Args:
        batches: preprocessed pictures, `(n, side, side, 3)` each.
    """
    observed = _observed(model)
    session = _watch(model, observed)
    collector = HistogramCollector("entropy", False, BINS, LEVELS, 0.0, None)
    with contextlib.redirect_stdout(io.StringIO()):  # it reports each step
        for pictures in batches:
            values = session.run(observed, {"images": pictures})
            collector.collect(dict(zip(observed, values, strict=True)))
        found = {method: _by_method(collector, method) for method in METHODS}
    return {method: _all_ranges(model, ranges) for method, ranges in found.items()}


def _watch(model: onnx.ModelProto, names: Iterable[str]) -> onnxruntime.InferenceSession:
    """Open the model with these tensors for its outputs; what they do not need is not computed."""
    other = copy.deepcopy(model)
    del other.graph.output[:]
    other.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    return cpu_session(other)


def cpu_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Open a model that is in memory for the processor, to be computed as `OnnxExtractor` does."""
    return onnxruntime.InferenceSession(
        model.SerializeToString(),
        cpu_options(available_cpus()),
        providers=["CPUExecutionProvider"],
    )


def _by_method(collector: HistogramCollector, method: str) -> Ranges:
    name, _, percentile = method.partition(" ")
    if name == "min-max":
        histograms = collector.get_histogram_dict()
        return {key: _range(one[2], one[3]) for key, one in histograms.items()}
    collector.method = name
    if percentile:
        collector.percentile = float(percentile)
    result = collector.compute_collection_result()
    return {key: _range(one[0], one[1]) for key, one in result.items()}


def _range(low: SupportsFloat, high: SupportsFloat) -> Range:
    return np.float32(low), np.float32(high)


def _observed(model: onnx.ModelProto) -> list[str]:
    """Return the tensors to watch: what enters each layer, and what leaves it after its ReLU."""
    sources = {node.output[0]: node for node in model.graph.node}
    relus = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "Relu"}
    names: dict[str, None] = {}
    for layer in weighted_layers(model):
        entering = layer.input[0]
        while entering in sources and sources[entering].op_type in PASSING:
            entering = sources[entering].input[0]
        names[entering] = None
        names[relus.get(layer.output[0], layer.output[0])] = None
    return list(names)


def _all_ranges(model: onnx.ModelProto, ranges: Ranges) -> Ranges:
    """Add the ranges that follow: before a ReLU, whose zero is the lower end, and after a pool."""
    every = dict(ranges)
    for node in model.graph.node:
        if node.op_type == "Relu" and node.output[0] in every:
            every[node.input[0]] = every[node.output[0]]
        elif node.op_type in PASSING and node.input[0] in every:
            every[node.output[0]] = every[node.input[0]]
    return every


def quantise(
    model: onnx.ModelProto, ranges: Ranges, in_float: Iterable[NodeProto] = ()
) -> onnx.ModelProto:
    """Return the model in 8 bits, its inputs, outputs and what it says of itself unchanged.

    Pooling to features and the statistics of texture are computed in float in any case.

    Args:
        in_float: layers to leave as they are, with the ReLU and the pool behind them.
    """
    in_float = list(in_float)
    known = {layer.name for layer in in_float}
    only_stored = [layer for layer in small_layers(model) if layer.name not in known]
    kept = {name for layer in (*in_float, *only_stored) for name in _block(model, layer)}
    source = copy.deepcopy(model)
    tensors = {tensor.name: tensor for tensor in source.graph.initializer}
    for layer in weighted_layers(model):
        if layer.op_type == "Conv" and layer.name not in kept:
            tensor = tensors[layer.input[1]]
            rounded = _round(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    quantizer = QDQQuantizer(
        source,
        True,  # a scale for each channel of the weights
        True,  # which are at most LARGEST_WEIGHT
        QuantType.QInt8,
        QuantType.QUInt8,
        TensorsData(CalibrationMethod.MinMax, dict(ranges)),
        [],
        sorted(kept),
        [*LAYERS, *PASSING, "Relu"],
        {},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    small: onnx.ModelProto = quantizer.model.model
    card = ModelCard.from_metadata({entry.key: entry.value for entry in model.metadata_props})
    onnx.helper.set_model_props(small, replace(card, precision="int8").to_metadata())
    for node in small.graph.node:
        del node.metadata_props[:]
    _store(small, [layer.input[1] for layer in only_stored])
    onnx.checker.check_model(small)
    return small


def _round(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Round a convolution's weights `(out, in, h, w)` to the steps of their output channel.

    Each to its nearest step, the sum over the places of a filter is off by several: which is what
    comes out wherever a picture is plain. So those that lie nearest to the middle of two steps are
    rounded the other way, until that sum is off by half a step at most ("SQuant: On-the-Fly
    Data-Free Quantization via Diagonal Hessian Approximation", Guo et al. 2022). The largest
    weights stay, since they set the steps.
    """
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    step = np.maximum(largest, np.finfo(np.float32).tiny).astype(np.float64) / LARGEST_WEIGHT
    places = weights.reshape(*weights.shape[:2], -1) / step[..., 0]
    rounded = np.rint(places)
    short = places - rounded  # what rounding has taken away, -0.5 to 0.5 of a step
    missing = np.rint(short.sum(axis=2, keepdims=True))
    for sign in (1, -1):
        gain = np.where(np.abs(rounded) < LARGEST_WEIGHT, sign * short, -np.inf)
        order = np.argsort(np.argsort(-gain, axis=2), axis=2)  # 0 for the one that gains most
        rounded += sign * ((order < sign * missing) & np.isfinite(gain))
    result: npt.NDArray[np.float32] = (rounded * step[..., 0]).astype(np.float32)
    return result.reshape(weights.shape)


def _store(model: onnx.ModelProto, names: Iterable[str]) -> None:
    """Store matrices `(rows, columns)` in 8 bits, with a scale for each row; made floats again."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for name in names:
        values = numpy_helper.to_array(stored[name])
        scale = np.maximum(np.abs(values).max(axis=1) / LARGEST_STORED, np.finfo(np.float32).tiny)
        parts = {
            f"{name}_quantized": np.rint(values / scale[:, None]).astype(np.int8),
            f"{name}_scale": scale.astype(np.float32),
            f"{name}_zero_point": np.zeros(len(scale), np.int8),
        }
        model.graph.initializer.remove(stored[name])
        model.graph.initializer.extend(
            numpy_helper.from_array(values, part) for part, values in parts.items()
        )
        made = onnx.helper.make_node(
            "DequantizeLinear", list(parts), [name], f"{name}_floats", axis=0
        )
        model.graph.node.insert(0, made)


def correct_biases(
    model: onnx.ModelProto,
    ranges: Ranges,
    batches: Sequence[npt.NDArray[np.uint8]],
    in_float: Sequence[NodeProto] = (),
) -> onnx.ModelProto:
    """Return the float model with biases that make up for what 8 bits shift, to be quantised.

    Rounded weights shift the mean of what each channel sums up, and so do values beyond the range.
    The mean of the float model is given back layer by layer, since what corrects one moves those
    behind it ("Data-Free Quantization Through Weight Equalization and Bias Correction", Nagel et
    al. 2019, appendix D). A layer without a bias is left as it is.

    Args:
        ranges: of the float model; they stay as they are.
        batches: preprocessed pictures, `(n, side, side, 3)` each, of equal weight.
        in_float: layers that will be left in float.
    """
    corrected = copy.deepcopy(model)
    biases = {tensor.name: tensor for tensor in corrected.graph.initializer}
    kept = {layer.name for layer in in_float}
    layers = [
        layer
        for layer in weighted_layers(model)
        if layer.name not in kept and len(layer.input) > 2 and layer.input[2] in biases
    ]
    if not layers:
        return corrected
    wanted = _means(model, [layer.output[0] for layer in layers], batches)
    for layer in layers:
        small = quantise(corrected, ranges, in_float)
        # Its ReLU is gone: the range that begins at zero does its work.
        [leaving] = (node.output[0] for node in small.graph.node if node.name == layer.name)
        shift = wanted[layer.output[0]] - _means(small, [leaving], batches)[leaving]
        bias = biases[layer.input[2]]
        values = (numpy_helper.to_array(bias) + shift).astype(np.float32)
        bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    return corrected


def _means(
    model: onnx.ModelProto, names: Sequence[str], batches: Sequence[npt.NDArray[np.uint8]]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the mean of each channel of tensors `(n, channels, ...)` over all pictures."""
    session = _watch(model, names)
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    for pictures in batches:
        for name, values in zip(names, session.run(names, {"images": pictures}), strict=True):
            rest = tuple(axis for axis in range(values.ndim) if axis != 1)
            sums[name] = sums[name] + values.mean(axis=rest, dtype=np.float64)
    return {name: total / len(batches) for name, total in sums.items()}


def _block(model: onnx.ModelProto, layer: NodeProto) -> list[str]:
    """Return the names of a layer and of the ReLU and the pool that follow it."""
    names, leaving = [layer.name], layer.output[0]
    for kind in ("Relu", "MaxPool"):
        for node in model.graph.node:
            if node.op_type == kind and node.input[0] == leaving:
                names.append(node.name)
                leaving = node.output[0]
                break
    return names
