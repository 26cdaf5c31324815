"""The app's own environment, made by the first start."""

import ast
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
import venv
from contextlib import nullcontext
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from retrieval import setup

REPOSITORY = setup.PROJECT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, with requirements that need nothing from the internet."""
    monkeypatch.setattr(setup, "PROJECT", tmp_path)
    monkeypatch.setattr(setup, "ENVIRONMENT", tmp_path / ".venv")
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    return tmp_path


def test_nothing_is_installed_where_all_packages_are_there(project: Path) -> None:
    setup.run_in_environment("requirements.txt")
    assert not (project / ".venv").exists()


def test_the_environment_is_made_once_and_again_when_the_requirements_change(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    python = setup.prepare_environment("requirements.txt")
    assert "once" in capfd.readouterr().out
    prefix = subprocess.run(
        [python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
    )
    assert Path(prefix.stdout.strip()).resolve() == (project / ".venv").resolve()
    setup.prepare_environment("requirements.txt")
    assert capfd.readouterr().out == ""
    (project / "more.txt").write_text("# nothing either\n")
    (project / "requirements.txt").write_text("-r more.txt\n")
    setup.prepare_environment("requirements.txt")
    assert "Setting up" in capfd.readouterr().out
    (project / "more.txt").write_text("# changed\n")
    setup.prepare_environment("requirements.txt")
    assert "Setting up" in capfd.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="it has no link to replace")
def test_an_environment_whose_python_has_died_is_made_anew(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    python = setup.prepare_environment("requirements.txt")
    # `python3` has become one of another version, which looks elsewhere for what is installed.
    (packages,) = (project / ".venv" / "lib").glob("python3.*")
    packages.rename(packages.with_name("python3.10"))
    assert setup.prepare_environment("requirements.txt") == python
    assert "is gone or was replaced, so it is made again" in capfd.readouterr().out
    python.unlink()
    python.write_bytes(b"MZ\0\0")  # nothing that runs here
    python.chmod(0o755)
    assert setup.prepare_environment("requirements.txt") == python
    assert "is gone or was replaced, so it is made again" in capfd.readouterr().out
    subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)


def test_an_environment_that_has_lost_packages_is_brought_up_again_or_told_to_be_deleted(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    setup.prepare_environment("requirements.txt")
    monkeypatch.setattr(sys, "prefix", str(project / ".venv"))
    monkeypatch.setitem(setup.TELLTALES, "requirements.txt", ("no_such_package",))
    with pytest.raises(SystemExit, match=r"it lacks no_such_package\. Delete that folder"):
        setup.run_in_environment("requirements.txt")
    assert capfd.readouterr().out.count("Setting up") == 2


@pytest.mark.parametrize(
    ("version", "fits"), [("5.49.1", False), ("6.4.0", False), ("6.31.0", True), ("7.0", False)]
)
def test_a_python_with_another_gradio_than_is_wanted_gets_an_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch, version: str, fits: bool
) -> None:
    about = project / f"gradio-{version}.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text(f"Name: gradio\nVersion: {version}\n")
    monkeypatch.syspath_prepend(project)
    (project / "requirements.txt").write_text("# the page\ngradio>=6.31,<7\n")
    monkeypatch.setenv("SYSTEM", "spaces")  # where none is made
    with nullcontext() if fits else pytest.raises(SystemExit, match="lacks gradio"):
        setup.run_in_environment("requirements.txt")


def test_packages_that_cannot_be_had_end_in_a_sentence(project: Path) -> None:
    (project / "requirements.txt").write_text("./no-such-package\n")
    with pytest.raises(SystemExit, match="Check the internet connection"):
        setup.prepare_environment("requirements.txt")


def test_the_commands_get_what_they_need_as_the_app_does(tmp_path: Path) -> None:
    without = shutil.ignore_patterns("__pycache__", "pages")
    shutil.copytree(REPOSITORY / "retrieval", tmp_path / "retrieval", ignore=without)
    (tmp_path / "requirements.txt").write_text("./nothing\n")
    venv.create(tmp_path / "bare")
    python = tmp_path / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ran = subprocess.run(
        [python, "-m", "retrieval", "check"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "Setting up Lookalike" in ran.stdout
    assert "The packages could not be installed" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_python_that_is_too_new_for_the_packages_is_told_which_one_to_get(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "NEWEST", (3, 10))
    (project / "requirements.txt").write_text("./no-such-package\n")
    with pytest.raises(SystemExit, match=r"not be made for this Python, .*Get Python 3\.10 from"):
        setup.prepare_environment("requirements.txt")


MACHINES = [
    ("win32", "AMD64", "onnxruntime-gpu"),
    ("win32", "ARM64", "onnxruntime"),
    ("linux", "x86_64", "onnxruntime-gpu"),
    ("linux", "aarch64", "onnxruntime"),
    ("darwin", "arm64", "onnxruntime"),
    ("darwin", "x86_64", "onnxruntime"),
]


@pytest.mark.parametrize(("system", "machine", "wheel"), MACHINES)
def test_each_machine_gets_the_one_onnx_runtime_that_is_made_for_it(
    system: str, machine: str, wheel: str
) -> None:
    here = {"sys_platform": system, "platform_machine": machine}
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line.startswith("onnxruntime")]
    assert [one.name for one in wanted if one.marker and one.marker.evaluate(here)] == [wheel]


def test_an_old_python_is_told_where_to_get_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and this is 3\.9"):
        setup.run_in_environment("requirements.txt")


@pytest.mark.parametrize(
    "name", ["app.py", "retrieval/setup.py", "retrieval/terminal.py", "tests/__main__.py"]
)
def test_what_runs_before_the_version_is_checked_can_be_loaded_by_an_old_python(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 8))
    # Without this, annotations are evaluated, and `list[str] | None` is a TypeError.
    assert "annotations" in [
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    ]


def test_a_setup_that_was_cut_short_before_pip_is_done_over(project: Path) -> None:
    venv.create(project / ".venv", with_pip=False)
    python = setup.prepare_environment("requirements.txt")
    subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)


def test_a_python_that_cannot_install_pip_is_told_what_to_install(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(folder: Path, with_pip: bool, clear: bool, symlinks: bool) -> None:
        """Fail as on Debian without python3-venv, which has Python without ensurepip."""
        assert symlinks == (os.name != "nt")
        python = [sys.executable, "-m", "no_ensurepip"]
        subprocess.run(python, check=True, capture_output=True)

    monkeypatch.setattr(venv, "create", create)
    with pytest.raises(SystemExit, match="install python3-venv"):
        setup.prepare_environment("requirements.txt")
    assert not (project / ".venv" / "requirements.txt.done").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals to a group are POSIX's")
def test_ctrl_c_is_left_to_the_program_that_was_started(tmp_path: Path) -> None:
    child = (
        "import time\n"
        "try:\n    print('ready', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(0.5); raise SystemExit(7)"
    )
    parent = (  # a program that is started in the background is told to let Ctrl+C pass
        "import signal, sys; from retrieval.setup import run_to_the_end; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.exit(run_to_the_end([sys.executable, '-c', {child!r}]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (7, "")


def test_a_second_window_waits_for_the_first_one_to_set_it_up(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    second = threading.Thread(target=setup.prepare_environment, args=["requirements.txt"])
    with setup._alone():
        second.start()
        said, end = "", time.monotonic() + 20
        while "Another window is setting it up" not in said:
            assert time.monotonic() < end, said
            second.join(0.1)
            said += capfd.readouterr().out
        assert not (project / ".venv").exists()
        setup._prepare(*first_of(project))
    second.join()
    assert capfd.readouterr().out.count("Setting up") == 1


def first_of(project: Path) -> tuple[Path, Path, str, Path]:
    """What the first window works on: the environment's Python, its stamp, and the file."""
    file, environment = project / "requirements.txt", project / ".venv"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return python, environment / "requirements.txt.done", setup._digest(file), file


@pytest.mark.parametrize(("words", "status"), [(["--help"], 0), (["--prot", "7860"], 2)])
def test_help_and_what_is_misspelled_wait_for_no_packages(
    words: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(setup, "run_in_environment", begun.append)
    monkeypatch.setattr(sys, "argv", ["app.py", *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(REPOSITORY / "app.py"), run_name="__main__")
    assert (ended.value.code, begun) == (status, [])


def test_what_is_printed_into_a_file_that_knows_few_letters_is_no_error() -> None:
    program = (
        "import app, contextlib, io\n"
        "with contextlib.suppress(SystemExit): app.main(['--help'])\n"
        "print('\u5199\u771f')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, check=True)
    assert done.stdout.decode("cp1252").splitlines()[-1] == r"\u5199\u771f"
