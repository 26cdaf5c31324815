"""The student: VGG-16 with batch normalisation, and heads that speak as the teachers do."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from export.connected import Connected
from export.network import MEAN, STD, GeneralizedMean, fold_batch_norm
from export.teachers import CLASSES, DIMENSIONS
from retrieval.errors import LookalikeError
from retrieval.files import replace_when_done

WIDTH = 64  # channels of VGG-16's first convolution; the others are multiples of it
FIRST_HEAD = "mobilenet_v2_a"  # the teacher of the first trunk, whose head is called "emb" there
THIRD_BLOCK, LAST_BLOCK = 14, 34  # the first of these blocks' layers in `features`
PART_BYTES = 15 * 2**20  # a lent machine returns files of at most 16 MiB


class Student(nn.Module):
    """VGG-16's convolutions under torchvision's names, a pooling, and linear heads.

    `forward` takes RGB from 0 to 255, `(n, 3, s, s)`, and returns features `(n, 8 * width)`, the
    logits `(n, 1000)` and an embedding `(n, d)` for each teacher.

    Args:
        width: channels of the first convolution; 64 is VGG-16, tests take less.
        hidden: numbers that leave fc1; with 0 the heads stand behind the trunk's mean, and what a
            search would go by is its GeM.
    """

    def __init__(self, teachers: Sequence[str], width: int = WIDTH, hidden: int = 0) -> None:
        super().__init__()
        plan = [c if isinstance(c, str) else c * width // WIDTH for c in cfgs["D"]]
        self.features: nn.Sequential = make_layers(plan, batch_norm=True)
        channels = 8 * width
        self.connected = Connected(channels, hidden) if hidden else None
        self.pool = GeneralizedMean()
        self.cls = nn.Linear(channels, CLASSES)
        self.emb = nn.ModuleDict({name: nn.Linear(channels, DIMENSIONS[name]) for name in teachers})
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                # "Delving Deep into Rectifiers", He et al. 2015, as torchvision begins its VGGs.
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        self.mean: Tensor
        self.std: Tensor
        scale = {"mean": MEAN, "std": STD}
        for name, values in scale.items():
            tensor = torch.tensor(values).mul(255).view(1, 3, 1, 1)
            self.register_buffer(name, tensor, persistent=False)
        self.lacks_heads = False  # whether a trunk was taken over without them
        self.has_layers = False  # whether fully connected layers were taken over with it
        self._still = 0  # layers whose normalisations do not follow the pictures

    def maps(self, pictures: Tensor) -> Tensor:
        """Return the maps of the last block, `(n, 8 * width, s / 32, s / 32)`."""
        scaled = ((pictures - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        maps: Tensor = self.features(scaled)
        return maps

    def described(self, pictures: Tensor) -> Tensor:
        """Return the features that a search goes by, `(n, 8 * width)`, in 32 bits."""
        pooled: Tensor = self.pool(self.maps(pictures).float())
        with torch.autocast(pooled.device.type, enabled=False):
            return self.connected(pooled) if self.connected else pooled

    def before_heads(self, pictures: Tensor) -> Tensor:
        """Return the features that the heads take, `(n, 8 * width)`, in 32 bits."""
        if self.connected:
            return self.described(pictures)
        return self.maps(pictures).float().mean((2, 3))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        seen = self.before_heads(pictures)
        # In 32 bits: among a thousand classes 16 make ties of the likeliest.
        with torch.autocast(seen.device.type, enabled=False):
            return seen, self.cls(seen), [head(seen) for head in self.emb.values()]

    def brought(self) -> dict[str, Tensor]:
        """Return what was taken over, but for the heads, in the names of `state_dict`."""
        parts = ("features.", "connected.") if self.has_layers else ("features.",)
        return {name: x for name, x in self.state_dict().items() if name.startswith(parts)}

    def hold_all_but_the_last_block(self) -> None:
        """Let what lies behind the first four blocks learn; all normalisations stand still."""
        self._hold(LAST_BLOCK, len(self.features))

    def hold_first_blocks(self) -> None:
        """Let the first two blocks stand still: they have most of the memory's traffic."""
        self._hold(THIRD_BLOCK, THIRD_BLOCK)

    def _hold(self, layers: int, still: int) -> None:
        self.features[:layers].requires_grad_(False)
        self._still = max(still, self._still)

    def train(self, mode: bool = True) -> "Student":
        """Begin to learn, or to be used."""
        super().train(mode)
        self.features[: self._still].eval()
        return self

    def start_from(self, state: Mapping[str, Tensor], pictures: Tensor) -> None:
        """Take over a trunk, with its batch normalisation or folded, and such heads as fit.

        Args:
            pictures: RGB from 0 to 255, `(n, 3, s, s)`, such as it will learn from; a folded trunk
                is given normalisations that leave what it makes of them as it is.

        Raises:
            LookalikeError: when the trunk is another.
        """
        own = self.state_dict()
        renamed = {
            key.replace("emb.", f"emb.{FIRST_HEAD}.") if key.count(".") == 1 else key: value
            for key, value in state.items()
        }
        if not any(key.endswith("running_mean") for key in renamed):
            renamed |= self._unfold(renamed, pictures)
        fitting = {
            key: value.to(own[key].dtype)
            for key, value in renamed.items()
            if key in own and value.shape == own[key].shape
        }
        layers = {key for key in own if key.startswith("connected.")}
        # All of them, or none: a bias alone would add something before anything was learned.
        self.has_layers = bool(layers) and layers <= set(fitting)
        if not self.has_layers:
            fitting = {key: value for key, value in fitting.items() if key not in layers}
        # Heads from behind such layers do not fit in front of where there are none.
        stood_behind = any(key.startswith("connected.") for key in renamed) and not layers
        counters = {key for key in own if key.endswith("num_batches_tracked")}
        missing = set(own) - counters - set(fitting)
        if wrong := {key for key in missing if key.startswith("features.")}:
            raise _other_trunk(min(wrong))
        self.load_state_dict(fitting, strict=False)
        self.lacks_heads = bool(missing) or stood_behind
        if self.connected and any(key.startswith("connected.") for key in missing):
            with torch.no_grad():
                self.connected.suit(self.pool(copy.deepcopy(self).eval().maps(pictures).float()))
            self.has_layers = self.connected.take(state)

    @torch.no_grad()
    def _unfold(self, state: Mapping[str, Tensor], pictures: Tensor) -> dict[str, Tensor]:
        """Give a folded trunk back its batch normalisation; return it in this one's names.

        Each convolution is followed by a normalisation with the statistics of `pictures`, scaled
        and shifted so that it changes nothing. Before one, only a kernel's direction counts, and
        its length decides how fast it turns ("L2 Regularization versus Batch and Weight
        Normalization", van Laarhoven 2017): all get the length that they are born with.
        """
        trunk = copy.deepcopy(self.features).float().eval()
        plain = iter(
            sorted({int(key.split(".")[1]) for key in state if key.startswith("features.")})
        )
        maps = (pictures - self.mean) / self.std
        for module in trunk:
            if isinstance(module, nn.Conv2d):
                name = f"features.{next(plain, -1)}"
                kernel, bias = state.get(f"{name}.weight"), state.get(f"{name}.bias")
                if kernel is None or bias is None or kernel.shape != module.weight.shape:
                    raise _other_trunk(f"{name}.weight")
                kernel, bias = kernel.float(), bias.float()
                born = (2 * module.in_channels / module.out_channels) ** 0.5
                scale = born / kernel.flatten(1).norm(dim=1).clamp(min=1e-6)
                module.weight.copy_(kernel * scale.view(-1, 1, 1, 1))
                assert module.bias is not None
                module.bias.zero_()
            if isinstance(module, nn.BatchNorm2d):
                mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3))
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.copy_(mean)
                module.running_var.copy_(variance)
                module.weight.copy_((variance + module.eps).sqrt() / scale)
                module.bias.copy_(mean / scale + bias)
            maps = module(maps)
        return {f"features.{key}": value for key, value in trunk.state_dict().items()}

    @torch.no_grad()
    def fit_heads(
        self, pooled: Tensor, logits: Tensor, embeddings: Sequence[Tensor], ridge: float = 0.1
    ) -> None:
        """Set the heads to what they would learn first, so that no step of the trunk is lost on it.

        Args:
            pooled: what they take of some photos, `(n, c)`.
            logits: the teachers' log-probabilities of them, `(n, 1000)`.
            embeddings: each teacher's, `(n, d)`, less its centre.
            ridge: how far the least squares are drawn to zero, in the variance of each channel.
        """
        centre, spread = pooled.mean(0), pooled.std(0) + 1e-6
        inputs = (pooled - centre) / spread
        damping = ridge * len(pooled) * torch.eye(inputs.shape[1], device=inputs.device)
        inverse = torch.linalg.inv((inputs.T @ inputs + damping).double()).float()
        wanted = [logits - logits.mean(1, keepdim=True), *embeddings]
        heads = [self.cls, *self.emb.values()]
        for head, target in zip(heads, wanted, strict=True):
            assert isinstance(head, nn.Linear)
            mean = target.mean(0)
            weight = (inverse @ (inputs.T @ (target - mean))).T / spread
            head.weight.copy_(weight)
            head.bias.copy_(mean - weight @ centre)

    def folded(self) -> dict[str, Tensor]:
        """Return trunk and fully connected layers in the names of torchvision's `vgg16`.

        Kernels and matrices in 16 bits, biases in 32.

        Raises:
            LookalikeError: when the weights are not finite in 16 bits.
        """
        trunk = copy.deepcopy(self.features).cpu().float().eval().requires_grad_(False)
        state = fold_batch_norm(trunk).state_dict()
        folded = {f"features.{key}": value for key, value in state.items()}
        if self.connected:
            folded |= copy.deepcopy(self.connected).cpu().folded()
        return halve(folded)

    def unfolded(self) -> dict[str, Tensor]:
        """Return trunk and heads as `start_from` takes them, matrices in 16 bits."""
        state = {k: v.float().cpu() for k, v in self.state_dict().items() if "num_batches" not in k}
        return halve(state)


