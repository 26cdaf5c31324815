"""One upload: what a browser has sent so far, within which bounds, not in a collection yet."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.errors import LookalikeError
from retrieval.files import in_units
from retrieval.settings import VISITORS_SPARE_BYTES

SPARE_BYTES = 200 * 2**20  # left free on the disk
LOOK_BYTES = 16 * 2**20  # that may be written between two looks at what is free on the disk
MAX_LEFT_OUT = 10_000  # files of an upload whose names are kept with the reason


@dataclass(frozen=True)
class UploadBounds:
    """What may be handed over at once."""

    files: int
    bytes: int
    file_bytes: int  # of a picture; a zip may have all of `bytes`
    in_all: bool = False  # `files` is what there is room for, in however many goes

    def as_sentence(self) -> str:
        """Say so to whoever is about to upload."""
        more = " more" if self.in_all else ""
        return (
            f"Up to {self.files:,}{more} pictures and {in_units(self.bytes)} at once, "
            f"{in_units(self.file_bytes)} each."
        )


@dataclass
class Upload:
    """Files that one visitor is sending."""

    folder: Path
    visitor: str
    bounds: UploadBounds
    address: str = ""  # the visitor's own in the network
    owner: bool = False
    promised: int = 0  # bytes that the browser has said will come
    touched: float = field(default_factory=time.monotonic)
    came: float = field(default_factory=time.monotonic)  # when any of it last did
    begun: bool = False  # whether any of it has come, be it given back since
    files: int = 0
    bytes: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)  # name and sentence
    others: int = 0  # files that are no pictures, which the browser has not sent
    numbers: dict[Path, int] = field(default_factory=dict)  # of names that come again
    marks: set[str] = field(default_factory=set)  # by which the browser knows the files that came

    @property
    def spare(self) -> int:
        """How many bytes it leaves free on the disk."""
        return SPARE_BYTES if self.owner else VISITORS_SPARE_BYTES

    @property
    def most(self) -> int:
        """How many bytes may come."""
        told = self.bounds.bytes if self.owner else max(0, self.promised) + LOOK_BYTES
        return min(self.bounds.bytes, told)

    def leave_out(self, name: str, why: str) -> None:
        """Note a file that cannot be taken; the others can.

        Raises:
            LookalikeError: when there are too many of them to be remembered.
        """
        if len(self.left_out) >= MAX_LEFT_OUT:
            raise LookalikeError(
                f"More than {MAX_LEFT_OUT:,} of these files cannot be taken. {why}"
            )
        self.left_out.append((name[:200], why))


def too_little(free: int, size: int, what: str, spare: int = SPARE_BYTES) -> LookalikeError:
    """Return what to say where the disk has not the room for so many bytes, beside the spare."""
    return LookalikeError(
        f"The disk has {in_units(free)} left, too little for {in_units(size)} of {what}, since "
        f"{in_units(spare)} are to stay free. Free some space and try again."
    )


def look_is_due(written: int, more: int) -> bool:
    """Whether to look at what is free on the disk, before so many more bytes are written."""
    return written // LOOK_BYTES != (written + more) // LOOK_BYTES


def require_room(folder: Path, spare: int = SPARE_BYTES) -> None:
    """Leave some space on the disk to everything else, so many bytes.

    Raises:
        LookalikeError: when hardly any is left.
    """
    if shutil.disk_usage(folder).free < spare:
        raise LookalikeError(
            f"The disk is full: less than {in_units(spare)} are left. Free some space and try "
            "again."
        )
