"""Publishing against a Hub on this machine, through Hugging Face's own package."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
from huggingface_hub import HfApi

from retrieval.errors import LookalikeError
from retrieval.hub import as_typed, check_name, find_place, upload
from tests.fake_hub import LARGE, TOKEN, Hub, Space, running_hub

OURS = {"app.py": b"", "retrieval/pages/server.py": b"", "assets/old.jpg": b"", "README.md": b""}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    # Xet's compiled part speaks a protocol of its own; without it large files go by LFS.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with running_hub() as hub:
        yield hub


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.address, token=TOKEN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Something small, something large, and what makes it one of ours."""
    folder = tmp_path / "space"
    for name, data in OURS.items():
        if name != "assets/old.jpg":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    (folder / "README.md").write_text("---\ntitle: x\n---\n")
    (folder / "model.onnx").write_bytes(b"x" * (LARGE + 1))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(("system", "mark"), [("win32", '"'), ("linux", "'")])
def test_a_command_at_a_path_with_spaces_can_be_typed_as_it_is_told(
    monkeypatch: pytest.MonkeyPatch, system: str, mark: str
) -> None:
    monkeypatch.setattr("sys.platform", system)
    assert as_typed("/My Programs/hf", "auth") == f"{mark}/My Programs/hf{mark} auth"
    assert as_typed("/programs/hf", "auth") == "/programs/hf auth"


@pytest.mark.parametrize("private", [True, False])
def test_a_new_space_is_made_and_holds_the_folder(
    hub: Hub, api: HfApi, folder: Path, private: bool
) -> None:
    place = find_place(api, "ada/photos")
    assert not place.exists
    assert upload(api, place, folder, private) == f"{hub.address}/spaces/ada/photos"
    space = hub.spaces["ada/photos"]
    assert space.private is private
    assert {**space.files, ".gitattributes": b""} == {**contents(folder), ".gitattributes": b""}
    assert space.large == {"model.onnx"}
    assert [(one["type"], one["sdk"]) for one in hub.created] == [("space", "gradio")]


def test_one_of_ours_is_replaced_and_what_it_had_before_is_gone(
    hub: Hub, api: HfApi, folder: Path
) -> None:
    hub.spaces["lab/photos"] = Space(True, dict(OURS))
    place = find_place(api, "lab/photos")
    assert (place.exists, place.private) == (True, True)
    upload(api, place, folder, False)
    assert hub.spaces["lab/photos"].files == contents(folder)
    assert hub.spaces["lab/photos"].private
    assert hub.created == []


def test_a_public_space_is_made_private_before_anything_is_uploaded(
    hub: Hub, api: HfApi, folder: Path
) -> None:
    hub.spaces["ada/photos"] = Space(False, dict(OURS))
    upload(api, find_place(api, "ada/photos"), folder, True)
    assert hub.spaces["ada/photos"].private
    asked = [line for line in hub.asked if line.startswith(("PUT /api", "POST"))]
    assert asked[0] == "PUT /api/spaces/ada/photos/settings"


def test_an_upload_that_broke_off_right_after_the_beginning_goes_on(
    hub: Hub, api: HfApi, folder: Path
) -> None:
    hub.refusals["/commit/"] = (500, "")
    with pytest.raises(LookalikeError, match="has a problem itself"):
        upload(api, find_place(api, "ada/photos"), folder, False)
    hub.refusals.clear()
    upload(api, find_place(api, "ada/photos"), folder, False)
    assert contents(folder).items() <= hub.spaces["ada/photos"].files.items()


def test_somebody_elses_and_other_things_are_left_alone(hub: Hub, api: HfApi) -> None:
    with pytest.raises(LookalikeError, match=r"belongs to bob.*you are logged in as ada.*ada/x"):
        find_place(api, "bob/x")
    hub.spaces["ada/thesis"] = Space(False, {"app.py": b"mine", "README.md": b""})
    with pytest.raises(LookalikeError, match=r"already another Space called ada/thesis"):
        find_place(api, "ada/thesis")


def test_a_free_account_gets_the_free_hardware(hub: Hub, api: HfApi, folder: Path) -> None:
    answer = hub.answer

    def only_zero(method: str, path: str, body: bytes) -> tuple[int, object]:
        if path.endswith("/create") and b"hardware" not in body:
            return 402, {"error": "Gradio Spaces need a PRO subscription"}
        return answer(method, path, body)

    hub.answer = only_zero  # type: ignore[method-assign]
    upload(api, find_place(api, "ada/photos"), folder, False)
    assert hub.spaces["ada/photos"].large
    assert hub.created[0]["hardware"] == "zero-a10g"


@pytest.mark.parametrize(
    ("part", "status", "said", "sentence"),
    [
        ("create", 402, "", "wants a paid plan"),
        ("create", 403, "Forbidden", "may not do that.*says: Forbidden"),
        ("create", 409, "", "name is taken"),
        ("create", 429, "", "too often"),
        ("create", 418, "", "refused it .status 418"),
        ("commit", 403, "Repository storage limit reached (Max: 1 GB)", "has no room for this"),
        ("storage", 403, "", "may not do that"),
        ("create", 503, "", "has a problem itself"),
        ("whoami", 401, "", "does not know your token"),
    ],
)
def test_each_refusal_has_its_sentence(
    hub: Hub, api: HfApi, folder: Path, part: str, status: int, said: str, sentence: str
) -> None:
    hub.refusals[part] = (status, said)
    with pytest.raises(LookalikeError, match=sentence):
        upload(api, find_place(api, "ada/photos"), folder, False)


def test_tokens_that_are_wrong_or_may_only_read_are_told_apart(hub: Hub, api: HfApi) -> None:
    with pytest.raises(LookalikeError, match=r"does not know your token.*hf auth login"):
        find_place(HfApi(endpoint=hub.address, token="hf_wrong"), "ada/photos")
    hub.role = "read"
    with pytest.raises(LookalikeError, match="may only read"):
        find_place(api, "ada/photos")


def test_without_a_network_the_upload_can_be_run_again(api: HfApi) -> None:
    with pytest.raises(LookalikeError, match="cannot be reached"):
        find_place(HfApi(endpoint="http://127.0.0.1:9", token=TOKEN), "ada/photos")


@pytest.mark.parametrize(
    "name",
    ["photos", "ada/", "/photos", "a/b/c", "ada/my photos", "ada/-x", "ada/a--b", "ada/ü", ""],
)
def test_names_that_the_hub_does_not_take_are_refused(name: str) -> None:
    with pytest.raises(LookalikeError, match="is no name for a Space"):
        check_name(name)


def test_names_that_the_hub_takes_pass() -> None:
    check_name("Ada-1/my_photos.2")
