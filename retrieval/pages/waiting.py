"""What waits: requests for their turn, and answers for being fetched.

Gradio bounds how many requests wait of all kinds together, so that those for what takes long could
keep everybody from what is quick; and it keeps answers for pages that never ask for them.
"""

import asyncio
import os
import random
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from itertools import chain
from typing import Any

import gradio as gr
from gradio import queueing, routes
from gradio.server_messages import ProcessCompletedMessage
from gradio.utils import LRUCache, error_payload

from retrieval import settings
from retrieval.pages import words
from retrieval.pages.sessions import known_for, own_address_of, visitor_of
from retrieval.pages.turns import UNKNOWN, Asker, Turns, is_too_much

# Queues that may be full before all together are: more than there are kinds of work that take long
# (features, web addresses, tests, uploads that are unpacked, results that are saved).
FULL_KINDS = 8
# The kinds of work that several visitors do at once, each one after the other: uploads that are
# taken in, features that are computed, and what the buttons of collections say. And tests, each of
# which takes a minute or more.
IN_TURN, MODEL, ACTS, TESTS = "in turn", "model", "acts", "tests"
# How much of the owner's goes on at once: of uploads two may go into one collection, and buttons
# are meant in their order.
OWNERS_AT_ONCE = {IN_TURN: 1, MODEL: 2, ACTS: 1}
# How much of one visitor's waits. Of all else, such as searches, a program may well ask for many.
MOST_OF_ONE = {IN_TURN: settings.UPLOADS_OPEN, TESTS: 4}
# Between two looks at what waits, also where nothing does. Gradio looks every millisecond, which
# keeps 4 % of a core busy for as long as the app is open (and on Windows every 50, which is felt).
LOOK_SECONDS = 0.01
PROGRESS_SECONDS = 0.1  # as often for progress of Gradio's kind, which nothing here has
MOST_JOINED = 8  # requests of a page that are known again
UNFETCHED_SECONDS = 60.0  # for which answers are kept while a page fetches none of them


class Answers(asyncio.Queue[Any]):
    """What waits for a page, and since when the page has fetched nothing of it."""

    since = 0.0  # on the clock of time.monotonic

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        # The name of each request, by its number on the page and what it asks for.
        self.joined: OrderedDict[tuple[str, int], str] = OrderedDict()

    def _put(self, item: Any) -> None:
        if self.empty():
            self.since = time.monotonic()
        super()._put(item)

    def _get(self) -> Any:
        self.since = time.monotonic()
        return super()._get()


class Kept(LRUCache[str, asyncio.Queue[Any]]):
    """The answers of pages, by their names, from which may be taken what has gone already.

    Of two streams of one page that both break off Gradio's second one would fail there, and leave
    behind a task that lives as long as the app.
    """

    def __delitem__(self, session: str) -> None:
        if session in self:
            super().__delitem__(session)


