"""The app's own environment, made by the first start."""

import subprocess
import sys
from pathlib import Path

import pytest

from retrieval import setup


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


def test_packages_that_cannot_be_had_end_in_a_sentence(project: Path) -> None:
    (project / "requirements.txt").write_text("./no-such-package\n")
    with pytest.raises(SystemExit, match="Check the internet connection"):
        setup.prepare_environment("requirements.txt")


def test_an_old_python_is_told_where_to_get_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and this is 3\.9"):
        setup.run_in_environment("requirements.txt")
