"""Weights of a VGG-16: fetched, read from disk, and brought to one form."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import onnx
import torch
from onnx import numpy_helper
from safetensors import SafetensorError
from safetensors.torch import load_file

from export.network import CLASSIFIER
from retrieval.errors import LookalikeError, explain_os_error
from retrieval.files import sha256_of_file

# What the exporter calls the trunk's tensors; matrices may be stored in 16 bits.
TRUNK = re.compile(r"(?:early|late)\.(\d+\.(?:weight|bias))(?:\.half)?")
HEAD = re.compile(r"head\.(first|second)\.(weight|bias)(?:\.half)?")

CONNECTED = {f"{name}.{part}" for name in CLASSIFIER for part in ("weight", "bias")}

StateDict = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Weights:
    """A state dict in torchvision's names, and the SHA-256 of the file it came from."""

    state: StateDict
    sha256: str


def fetch_weights(url: str, folder: Path | None = None) -> Path:
    """Download a state dict with a progress bar, unless it is there already; return its path.

    Args:
        url: the address; the file's name ends in the first digits of its SHA-256, as torchvision's
            do (`vgg16-397923af.pth`), and they are checked, also of a file found on disk.
        folder: where to keep it; torch's own cache by default.

    Raises:
        LookalikeError: when it cannot be downloaded or kept, or is not what was published.
    """
    folder = folder or Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / url.rsplit("/", 1)[-1]
    digits = path.stem.rsplit("-", 1)[-1]
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Downloads beside the target, checks the hash and only then moves it into place.
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digits, progress=True)
        except (URLError, ConnectionError, TimeoutError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise LookalikeError(
                f"The weights could not be downloaded from {url}: {reason}. Connect to the "
                "internet and try again, or fetch that file on another computer and pass it with "
                "--weights."
            ) from error
        except RuntimeError as error:
            raise LookalikeError(
                f"What came from {url} is not what was published (its hash differs). Try again on "
                "another network."
            ) from error
        except OSError as error:
            raise explain_os_error(error, path) from error
    if not sha256_of_file(path).startswith(digits):
        raise LookalikeError(f"{path} is damaged (its hash differs). Delete it and try again.")
    return path


def read_weights(*paths: Path) -> Weights:
    """Read a state dict from a `.safetensors` or a `.pth` file; no code in it is ever run.

    Of a model of ours, an `.onnx` file, it is the trunk, with its batch normalisation folded, and
    the fully connected layers behind its pooled map, where it has such.

    A state dict that was cut into several files, each with some of its tensors, is put together;
    its SHA-256 is then that of the files' digests, one after another. A file with fully connected
    layers alone, as `python -m export connect` writes, takes the place of those before it.

    Raises:
        LookalikeError: when a file cannot be read or is no state dict, or a tensor is in two.
    """
    parts = [_read_file(path) for path in paths]
    if len(parts) == 1:
        return parts[0]
    state: dict[str, torch.Tensor] = {}
    for part, path in zip(parts, paths, strict=True):
        twice = state.keys() & part.state.keys()
        if twice and part.state.keys() != CONNECTED:
            raise LookalikeError(
                f"{min(twice)} of {path.name} is in another file too. Pass each part once."
            )
        state |= part.state
    digests = "".join(part.sha256 for part in parts)
    return Weights(state, hashlib.sha256(digests.encode()).hexdigest())


def _read_file(path: Path) -> Weights:
    if path.is_dir():
        raise LookalikeError(f"{path} is a folder. Name a file in it.")
    if not path.is_file():
        raise LookalikeError(f"There are no weights at {path}. Check the name and try again.")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        elif path.suffix == ".onnx":
            state = _read_model(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise LookalikeError(
            f"{path.name} is damaged or no state dict. Copy it again from where it came from."
        ) from error
    except LookalikeError:
        raise
    except Exception as error:  # torch.load raises pickle's own errors for whatever it refuses
        raise LookalikeError(
            f"{path.name} holds more than plain tensors and was not loaded. Save it with "
            "torch.save(model.state_dict(), ...) and try again."
        ) from error
    # A sparse tensor, whose layout is another, cannot be computed with here.
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) and value.layout == torch.strided
        for key, value in state.items()
    ):
        raise LookalikeError(
            f"{path.name} is not a state dict of names and dense tensors. Save it with "
            "torch.save(model.state_dict(), ...)."
        )
    return Weights(state, sha256_of_file(path))


def _read_model(path: Path) -> dict[str, torch.Tensor]:
    """Read trunk and connected layers of a model that `write_onnx` wrote, in torchvision's names.

    Raises:
        ValueError: when it is no ONNX file, or has no trunk.
        LookalikeError: when it is in 8 bits.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own
        raise ValueError("no ONNX file") from error
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise LookalikeError(f"{path.name} is in 8 bits. Name the float model that it is from.")
    names = dict(zip(("first", "second"), CLASSIFIER, strict=True))
    state = {}
    for tensor in model.graph.initializer:
        if found := TRUNK.fullmatch(tensor.name):
            name = f"features.{found[1]}"
        elif found := HEAD.fullmatch(tensor.name):
            name = f"{names[found[1]]}.{found[2]}"
        else:
            continue
        state[name] = torch.from_numpy(numpy_helper.to_array(tensor).copy())
    if not any(name.startswith("features.") for name in state):
        raise ValueError("no convolutions of ours in it")
    return state
