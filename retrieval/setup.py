"""Makes the app's own Python environment, so that one command on a fresh machine is enough.

Nothing but the standard library is imported here, and nothing newer than Python 3.8 is used before
the version is checked: this runs before anything is installed, on whatever Python there is.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import sys
import time
import venv
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Iterator  # noqa: UP035 - Python 3.8 knows no other

PROJECT = Path(__file__).resolve().parent.parent
ENVIRONMENT = PROJECT / ".venv"
PYTHON_IN_IT = Path("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST = (3, 11)
# The newest that all packages are made for; on Intel's Macs ONNX Runtime was given up earlier.
INTEL_MAC = sys.platform == "darwin" and platform.machine() == "x86_64"
NEWEST = (3, 13) if INTEL_MAC else (3, 14)
# By these it is known whether the requirements of a file are there, without asking pip.
TELLTALES = {
    "requirements.txt": (
        *("gradio", "onnxruntime", "onnx", "sklearn", "numpy", "PIL", "pillow_heif", "filelock"),
        *("tqdm", "certifi", "matplotlib", "threadpoolctl", "skimage"),
    )
}
# Those of them that change most. Somebody's own Python may have an old one.
VERSIONED = ("gradio",)


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
    missing = _missing(requirements)
    if requirements in TELLTALES and not missing:
        return
    if os.environ.get("SYSTEM") == "spaces":  # where the build installs them
        sys.exit(
            "This Space lacks {}. Its build should have installed requirements.txt: see the build "
            'log, then choose "Factory rebuild" in its settings.'.format(", ".join(missing))
        )
    python = prepare_environment(requirements)
    if runs_in_it():
        _need_all(requirements)
        return
    arguments = [str(python), *_program()]
    if os.name == "nt":  # Windows' exec gives the prompt back while the program still runs
        sys.exit(run_to_the_end(arguments))
    os.execv(arguments[0], arguments)


def runs_in_it() -> bool:
    """Whether this is the Python of the environment."""
    return Path(sys.prefix).resolve() == ENVIRONMENT.resolve()


def _missing(requirements: str) -> list[str]:
    """Return the telltales of a requirements file that are not here, or not as it wants them."""
    importlib.invalidate_caches()  # pip may just have installed some
    names = TELLTALES.get(requirements, ())
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    old = [name for name in VERSIONED if name in names and not _fits(name, PROJECT / requirements)]
    return missing + [name for name in old if name not in missing]


def _fits(package: str, file: Path) -> bool:
    """Say whether a package is here in a version that a requirements file allows, `a>=1.2,<3`.

    Where it is not known, as of none that pip has installed, it may be.
    """
    text = file.read_text(encoding="utf-8")
    bounds = re.search(rf"^{package}>=([\d.]+),<([\d.]+)", text, re.MULTILINE)
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return True
    return not bounds or _numbers(bounds[1]) <= _numbers(version) < _numbers(bounds[2])


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _need_all(requirements: str) -> None:
    """See that all packages are in `.venv`, of which some may have been deleted since it was made.

    It ends with a sentence where they are not to be had.
    """
    if _missing(requirements):
        with suppress(OSError):
            _stamp(requirements).unlink()
        prepare_environment(requirements)
    if missing := _missing(requirements):
        sys.exit(
            "{} is damaged: it lacks {}. Delete that folder, then run the same command "
            "again.".format(ENVIRONMENT, ", ".join(missing))
        )


def prepare_environment(requirements: str) -> Path:
    """Make `.venv` and bring it up to the requirements, unless it is; return its Python."""
    file = PROJECT / requirements
    python = ENVIRONMENT / PYTHON_IN_IT
    stamp = _stamp(requirements)
    wanted = _digest(file)
    if not _is_ready(python, stamp, wanted):
        with _alone():
            if not _is_ready(python, stamp, wanted):  # else another window has just done it
                _prepare(python, stamp, wanted, file)
    return python


def _stamp(requirements: str) -> Path:
    """Return where it is noted that the environment has what a requirements file wants."""
    return ENVIRONMENT / "{}.done".format(requirements.replace("/", "-"))


def _is_ready(python: Path, stamp: Path, wanted: str) -> bool:
    """Say whether the environment has what is wanted.

    The Python that it was made with may have been replaced or removed since: then it does not run,
    or, being of another version, does not see what is installed. This takes some 20 ms.
    """
    return _is_done(stamp, wanted) and _runs(python, "import pip")


def _is_done(stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text() == wanted


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the right to work on the environment; wait for it while another window has it.

    The lock ends with the process that holds it.
    """
    try:
        file = ENVIRONMENT.with_name(f"{ENVIRONMENT.name}.lock").open("a")
    except OSError:  # the environment cannot be made here either, which says why
        yield
        return
    with file:
        told = False
        try:
            while not _take(file):
                if not told:
                    print("Another window is setting it up. Waiting for it ...", flush=True)
                told = True
                time.sleep(1)
        except OSError:  # a disk without locks
            pass
        except KeyboardInterrupt:
            sys.exit("Stopped before everything was there. Run the same command again.")
        yield