def _other_trunk(key: str) -> LookalikeError:
    return LookalikeError(
        "--start needs a VGG-16 trunk in torchvision's names (vgg16 or vgg16_bn), or a model of "
        f"ours; {key} is missing or of another shape."
    )


def halve(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with matrices and kernels in 16 bits.

    Raises:
        LookalikeError: when one is not finite then.
    """
    halved = {
        key: (value.half() if value.ndim > 1 else value).contiguous()
        for key, value in state.items()
    }
    if not all(torch.isfinite(value).all() for value in halved.values()):
        raise LookalikeError(
            "Some weights do not fit 16 bits: training went wrong. Start again with a lower --rate "
            "where there is one."
        )
    return halved


def save_state(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a state dict as .safetensors, whole or not at all."""
    with replace_when_done(path) as temporary:
        save_file(dict(state), temporary)


def save_parts(state: Mapping[str, Tensor], folder: Path, stem: str) -> list[Path]:
    """Write a state dict in as few files as keep each under 15 MiB, of about equal size.

    Raises:
        LookalikeError: when one tensor alone is larger, or a file cannot be written.
    """
    sizes = {key: value.numel() * value.element_size() for key, value in state.items()}
    total = sum(sizes.values())
    count = -(-total // PART_BYTES)
    while True:
        parts: list[dict[str, Tensor]] = [{} for _ in range(count)]
        before = 0
        for key, value in state.items():
            # The middle of each tensor says which part it belongs to.
            parts[min((before + sizes[key] // 2) * count // total, count - 1)][key] = value
            before += sizes[key]
        if all(sum(sizes[key] for key in part) <= PART_BYTES for part in parts):
            break
        if count > len(sizes):
            raise LookalikeError(f"One tensor alone is larger than {PART_BYTES / 2**20:.0f} MiB.")
        count += 1
    paths = [folder / f"{stem}-{i + 1}of{count}.safetensors" for i in range(count)]
    for part, path in zip(parts, paths, strict=True):
        save_state(part, path)
    return paths
