"""Hugging Face's Hub: who is logged in there, and the upload of a Space."""

import functools
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from huggingface_hub import HfApi, SpaceHardware
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from retrieval.errors import LookalikeError, explain_os_error
from retrieval.settings import PYTHON

P = ParamSpec("P")
T = TypeVar("T")


def as_typed(*command: str) -> str:
    """Return how a command is typed in a terminal, whatever spaces its path has."""
    return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)


# The command lies beside the Python of the app's own environment.
LOG_IN = (
    "Make a token that may write at https://huggingface.co/settings/tokens, then run: "
    + as_typed(str(Path(sys.executable).with_name("hf")), "auth", "login")
)
# By files like these a Space is known to be one of ours, which may be replaced; an upload that
# broke off has left some of them.
OURS = ("retrieval/pages/", "assets/models/lookalike-")
# What the Hub itself puts into a new one.
NEW = {"README.md", ".gitattributes"}
# A free account gets Spaces of Gradio on ZeroGPU only.
FREE_HARDWARE = SpaceHardware.ZERO_A10G


@dataclass(frozen=True)
class SpacePlace:
    """Where a Space is or will be."""

    name: str  # USER/NAME
    exists: bool
    private: bool  # as it is there


def check_name(name: str) -> None:
    """Raise LookalikeError unless a name is one that the Hub takes, USER/NAME."""
    try:
        validate_repo_id(name)
        if name.count("/") != 1:
            raise HFValidationError
    except HFValidationError as error:
        raise LookalikeError(
            f'"{name}" is no name for a Space. Write your name at Hugging Face, a slash and a name '
            "of letters, digits, - _ or . (not two in a row, nor at its ends), like ada/my-photos."
        ) from error


def explained(work: Callable[P, T]) -> Callable[P, T]:
    """Turn what the Hub's own package raises into a sentence with its cure."""

    @functools.wraps(work)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        except LookalikeError:
            raise
        except Exception as error:
            sentence = _explain(error)
            if sentence is None:
                raise
            raise sentence from error

    return wrapped


@explained
def find_place(api: HfApi, name: str) -> SpacePlace:
    """Return where a Space would be uploaded to.

    Raises:
        LookalikeError: when nobody is logged in, the name belongs to somebody else or is taken by
            something else, or the Hub cannot be reached.
    """
    account = api.whoami()
    _require_right_to_write(account, name)
    try:
        found = api.space_info(name)
    except RepositoryNotFoundError:
        return SpacePlace(name, False, False)
    files = {sibling.rfilename for sibling in found.siblings or ()}
    if not (files <= NEW or any(file.startswith(OURS) for file in files)):
        raise LookalikeError(
            f"There is already another Space called {name}, and it would be lost. Choose another "
            "name."
        )
    return SpacePlace(name, True, bool(found.private))


@explained
def upload(api: HfApi, place: SpacePlace, folder: Path, private: bool) -> str:
    """Make a Space of a folder, or replace the one that is there; return its address.

    A Space that is private stays so; with `private` it becomes so before anything is uploaded.
    """
    if not place.exists:
        _create(api, place.name, private)
    elif private and not place.private:
        api.update_repo_settings(place.name, private=True, repo_type="space")
    api.upload_folder(
        repo_id=place.name,
        repo_type="space",
        folder_path=folder,
        commit_message="Publish with Lookalike",
        delete_patterns="*",  # what an earlier upload had and this one has not
    )
    return f"{api.endpoint}/spaces/{place.name}"


def _create(api: HfApi, name: str, private: bool) -> None:
    kind: dict[str, Any] = {"repo_type": "space", "space_sdk": "gradio", "private": private}
    try:
        api.create_repo(name, **kind)
    except HfHubHTTPError as error:
        if error.response.status_code != 402:
            raise
        api.create_repo(name, space_hardware=FREE_HARDWARE, **kind)


def _require_right_to_write(account: dict[str, Any], name: str) -> None:
    user, owner = str(account["name"]), name.partition("/")[0]
    owners = [user, *(str(organisation["name"]) for organisation in account.get("orgs", ()))]
    if owner.lower() not in [one.lower() for one in owners]:
        raise LookalikeError(
            f"{name} belongs to {owner}, and you are logged in as {user}. Publish as "
            f"{user}/{name.partition('/')[2]}, or log in as {owner}. {LOG_IN}"
        )
    token = account.get("auth", {}).get("accessToken", {})
    if token.get("role") == "read":
        raise LookalikeError(f"Your token for Hugging Face may only read. {LOG_IN}")


def _explain(error: Exception) -> LookalikeError | None:
    """Return the sentence for an error of the Hub's package; None for a bug."""
    for cause in _causes(error):
        if isinstance(cause, LocalTokenNotFoundError):
            return LookalikeError(f"You are not logged in at Hugging Face. {LOG_IN}")
        if isinstance(cause, OfflineModeIsEnabled):
            return LookalikeError(
                "HF_HUB_OFFLINE keeps this computer from Hugging Face. Unset it and try again."
            )
        if isinstance(cause, HfHubHTTPError):
            return _refused(cause)
        # The package has changed its HTTP library before; both name their errors alike.
        http = type(cause).__module__.partition(".")[0] in ("httpx", "httpx2")
        if http or isinstance(cause, ConnectionError | TimeoutError):
            return LookalikeError(
                "Hugging Face cannot be reached. Check the internet connection, then run the same "
                "command again; what has been uploaded is not sent twice."
            )
        if isinstance(cause, OSError) and cause.errno is not None:
            return explain_os_error(cause, cause.filename or "the folder that is uploaded")
    if isinstance(error, RuntimeError):  # what breaks in the compiled part
        return LookalikeError(
            f"The upload broke off ({str(error)[:200]}). Run the same command again; what has been "
            "uploaded is not sent twice."
        )
    return None


def _refused(error: HfHubHTTPError) -> LookalikeError:
    """Return the sentence for an answer of the Hub that is a refusal."""
    said = " ".join((error.server_message or "").split())[:300]
    status = error.response.status_code
    match status:
        case 401:
            sentence = f"Hugging Face does not know your token any more. {LOG_IN}"
        case 402:
            sentence = (
                "Hugging Face wants a paid plan for this Space. See "
                "https://huggingface.co/pricing, or publish under another account."
            )
        case 403 if "storage" in said.lower():
            sentence = (
                "The Space has no room for this. Publish a collection of fewer pictures, or delete "
                "the Space in its settings first: it keeps what was there before."
            )
        case 403:
            sentence = f"Your token for Hugging Face may not do that. {LOG_IN}"
        case 409:
            sentence = "That name is taken. Choose another one."
        case 429:
            sentence = "That was too often for Hugging Face. Wait some minutes and try again."
        case _ if status >= 500:
            sentence = (
                "Hugging Face has a problem itself. Try again later; https://status.huggingface.co "
                "tells when it is over."
            )
        case _:
            sentence = (
                f"Hugging Face refused it (status {status}). Update with: "
                f"{PYTHON} -m pip install --upgrade huggingface_hub, then try again."
            )
    return LookalikeError(f"{sentence} (It says: {said})" if said else sentence)


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
