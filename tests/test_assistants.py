"""Calls of tools that are never answered: they hold no thread for ever, and nobody else up."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from retrieval.pages import words
from tests.browser import PROJECT
from tests.made import need
from tests.servers import free_port

need("mcp", 'pip install "gradio[mcp]"')

CALL_SECONDS = 1.0
THREADS = 40  # of Gradio's client, one for each call
HEADERS = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server with a tool that never answers, and one that does."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.test_assistants", str(port)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    while "ready" not in (line := process.stdout.readline()):
        assert line
    yield f"http://127.0.0.1:{port}/gradio_api/mcp/"
    process.stdin.close()
    process.wait(timeout=60)
    process.stdout.close()


def _serve(port: int) -> None:
    import gradio as gr

    from retrieval.pages import assistants

    def wait() -> str:
        time.sleep(600)
        return "too late"

    def answer() -> str:
        return "here"

    assistants.CALL_SECONDS = CALL_SECONDS
    assistants.guard_tools()
    with gr.Blocks(analytics_enabled=False) as app:
        said = gr.Textbox()
        gr.Button().click(wait, None, said, api_name="wait")
        gr.Button().click(answer, None, said, api_name="answer")
    app.launch(server_port=port, prevent_thread_lock=True, quiet=True, mcp_server=True)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)  # without waiting for what never ends


def call(address: str, name: str, seconds: float = 30, **more: Any) -> str:
    """Call a tool, and return all that is said."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    params = {"name": name, "arguments": {}, **more}
    return httpx.post(
        address, json={**asked, "params": params}, headers=HEADERS, timeout=seconds
    ).text


@pytest.mark.parametrize("more", [{}, {"_meta": {"progressToken": "x"}}], ids=["", "progress"])
def test_a_call_that_is_never_answered_ends_in_a_sentence(
    address: str, more: dict[str, Any]
) -> None:
    told = call(address, "wait", **more)
    assert words.BUSY in told
    assert '"isError":true' in told


def test_whoever_hangs_up_on_such_calls_keeps_nobody_from_an_answer(address: str) -> None:
    assert "here" in call(address, "answer")
    for _ in range(THREADS):
        with suppress(httpx.ReadTimeout):
            call(address, "wait", seconds=0.05)
    time.sleep(2 * CALL_SECONDS)
    assert "here" in call(address, "answer")


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
