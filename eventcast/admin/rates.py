"""Messages per second of every channel: what the counters have risen by between two looks.

Nothing is sampled when nobody looks, and everybody who looks shares the looks of the others.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from eventcast.engine import presence

SHORTEST = 1.0
"""Seconds between two looks at least: over less time, a rate is noise."""

LONGEST = 15.0
"""Seconds at most: after a longer pause it would say what was, not what is."""


@dataclass(frozen=True)
class Look:
    """What there is to see at a moment."""

    totals: presence.Totals
    """The counters of all channels together, read just now."""
    by_channel: dict[str, float] | None
    """Messages per second by channel, without those that are silent; None at a first look, also after a pause."""
    overall: float | None
    """Messages per second of all channels together; None likewise."""


class Rates:
    """Remembers the last look.

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
                    self._by_channel = self._risen(messages, elapsed)
                    self._overall = max(0, total - self._total) / elapsed
                self._at, self._messages, self._total = now, messages, total
            return Look(totals, self._by_channel, self._overall)

    def _risen(self, messages: dict[str, float], elapsed: float) -> dict[str, float]:
        before = self._messages
        # A counter that has fallen is a channel that everybody left and somebody came back to: it began at zero.
        return {
            name: (count - before.get(name, 0) if count >= before.get(name, 0) else count) / elapsed
            for name, count in messages.items()
            if count != before.get(name, 0)
        }


rates = Rates()
"""Those of this process."""
