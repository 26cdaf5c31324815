"""How many files this program may have open: a collection takes six, and a connection one."""

import errno
import os
import sys
from contextlib import ExitStack, suppress

# As much as is asked for, and what macOS gives at most, where its own sentence says more.
WANTED = (65_536, 10_240)
OF_A_COLLECTION = 6  # two databases, each with its log and what is shared of it


def allow_files() -> int:
    """Have the system allow as many as it may, and return how many more can be opened.

    Most systems begin with 1,024, macOS with 256.
    """
    if sys.platform == "win32":  # no such bound
        return WANTED[0]
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unbounded = resource.RLIM_INFINITY
    for wanted in WANTED:
        most = wanted if hard == unbounded else min(wanted, hard)
        if soft != unbounded and soft < most:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
                soft = most
    allowed = WANTED[0] if soft == unbounded else soft
    return max(0, allowed - len(os.listdir("/dev/fd")))


def are_some_left() -> bool:
    """Whether as many as a collection takes can be opened."""
    try:
        with ExitStack() as opened:
            for _ in range(OF_A_COLLECTION):
                opened.enter_context(open(os.devnull))
    except OSError as error:
        return error.errno not in (errno.EMFILE, errno.ENFILE)
    return True
