"""Who may change the collections that all see: the owner, at this computer or by a password."""

import hashlib
import hmac
import math
import secrets
from collections import OrderedDict
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.pages.asgi import FORWARDED, LOOPBACK
from retrieval.pages.markup import duration
from retrieval.pages.pace import Pace
from retrieval.pages.sessions import (
    devices_of,
    known_for,
    own_address_of,
    plain,
    rights_of,
    visitor_of,
)

MAX_WRONG = 10_000  # who have tried a wrong password, that are remembered
# Letters of a password that nobody guesses however often they try: such a one all may try together
# without bound, or strangers' tries would keep the owner out.
LONG = 16
DEVICE_ROUNDS = 600_000  # some 0.3 s, once; as long for each guess from a mark that was stolen
KNOWN_SECONDS = 60.0  # for which a visitor has to be known to be one who is not made up


class Access:
    """Knows the owner: whoever sits at this computer, or has given the password.

    The latter by a right that their browser gets then, and has for as long as it and the app run.
    Its name as a visitor will not do: another site of the same domain can have given it one that
    it knows, where nothing is encrypted.

    On a shared link or a Space everybody comes through a tunnel, so there only the password counts.
    """

    def __init__(
        self,
        password: str | None,
        public: bool,
        tries: int = 20,
        tries_in_all: int = 120,
        tries_spared: int = 30,
    ) -> None:
        """Know the owner by their computer, and by a password where there is one.

        Args:
            password: the owner's, None for none. Spaces and line ends around it do not count: a
                secret that was pasted or lies in a file often ends in one, which no field can take.
            public: whether strangers' requests may look like those of this computer; it may become
                False when there is no way for strangers after all.
            tries: passwords of one address, visitor, or browser on which the right one was given
                before, that are looked at in a minute. Such a browser has no other bound.
            tries_in_all: those of everybody, since whoever has many addresses can make up as many
                visitors; not where the password is a long one.
            tries_spared: those that stay for who has tried no wrong one, and is hardly made up: has
                an address of their own, or has opened the page some time before.
        """
        password = (password or "").strip()
        self.has_password = bool(password)
        self.is_public = public
        self._password = password.encode()
        self.is_guessable = len(password) < LONG
        self._pace = Pace(tries)
        self._pace_in_all = Pace(tries_in_all)
        self._pace_spared = Pace(tries_spared)
        self._wrong: OrderedDict[str, None] = OrderedDict()  # who has tried one, the latest last
        self._rights: set[str] = set()  # that were given

    def is_owner(self, request: Any) -> bool:
        """Whether a request of Gradio or Starlette comes from the owner."""
        inner = plain(request)
        if inner is None:
            return False
        if not self._rights.isdisjoint(rights_of(inner.scope)):
            return True
        return not self.is_public and is_of_this_computer(inner)

    def enter(self, request: Any, password: str | None) -> str:
        """Return a right that makes an owner of whoever shows it; "" for a wrong password.

        Raises:
            LookalikeError: when too many are tried; this one was not looked at. Nobody is kept
                waiting, since that would hold up the pages of all others.
        """
        device = self._device_of(request)
        who = device or own_address_of(request) or visitor_of(request)
        # One who tries without end takes none of the others' tries.
        seconds = self._pace.seconds_to_wait(who)
        if not seconds and self.is_guessable and not device:
            seconds = self._pace_in_all.seconds_to_wait("")
            if seconds and who not in self._wrong and self._is_hardly_made_up(request):
                seconds = self._pace_spared.seconds_to_wait("")
        if seconds:
            wait = duration(math.ceil(seconds))
            raise LookalikeError(words.PASSWORDS_TRIED.format(time=wait))
        typed = (password or "").strip().encode("utf-8", "replace")  # half a sign is none
        if hmac.compare_digest(typed, self._password) and self.has_password:
            given = secrets.token_urlsafe(32)
            self._rights.add(given)
            return given
        self._wrong[who] = None
        while len(self._wrong) > MAX_WRONG:
            self._wrong.popitem(last=False)
        return ""

    def make_device(self) -> str:
        """Return a mark for a browser on which the password was given.

        It gives no right, only tries of its own the next time, whatever others try meanwhile
        (https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies).
        It is good until the password is another one.
        """
        number = secrets.token_hex(16)
        return number + self._signed(number)

    def _device_of(self, request: Any) -> str:
        """Return the number of a browser on which the password was given; "" for any other."""
        shown = devices_of(request)
        good = (one for one, mark in shown if hmac.compare_digest(mark, self._signed(one)))
        return next(good, "")

    def _signed(self, number: str) -> str:
        return hmac.digest(self._key, number.encode(), "sha256").hex()

    @cached_property
    def _key(self) -> bytes:
        # Made of the password, it is the same when the app starts anew, also where nothing is kept.
        return hashlib.pbkdf2_hmac("sha256", self._password, b"lookalike device", DEVICE_ROUNDS)

    def _is_hardly_made_up(self, request: Any) -> bool:
        return bool(own_address_of(request)) or known_for(request) >= KNOWN_SECONDS


def is_of_this_computer(request: Any) -> bool:
    """Whether a request of Starlette was made here, and by a page of ours.

    Another site in the same browser could send requests here, or have its name point here: both
    show in the headers that a browser does not let it change.
    """
    host = request.client.host if request.client else ""
    if host not in LOOPBACK or any(name in request.headers for name in FORWARDED):
        return False
    origin = request.headers.get("origin")
    try:
        names = [urlsplit("//" + request.headers.get("host", "")).hostname]
        if origin:
            names.append(urlsplit(origin).hostname)
    except ValueError:  # no address at all
        return False
    return all(name in LOOPBACK for name in names)
