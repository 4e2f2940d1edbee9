"""How a subscription comes back: when, after what, and what its user learns of it. Pure, but for the dice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from eventcast.engine.closing import DISCONNECTED, PERMISSION_IS_OVER
from eventcast.exceptions import EventcastError, Refused

SOON, FIRST, LATEST = 0.5, 4.0, 30.0
"""Seconds: the shortest wait, the longest first one, the longest of all. The same as those of eventcast.js."""

STEADY = 10.0
"""Seconds a connection lasts to count as a good one, after which waits are short again."""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of a refusal that may be another one later: the server restarts, or the proxy finds none."""


@dataclass(frozen=True)
class State:
    """What has become of a subscription, as its ``on_state`` is told."""

    name: Literal["open", "waiting", "closed"]
    """``open``: subscribed; ``waiting``: the connection is lost and will be tried again; ``closed``: it is over."""
    delay: float = 0.0
    """``waiting``: seconds until the next try."""
    reason: str = ""
    """``waiting``: what happened."""
    missed: float = 0.0
    """``open``: seconds since the connection before was lost, 0 for the first. What was published in that
    time is missing, and what was on its way at its beginning."""


OnState = Callable[[State], object]


def backoff(failures: int) -> float:
    """Seconds to wait until the next try, after so many that have failed before the last.

    Full jitter: those who were lost together must not come back together. Three tries within seconds, for that is how
    long a restart takes; then ever fewer.
    """
    return random.uniform(SOON, min(LATEST, FIRST * 2 ** min(max(0, failures - 2), 10)))


class Course:
    """The course of one subscription: open, lost, tried again. Does no waiting or connecting itself.

    :param reconnect: whether to try again once it has been open.
    :param wait: whether to try again before.
    :param on_state: called with each new :class:`State`.
    """

    def __init__(self, *, reconnect: bool, wait: bool, on_state: OnState | None) -> None:
        self._reconnect = reconnect
        self._wait = wait
        self._on_state = on_state
        self._failures = 0
        self._opened_at: float | None = None
        self._lost_at: float | None = None
        self._closed = False

    def opened(self) -> None:
        now = time.monotonic()
        missed = 0.0 if self._lost_at is None else now - self._lost_at
        self._opened_at, self._lost_at = now, None
        self._tell(State("open", missed=missed))

    def lost(self, error: EventcastError, code: int | None = None, reason: str = "") -> float:
        """The connection is over, or did not open; returns the seconds to wait until the next try.

        :param code: the WebSocket's close code.
        :param reason: what its close frame said.
        :raises EventcastError: ``error`` itself, if it is not to be tried again.
        """
        now = time.monotonic()
        was_open = self._opened_at is not None
        tries = self._reconnect if was_open or self._lost_at is not None else self._wait
        if not tries or (isinstance(error, Refused) and error.status not in PASSING):
            raise error
        if self._opened_at is not None:
            if now - self._opened_at > STEADY:
                self._failures = 0
            self._opened_at, self._lost_at = None, now
        delay = self._delay(code, reason)
        if isinstance(error, Refused) and error.retry_after is not None:
            delay += error.retry_after
        self._tell(State("waiting", delay=delay, reason=str(error)))
        return delay

    def closed(self) -> None:
        if not self._closed:
            self._closed = True
            self._tell(State("closed"))

    def _delay(self, code: int | None, reason: str) -> float:
        # Whoever comes right back to an operator was not understood. Whose permission is over is told so when he does,
        # and has no reason to wait for that.
        if code == DISCONNECTED and (code, reason) not in PERMISSION_IS_OVER:
            return random.uniform(LATEST / 2, LATEST)
        self._failures += 1
        return backoff(self._failures - 1)

    def _tell(self, state: State) -> None:
        if self._on_state is not None:
            self._on_state(state)
