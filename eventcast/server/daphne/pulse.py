"""Whether a peer is still there: a ping now and then, and an end to who does not answer.

Ten thousand silent subscribers are five hundred pings a second. Daphne's own take a timer, a payload, three
system calls and a parse of the answer each, which shows in what a broadcast costs; these are one ``send``.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Peer(Protocol):
    """What is asked of a connection."""

    heard: bool
    """Whether something has come from the peer; set by the connection, taken back here."""

    def ping(self) -> None:
        """Send a ping."""

    def give_up(self) -> None:
        """The peer does not answer: end the connection."""


class Pulse:
    """Pings a peer for as long as it is not stopped.

    A peer that is gone is given up at the latest ``interval + timeout`` seconds after it was last heard of.

    :param interval: seconds from one ping to the next.
    :param timeout: seconds that a ping may go without anything being heard.
    """

    __slots__ = ("_interval", "_peer", "_pinged_at", "_timeout", "_timer", "_unanswered")

    def __init__(self, peer: Peer, interval: float, timeout: float) -> None:
        self._peer = peer
        self._interval = interval
        self._timeout = timeout
        self._unanswered = False
        """Whether nothing has been heard since the last ping."""
        loop = asyncio.get_running_loop()
        self._pinged_at = loop.time()
        self._timer = loop.call_at(self._pinged_at + interval, self._beat)

    def stop(self) -> None:
        """Leave the peer alone."""
        self._timer.cancel()

    def _beat(self) -> None:
        loop, peer = asyncio.get_running_loop(), self._peer
        now = loop.time()
        if peer.heard:
            peer.heard = self._unanswered = False
        if self._unanswered and now >= self._pinged_at + self._timeout:
            peer.give_up()
            return
        if not self._unanswered and now >= self._pinged_at + self._interval:
            self._pinged_at, self._unanswered = now, True
            peer.ping()
        next_ping, limit = self._pinged_at + self._interval, self._pinged_at + self._timeout
        due = min(limit, next_ping if next_ping > now else limit) if self._unanswered else next_ping
        self._timer = loop.call_at(due, self._beat)