def _take(file: IO[str]) -> bool:
    """Take the lock on a file, unless another process has it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
    else:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _prepare(python: Path, stamp: Path, wanted: str, file: Path) -> None:
    """Make `.venv`, or bring it up to the requirements in a file; end with a sentence if not."""
    if _is_done(stamp, wanted):
        print(
            f"The Python that {ENVIRONMENT.name} was made with is gone or was replaced, so it is "
            "made again. What it needs is downloaded: minutes, on a slow line up to an hour ..."
        )
    else:
        print(
            f"Setting up Lookalike in {ENVIRONMENT.name}, once. What it needs is downloaded: "
            "minutes, on a slow line up to an hour ..."
        )
    sys.stdout.flush()
    try:
        if not _can_install(python):
            _create()
        install = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
        if not sys.stdout.isatty():  # somebody who watches wants to see it move
            install.append("--quiet")
        if file.parent == PROJECT:  # the app's own: who deletes this folder is rid of all of it
            install.append("--no-cache-dir")
        subprocess.run([*install, "-r", str(file)], check=True)
        stamp.write_text(wanted)
    except subprocess.CalledProcessError:
        if sys.version_info[:2] > NEWEST:
            sys.exit(
                "The packages could not be installed (see above): they may not be made for this "
                "Python, {0}.{1}, yet. Get Python {2}.{3} from https://www.python.org/downloads/, "
                "and start with that one: python{2}.{3}, or py -{2}.{3} on Windows".format(
                    *sys.version_info[:2], *NEWEST
                )
            )
        sys.exit(
            "The packages could not be installed (see above). Check the internet connection and "
            "the free space on the disk, then run the same command again. Where it says that a "
            "package cannot be found, get Python 3.12, in 64 bits, from "
            "https://www.python.org/downloads/, and start with that one."
        )
    except OSError as error:
        sys.exit(
            f"The environment could not be made: {error.strerror}. Check that this folder may be "
            "written and that the disk has space, then run the same command again."
        )
    except KeyboardInterrupt:
        sys.exit("Stopped before everything was there. Run the same command again.")


def run_to_the_end(arguments: list[str]) -> int:
    """Run a program and return its exit code; Ctrl+C reaches it too, and it is what decides."""
    process = subprocess.Popen(arguments)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _create() -> None:
    """Make `.venv` from nothing, pip included."""
    try:
        # As `python -m venv` does: a copied Python of Homebrew or uv does not find its library.
        venv.create(ENVIRONMENT, with_pip=True, clear=True, symlinks=os.name != "nt")
    except subprocess.CalledProcessError:  # of ensurepip, whose output is lost
        sys.exit(
            "The environment could not be made, because this Python cannot install pip. On Debian "
            "and Ubuntu install python3-venv, elsewhere Python from https://www.python.org/"
            "downloads/; or make space on the disk. Then run the same command again."
        )


def _can_install(python: Path) -> bool:
    """Say whether an environment has a Python of this version, and pip.

    A setup that was cut short may have left Python alone, or have been by another Python.
    """
    version = tuple(sys.version_info[:2])
    return _runs(python, f"import pip, sys; sys.exit(sys.version_info[:2] != {version})")


def _runs(python: Path, code: str) -> bool:
    """Say whether a Python is there, starts, and gets through some code."""
    try:
        return subprocess.call([str(python), "-c", code], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


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
