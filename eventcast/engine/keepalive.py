"""Keepalive: silent clients are pinged, and disconnected if they do not answer.

A ping is what the connection sends as one: a ping frame, a heartbeat or a comment. Ten thousand subscribers need five
hundred pings a second, so a timer and a task for each would slow broadcasts down. Here one timer serves all: the
subscribers are divided among as many buckets as an interval has ticks, and each tick serves one bucket.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from typing import Protocol

TICK = 1.0
"""Seconds between two ticks of the timer."""

DEFAULT = 20.0
"""Default seconds between two pings. Without pings, a client that has vanished would stay a subscriber for ever."""

start_callbacks: list[Callable[[], None]] = []
"""Called on each event loop when its keepalive is created, to start other timers."""


class Peer(Protocol):
    """A connection that is pinged."""

    answered: bool
    """Whether the client has sent anything since the last ping. The connection sets it, the schedule resets it."""

    def send_ping(self) -> None:
        """Send bytes that the client answers, or that fail if the client has gone."""

    def connection_lost(self) -> None:
        """Close the connection, because the client has not answered in time."""


class PingSchedule:
    """Connections that are pinged at the same interval, with the same timeout.

    :param interval: seconds between two pings.
    :param timeout: seconds that a client has to answer a ping; None if it needs no answer.
    """

    def __init__(self, interval: float, timeout: float | None) -> None:
        self.interval = interval
        self.timeout = timeout
        self._buckets: list[dict[Peer, None]] = [{} for _ in range(max(1, round(interval / TICK)))]
        self._next = 0
        self._late: deque[tuple[float, Peer]] = deque()
        """Connections that have not answered, with the times at which they are closed, the earliest first."""
        self.count = 0

    @property
    def period(self) -> float:
        """The interval in whole ticks, in seconds."""
        return len(self._buckets) * TICK

    def add(self, peer: Peer) -> int:
        """Ping a connection from now on; returns its bucket, for :meth:`discard`."""
        # The bucket that was served last is served again after one interval.
        bucket = (self._next - 1) % len(self._buckets)
        self._buckets[bucket][peer] = None
        self.count += 1
        return bucket

    def discard(self, peer: Peer, bucket: int) -> None:
        """Stop pinging a connection. Safe to call again."""
        if peer in self._buckets[bucket]:
            del self._buckets[bucket][peer]
            self.count -= 1

    def tick(self, now: float) -> None:
        """Close the connections that did not answer in time, and ping the next bucket."""
        while self._late and self._late[0][0] <= now:
            _, peer = self._late.popleft()
            if not peer.answered:
                peer.connection_lost()
        bucket = self._buckets[self._next]
        self._next = (self._next + 1) % len(self._buckets)
        for peer in list(bucket):
            if self.timeout is None:
                peer.send_ping()
            elif peer.answered:
                peer.answered = False
                peer.send_ping()
            else:  # The last ping, one interval ago, is unanswered.
                self._late.append((now + max(0.0, self.timeout - self.interval), peer))


class Keepalive:
    """The ping schedules of one event loop, and their timer, which runs while there is a connection.

    Call it on that loop only. It keeps no reference to the loop, so that a loop that has ended can be freed.
    """

    def __init__(self) -> None:
        self._schedules: dict[tuple[float, float | None], PingSchedule] = {}
        self._timer: asyncio.TimerHandle | None = None
        for start in start_callbacks:
            start()

    def schedule(self, interval: float, timeout: float | None) -> PingSchedule:
        """The schedule with these times. An interval of 0, as with ``--ping-interval 0``, means :data:`DEFAULT`."""
        interval = interval if interval > 0 else DEFAULT
        schedule = self._schedules.get((interval, timeout))
        if schedule is None:
            schedule = self._schedules[interval, timeout] = PingSchedule(interval, timeout)
        if self._timer is None:
            self._start()
        return schedule

    @property
    def peers(self) -> int:
        """How many connections are pinged."""
        return sum(schedule.count for schedule in self._schedules.values())

    def _start(self) -> None:
        # In an empty context: the timer would keep the context of the first request alive.
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick, context=contextvars.Context())

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        for schedule in list(self._schedules.values()):
            schedule.tick(now)
        if self.peers:
            self._start()
        else:
            self._timer = None
