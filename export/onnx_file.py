"""Write a network as one ONNX file, and hold that file against torch."""

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import onnxscript  # noqa: F401  (torch needs it to export, and would only say so then)
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from export.network import FeatureNetwork
from retrieval.errors import LookalikeError
from retrieval.files import replace_when_done
from retrieval.model import ModelCard, OnnxExtractor
from retrieval.preprocessing import preprocess

OPSET = 20
OUTPUTS = ("features", "feature_map", "texture")
TOLERANCE = 1e-4
# Pictures' sizes, and batches; the exporter itself sees a batch of two.
SIZES = ((640, 427), (97, 203), (1200, 801), (32, 32), (224, 224), (300, 1000), (513, 512), (5, 9))
BATCHES = (1, 3, 8)


def write_onnx(network: FeatureNetwork, card: ModelCard, path: Path, half: bool = False) -> float:
    """Write `network` to `path` and return its largest difference from torch.

    The file takes its place only after it has been run and agrees.

    Args:
        half: store the weights in 16 bits; they are computed with in 32 all the same.

    Raises:
        LookalikeError: when the difference exceeds 1e-4 relative, or the disk is full.
    """
    model = _trace(network, card.preprocessing.side)
    if half:
        _store_in_16_bits(model)
    onnx.helper.set_model_props(model, card.to_metadata())
    onnx.checker.check_model(model)
    with replace_when_done(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        difference = difference_from_torch(temporary, network)
        if not difference <= TOLERANCE:
            raise LookalikeError(
                f"The exported file differs from torch by {difference:.1e} relative; at most "
                f"{TOLERANCE:.0e} is accepted, so nothing was written. "
                "Update torch and onnxruntime."
            )
    return difference


def difference_from_torch(path: Path, network: FeatureNetwork) -> float:
    """Return the largest difference between file and torch over all outputs, relative.

    Relative to the largest value of its kind in the batch.
    """
    how = OnnxExtractor(path, gpu=False).card.preprocessing  # as the app opens it
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pictures = np.stack([preprocess(_made_up(size), how) for size in SIZES])
    worst = 0.0
    for batch in BATCHES:
        ours = session.run(list(OUTPUTS), {"images": pictures[:batch]})
        with torch.inference_mode():
            theirs = network(torch.from_numpy(pictures[:batch]))
        for a, b in zip(ours, theirs, strict=True):
            worst = max(worst, _relative(a, b.numpy()))
    return worst


def _relative(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    if ours.shape != theirs.shape or not np.isfinite(ours).all():
        return float("inf")
    return float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), 1e-30))


def _made_up(size: tuple[int, int]) -> Image.Image:
    """A picture of coloured clouds: coarse noise, enlarged, has structure at every scale."""
    noise = np.random.default_rng(size).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def _trace(network: FeatureNetwork, side: int) -> onnx.ModelProto:
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["images"],
            output_names=list(OUTPUTS),
            dynamic_shapes={"images": {0: torch.export.Dim("n")}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    # What the tracer notes of its own insides (file names, stack traces) is nobody's business.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    return model


def _store_in_16_bits(model: onnx.ModelProto) -> None:
    """Keep matrices as float16 with a cast behind each; ONNX Runtime undoes the casts on opening.

    Nothing is lost, since `build_network(half=True)` has rounded them already.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 1024:
            continue
        name, stored = tensor.name, f"{tensor.name}.half"
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
