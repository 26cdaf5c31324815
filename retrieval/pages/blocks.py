"""Gradio's Blocks as this app has them: they tell strangers nothing, and remember little."""

import traceback
from collections.abc import Iterable
from html import escape
from typing import Any

import gradio as gr

from retrieval.errors import LookalikeError
from retrieval.pages import words


class App(gr.Blocks):
    """Gradio's Blocks, except that a visitor who meets a bug of ours is told so in a sentence."""

    async def process_api(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        """Run an event; what nobody foresaw goes to the terminal whole, and to nobody else."""
        try:
            answer: dict[str, Any] = await super().process_api(*arguments, **named)
            return answer
        except gr.Error:
            raise
        except LookalikeError as error:
            raise gr.Error(escape(str(error)), duration=None, print_exception=False) from error
        except Exception as error:
            if isinstance(error, AttributeError) and isinstance(error.obj, gr.EventData):
                # A program has asked for the event, and not said what a page says with it.
                raise gr.Error(words.NO_REQUEST, duration=None, print_exception=False) from error
            traceback.print_exc()
            raise gr.Error(words.WENT_WRONG, duration=None, print_exception=False) from error

    async def preprocess_data(self, *arguments: Any, **named: Any) -> list[Any]:
        """Refuse what no page sends: too few values, or such as their elements cannot have."""
        try:
            values: list[Any] = await super().preprocess_data(*arguments, **named)
            return values
        except (gr.Error, ValueError, TypeError) as error:
            if isinstance(error, gr.Error) and not error.print_exception:
                raise  # a sentence of ours
            if not isinstance(error.__cause__ or error, gr.Error | ValueError | TypeError):
                raise  # Gradio has wrapped it, and it is a bug
            raise gr.Error(words.NO_REQUEST, duration=None, print_exception=False) from error

    async def call_function(self, block_fn: Any, *arguments: Any, **named: Any) -> Any:
        """Run a handler, unless an event has none and is the page's own affair."""
        if block_fn.fn is None:
            raise gr.Error(words.NO_REQUEST, duration=None, print_exception=False)
        return await super().call_function(block_fn, *arguments, **named)


class Unremembered(set[str]):
    """The paths of uploads, which Gradio notes forever; ours go by themselves (`temporary`)."""

    def update(self, *paths: Iterable[str]) -> None:
        """Note nothing."""


def unread(app: gr.Blocks, session: str) -> int:
    """Return how many messages wait for a page that does not fetch them."""
    waiting = app._queue.pending_messages_per_session
    return int(waiting[session].qsize()) if session in waiting else 0


def page_of(app: gr.Blocks, event: str) -> str:
    """Return the page that has asked for an event, until it was told the end; "" for none."""
    queue = app._queue
    if event in queue.event_ids_to_events:
        return str(queue.event_ids_to_events[event].session_hash)
    waiting = queue.pending_event_ids_session.items()
    return next((page for page, events in waiting if event in events), "")


def forget(app: gr.Blocks, session: str) -> None:
    """Forget what a page has been doing; if it is there still, it begins anew."""
    app.state_holder.session_data.pop(session, None)
    app.state_holder.time_last_used.pop(session, None)


def keep(app: gr.Blocks, session: str) -> None:
    """Keep what a page has been doing as that of an open one, though its heartbeat has ended.

    Of a closed one Gradio forgets it after an hour.
    """
    if session in app.state_holder.session_data:
        app.state_holder.session_data[session].is_closed = False
