"""The start of Gradio's server, also behind a proxy of the system and on a machine that is busy."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gradio import http_server
from gradio.exceptions import ServerFailedToStartError

START_SECONDS = 60.0  # that a busy machine may take


class PatientServer(http_server.Server):
    """Gradio's, which takes a port for taken where its server has not started in five seconds."""

    def run_in_thread(self) -> None:
        """Start, and return when it has started.

        Raises:
            ServerFailedToStartError: when the port is taken, which ends the thread at once.
        """
        until = time.monotonic() + START_SECONDS
        try:
            super().run_in_thread()  # type: ignore[no-untyped-call]
        except ServerFailedToStartError:
            while not self.started and self.thread.is_alive() and time.monotonic() < until:
                time.sleep(0.01)
            if not self.started:
                raise


def guard_start() -> None:
    """Have Gradio start this in the place of its own, from now on."""
    http_server.Server = PatientServer  # type: ignore[misc]


@contextmanager
def past_proxies() -> Iterator[None]:
    """Let requests to this computer go past a proxy of the system, for as long as it lasts.

    Gradio asks its own server whether it has started, by a client that otherwise takes the proxy.
    """
    names = ("no_proxy", "NO_PROXY")
    before = {name: os.environ[name] for name in names if name in os.environ}
    spared = next(filter(None, before.values()), "")  # Python, too, reads the small one first
    os.environ.update(dict.fromkeys(names, f"{spared},127.0.0.1,localhost".lstrip(",")))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)
