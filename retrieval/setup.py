"""Makes the app's own Python environment, so that one command on a fresh machine is enough.

Nothing but the standard library is imported here, and nothing newer than Python 3.8 is used before
the version is checked: this runs before anything is installed, on whatever Python there is.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
ENVIRONMENT = PROJECT / ".venv"
OLDEST = (3, 11)
# By these it is known whether the requirements of a file are there, without asking pip.
TELLTALES = {
    "requirements.txt": (
        *("gradio", "onnxruntime", "sklearn", "numpy", "PIL", "pillow_heif", "filelock", "tqdm"),
        *("certifi", "matplotlib", "threadpoolctl", "skimage"),
    )
}


def run_in_environment(requirements: str) -> None:
    """Return when the packages of a requirements file are there; else install them and start anew.

    They go into `.venv` beside `app.py`, and the program is run again by the Python in there. On
    failure it ends with a sentence.

    Args:
        requirements: the file's path inside the project.
    """
    if sys.version_info < OLDEST:
        sys.exit(
            "Lookalike needs Python {}.{} or newer, and this is {}.{}. Get one from "
            "https://www.python.org/downloads/".format(*OLDEST, *sys.version_info[:2])
        )
    names = TELLTALES.get(requirements, ())
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if names and not missing:
        return
    if os.environ.get("SYSTEM") == "spaces":  # where the build installs them
        sys.exit(
            "This Space lacks {}. Its build should have installed requirements.txt: see the build "
            'log, then choose "Factory rebuild" in its settings.'.format(", ".join(missing))
        )
    python = prepare_environment(requirements)
    if Path(sys.prefix).resolve() == ENVIRONMENT.resolve():
        return
    arguments = [str(python), *_program()]
    if os.name == "nt":  # Windows' exec gives the prompt back while the program still runs
        sys.exit(subprocess.call(arguments))
    os.execv(arguments[0], arguments)


def prepare_environment(requirements: str) -> Path:
    """Make `.venv` and bring it up to the requirements, unless it is; return its Python."""
    file = PROJECT / requirements
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = ENVIRONMENT / "{}.done".format(requirements.replace("/", "-"))
    wanted = _digest(file)
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"Setting up Lookalike in {ENVIRONMENT.name}, once. This takes some minutes ...")
    sys.stdout.flush()
    try:
        if not python.exists():
            venv.create(ENVIRONMENT, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*install, "-r", str(file)], check=True)
        stamp.write_text(wanted)
    except subprocess.CalledProcessError:
        sys.exit(
            "The packages could not be installed (see above). Check the internet connection and "
            "the free space on the disk, then run the same command again."
        )
    except OSError as error:
        sys.exit(
            f"The environment could not be made: {error.strerror}. Check that this folder may be "
            "written and that the disk has space, then run the same command again."
        )
    return python


def _program() -> list[str]:
    """Return the arguments that start this same program again."""
    main = sys.modules["__main__"]
    if main.__spec__ is not None:  # started with -m
        name = main.__spec__.name.removesuffix(".__main__")
        return ["-m", name, *sys.argv[1:]]
    return [os.path.abspath(sys.argv[0]), *sys.argv[1:]]


def _digest(file: Path) -> str:
    """Return a hash of a requirements file and of those it refers to."""
    text = file.read_text(encoding="utf-8")
    parts = [text]
    for line in text.splitlines():
        if line.startswith("-r "):
            parts.append(_digest(file.parent / line[3:].strip()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
