"""Calls of the tools for assistants: how long one may take, and what is said where it fails.

Gradio has them done by a client of its own that asks this server: each keeps three threads of it,
of which there are some dozens, until an answer comes, however long ago its asker has hung up.
"""

import asyncio
import concurrent.futures
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from gradio import mcp

from retrieval.errors import LookalikeError, explain_os_error
from retrieval.pages import words

# For which a call is waited for: longer than a full queue, and than assistants wait themselves.
CALL_SECONDS = 120.0


class Tools(mcp.GradioMCPServer):
    """Gradio's tools, of which no call is waited for without end."""

    def _prepare_tool_call_args(self, name: str, arguments: dict[str, Any]) -> Any:
        """Take what a call says, and write its picture down."""
        with _explained():
            return super()._prepare_tool_call_args(name, arguments)

    async def _execute_tool_without_progress(self, job: Any) -> list[Any]:
        with _explained(), self._bounded(job):
            answer: list[Any] = await super()._execute_tool_without_progress(job)
            return answer

    async def _execute_tool_with_progress(self, job: Any, progress_token: str | int) -> Any:
        with _explained(), self._bounded(job):
            return await super()._execute_tool_with_progress(job, progress_token)

    @contextmanager
    def _bounded(self, job: Any) -> Iterator[None]:
        """Give a call up after a while, also when who has made it asks no more."""
        timer = asyncio.get_running_loop().call_later(CALL_SECONDS, self._give_up, job)
        try:
            yield
        finally:
            if job.done():
                timer.cancel()

    def _give_up(self, job: Any) -> None:
        """Tell a call that nothing comes any more, as Gradio's client does when a stream ends."""
        client: Any = self._client_instance
        with client.pending_lock:
            messages = client.pending_messages_per_event.pop(job.communicator.event_id, None)
        if messages is not None:
            messages.append(None)


@contextmanager
def _explained() -> Iterator[None]:
    """Raise a sentence where a call fails, which Gradio tells an assistant as it comes.

    Its own would name paths of the server, or the address at which it asks itself.
    """
    try:
        yield
    except OSError as error:
        raise explain_os_error(error, "What was sent") from error
    except httpx.HTTPStatusError as error:
        try:
            said = error.response.json()["error"]
        except (ValueError, LookupError, TypeError):
            said = error.response.text
        raise LookalikeError(said) from error
    except (concurrent.futures.CancelledError, httpx.TransportError) as error:
        raise LookalikeError(words.BUSY) from error


def guard_tools() -> None:
    """Have Gradio offer its tools by these, from now on."""
    mcp.GradioMCPServer = Tools  # type: ignore[misc]
