"""The app as Hugging Face runs it, on a Space: from a copy, by its environment variables alone."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import gradio
import httpx
import pytest
import yaml
from gradio_client import Client, handle_file

from retrieval.settings import PROJECT
from tests.browser import running_app
from tests.made import by_hue, need

SPACE = {"SYSTEM": "spaces", "SPACE_ID": "somebody/lookalike", "LOOKALIKE_HOME": ""}
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as it is cloned: the files that git tracks, and no others."""
    if shutil.which("git") is None or not (PROJECT / ".git").exists():
        pytest.skip("This is not a git checkout, so there is no list of tracked files.")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True
    ).stdout
    folder = tmp_path_factory.mktemp("clone")
    for name in filter(None, listed.decode().split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    return folder


@contextmanager
def running_space(folder: Path, home: Path, **environment: str) -> Iterator[Client]:
    """Start the copy of the app in `folder` as on a Space, and yield a program that uses it."""
    temporary = home / "tmp"
    temporary.mkdir(parents=True)
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    variables = {**SPACE, **places, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    with running_app(home, program=folder / "app.py", environment=variables) as address:
        patience = {"timeout": 60}
        client = Client(address, verbose=False, download_files=False, httpx_kwargs=patience)
        yield client
        client.close()


def files_in(folder: Path) -> set[str]:
    """Return the files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def front_matter(readme: Path) -> dict[str, object]:
    """Return the YAML block that a README opens with."""
    opening, block, _ = readme.read_text(encoding="utf-8").split("---\n", 2)
    assert opening == ""
    found = yaml.safe_load(block)
    assert isinstance(found, dict)
    return found


def test_the_front_matter_is_one_that_a_space_takes() -> None:
    found = front_matter(PROJECT / "README.md")
    assert (found["sdk"], found["app_file"], found["python_version"]) == (
        "gradio",
        "app.py",
        "3.12",
    )
    assert len(str(found["short_description"])) <= 60
    assert {found["colorFrom"], found["colorTo"]} <= COLOURS
    assert (PROJECT / str(found["thumbnail"])).is_file()


def test_the_space_gets_the_version_of_gradio_that_the_requirements_ask_for() -> None:
    """The Hub installs `sdk_version` beside the requirements, so each must allow the other."""
    version = str(front_matter(PROJECT / "README.md")["sdk_version"])
    text = (PROJECT / "requirements.txt").read_text(encoding="utf-8")
    asked = re.search(r"^gradio>=(\d+\.\d+),<(\d+)$", text, re.MULTILINE)
    assert asked is not None
    assert version.startswith(f"{asked[1]}.")
    # What is tested here is what runs there.
    assert version.rsplit(".", 1)[0] == gradio.__version__.rsplit(".", 1)[0]


def test_a_clone_runs_on_a_space_and_leaves_its_folder_as_it_was(
    clone: Path, tmp_path: Path
) -> None:
    before = files_in(clone)
    by_hue(120).save(tmp_path / "query.png")
    with running_space(clone, tmp_path / "home") as client:
        found = client.predict(handle_file(tmp_path / "query.png"), 5, "", api_name="/search")
        policy = httpx.get(client.src, timeout=60).headers["content-security-policy"]
    assert len(found) == 5
    assert files_in(clone) == before
    assert "frame-ancestors 'self' https://huggingface.co https://*.hf.space" in policy


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "{project}/.lookalike True"),
        ({"SYSTEM": "spaces"}, "{tmp}/lookalike True"),
        ({"SPACE_ID": "somebody/lookalike"}, "{tmp}/lookalike True"),
        ({"SPACE_ID": "somebody/lookalike", "LOOKALIKE_HOME": "{tmp}/bucket"}, "{tmp}/bucket True"),
        ({"SYSTEM": "spaces", "SPACES_ZERO_GPU": "true"}, "{tmp}/lookalike False"),
        ({"SPACES_ZERO_GPU": "true"}, "{project}/.lookalike True"),
    ],
    ids=["elsewhere", "SYSTEM", "SPACE_ID", "a bucket", "ZeroGPU", "no Space"],
)
def test_where_state_lies_and_whether_a_gpu_is_tried_hangs_on_the_host(
    tmp_path: Path, environment: dict[str, str], expected: str
) -> None:
    names = {"project": PROJECT.as_posix(), "tmp": tmp_path.as_posix()}
    hosts = ("SYSTEM", "SPACE_ID", "SPACES_ZERO_GPU", "LOOKALIKE_HOME")
    variables = {key: value for key, value in os.environ.items() if key not in hosts}
    variables |= {key: value.format(**names) for key, value in environment.items()}
    program = "from retrieval import settings as s; print(s.HOME.as_posix(), not s.ON_ZERO_GPU)"
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env={**variables, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(tmp_path))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == expected.format(**names)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LOOKALIKE_REQUESTS", "many"), ("LOOKALIKE_REQUESTS", "0"), ("LOOKALIKE_QUEUE", "1.5")],
)
def test_a_bound_that_is_no_number_is_refused_in_a_sentence(variable: str, value: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from retrieval import settings"],
        cwd=PROJECT,
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert run.returncode == 1
    assert run.stderr.strip() == f"{variable} is {value}. Set it to a whole number from 1 on."


def test_on_a_space_nothing_is_installed_into_a_folder_of_its_own(clone: Path) -> None:
    program = (
        "from retrieval import setup; setup.TELLTALES['requirements.txt'] = ('no_such_package',); "
        "setup.run_in_environment('requirements.txt')"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=clone,
        env={**os.environ, **SPACE},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "This Space lacks no_such_package." in run.stderr
    assert "Traceback" not in run.stderr
    assert not (clone / ".venv").exists()


def test_zero_gpu_is_told_of_a_marked_function_and_searches_run(
    clone: Path, tmp_path: Path
) -> None:
    need("spaces", "pip install -r tests/requirements.txt")
    told: list[str] = []

    class Device(BaseHTTPRequestHandler):
        """As much of ZeroGPU's own server as a start speaks to."""

        def do_POST(self) -> None:
            told.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Device)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    by_hue(120).save(tmp_path / "query.png")
    try:
        with running_space(
            clone,
            tmp_path / "home",
            SPACES_ZERO_GPU="true",
            SPACES_ZERO_DEVICE_API_URL=f"http://127.0.0.1:{server.server_port}",
            ACCELERATOR="zero-a10g",
        ) as client:
            found = client.predict(handle_file(tmp_path / "query.png"), 5, "", api_name="/search")
    finally:
        server.shutdown()
        server.server_close()
    assert len(found) == 5
    assert told == ["/startup-report"]
