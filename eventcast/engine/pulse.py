"""Whether clients are still there: a few bytes to each now and then, and an end to those that do not answer.

Ten thousand silent subscribers are five hundred pings a second. A timer and a task for each would show in what a
broadcast costs; here one timer serves all: subscribers stand in as many buckets as an interval has ticks, and each tick
serves one bucket.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from typing import Protocol

TICK = 1.0
"""Seconds."""

DEFAULT = 20.0
"""Seconds between two beats: without any, a client that has vanished would be a subscriber for ever."""

beginnings: list[Callable[[], None]] = []
"""Called on each event loop that gets a pulse: other timers begin with it."""


class Peer(Protocol):
    """What is asked of a connection."""

    heard: bool
    """Whether something has come from the client; set by the connection, taken back here."""

    def beat(self) -> None:
        """Send something that the client answers, or that shows whether it is there."""

    def connection_lost(self) -> None:
        """The client does not answer: cut the connection off."""


class Rhythm:
    """The connections of one kind: how often they beat, and how long they may be silent after a beat.

    :param interval: seconds from one beat to the next.
    :param timeout: seconds that a beat may go unanswered; None if it needs no answer.
    """

    def __init__(self, interval: float, timeout: float | None) -> None:
        self.interval = interval
        self.timeout = timeout
        self._buckets: list[dict[Peer, None]] = [{} for _ in range(max(1, round(interval / TICK)))]
        self._next = 0
        self._late: deque[tuple[float, Peer]] = deque()
        """Connections that have not answered yet, by the time at which that is too late."""
        self.count = 0

    @property
    def period(self) -> float:
        """Seconds from one beat to the next as the ticks have it."""
        return len(self._buckets) * TICK

    def add(self, peer: Peer) -> int:
        """Let a connection beat; returns its bucket, for :meth:`discard`."""
        # The bucket that was served last: its turn comes after one interval.
        bucket = (self._next - 1) % len(self._buckets)
        self._buckets[bucket][peer] = None
        self.count += 1
        return bucket

    def discard(self, peer: Peer, bucket: int) -> None:
        """Let a connection beat no more."""
        if peer in self._buckets[bucket]:
            del self._buckets[bucket][peer]
            self.count -= 1

    def tick(self, now: float) -> None:
        """Serve the next bucket."""
        while self._late and self._late[0][0] <= now:
            _, peer = self._late.popleft()
            if not peer.heard:
                peer.connection_lost()
        bucket = self._buckets[self._next]
        self._next = (self._next + 1) % len(self._buckets)
        for peer in list(bucket):
            if self.timeout is None:
                peer.beat()
            elif peer.heard:
                peer.heard = False
                peer.beat()
            else:  # The beat before is unanswered, for one interval now.
                self._late.append((now + max(0.0, self.timeout - self.interval), peer))


class Pulse:
    """The rhythms of one event loop, and their timer, which runs while there is a connection.

    Everything happens on that loop. The pulse keeps no reference to it, so that a loop that has ended can be freed.
    """

    def __init__(self) -> None:
        self._rhythms: dict[tuple[float, float | None], Rhythm] = {}
        self._timer: asyncio.TimerHandle | None = None
        for begin in beginnings:
            begin()

    def rhythm(self, interval: float, timeout: float | None) -> Rhythm:
        """The rhythm with these times. Without an interval, as with ``--ping-interval 0``, it is :data:`DEFAULT`."""
        interval = interval if interval > 0 else DEFAULT
        rhythm = self._rhythms.get((interval, timeout))
        if rhythm is None:
            rhythm = self._rhythms[interval, timeout] = Rhythm(interval, timeout)
        if self._timer is None:
            self._start()
        return rhythm

    @property
    def peers(self) -> int:
        """Connections that beat."""
        return sum(rhythm.count for rhythm in self._rhythms.values())

    def _start(self) -> None:
        # In an empty context: that of the request which happens to be the first would be kept.
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick, context=contextvars.Context())

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        for rhythm in list(self._rhythms.values()):
            rhythm.tick(now)
        if self.peers:
            self._start()
        else:
            self._timer = None