class Requests(queueing.Queue):
    """Gradio's queue, in which each kind of work has room of its own, and visitors take turns."""

    is_owner: Callable[[Any], bool] = staticmethod(lambda request: False)

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what Gradio's own takes."""
        super().__init__(*args, **options)
        self.pending_messages_per_session = Kept(self.pending_messages_per_session.max_size)
        # Of a page that has asked for nothing more Gradio drops the set, and fails where an end
        # that was told twice is fetched.
        self.pending_event_ids_session = defaultdict(set)
        self.sleep_when_free = LOOK_SECONDS
        self.progress_update_sleep_when_free = PROGRESS_SECONDS
        self._turns: dict[str, Turns] = {}
        # What waited at the last look, and what was at work.
        self._seen: dict[str, tuple[list[Any], list[Any]]] = {}

    def get_events(self) -> tuple[list[Any], bool, str] | None:
        """Return what is to be begun now, with its kind; None for nothing.

        Gradio begins with what has waited longest of a kind that is taken at random.
        """
        at_work: dict[str, list[Any]] = defaultdict(list)
        for event in chain.from_iterable(filter(None, self.active_jobs)):
            at_work[event.concurrency_id].append(event)
        kinds = list(self.event_queue_per_concurrency_id.items())
        random.shuffle(kinds)
        for kind, waiting in kinds:
            chosen: Any = next(iter(waiting.queue), None)
            if waiting.concurrency_limit is not None:
                chosen = self._next_in_turn(kind, waiting, at_work[kind])
            if chosen is not None:
                waiting.queue.remove(chosen)
                return [chosen], False, kind  # nothing of ours is done in batches
        return None

    def _next_in_turn(self, kind: str, waiting: Any, at_work: list[Any]) -> Any | None:
        seen = [*waiting.queue], at_work
        if seen == self._seen.get(kind, ([], [])):  # Gradio asks a hundred times a second
            return None
        if kind not in self._turns:
            most = waiting.concurrency_limit
            each = 1 if kind in OWNERS_AT_ONCE else most
            self._turns[kind] = Turns(OWNERS_AT_ONCE.get(kind, most), each)
        chosen = self._turns[kind].next(
            [(event, self._asker(event), event.enqueue_time) for event in waiting.queue],
            [(event, self._asker(event)) for event in at_work],
            waiting.concurrency_limit,
        )
        self._seen[kind] = seen
        return chosen

    def _asker(self, event: Any) -> Asker:
        """Return who asked for something, as it was then."""
        if not hasattr(event, "asker"):
            event.asker = self._asker_of(event.request)
        asker: Asker = event.asker
        return asker

    def _asker_of(self, request: Any) -> Asker:
        group = own_address_of(request) or ("" if known_for(request) else UNKNOWN)
        return Asker(visitor_of(request), group, self.is_owner(request))

    def _is_full(self, kind: Any, request: Any) -> bool:
        waiting = [self._asker(one) for one in kind.queue]
        most = MOST_OF_ONE.get(kind.concurrency_id, max(1, settings.MAX_QUEUE // 2))
        return is_too_much(self._asker_of(request), waiting, most)

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        """Take a request, unless too many of its kind wait already."""
        await self._drop_unfetched()
        if body.session_hash in self.pending_messages_per_session:
            # Gradio keeps answers for so many pages; the one that last asked longest ago gives way.
            self.pending_messages_per_session.move_to_end(body.session_hash)
        # A page whose network has failed sends again what may have come. That is not done twice,
        # unless what it was told of it has gone, perhaps to a connection that was lost as well.
        number = request.headers.get("x-lookalike-action", "")[:32], body.fn_index
        known = self._joined(body.session_hash).get(number)
        if known in self.pending_event_ids_session.get(body.session_hash, ()):
            return True, known, "success"
        event = self.blocks.fns.get(body.fn_index)
        kind = self.event_queue_per_concurrency_id.get(event.concurrency_id) if event else None
        if kind is not None and self._is_full(kind, request):
            return False, "", "queue_full"
        success, event_id, state = await super().push(body, request, username)
        if number[0] and isinstance(event_id, str) and success:
            joined = self._joined(body.session_hash)
            joined[number] = event_id
            while len(joined) > MOST_JOINED:
                joined.popitem(last=False)
        return success, event_id, state

    async def clean_events(
        self, *, session_hash: str | None = None, event_id: str | None = None
    ) -> None:
        """Stop what a page has asked for: asked for again, it is done anew."""
        if session_hash:
            self._joined(session_hash).clear()
        await super().clean_events(session_hash=session_hash, event_id=event_id)

    async def remove_from_queue(self, event_id: str) -> None:
        """Take out what a program cancels; what is at work already goes on to the end of its step.

        Its place is free only then: given back at once, a visitor who cancels again and again would
        have as much at work side by side as there is memory for.
        """
        await self.clean_events(event_id=event_id)

    def _joined(self, session: str) -> OrderedDict[tuple[str, int], str]:
        answers = self.pending_messages_per_session.get(session)
        return answers.joined if isinstance(answers, Answers) else OrderedDict()

    def send_message(self, event: Any, event_message: Any) -> None:
        """Tell a page, unless its answers are kept no more: raised here, it would end the queue."""
        if isinstance(event_message, ProcessCompletedMessage):
            event.was_told_its_end = True
        if event.session_hash in self.pending_messages_per_session:
            super().send_message(event, event_message)

    async def process_events(self, events: list[Any], *arguments: Any) -> None:
        """Do what was asked for, and tell its end where Gradio has met a fault before it could.

        Who waits for an end that is never told does so for ever, and an assistant's call keeps one
        of a few threads meanwhile.
        """
        await super().process_events(events, *arguments)
        for event in events:
            if not hasattr(event, "was_told_its_end"):
                failed = error_payload(gr.Error(words.WENT_WRONG, duration=None), False)
                self.send_message(event, ProcessCompletedMessage(output=failed, success=False))

    def compute_analytics_summary(self, records: Any) -> Any:
        """Return what was counted, which is nothing: the page that would show it is off."""
        return self.cached_event_analytics_summary

    async def _drop_unfetched(self) -> None:
        """Drop the answers that nobody fetches, and what else was asked for by the same page."""
        now = time.monotonic()
        for session, answers in list(self.pending_messages_per_session.items()):
            if not answers.empty() and now - answers.since > UNFETCHED_SECONDS:
                await self.clean_events(session_hash=session)
                self.pending_messages_per_session.pop(session, None)
        for session in self.pending_event_ids_session.keys() - self.pending_messages_per_session:
            del self.pending_event_ids_session[session]


def guard_queue(is_owner: Callable[[Any], bool] = lambda request: False) -> None:
    """Have Gradio keep what waits in these, from now on, and hardly any record of what has been.

    Args:
        is_owner: tells from a request of Starlette whether it is the owner's.
    """
    Requests.is_owner = staticmethod(is_owner)
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
    queueing.Queue = Requests  # type: ignore[misc]
    queueing.AsyncQueue = Answers  # type: ignore[attr-defined]
    routes.cancel_tasks = _cancel_nothing  # type: ignore[attr-defined]


async def _cancel_nothing(task_ids: set[str]) -> list[str]:
    """Let what is at work end by itself: a thread goes on where the task that waits for it ends."""
    return []
