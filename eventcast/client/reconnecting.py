"""When a subscription reconnects, after which errors, and what its user is told. Nothing here waits or connects."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from eventcast.client.answers import sentence
from eventcast.engine.closing import DISCONNECTED, PERMISSION_ENDED
from eventcast.exceptions import EventcastError, Refused

SOON, FIRST, LATEST = 0.5, 4.0, 30.0
"""Seconds: the shortest delay, the longest first delay, the longest delay of all. eventcast.js has the same."""

STEADY = 10.0
"""Seconds after which a connection counts as good. After a good connection, delays are short again."""

QUIET = 10.0
"""Seconds between two lines about missing messages: a client that is too slow for long loses some all the time."""


def may_pass(error: EventcastError) -> bool:
    """Whether the same request may succeed later: the server restarts, is busy, or a proxy does not reach it."""
    return not isinstance(error, Refused) or error.status >= 500 or error.status in (408, 425, 429)


@dataclass(frozen=True)
class State:
    """The new state of a subscription, passed to its ``on_state``."""

    name: Literal["open", "waiting", "lost", "closed"]
    """``open``: subscribed; ``waiting``: the connection is lost and will be tried again; ``lost``: still open, but
    messages are missing, because the client reads too slowly; ``closed``: it has ended."""
    delay: float = 0.0
    """``waiting``: seconds until the next try."""
    reason: str = ""
    """``waiting``: what happened."""
    missed: float = 0.0
    """``open``: seconds since the last connection was lost, 0 for the first connection. Messages that were published in
    that time are missing, and so are messages that were on their way at its start."""
    messages: int = 0
    """``lost``: how many messages are missing here."""


OnState = Callable[[State], object]


class Outage:
    """Tells once that the server is lost, and once that it is back; and how many messages a slow client is missing, in
    a line every :data:`QUIET` seconds at most. All clients use these words.

    :param name: what each line begins with, such as the channel.
    :param tell: called with each line.
    :param meanwhile: a sentence: what the client does while the server is lost.
    :param after: a sentence: what the outage means when the server is back.
    """

    def __init__(
        self, name: str, tell: Callable[[str], object], *, meanwhile: str = "Trying again.", after: str = ""
    ) -> None:
        self._name, self._tell, self._meanwhile, self._after = name, tell, meanwhile, after
        self._began: float | None = None
        self._missing, self._told_at = 0, -QUIET

    def take(self, state: State) -> None:
        """Take each state of a subscription: an ``on_state``."""
        if state.name == "waiting":
            self.lost(state.reason)
        elif state.name == "open":
            self.back()
        elif state.name == "lost":
            self._missing += state.messages
            if (now := time.monotonic()) - self._told_at >= QUIET:
                self._tell(f"{self._name}: {self._missing} messages are missing, they were read too slowly.")
                self._missing, self._told_at = 0, now

    def lost(self, reason: str) -> None:
        """The server does not answer."""
        if self._began is None:
            self._began = time.monotonic()
            self._tell(f"{self._name}: {sentence(reason)} {self._meanwhile}")

    def back(self) -> None:
        """The server answers."""
        if self._began is not None:
            seconds, self._began = time.monotonic() - self._began, None
            self._tell(f"{self._name}: the server is back after {seconds:.1f} s. {self._after}".rstrip())


def backoff(failures: int) -> float:
    """Seconds until the next try.

    The delay is random, so that clients that were lost together do not come back together. The first three tries are
    within seconds, as long as a restart takes.

    :param failures: earlier failures in a row, without the last one.
    """
    return random.uniform(SOON, min(LATEST, FIRST * 2 ** min(max(0, failures - 2), 10)))


class Course:
    """The course of one subscription: open, lost, tried again.

    :param reconnect: whether to try again after it has been open.
    :param wait: whether to try again before that.
    :param on_state: called with each new :class:`State`.
    """

    def __init__(self, *, reconnect: bool, wait: bool, on_state: OnState | None) -> None:
        self._reconnect = reconnect
        self._wait = wait
        self._tell: OnState = on_state or (lambda _: None)
        self._failures = 0
        self._opened_at: float | None = None
        self._lost_at: float | None = None
        self._closed = False

    def opened(self) -> None:
        """The connection is open."""
        now = time.monotonic()
        missed = 0.0 if self._lost_at is None else now - self._lost_at
        self._opened_at, self._lost_at = now, None
        self._tell(State("open", missed=missed))

    def missed(self, messages: int) -> None:
        """The server says that it has left out messages."""
        self._tell(State("lost", messages=messages))

    def lost(
        self, error: EventcastError, code: int | None = None, reason: str = "", retry: tuple[float, float] | None = None
    ) -> float:
        """The connection ended, or did not open; returns the seconds until the next try.

        :param code: the WebSocket's close code.
        :param reason: the reason in its close frame.
        :param retry: the least and most seconds of delay that the server wants; None if it named none.
        :raises EventcastError: ``error`` itself, if there is no next try.
        """
        now = time.monotonic()
        was_open = self._opened_at is not None or self._lost_at is not None
        if not (self._reconnect if was_open else self._wait) or not may_pass(error):
            raise error
        if self._opened_at is not None:
            if now - self._opened_at > STEADY:
                self._failures = 0
            self._opened_at, self._lost_at = None, now
        delay = self._delay(code, reason, retry)
        if isinstance(error, Refused) and error.retry_after is not None:
            delay += error.retry_after
        self._tell(State("waiting", delay=delay, reason=str(error)))
        return delay

    def closed(self) -> None:
        """The subscription has ended. Nothing happens the second time."""
        if not self._closed:
            self._closed = True
            self._tell(State("closed"))

    def _delay(self, code: int | None, reason: str, retry: tuple[float, float] | None) -> float:
        # A client that an operator disconnected stays away for a while. A client without permission comes back soon:
        # the server refuses it then, and the subscription ends.
        if retry is None and code == DISCONNECTED and (code, reason) not in PERMISSION_ENDED:
            return random.uniform(LATEST / 2, LATEST)
        failures, self._failures = self._failures, self._failures + 1
        if retry is None:
            return backoff(failures)
        # Longer if it is not the first failure: the server may close each connection for the same reason.
        return max(random.uniform(*retry), backoff(failures) if failures else 0.0)
