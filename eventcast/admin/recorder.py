"""Figures over time, for the admin: messages per second, and the last minutes of each channel for the charts.

Nothing is measured or recorded until an operator opens a page of the admin.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from eventcast.engine import presence

SHORTEST = 1.0
"""Seconds at least between two measurements: over less time, a rate is noise."""

LONGEST = 15.0
"""Seconds at most between two measurements: over more time, a rate is not current."""

INTERVAL = 10.0
"""Seconds between two readings: 30 of them make a chart, and 10 000 channels cost a thousandth of a core."""

SPAN = 300.0
"""Seconds that the readings cover."""

KEEP = 900.0
"""Seconds that recording goes on after the last request for a page: the next operator finds full charts."""

_EMPTY = (0.0, 0.0)


@dataclass(frozen=True)
class Look:
    """The totals and rates of one moment."""

    totals: presence.Totals
    """The counters of all channels together, read just now."""
    by_channel: dict[str, float] | None
    """Messages per second by channel, without silent channels; None at the first look and after a pause."""
    overall: float | None
    """Messages per second of all channels together; None likewise."""


class Rates:
    """Messages per second of each channel: the growth of the counters between two looks. All operators share the looks.

    :param clock: seconds, of any origin.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._at = -math.inf
        self._messages: dict[str, float] = {}
        self._total = 0
        self._by_channel: dict[str, float] | None = None
        self._overall: float | None = None

    def look(self) -> Look:
        """Look at all channels of this process."""
        totals = presence.totals()
        with self._lock:
            now = self._clock()
            elapsed = now - self._at
            if elapsed >= SHORTEST:
                messages, total = presence.figure_of_all("messages"), totals.figures.messages
                self._by_channel = self._overall = None
                if elapsed <= LONGEST:
                    self._by_channel = self._growth(messages, elapsed)
                    self._overall = max(0, total - self._total) / elapsed
                self._at, self._messages, self._total = now, messages, total
            return Look(totals, self._by_channel, self._overall)

    def _growth(self, messages: dict[str, float], elapsed: float) -> dict[str, float]:
        before = self._messages
        # A counter that has fallen began again at zero: the last subscriber left, and then a new one came.
        return {
            name: (count - before.get(name, 0) if count >= before.get(name, 0) else count) / elapsed
            for name, count in messages.items()
            if count != before.get(name, 0)
        }


class Point(NamedTuple):
    """One reading of one channel."""

    time: float
    """Seconds since the epoch."""
    subscribers: float
    """Live connections."""
    messages: float
    """Messages since the channel has had subscribers without a break."""


class Recorder:
    """Records the figures of all channels while operators look at them.

    A thread reads the counters every :data:`INTERVAL`. Only changes are kept, so that an idle channel costs nothing.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._looked = 0.0
        # The changes at each reading, the figures before the first reading, and the figures at the last one.
        self._readings: deque[tuple[float, dict[str, tuple[float, float]]]] = deque()
        self._before: dict[str, tuple[float, float]] = {}
        self._latest: dict[str, tuple[float, float]] = {}

    def look(self) -> None:
        """Record until :data:`KEEP` after the last call. Safe in any thread, and never waits."""
        with self._lock:
            self._looked = self._clock()
            # A thread that is not alive belongs to the process that this one was forked from.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="eventcast-recorder", daemon=True)
                self._thread.start()

    def points(self, channel: str, after: float = 0.0) -> list[Point]:
        """The readings of ``channel``, the oldest first.

        :param after: only readings after this moment, seconds since the epoch.
        """
        found = []
        with self._lock:
            figures = self._before.get(channel, _EMPTY)
            for at, changed in self._readings:
                figures = changed.get(channel, figures)
                if at > after:
                    found.append(Point(at, *figures))
        return found

    def record(self) -> None:
        """Read the counters of all channels of this process."""
        messages = presence.figure_of_all("messages")
        here = {name: (count, messages.get(name, 0.0)) for name, count in presence.figure_of_all("subscribers").items()}
        with self._lock:
            now, latest = self._clock(), self._latest
            changed = {name: figures for name, figures in here.items() if latest.get(name) != figures}
            changed.update(dict.fromkeys(latest.keys() - here.keys(), _EMPTY))
            self._readings.append((now, changed))
            self._latest = here
            while self._readings[0][0] < now - SPAN:
                self._before.update(self._readings.popleft()[1])
                self._before = {name: figures for name, figures in self._before.items() if figures != _EMPTY}

    def forget_unless_wanted(self) -> bool:
        """Whether recording goes on. If not, all readings are removed."""
        with self._lock:
            if self._clock() - self._looked <= KEEP:
                return True
            self._readings.clear()
            self._before, self._latest, self._thread = {}, {}, None
            return False

    def _run(self) -> None:
        while self.forget_unless_wanted():
            rates.look()  # so that the next page has a rate at once
            self.record()
            time.sleep(INTERVAL)


rates = Rates()
"""The rates of this process."""

recorder = Recorder()
"""The recorder of this process."""
