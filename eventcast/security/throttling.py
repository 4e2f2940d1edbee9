"""How much is too much: the last question that everybody is asked who wants to listen or to speak.

Who publishes has an allowance that refills at ``PUBLISH_RATE`` messages a second, up to ``PUBLISH_BURST``. Each user or
key has one, and where none is known each address. A request is let in if one message is left, for how many it carries
is seen only when its body has been read; the others are then put on the bill, and the next request waits for them. The
hub counts those who listen; here they are asked before a response begins, which could not be refused later.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict

from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine.patterns import Pattern
from eventcast.engine.quotas import quotas
from eventcast.exceptions import TooManyFrames, TooManyPublishes
from eventcast.security import addresses, clients

MAX_REMEMBERED = 50_000
"""Publishers whose allowance is remembered: some 10 MB. Past that, those go that have been silent for longest."""

INBOUND_WINDOW = 10
"""Seconds in which frames are counted that come from who only listens."""

BURST_SECONDS = 5
"""Of ``PUBLISH_RATE``, that make a burst where ``PUBLISH_BURST`` is 0."""


class Allowances:
    """The allowance of each publisher, as a single number: until when it is booked out (ITU-T I.371, the generic cell
    rate algorithm).

    :param remembered: how many publishers at most.
    """

    def __init__(self, remembered: int = MAX_REMEMBERED) -> None:
        self._remembered = remembered
        self._booked_until: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, publisher: str, messages: int, rate: float, burst: float, now: float) -> float:
        """Book messages if at least one of them is within the allowance, or say for how long it is not.

        :param rate: messages a second.
        :param burst: messages at once.
        :param now: seconds, of any clock that does not go back.
        :returns: seconds until one message is; 0 if it is and all were booked.
        """
        with self._lock:
            begin = max(self._booked_until.get(publisher, now), now)
            if (wait := begin + (1 - burst) / rate - now) > 1e-9:
                return wait
            self._book(publisher, begin + messages / rate)
        return 0.0

    def charge(self, publisher: str, messages: int, rate: float, now: float) -> None:
        """Book messages that have come already, whether they are within the allowance or not."""
        with self._lock:
            self._book(publisher, max(self._booked_until.get(publisher, now), now) + messages / rate)

    def _book(self, publisher: str, until: float) -> None:
        self._booked_until[publisher] = until
        self._booked_until.move_to_end(publisher)
        if len(self._booked_until) > self._remembered:
            self._booked_until.popitem(last=False)

    def __len__(self) -> int:
        return len(self._booked_until)


class Inbound:
    """What a WebSocket sends that only listens, in windows of :data:`INBOUND_WINDOW` seconds."""

    __slots__ = ("_began", "_bytes", "_frames")

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._frames = self._bytes = 0

    def count(self, frames: int, size: int) -> None:
        """Count so many frames, with so many bytes in them.

        :raises TooManyFrames: it is one too many.
        """
        now = time.monotonic()
        if now - self._began > INBOUND_WINDOW:
            self._began, self._frames, self._bytes = now, 0, 0
        self._frames += frames
        self._bytes += size
        for name, limit, count in (
            ("MAX_INBOUND_FRAMES", conf.MAX_INBOUND_FRAMES, self._frames),
            ("MAX_INBOUND_BYTES", conf.MAX_INBOUND_BYTES, self._bytes),
        ):
            if 0 < limit < count:
                raise TooManyFrames(
                    f"It only listens, and has sent more than {limit} (EVENTCAST[{name!r}]) in {INBOUND_WINDOW} s."
                )


allowances = Allowances()


def check_rate(request: HttpRequest, user: str = "") -> None:
    """Count a request to publish as one message.

    :param user: whom it comes from, if that is known: ``Permit.who``.
    :raises TooManyPublishes: the allowance is used up.
    """
    if conf.PUBLISH_RATE:
        take(publisher(request, user))


def check_quotas(request: HttpRequest, wanted: str | Pattern) -> None:
    """Find out whether there is a place for one who wants to listen; the hub takes it.

    :raises Refused: there is none.
    """
    quotas.check(wanted, addresses.group(address_of(request)) if conf.MAX_SUBSCRIBERS_PER_ADDRESS else "")


def charge(request: HttpRequest, user: str, messages: int) -> None:
    """Put messages on the bill that a request has carried besides its first."""
    if messages > 0 and (rate := conf.PUBLISH_RATE):
        allowances.charge(publisher(request, user), messages, rate, time.monotonic())


def take(publisher: str) -> None:
    """Count one message of a publisher, see :func:`publisher`.

    :raises TooManyPublishes: the allowance is used up.
    """
    if rate := conf.PUBLISH_RATE:
        burst = conf.PUBLISH_BURST or rate * BURST_SECONDS
        if wait := allowances.take(publisher, 1, rate, burst, time.monotonic()):
            raise TooManyPublishes(
                f"More than {rate} messages a second (EVENTCAST['PUBLISH_RATE']). Wait {math.ceil(wait)} s.",
                retry_after=wait,
            )


def publisher(request: HttpRequest, user: str = "") -> str:
    """Whose allowance a request uses: the user's or key's, else its address's."""
    return f"user {user}" if user else f"address {addresses.group(address_of(request))}"


def address_of(request: HttpRequest) -> str:
    """The address of the client that a request comes from; empty if nobody can tell."""
    scope = getattr(request, "scope", None)
    if scope is not None:
        return clients.address_of(scope)
    trusted = addresses.proxies(*conf.TRUSTED_PROXIES)
    meta = request.META
    return addresses.client_address(meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", ""), trusted)
