"""Rate limits: the last check before a publish or a subscription is accepted.

Each publisher (a user, a key or a named token, or else an address) has an allowance of messages. It refills at
``PUBLISH_RATE`` messages a second, up to ``PUBLISH_BURST``. Before the server reads the body of a request, the
allowance must have one message left. After that, the server takes all messages of the request from it, or none. So an
allowance is never below zero, and no publisher waits longer than an empty allowance takes to refill.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict

from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine.closing import ONLY_LISTENS
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import TooManyFrames, TooManyPublishes
from eventcast.security import clients, refusals
from eventcast.security.authorization.permits import Permit

MAX_REMEMBERED = 50_000
"""Publishers whose allowance is kept: some 10 MB. Past that, the one that has published least recently is forgotten."""

INBOUND_WINDOW = 10
"""Seconds in which the frames of a client that only listens are counted."""

BURST_SECONDS = 5
"""Where ``PUBLISH_BURST`` is 0, the burst is what ``PUBLISH_RATE`` allows in so many seconds."""


class Allowances:
    """The allowance of each publisher, kept as one time: the time at which the allowance will be full again. This is
    the generic cell rate algorithm (ITU-T I.371)."""

    def __init__(self) -> None:
        self._booked_until: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.RLock()  # A finalizer may run while the lock is held, and publish.

    def wait(self, publisher: str, messages: int, rate: float, burst: float, now: float) -> float:
        """Seconds until the allowance has so many messages, 0 if it has them now, by a clock that never goes back."""
        begin = max(self._booked_until.get(publisher, now), now)
        wait = begin + (messages - burst) / rate - now
        return wait if wait > 1e-9 else 0.0

    def take(self, publisher: str, messages: int, rate: float, burst: float, now: float) -> float:
        """Take the messages from the allowance if it has all of them. Returns the same as :meth:`wait`."""
        with self._lock:
            if not (wait := self.wait(publisher, messages, rate, burst, now)):
                self._booked_until[publisher] = max(self._booked_until.get(publisher, now), now) + messages / rate
                self._booked_until.move_to_end(publisher)
                if len(self._booked_until) > MAX_REMEMBERED:
                    self._booked_until.popitem(last=False)
        return wait


class Inbound:
    """Counts the frames and bytes of a WebSocket that only listens, for :data:`INBOUND_WINDOW` seconds at a time."""

    __slots__ = ("_began", "_bytes", "_frames")

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._frames = self._bytes = 0

    def count(self, subscriber: Subscriber, frames: int, size: int) -> None:
        """Count more frames, with their bytes. A client that has sent too many of them is disconnected."""
        now = time.monotonic()
        if now - self._began > INBOUND_WINDOW:
            self._began, self._frames, self._bytes = now, 0, 0
        self._frames += frames
        self._bytes += size
        most, largest = conf.MAX_INBOUND_FRAMES, conf.MAX_INBOUND_BYTES
        if 0 < most < self._frames or 0 < largest < self._bytes:
            refusal = TooManyFrames(
                "This client only listens, and has sent more than {most} frames "
                "(EVENTCAST['MAX_INBOUND_FRAMES']) or {largest} bytes ('MAX_INBOUND_BYTES') in {seconds} s.",
                most=most,
                largest=largest,
                seconds=INBOUND_WINDOW,
            )
            refusals.note(refusals.SUBSCRIBE, refusal, repr(subscriber), what=" frames")
            subscriber.close(ONLY_LISTENS)


allowances = Allowances()


def book(request: HttpRequest, permit: Permit, messages: int) -> None:
    """Take all messages of a request from the publisher's allowance, or none.

    :param permit: names the user, key or token that publishes, if one is known.
    :param messages: their number; 0 takes nothing, and only checks that one message is left.
    :raises TooManyPublishes: the allowance has too few messages left, or the request has more than a burst.
    """
    if not (rate := conf.PUBLISH_RATE):
        return
    publisher = f"user {permit.publisher}" if permit.publisher else f"address {clients.group_of(request)}"
    burst, now = conf.PUBLISH_BURST or rate * BURST_SECONDS, time.monotonic()
    if messages > burst:
        raise TooManyPublishes(
            "One request may carry {burst} messages (EVENTCAST['PUBLISH_BURST']), this one carries "
            "{messages}. Send fewer messages per request.",
            burst=burst,
            messages=messages,
            retry_after=allowances.wait(publisher, burst, rate, burst, now),
        )
    if messages:
        wait = allowances.take(publisher, messages, rate, burst, now)
    else:
        wait = allowances.wait(publisher, 1, rate, burst, now)
    if wait:
        raise TooManyPublishes(
            "More than {rate} messages a second (EVENTCAST['PUBLISH_RATE']). Wait {seconds} s.",
            rate=rate,
            seconds=math.ceil(wait),
            retry_after=wait,
        )
