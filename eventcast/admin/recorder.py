"""Figures over time, for the admin: messages per second, and the last hour of each channel for the charts.

A timer of the server's event loop reads the counters every :data:`INTERVAL`, whether an operator looks or not. A
reading without a change takes no memory.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from eventcast.engine import presence
from eventcast.engine.hub import hubs
from eventcast.engine.keepalive import start_callbacks

SHORTEST = 1.0
"""Seconds at least over which a rate is measured: over less time, it is noise."""

INTERVAL = 10.0
"""Seconds between two readings: about a pixel of a chart."""

READINGS = 360
"""Readings that are kept: an hour."""

FORGOTTEN = 30
"""Readings, five minutes, after which a channel without subscribers is forgotten."""

LIMIT = 10_000
"""Channels whose past is recorded. One that changes all the time takes 4.3 kB, one that never changes 0.3 kB."""

SLICE = 0.002
"""Seconds of reading before messages get their turn."""

ALL = ""
"""Stands for all channels together."""


class Point(NamedTuple):
    """One reading of one channel."""

    time: float
    """Seconds since the epoch."""
    subscribers: int
    """Live connections."""
    rate: float | None
    """Messages per second since the reading before; None without one."""


@dataclass(frozen=True)
class Look:
    """The totals and rates of one moment."""

    totals: presence.Totals
    """The counters of all channels together, read just now."""
    by_channel: dict[str, float] | None = None
    """Messages per second by channel, as far as they are known; None without a reading to compare with."""
    overall: float | None = None
    """Messages per second of all channels together; None likewise."""


class Series:
    """What has changed on one channel in the last hour."""

    __slots__ = ("changes", "messages", "subscribers")

    def __init__(self, messages: float = 0) -> None:
        self.changes = array("I")
        """For each reading with a change: its number, the subscribers, the messages since the reading before."""
        self.messages = messages
        """The counter at the last reading."""
        self.subscribers = 0

    def add(self, number: int, subscribers: int, messages: float) -> None:
        """Add the reading with this number."""
        grown = self.since(number, messages)
        if grown or subscribers != self.subscribers:
            self.changes.extend((number, subscribers, int(min(grown, 2**32 - 1))))
            self.subscribers = subscribers
            if len(self.changes) > 3 and self.changes[3] < number - READINGS:
                del self.changes[:3]
        self.messages = messages

    def since(self, number: int, messages: float) -> float:
        """How many messages came since a reading: the last one, or the one before it.

        :param messages: the counter now.
        """
        # A counter that has fallen began again at zero: the last subscriber left, and then a new one came.
        grown = messages - self.messages if messages >= self.messages else messages
        return grown + (self.changes[-1] if self.changes and self.changes[-3] > number else 0)

    def is_over(self, number: int) -> bool:
        """Whether there have been no subscribers for so long that the channel is forgotten."""
        return not self.subscribers and (not self.changes or self.changes[-3] < number - FORGOTTEN)


class Recorder:
    """Records the figures of all channels of this process.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._readings: deque[tuple[int, float]] = deque(maxlen=READINGS + 1)
        """The number and time of each reading."""
        self._series: dict[str, Series] = {}

    # --- recording --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Record every :data:`INTERVAL` while the running event loop runs."""
        self._go_on(self.read())

    def _go_on(self, reading: Iterator[None]) -> None:
        loop, deadline = asyncio.get_running_loop(), time.monotonic() + SLICE
        for _ in reading:
            if time.monotonic() > deadline:
                loop.call_soon(self._go_on, reading, context=contextvars.Context())
                return
        loop.call_later(INTERVAL, self.begin, context=contextvars.Context())

    def read(self) -> Iterator[None]:
        """Read the counters of all channels of this process. The event loop may run after each channel."""
        now = self._clock()
        number, before = self._readings[-1] if self._readings else (0, 0.0)
        if abs(now - before) < SHORTEST:
            return  # The timer of another event loop has just recorded.
        number += 1
        totals = presence.totals()
        self._series.setdefault(ALL, Series(totals.figures.messages)).add(
            number, totals.subscribers, totals.figures.messages
        )
        everywhere = hubs()
        new = (name for hub in everywhere for name in list(hub.channels) if name not in self._series)
        for name in [*self._series, *itertools.islice(new, max(0, LIMIT - len(self._series)))]:
            yield
            if name == ALL:
                continue
            messages = subscribers = 0
            for hub in everywhere:
                if (own := hub.channels.get(name)) is not None:
                    messages += own.messages
                for local in hub.channels_for(name):
                    subscribers += local.count
            series = self._series.setdefault(name, Series())
            series.add(number, subscribers, messages)
            if series.is_over(number):
                del self._series[name]
        # At the end: until then, pages use the reading before.
        self._readings.append((number, now))

    # --- what was recorded ------------------------------------------------------------------------------------------

    def look(self) -> Look:
        """The totals of now, and the messages per second since a reading."""
        now, totals, messages = self._clock(), presence.totals(), presence.figure_of_all("messages")
        if (base := self._base(now)) is None:
            return Look(totals)
        rates = ((name, self._rate(name, count, now, base)) for name, count in messages.items())
        known = {name: rate for name, rate in rates if rate is not None}
        return Look(totals, known, self._rate(ALL, totals.figures.messages, now, base))

    def points(self, channel: str, subscribers: int, messages: int, after: float = 0.0) -> list[Point]:
        """The readings of ``channel``, the oldest first, and then how it is now.

        :param subscribers: the subscribers now; ``messages`` is the counter now.
        :param after: only readings after this moment, seconds since the epoch.
        """
        now, readings, series = self._clock(), list(self._readings), self._series.get(channel)
        base = self._base(now)
        last = Point(now, subscribers, base and self._rate(channel, messages, now, base))
        if series is None:
            return [last]
        changes = series.changes.tolist()
        changed = deque(zip(changes[::3], changes[1::3], changes[2::3], strict=True))
        found, there, before = [], None, None
        for number, at in readings:
            grown = 0
            while changed and changed[0][0] <= number:
                _, there, grown = changed.popleft()
            if there is not None and before is not None and at > after:
                found.append(Point(at, there, grown / (at - before)))
            before = at
        return [*found, last]

    def _base(self, now: float) -> tuple[int, float] | None:
        """The last reading that is old enough for a rate."""
        return next((each for each in list(self._readings)[:-3:-1] if now - each[1] >= SHORTEST), None)

    def _rate(self, name: str, messages: float, now: float, base: tuple[int, float]) -> float | None:
        series = self._series.get(name) or (Series() if len(self._series) < LIMIT else None)
        return None if series is None else series.since(base[0], messages) / (now - base[1])


recorder = Recorder()
"""The recorder of this process."""

start_callbacks.append(recorder.begin)
