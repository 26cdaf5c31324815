"""Files that are either written whole or not at all."""

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retrieval.errors import explain_os_error


@contextmanager
def replace_when_done(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path`.

    On any error, a kill excepted, the temporary file is removed and `path` is as it was.
    Raises LookalikeError when the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise explain_os_error(error, path) from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        # mkstemp makes files private; what we ship is to be readable like any other file.
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def modified_of(status: os.stat_result) -> int:
    """Return when a file was changed, in nanoseconds since 1970, as far as SQLite can keep it.

    A broken clock dates a file 1601, and in nanoseconds that is no number of 64 bits.
    """
    return max(-(2**63), min(2**63 - 1, status.st_mtime_ns))


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return sha256_of(file)


def sha256_of(file: io.BufferedReader) -> str:
    """Return the SHA-256 of what is left of an open file, read in pieces."""
    return hashlib.file_digest(file, "sha256").hexdigest()
