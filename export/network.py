"""VGG-16 in torch, cut after a layer, with scaling and normalisation inside."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import vgg16, vgg16_bn

from retrieval.errors import LookalikeError
from retrieval.model import GEM_FLOOR, GEM_POWER

# ImageNet's, of pixels from 0 to 1, as every torchvision network expects them.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

LAYERS = ("fc1", "fc2", "pool5")
POOLINGS = ("mean", "gem")
MAP_CHANNELS = 512
TEXTURE_CUT = 9  # the trunk's modules up to the ReLU of conv2_2, whose statistics are the texture
STRIDE = 32  # pixels of the picture to one place of the map


class GeneralizedMean(nn.Module):
    """Pool a map `(n, c, h, w)` to `(n, c)` by the mean of powers (GeM).

    (mean of x^p)^(1/p), with p = 2 between mean (1) and maximum (infinity) pooling: "Fine-tuning
    CNN Image Retrieval with No Human Annotation", Radenovic, Tolias and Chum, 2018.
    """

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.clamp(min=GEM_FLOOR).pow(GEM_POWER).mean((2, 3)).pow(1 / GEM_POWER)


class GlobalMean(nn.Module):
    """Pool a map `(n, c, h, w)` to `(n, c)` by its mean."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.mean((2, 3))


class FeatureNetwork(nn.Module):
    """A VGG-16 from pixels to the features of one layer.

    `forward` takes `images`, uint8, `(n, s, s, 3)`, RGB, and returns the features `(n, d)`, the
    map of the last convolution block `(n, 512, s / 32, s / 32)`, and the texture `(n, 256)`: mean
    and standard deviation of each channel of the second block, as in "Arbitrary Style Transfer in
    Real-time with Adaptive Instance Normalization", Huang and Belongie, 2017.
    """

    def __init__(self, trunk: nn.Sequential, head: nn.Module, dimension: int) -> None:
        super().__init__()
        self.early = trunk[:TEXTURE_CUT]
        self.late = trunk[TEXTURE_CUT:]
        self.head = head
        self.dimension = dimension
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(MEAN).mul(255).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).mul(255).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        early = self.early((pixels - self.mean) / self.std)
        maps = self.late(early)
        mean = early.mean((2, 3))
        deviation = (early - mean[:, :, None, None]).square().mean((2, 3)).sqrt()
        return self.head(maps), maps, torch.cat([mean, deviation], dim=1)


def build_network(
    state: Mapping[str, torch.Tensor], layer: str, pooling: str = "mean", half: bool = False
) -> FeatureNetwork:
    """Build the network that maps pictures to the features of `layer`, ready to run.

    Args:
        state: a state dict in the names of torchvision's `vgg16` or `vgg16_bn`; batch
            normalisation is folded into the convolutions, other entries (training heads) are left.
        layer: "fc1" or "fc2", 4096 numbers after the ReLU; "pool5", 512 numbers.
        pooling: "mean" or "gem", for pool5.
        half: round the weights to what 16 bits hold, to be stored so.

    Raises:
        LookalikeError: when the state dict is not a VGG-16's, or has no such layer.
    """
    trunk = _build_trunk(state)
    if layer == "pool5":
        head: nn.Module = GeneralizedMean() if pooling == "gem" else GlobalMean()
        dimension = MAP_CHANNELS
    else:
        head, dimension = _build_classifier(state, depth=1 if layer == "fc1" else 2), 4096
    network = FeatureNetwork(trunk, head, dimension).float().eval().requires_grad_(False)
    if half:
        for weight in network.parameters():
            weight.copy_(weight.half().float())
        if not all(torch.isfinite(weight).all() for weight in network.parameters()):
            raise LookalikeError("Some weights are too large for 16 bits. Leave out --half.")
    return network


def _build_trunk(state: Mapping[str, torch.Tensor]) -> nn.Sequential:
    features = {
        key.removeprefix("features."): value.float()
        for key, value in state.items()
        if key.startswith("features.")
    }
    with_bn = any(key.endswith("running_mean") for key in features)
    # On the meta device nothing is allocated or initialised; the weights are assigned in one go.
    with torch.device("meta"):
        trunk: nn.Sequential = (vgg16_bn() if with_bn else vgg16()).features
    _load(trunk, features, "convolutions")
    return fold_batch_norm(trunk.eval()) if with_bn else trunk


def _build_classifier(state: Mapping[str, torch.Tensor], depth: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    with torch.device("meta"):
        linears = {"0": nn.Linear(512 * 7 * 7, 4096), "3": nn.Linear(4096, 4096)}
    for index in list(linears)[:depth]:
        prefix = f"classifier.{index}."
        own = {k.removeprefix(prefix): v.float() for k, v in state.items() if k.startswith(prefix)}
        if not own:
            raise LookalikeError(
                "These weights have no fully connected layers. Export them with --layer pool5."
            )
        _load(linears[index], own, f"fully connected layer {prefix}")
        layers += [linears[index], nn.ReLU()]
    return nn.Sequential(*layers)


def _load(module: nn.Module, state: Mapping[str, torch.Tensor], what: str) -> None:
    counters = {key: torch.tensor(0) for key in module.state_dict() if "num_batches" in key}
    try:
        module.load_state_dict({**counters, **state}, assign=True)
    except RuntimeError as error:
        raise LookalikeError(
            f"The {what} are not those of torchvision's vgg16 or vgg16_bn. Pass a state dict in "
            "torchvision's names."
        ) from error


def fold_batch_norm(trunk: nn.Sequential) -> nn.Sequential:
    """Fold each batch normalisation into the convolution before it, which leaves plain VGG-16."""
    folded: list[nn.Module] = []
    for module in trunk:
        if isinstance(module, nn.BatchNorm2d):
            previous = folded.pop()
            assert isinstance(previous, nn.Conv2d)
            module.num_batches_tracked = None
            folded.append(fuse_conv_bn_eval(previous, module))
        else:
            folded.append(module)
    return nn.Sequential(*folded)
