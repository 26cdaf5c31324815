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

MAP_CHANNELS = 512
CLASSIFIER = ("classifier.0", "classifier.3")  # torchvision's names of them
TEXTURE_CUT = 9  # the trunk's modules up to the ReLU of conv2_2, whose statistics are the texture
STRIDE = 32  # pixels of the picture to one place of the map


class GeneralizedMean(nn.Module):
    """Pool a map `(n, c, h, w)` to `(n, c)` by the mean of powers (GeM).

    (mean of x^p)^(1/p), with p = 2 between mean (1) and maximum (infinity) pooling: "Fine-tuning
    CNN Image Retrieval with No Human Annotation", Radenovic, Tolias and Chum, 2019.
    """

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.clamp(min=GEM_FLOOR).pow(GEM_POWER).mean((2, 3)).pow(1 / GEM_POWER)


class GlobalMean(nn.Module):
    """Pool a map `(n, c, h, w)` to `(n, c)` by its mean."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.mean((2, 3))


class PooledAndConnected(nn.Module):
    """Pool a map `(n, c, h, w)` to `(n, c)`, and add what two fully connected layers make of that.

    What is pooled passes by them, as in "Deep Residual Learning for Image Recognition", He et al.
    2016, so that they only have to know what it lacks.
    """

    def __init__(self, pool: nn.Module, first: nn.Linear, second: nn.Linear) -> None:
        super().__init__()
        self.pool = pool
        self.first = first
        self.second = second

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        pooled = self.pool(maps)
        features: torch.Tensor = pooled + self.second(self.first(pooled).relu())
        return features


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
    state: Mapping[str, torch.Tensor], layer: str, pooling: str = "", half: bool = False
) -> FeatureNetwork:
    """Build the network that maps pictures to the features of `layer`, ready to run.

    Args:
        state: a state dict in the names of torchvision's `vgg16` or `vgg16_bn`; batch
            normalisation is folded into the convolutions, other entries (training heads) are left.
        layer: "fc1" or "fc2", 4096 numbers after the ReLU; "pool5", 512 numbers.
        pooling: "mean" (the default) or "gem", for pool5; "gem" for the fc2 of `export connect`,
            512 numbers too; VGG-16's own fully connected layers take the whole map: "".
        half: round the weights to what 16 bits hold, to be stored so.

    Raises:
        LookalikeError: when the state dict is not a VGG-16's, or has no such layer.
    """
    trunk = _build_trunk(state)
    if layer != "pool5":
        _require_layers_for(state, pooling)
    pool: nn.Module = GeneralizedMean() if pooling == "gem" else GlobalMean()
    if layer == "pool5":
        head, dimension = pool, MAP_CHANNELS
    elif pooling:
        head, dimension = connect(state, pool), MAP_CHANNELS
    else:
        head, dimension = _build_classifier(state, depth=1 if layer == "fc1" else 2), 4096
    network = FeatureNetwork(trunk, head, dimension).float().eval().requires_grad_(False)
    if not all(torch.isfinite(weight).all() for weight in network.parameters()):
        raise LookalikeError(
            "Some weights are not numbers, or infinite. Copy them again, or take those of before "
            "the training failed."
        )
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
    _require_width(features, trunk)
    _load(trunk, features, "convolutions")
    return fold_batch_norm(trunk.eval()) if with_bn else trunk


def _require_width(features: Mapping[str, torch.Tensor], trunk: nn.Sequential) -> None:
    """Refuse the convolutions of a network that has VGG-16's layers, of another width."""
    ours = dict(trunk.named_parameters())
    if not ours.keys() <= features.keys():
        return
    shape, wanted = features["0.weight"].shape, ours["0.weight"].shape
    if shape[1:] == wanted[1:] and shape != wanted:
        raise LookalikeError(
            f"The first convolution has {shape[0]} channels, and that of VGG-16 has "
            f"{wanted[0]}: these weights are of another width. Pass others; export train makes "
            "such when --width is left out."
        )


def _require_layers_for(state: Mapping[str, torch.Tensor], pooling: str) -> None:
    """Refuse weights without fully connected layers, or with some that take something else."""
    weight = state.get(f"{CLASSIFIER[0]}.weight")
    if weight is None:
        raise LookalikeError(
            "These weights have no fully connected layers. Export them with --layer pool5."
        )
    takes_pooled = weight.shape[-1:] == (MAP_CHANNELS,)
    if takes_pooled and pooling != "gem":
        raise LookalikeError(
            "These fully connected layers take the pooled map. Add --layer fc2 --pool gem."
        )
    if pooling and not takes_pooled:
        raise LookalikeError("These fully connected layers take the whole map. Leave out --pool.")


def _build_classifier(state: Mapping[str, torch.Tensor], depth: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    taken = 7 * 7 * MAP_CHANNELS
    for name in CLASSIFIER[:depth]:
        layers += [_build_connected(state, name, taken, 4096), nn.ReLU()]
        taken = 4096
    return nn.Sequential(*layers)


def connect(state: Mapping[str, torch.Tensor], pool: nn.Module) -> PooledAndConnected:
    """Put the fully connected layers that `export connect` has made behind a pooling."""
    first = _build_connected(state, CLASSIFIER[0], MAP_CHANNELS)
    second = _build_connected(state, CLASSIFIER[1], first.out_features, MAP_CHANNELS)
    return PooledAndConnected(pool, first, second)


def _build_connected(
    state: Mapping[str, torch.Tensor], name: str, taken: int, given: int | None = None
) -> nn.Linear:
    """Return a fully connected layer from `taken` numbers to `given`, by default to all it has."""
    own = {
        key.removeprefix(f"{name}."): value.float()
        for key, value in state.items()
        if key.startswith(f"{name}.")
    }
    with torch.device("meta"):
        layer = nn.Linear(taken, given or (own["bias"].numel() if "bias" in own else 1))
    _load(layer, own, f"weights of the fully connected layer {name}")
    return layer


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
