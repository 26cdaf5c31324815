"""Pictures in object storage (`s3://...`), by fsspec: listed, read, with thumbnails beside them."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from retrieval.captions import (
    HELD,
    MAX_BYTES,
    TOO_LARGE,
    Caption,
    Flaw,
    Rows,
    UnreadTable,
    parse_captions,
)
from retrieval.errors import LookalikeError, PictureError
from retrieval.files import composed
from retrieval.folders import lies_passed_over
from retrieval.settings import PYTHON

INSTALL = f"{PYTHON} -m pip install -r retrieval/requirements-scale.txt"
OWN = ".lookalike/thumbnails"  # below a URL, where its thumbnails are
THUMBNAILS_HELD = 20 * 2**20  # bytes of them, some 2,000
MAX_THUMBNAIL = 2**20  # bytes


def is_url(text: str) -> bool:
    """Whether a source of pictures is object storage, and no folder."""
    return "://" in text


class Bucket:
    """What lies below a URL."""

    def __init__(self, url: str) -> None:
        """Take an address such as `s3://bucket/photos`; how one is let in, its library knows.

        For S3 that is the environment: AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL ...

        Raises:
            LookalikeError: when it is no object storage, or the packages are not installed.
        """
        kind, _, rest = url.partition("://")
        if kind.lower() in ("http", "https") or not rest.strip("/"):
            raise LookalikeError(
                f"{url} is no place in object storage, such as s3://BUCKET/photos."
            )
        try:
            import fsspec

            self._files, self._root = fsspec.core.url_to_fs(url.rstrip("/"))
        except (ImportError, ValueError) as error:
            raise LookalikeError(
                f"{url.partition(':')[0]}:// cannot be read. Install what reads it with: {INSTALL}"
            ) from error
        self.url = url.rstrip("/")

    def list(self) -> dict[str, tuple[int, int]]:
        """Return size and time of change (nanoseconds since 1970) of all files, by their names.

        Raises:
            LookalikeError: when the storage cannot be reached, or does not let one in.
        """
        try:
            self._files.invalidate_cache()
            found: Mapping[str, Mapping[str, Any]] = self._files.find(self._root, detail=True)
        except Exception as error:  # each storage has its own kinds
            raise LookalikeError(
                f"{self.url} cannot be listed ({type(error).__name__}). Check the address, the "
                "connection, and the keys in the environment."
            ) from error
        names = {path.removeprefix(self._root).lstrip("/"): path for path in sorted(found)}
        return {
            name: (int(found[path].get("size") or 0), _time_of(found[path]))
            for name, path in names.items()
            if name and not lies_passed_over(name)
        }

    def captions(
        self, files: Mapping[str, tuple[int, int]], on_unread: Callable[[UnreadTable], None]
    ) -> dict[str, Caption]:
        """Return what the CSVs among the files say of pictures, by their names, `composed`.

        Args:
            files: as `list` returns them.
            on_unread: told of each table of which not all is read.
        """
        captions: dict[str, Caption] = {}
        for name, (size, _) in files.items():
            if not name.lower().endswith(".csv"):
                continue
            folder = PurePosixPath(name).parent

            def tell(why: str, flaw: Flaw, table: str = name, folder: str = str(folder)) -> None:
                on_unread(UnreadTable(table, folder, why, flaw))

            if size > MAX_BYTES:  # not asked for, so it may be of anything
                tell(TOO_LARGE, "mute")
                continue
            try:
                table = self.read(name, MAX_BYTES)
            except PictureError:
                tell(HELD, "broken")
                continue
            found = Rows()
            for filename, caption in parse_captions(table, tell):
                found.add(composed(str(folder / filename)), caption)
            found.tell(tell)
            captions.update(found)
        return captions

    def read(self, name: str, max_bytes: int) -> bytes:
        """Read a file, unless it is too large to be a picture.

        Raises:
            PictureError: when it is too large or gone, or the storage does not answer.
        """
        path = f"{self._root}/{name}"
        try:
            data: bytes = self._files.cat_file(path, end=max_bytes + 1)
        except FileNotFoundError as error:
            raise PictureError("The file is not there any more. Look for changes again.") from error
        except Exception as error:  # each storage has its own kinds
            if self._is_empty(path):  # S3 refuses (416) to give a range of no bytes
                return b""
            raise PictureError(
                f"The storage did not give it ({type(error).__name__}). Index again to try again."
            ) from error
        if len(data) > max_bytes:
            raise PictureError(
                f"The file has more than {max_bytes / 2**20:,.0f} MB. Save a smaller copy."
            )
        return data

    def _is_empty(self, path: str) -> bool:
        try:
            return bool(self._files.info(path)["size"] == 0)
        except Exception:  # each storage has its own kinds; whoever asks has one to tell of
            return False

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            LookalikeError: when the storage does not take it.
        """
        path = f"{self._root}/{name}"
        try:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path, data)
        except Exception as error:  # each storage has its own kinds
            raise LookalikeError(
                f"Nothing can be written below {self.url} ({type(error).__name__}). Check what the "
                "keys in the environment allow."
            ) from error


class Thumbnails:
    """The thumbnails that lie below a URL; the last ones are held."""

    def __init__(self, url: str) -> None:
        """Take an address, as `Bucket` does.

        Raises:
            LookalikeError: when the packages are not installed.
        """
        self._bucket = Bucket(url)
        self._holding = threading.Lock()  # while `_held` is read or changed
        self._held: dict[str, bytes] = {}  # by their contents

    def read(self, sha256: str) -> bytes | None:
        """Return the JPEG of a content, or None when it cannot be had."""
        with self._holding:
            jpeg = self._held.get(sha256)
        if jpeg is not None:
            return jpeg
        try:
            jpeg = self._bucket.read(thumbnail_name(sha256), MAX_THUMBNAIL)
        except PictureError:
            return None
        with self._holding:
            held = self._held
            held[sha256] = jpeg
            while sum(map(len, held.values())) > THUMBNAILS_HELD:
                del held[next(iter(held))]
        return jpeg


def thumbnail_name(sha256: str) -> str:
    """Return where the thumbnail of a content lies: not all in one folder."""
    return f"{OWN}/{sha256[:2]}/{sha256}.jpg"


def _time_of(about: Mapping[str, Any]) -> int:
    when = about.get("LastModified") or about.get("mtime") or about.get("created") or 0
    seconds = when.timestamp() if isinstance(when, datetime) else float(when)
    return int(seconds * 1e9)
