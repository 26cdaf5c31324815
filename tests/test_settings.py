"""What holds for the whole program."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from retrieval import settings, setup


def test_the_sign_of_ones_own_folder_is_understood_where_no_shell_has_seen_it() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from retrieval import settings; print(settings.COLLECTIONS)"],
        cwd=settings.PROJECT,
        env={**os.environ, "LOOKALIKE_HOME": os.path.join("~", "pictures")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == str(Path.home() / "pictures" / "collections")


def test_the_python_that_sentences_name_is_the_one_that_the_app_runs_with(tmp_path: Path) -> None:
    (tmp_path / "retrieval").mkdir()
    for module in (settings, setup):
        shutil.copy(str(module.__file__), tmp_path / "retrieval")
    venv.create(tmp_path / ".venv", symlinks=sys.platform != "win32")
    python = tmp_path / ".venv" / setup.PYTHON_IN_IT

    def print_by(python: Path | str, what: str) -> str:
        told = subprocess.run(
            f'"{python}" -c "import sys; from retrieval import settings; print({what})"',
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return told.stdout.strip()

    named = print_by(python, "settings.PYTHON")
    assert Path(named).parts[0] == ".venv"
    assert Path(print_by(named, "sys.prefix")).resolve() == (tmp_path / ".venv").resolve()
    assert print_by(sys.executable, "settings.PYTHON") in ("python", "python3")
