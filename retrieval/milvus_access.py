"""The way to a Milvus: its address, how one is let in, and its errors in sentences."""

import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.errors import LookalikeError
from retrieval.paths import require_text
from retrieval.settings import PYTHON

log = logging.getLogger(__name__)

INSTALL = f"{PYTHON} -m pip install -r retrieval/requirements-scale.txt"
SECONDS = 10.0  # that one request may take; searching takes milliseconds
# Without the first two, channels to one address share what they know of it, and for minutes do not
# notice that a server is back. By the others the client asks every five minutes whether the server
# is still there: as often as every server of gRPC allows, where Milvus' own ten seconds make Milvus
# Lite hang up ("too many pings") while it builds an index.
CHANNEL = {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.max_reconnect_backoff_ms": 1000,
    "grpc.keepalive_time_ms": 300_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.keepalive_permit_without_calls": 0,
}


class MilvusError(LookalikeError):
    """Milvus could not be asked, or would not do it."""


class MilvusAwayError(MilvusError):
    """Milvus does not answer; it may in a moment."""


@dataclass(frozen=True)
class Place:
    """Where a gallery is: an address as Milvus' client takes it, and a collection there."""

    uri: str  # "FILE.db", "http://HOST:19530", "https://..."
    name: str

    def __post_init__(self) -> None:
        """Refuse an address with a secret, since addresses are written down and shown."""
        if "@" in self.uri:
            raise LookalikeError(
                "The address of Milvus may not hold a password, since it is written down. Put "
                "USER:PASSWORD or the token into LOOKALIKE_MILVUS_TOKEN."
            )
        if not re.match(r"(https?|tcp|unix)://.", self.uri) and not self.uri.endswith(".db"):
            raise LookalikeError(
                f"{self.uri} is no address of Milvus. Name a file that ends in .db, or "
                "http://HOST:19530."
            )

    @classmethod
    def new(cls, uri: str, name: str) -> "Place":
        """Return a place of its own in a Milvus, named so that one finds it again.

        Args:
            name: what people call the collection.
        """
        safe = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:40]
        return cls(resolve(uri), f"lookalike_{safe}_{secrets.token_hex(4)}")


def resolve(uri: str) -> str:
    """Return the address that can be written down: that of a file whole, others as they are.

    Raises:
        LookalikeError: when bytes of it are no text.
    """
    whole = uri if "://" in uri else str(Path(uri).expanduser().resolve())
    require_text(Path(), whole)
    return whole


def access() -> dict[str, Any]:
    """Return how one is let in, as Milvus' client takes it.

    From the environment alone: secrets are never written beside a collection.
    """
    names = {
        "token": "LOOKALIKE_MILVUS_TOKEN",
        "db_name": "LOOKALIKE_MILVUS_DATABASE",
        "server_pem_path": "LOOKALIKE_MILVUS_SERVER_PEM",
        "ca_pem_path": "LOOKALIKE_MILVUS_CA_PEM",
        "client_pem_path": "LOOKALIKE_MILVUS_CLIENT_PEM",
        "client_key_path": "LOOKALIKE_MILVUS_CLIENT_KEY",
    }
    return {key: os.environ[name] for key, name in names.items() if os.environ.get(name)}


def need_file(uri: str) -> None:
    """Refuse a Milvus in a file that is not there: connecting to it would make an empty one.

    Raises:
        MilvusError: when it is away.
    """
    if is_away(uri):
        raise MilvusError(
            f"The file with the vectors, {Path(uri).name}, is not where it was. Connect its disk, "
            "or put it back; if it is lost, index the pictures again under another name."
        )


def is_away(uri: str) -> bool:
    """Whether an address is that of a file, and there is none."""
    return "://" not in uri and not os.path.exists(uri)


def connect(uri: str) -> Any:
    """Return a client of a Milvus.

    Raises:
        MilvusError: when its package is not installed, or it does not answer.
    """
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise MilvusError(f"Milvus needs more packages. Install them with: {INSTALL}") from error
    # They print every error with its traceback, before they raise it: the client, and Milvus Lite
    # in this process.
    for name in ("pymilvus", "grpc._server", "milvus_lite.server_manager"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    with explained():
        return MilvusClient(uri=uri, timeout=SECONDS, grpc_options=CHANNEL, **access())


def message_of(error: BaseException | None) -> str:
    """Return what an error and those that it comes from say; the first often hides the reason."""
    parts: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))  # Milvus' client raises errors from themselves
        said = getattr(error, "details", None)  # of gRPC
        parts.append(str(said() if callable(said) else getattr(error, "message", "") or error))
        if callable(code := getattr(error, "code", None)):
            parts.append(str(code()))
        error = error.__cause__
    return ", from: ".join(parts)


@contextmanager
def explained() -> Iterator[None]:
    """Turn the errors of Milvus and of the way there into sentences."""
    try:
        yield
    except (LookalikeError, ImportError):
        raise
    except Exception as error:
        names = [cls.__name__ for cls in type(error).__mro__]
        if not {"MilvusException", "RpcError", "FutureTimeoutError"} & set(names):
            raise
        text = message_of(error)
        log.warning("Milvus: %s", text[:500])
        raise error_for(text) from error


def error_for(text: str) -> MilvusError:
    """Return what to tell people of an error of Milvus."""
    low = text.lower()
    if "milvus-lite is required" in low:
        return MilvusError(
            "Milvus Lite, for vectors in a file, is not here, and for Windows there is none. "
            f"Install it with: {PYTHON} -m pip install milvus-lite; or name the address of a "
            "Milvus server."
        )
    if re.search(r"open local milvus failed, dir: .* not exists", low):
        return MilvusError(
            "The folder in which that Milvus file would lie is not there. Make it, or name a file "
            "in another one."
        )
    if "open local milvus failed" in low:
        return MilvusError(
            "That Milvus file cannot be opened. Where another program has it open, close that, or "
            "start a server for both: milvus-lite server --data-dir FOLDER; else check its "
            "permissions."
        )
    if re.search(r"unauthenticated|auth\w* (check|fail)|api key|password|permission.?denied", low):
        return MilvusError(
            "Milvus does not let this program in. Check the token in LOOKALIKE_MILVUS_TOKEN, and "
            "that its user may do this."
        )
    if re.search(r"lock|in use by another|already opened", low) and ".db" in low:
        return MilvusError(
            "Another program has that Milvus file open. Close it, or start a server for both: "
            "milvus-lite server --data-dir FOLDER"
        )
    if re.search(r"unavailable|connect|deadline|timeout|refused|unreachable|reset", low):
        return MilvusAwayError(
            "The Milvus server for the vectors does not answer. Try again in a moment; if it stays "
            "so, start the server or check its address."
        )
    if re.search(r"quota|rate limit|memory|disk", low):
        return MilvusError("The Milvus server has no room or time left just now. Try again later.")
    return MilvusError(
        "Milvus could not do that, and the log says why. Try again; what was finished is kept."
    )
