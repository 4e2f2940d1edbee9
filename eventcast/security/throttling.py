"""Rate limits: the last check before a publish or a subscription is accepted.

Each publisher has an allowance of messages. It refills at ``PUBLISH_RATE`` messages a second, up to ``PUBLISH_BURST``.
A publisher is a user, a key or a named token; where none of these is known it is an address. The server knows how many
messages a request carries only after it has read the body, so it checks twice:

- before the body, the allowance must have one message left; nothing is booked;
- after the body, all messages of the request are booked, or the request is refused and none is.

So no booking goes beyond the burst, and no publisher waits longer than a burst takes to refill.
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
from eventcast.security import clients

MAX_REMEMBERED = 50_000
"""Publishers with a remembered allowance: some 10 MB. Past that, those that were silent for longest are forgotten."""

INBOUND_WINDOW = 10
"""Seconds in which the frames of a client that only listens are counted."""

BURST_SECONDS = 5
"""Seconds of ``PUBLISH_RATE`` that make a burst where ``PUBLISH_BURST`` is 0."""


class Allowances:
    """The allowance of each publisher, as a single number: until when it is booked out (ITU-T I.371, the generic cell
    rate algorithm).

    :param remembered: how many publishers at most.
    """

    def __init__(self, remembered: int = MAX_REMEMBERED) -> None:
        self._remembered = remembered
        self._booked_until: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.RLock()  # The garbage collector may run a finalizer in here, which may publish.

    def wait(self, publisher: str, messages: int, rate: float, burst: float, now: float) -> float:
        """Seconds until so many messages are within the allowance; 0 if they are.

        :param rate: messages a second.
        :param burst: messages at once.
        :param now: seconds, of any clock that does not go back.
        """
        begin = max(self._booked_until.get(publisher, now), now)
        wait = begin + (messages - burst) / rate - now
        return wait if wait > 1e-9 else 0.0

    def take(self, publisher: str, messages: int, rate: float, burst: float, now: float) -> float:
        """Book the messages if all of them are within the allowance; otherwise as :meth:`wait`."""
        with self._lock:
            if not (wait := self.wait(publisher, messages, rate, burst, now)):
                self._booked_until[publisher] = max(self._booked_until.get(publisher, now), now) + messages / rate
                self._booked_until.move_to_end(publisher)
                if len(self._booked_until) > self._remembered:
                    self._booked_until.popitem(last=False)
        return wait

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
                    f"This client only listens, and has sent more than {limit} (EVENTCAST[{name!r}]) "
                    f"in {INBOUND_WINDOW} s."
                )


allowances = Allowances()


def check_rate(request: HttpRequest, user: str = "") -> None:
    """Check that the publisher of a request may publish a message now. Books nothing.

    :param user: the publisher, if it is known: ``Permit.publisher``.
    :raises TooManyPublishes: the allowance is used up.
    """
    if rate := conf.PUBLISH_RATE:
        _check_wait(allowances.wait(_publisher(request, user), 1, rate, _burst(rate), time.monotonic()), rate)


def book(request: HttpRequest, user: str, messages: int) -> None:
    """Book all messages of a request, or none. A request without a message counts as one message.

    :param user: as in :func:`check_rate`.
    :raises TooManyPublishes: the allowance has not that many left, or can never have.
    """
    if rate := conf.PUBLISH_RATE:
        publisher, burst, now = _publisher(request, user), _burst(rate), time.monotonic()
        if messages > burst:
            raise TooManyPublishes(
                f"One request may carry {burst} messages (EVENTCAST['PUBLISH_BURST']), this one carries {messages}. "
                "Send fewer messages per request.",
                retry_after=allowances.wait(publisher, burst, rate, burst, now),
            )
        _check_wait(allowances.take(publisher, max(1, messages), rate, burst, now), rate)


def check_quotas(request: HttpRequest, wanted: str | Pattern) -> None:
    """Check that there is a place for a subscriber, before a response begins that can not be refused later.

    :raises Refused: there is none.
    """
    quotas.check(wanted, clients.group_of(request) if conf.MAX_SUBSCRIBERS_PER_ADDRESS else "")


def _burst(rate: int) -> int:
    return conf.PUBLISH_BURST or rate * BURST_SECONDS


def _publisher(request: HttpRequest, user: str) -> str:
    return f"user {user}" if user else f"address {clients.group_of(request)}"


def _check_wait(wait: float, rate: int) -> None:
    if wait:
        raise TooManyPublishes(
            f"More than {rate} messages a second (EVENTCAST['PUBLISH_RATE']). Wait {math.ceil(wait)} s.",
            retry_after=wait,
        )
