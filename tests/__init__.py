"""The tests of Lookalike; run them with `python -m tests`."""

import atexit
import os
import shutil
import tempfile

# Before anything imports retrieval.settings, which reads it once: no test touches the collections
# of this machine. Subprocesses inherit it, or are given a home of their own; of the processes that
# run tests side by side each has one.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
if os.environ.get("LOOKALIKE_TESTS") != WORKER:
    os.environ["LOOKALIKE_TESTS"] = WORKER
    os.environ["LOOKALIKE_HOME"] = tempfile.mkdtemp(prefix="lookalike-tests-")
    atexit.register(shutil.rmtree, os.environ["LOOKALIKE_HOME"], ignore_errors=True)
