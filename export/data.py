"""Where the data of the commands lie, what is read of them, and the device that works on them.

torch is loaded only by what needs it, so that `--help` answers at once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.errors import LookalikeError
from retrieval.settings import PROJECT

if TYPE_CHECKING:
    import torch

    from export.photos import Photos

DATA = PROJECT.parent / "shared" / "data"
TEACHERS = ("mobilenet_v2_a", "mobilenet_v2_b", "googlenet")
HELD_OUT = 512  # photos


def data_folder() -> Path:
    """Return the data's folder: inside the checkout where it was carried along, else beside it."""
    inside = PROJECT / "shared" / "data"
    return inside if inside.is_dir() else DATA


def open_photos(data: Path, limit: int | None, say: Callable[[str], None]) -> "tuple[Photos, int]":
    """Read the photos to learn from; return them, and how many of the first are held out.

    Raises:
        LookalikeError: when there are too few.
    """
    from export.photos import read_photos

    unread: list[str] = []
    photos = read_photos(data / "photos", limit=limit, on_error=unread.append)
    if unread:
        say(f"{len(unread)} files in the packs are no readable pictures, like {unread[0]}.")
    held_out = min(HELD_OUT, len(photos) // 4)
    if not held_out:
        raise LookalikeError("Training needs at least four photos. Name more with --data.")
    return photos, held_out


def open_device(name: str | None) -> "torch.device":
    """Return the device of that name, or without one the GPU where there is one.

    Raises:
        LookalikeError: when torch does not know it, or it cannot be used here.
    """
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        if device.type not in ("cpu", "cuda"):
            raise AssertionError(f"not tried on {device.type}")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise LookalikeError(
            f"--device {name} cannot be used here. Leave it out to take what there is."
        ) from error
    return device
