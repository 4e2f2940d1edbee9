"""What has become of the messages of one listener."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Statistics:
    """Figures of one listener since it was started."""

    handled: int = 0
    """Calls that returned."""
    failed: int = 0
    """Calls that raised."""
    dropped: int = 0
    """Messages that found the queue full."""
    undecodable: int = 0
    """Messages that were no JSON, and were not handed over."""

    def __str__(self) -> str:
        return ", ".join(f"{number} {name}" for name, number in vars(self).items())


class Counters:
    """Counts from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statistics = Statistics()

    @property
    def statistics(self) -> Statistics:
        return self._statistics

    def count(self, name: str) -> None:
        """One more in the field ``name`` of :class:`Statistics`."""
        with self._lock:
            self._statistics = replace(self._statistics, **{name: getattr(self._statistics, name) + 1})
