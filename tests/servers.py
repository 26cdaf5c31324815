"""Servers that tests start as processes of their own, kill, and start again."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A program that listens on a port of this machine."""

    def __init__(
        self, *command: object, port: int, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = [*map(str, command)]
        self._environment = {**os.environ, **(environment or {})}
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, patience: float = 60) -> None:
        """Start it, and return when it answers."""
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + patience
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._command} ended with {self._process.returncode}")
            time.sleep(0.1)
        raise RuntimeError(f"{self._command} does not answer")

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def milvus_lite(folder: Path) -> Iterator[tuple[Server, str]]:
    """Run a real Milvus Lite over a folder; yield it with its address."""
    port = free_port()
    server = Server(
        *(
            sys.executable,
            "-m",
            "milvus_lite",
            "server",
            "--data-dir",
            folder,
            "--host",
            "127.0.0.1",
        ),
        *("--port", port),
        port=port,
    )
    server.start()
    try:
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.kill()
