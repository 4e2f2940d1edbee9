"""The figures of every channel over the last minutes: what the charts begin with.

Nothing is recorded until somebody looks at a page of the admin. From then on a thread reads the counters of all
channels every :data:`INTERVAL`, until nobody has looked for :data:`KEEP`; then all of it is forgotten. Only what has
changed is kept, so that a channel costs nothing while nothing happens on it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from eventcast.admin.rates import rates
from eventcast.engine import presence

INTERVAL = 10.0
"""Seconds between two readings: 30 of them make a chart, and 10 000 channels cost a thousandth of a core."""

SPAN = 300.0
"""Seconds that are remembered."""

KEEP = 900.0
"""Seconds it goes on for after the last look, so that who looks now and then finds charts that are full."""

_NOBODY = (0.0, 0.0)


class Point(NamedTuple):
    """What was known of a channel at a moment."""

    time: float
    """Seconds since the epoch."""
    subscribers: float
    """Live connections that listened."""
    messages: float
    """Messages since the channel has had subscribers without a break."""


class Recorder:
    """Remembers the figures of all channels while somebody looks.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._looked = 0.0
        # What has changed at each reading, what was so before the first of them, and what is so since the last.
        self._readings: deque[tuple[float, dict[str, tuple[float, float]]]] = deque()
        self._before: dict[str, tuple[float, float]] = {}
        self._latest: dict[str, tuple[float, float]] = {}

    def look(self) -> None:
        """Somebody looks: record from now on, until nobody has for a while. Safe in any thread, and never waits."""
        with self._lock:
            self._looked = self._clock()
            # One that is not alive belongs to the process that this one was forked from.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="eventcast-recorder", daemon=True)
                self._thread.start()

    def points(self, channel: str, after: float = 0.0) -> list[Point]:
        """What was read of ``channel``, the oldest first.

        :param after: only what was read after this moment, seconds since the epoch.
        """
        found = []
        with self._lock:
            figures = self._before.get(channel, _NOBODY)
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
            changed.update(dict.fromkeys(latest.keys() - here.keys(), _NOBODY))
            self._readings.append((now, changed))
            self._latest = here
            while self._readings[0][0] < now - SPAN:
                self._before.update(self._readings.popleft()[1])
                self._before = {name: figures for name, figures in self._before.items() if figures != _NOBODY}

    def forget_unless_wanted(self) -> bool:
        """Whether somebody has looked lately; if not, nothing is remembered any more."""
        with self._lock:
            if self._clock() - self._looked <= KEEP:
                return True
            self._readings.clear()
            self._before, self._latest, self._thread = {}, {}, None
            return False

    def _run(self) -> None:
        while self.forget_unless_wanted():
            rates.look()  # so that who comes next finds a rate at once
            self.record()
            time.sleep(INTERVAL)


recorder = Recorder()
"""That of this process."""
