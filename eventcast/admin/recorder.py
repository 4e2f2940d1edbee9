"""Figures over time, for the admin: messages per second, and the last minutes of each channel for the charts.

Nothing is recorded until an operator opens a page of the admin.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from eventcast.engine import presence

SHORTEST = 1.0
"""Seconds at least over which a rate is measured: over less time, it is noise."""

INTERVAL = 10.0
"""Seconds between two readings: 30 of them make a chart, and 10 000 channels cost a thousandth of a core."""

SPAN = 300.0
"""Seconds that the readings cover."""

KEEP = 900.0
"""Seconds that recording goes on after the last request for a page: the next operator finds full charts."""


class Point(NamedTuple):
    """One reading of one channel."""

    time: float
    """Seconds since the epoch."""
    subscribers: float
    """Live connections."""
    messages: float
    """Messages since the channel has had subscribers without a break."""


@dataclass(frozen=True)
class Look:
    """The totals and rates of one moment."""

    totals: presence.Totals
    """The counters of all channels together, read just now."""
    by_channel: dict[str, float] | None = None
    """Messages per second by channel, without silent channels; None without a reading to compare with."""
    overall: float | None = None
    """Messages per second of all channels together; None likewise."""


class _Reading(NamedTuple):
    time: float
    totals: presence.Totals
    subscribers: dict[str, float]
    messages: dict[str, float]
    """Of each channel."""


class Recorder:
    """Records the figures of all channels every :data:`INTERVAL` in a thread, while operators look at them.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._looked = 0.0
        self._readings: deque[_Reading] = deque(maxlen=int(SPAN / INTERVAL) + 1)

    def keep_on(self) -> None:
        """Record until :data:`KEEP` after the last call. Safe in any thread."""
        if not self._readings:
            self.record()
        with self._lock:
            self._looked = self._clock()
            # A thread that is not alive belongs to the process that this one was forked from.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="eventcast-recorder", daemon=True)
                self._thread.start()

    def look(self) -> Look:
        """The totals of now, and the messages per second since the last reading."""
        self.keep_on()
        now = self._read()
        with self._lock:
            before = next((each for each in reversed(self._readings) if now.time - each.time >= SHORTEST), None)
        if before is None:
            return Look(now.totals)
        elapsed = now.time - before.time
        rates = {}
        for name, count in now.messages.items():
            known = before.messages.get(name, 0.0)
            # A counter that has fallen began again at zero: the last subscriber left, and then a new one came.
            if grown := count - known if count >= known else count:
                rates[name] = grown / elapsed
        messages = now.totals.figures.messages - before.totals.figures.messages
        return Look(now.totals, rates, max(0, messages) / elapsed)

    def points(self, channel: str, after: float = 0.0) -> list[Point]:
        """The readings of ``channel``, the oldest first.

        :param after: only readings after this moment, seconds since the epoch.
        """
        with self._lock:
            return [
                Point(each.time, each.subscribers.get(channel, 0.0), each.messages.get(channel, 0.0))
                for each in self._readings
                if each.time > after
            ]

    def record(self) -> None:
        """Read the counters of all channels of this process."""
        reading = self._read()
        with self._lock:
            self._readings.append(reading)

    def forget_unless_wanted(self) -> bool:
        """Whether recording goes on. If not, all readings are removed."""
        with self._lock:
            if self._clock() - self._looked <= KEEP:
                return True
            self._readings.clear()
            self._thread = None
            return False

    def _read(self) -> _Reading:
        # Dicts of numbers, which the garbage collector does not look at: that would take longer than all of this.
        totals = presence.totals(watchers=False)
        return _Reading(self._clock(), totals, presence.audiences(), presence.figure_of_all("messages"))

    def _run(self) -> None:
        while self.forget_unless_wanted():
            time.sleep(INTERVAL)
            self.record()


recorder = Recorder()
"""The recorder of this process."""
