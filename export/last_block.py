"""The trunk's last block, as it learns from what the blocks before it make of crops.

These stand still, so what they make of a crop is computed once, in 8 bits, and kept as it is.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
import torch.nn.functional as F
from onnx import NodeProto, TensorProto, numpy_helper
from torch import Tensor, nn

from export.network import MAP_CHANNELS, GeneralizedMean
from retrieval.errors import LookalikeError
from retrieval.files import replace_when_done
from retrieval.model import OnnxExtractor
from retrieval.settings import PYTHON

NAMES = ("features.24", "features.26", "features.28")  # torchvision's, of its convolutions
POOLINGS = 5  # one behind each block
COPY = "before-last-block.onnx"


class BeforeLastBlock:
    """A model in 8 bits that also gives what its last block takes.

    Args:
        path: of the model, as `python -m export int8` writes it.
        folder: where to lay a copy of it that has this output.

    Raises:
        LookalikeError: when it is no such model.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.card = OnnxExtractor(path, gpu=False).card
        model = onnx.load(path)
        self._output, self.scale = _taken_by_last_block(model, path)
        described = onnx.helper.make_tensor_value_info(self._output, TensorProto.FLOAT, None)
        model.graph.output.append(described)
        copy = folder / COPY
        with replace_when_done(copy) as temporary:
            temporary.write_bytes(model.SerializeToString())
        self._extractor = OnnxExtractor(copy, gpu=False)

    def extract_both(
        self, pictures: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Return the last block's maps `(n, 512, h, w)`, and what it takes `(n, 2h, 2w, 512)`.

        The latter in steps of `scale`.
        """
        maps, taken = self._extractor.run(["feature_map", self._output], pictures)
        steps = np.rint(taken / np.float32(self.scale)).astype(np.uint8)
        return maps, np.ascontiguousarray(steps.transpose(0, 2, 3, 1))


def _taken_by_last_block(model: onnx.ModelProto, path: Path) -> tuple[str, float]:
    """Return the name of what goes into the last block, and the size of its 256 steps."""
    takers: dict[str, list[NodeProto]] = {}  # of each tensor
    for node in model.graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    poolings = [node for node in model.graph.node if node.op_type == "MaxPool"]
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    try:
        before = poolings[POOLINGS - 2].output[0]
        (quantiser,) = (node for node in takers[before] if node.op_type == "QuantizeLinear")
        (back,) = takers[quantiser.output[0]]
        scale, zero = (numpy_helper.to_array(stored[name]) for name in quantiser.input[1:3])
        if zero.dtype != np.uint8 or zero != 0:  # ReLU leaves nothing below zero
            raise ValueError(f"8 bits from {zero} on, of the type {zero.dtype}")
        return str(back.output[0]), float(scale)
    except (IndexError, KeyError, ValueError) as error:
        raise LookalikeError(
            f"{path.name} is not in 8 bits throughout. Make such a model with: "
            f"{PYTHON} -m export int8 --model FILE"
        ) from error


class LastBlock(nn.Module):
    """The last three convolutions and the pooling (GeM) behind them.

    Args:
        state: a trunk in torchvision's names, its batch normalisation folded.
        scale: of what `BeforeLastBlock` gives.
        half: whether to compute in bfloat16, for which some processors take half of the time.

    Raises:
        LookalikeError: when the trunk is another.
    """

    def __init__(self, state: Mapping[str, Tensor], scale: float, half: bool = True) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(MAP_CHANNELS, MAP_CHANNELS, 3, padding=1) for _ in NAMES
        )
        try:
            for convolution, name in zip(self.convolutions, NAMES, strict=True):
                own = {part: state[f"{name}.{part}"].float() for part in ("weight", "bias")}
                convolution.load_state_dict(own)
        except (KeyError, RuntimeError) as error:
            raise LookalikeError(
                f"--start needs a VGG-16 trunk without batch normalisation; {name} is missing or "
                "of another shape."
            ) from error
        self.to(memory_format=torch.channels_last)
        self._pool = GeneralizedMean()
        self._scale, self._half = scale, half

    def forward(self, taken: Tensor) -> Tensor:
        """Map `(n, 2h, 2w, 512)`, uint8, to pooled features `(n, 512)`."""
        maps = taken.permute(0, 3, 1, 2).float() * self._scale
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            for convolution in self.convolutions:
                maps = convolution(maps).relu()
        pooled: Tensor = self._pool(F.max_pool2d(maps, 2).float())
        return pooled

    def folded(self) -> dict[str, Tensor]:
        """Return its weights in torchvision's names."""
        return {
            f"{name}.{part}": value.detach()
            for name, convolution in zip(NAMES, self.convolutions, strict=True)
            for part, value in convolution.state_dict().items()
        }
