"""How many subscribers of other processes a publish has reached."""

from __future__ import annotations

import time
from typing import NamedTuple

EXACT = 5
"""Publishes to a group in one second that are counted. Later publishes in that second get the last count."""


class Reach(NamedTuple):
    """The counts of a publish that is over."""

    subscribers: int = 0
    """The counted subscribers that the message went to."""
    missing: int = 0
    """Processes that got the message and did not answer with their count in time."""
    age: float = 0.0
    """Seconds since the subscribers were counted; 0 if the count is that of this publish."""
    degraded: bool = False
    """Whether it went to this process only, because the bus does not work."""
    uncounted: bool = False
    """Whether it went to processes whose subscribers cannot be counted, by a channel layer of another project."""

    def with_more(self, subscribers: int) -> Reach:
        """The same with more subscribers."""
        return Reach(self.subscribers + subscribers, *self[1:])


NOWHERE = Reach()


class TrackedCount:
    """A count that is true until one of the counted processes says that its own has changed: each remembers who has
    asked, and tells them once, as Redis does for keys with ``CLIENT TRACKING``."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last: Reach | None = None

    def note(self, reach: Reach) -> None:
        """Keep a count, if it is complete."""
        if not reach.missing:
            self.last = reach


_UNCOUNTED = (0.0, 0, 0)


class RecentCounts:
    """The counts of this second. A group without publishes has no entry."""

    def __init__(self) -> None:
        self._second = 0
        self._groups: dict[str, tuple[float, int, int]] = {}  # when counted, publishes with a count, subscribers

    def last(self, group: str) -> Reach | None:
        """The last count, if :data:`EXACT` publishes to the group were counted in this second; else None."""
        now = time.monotonic()
        if int(now) != self._second:
            self._second = int(now)
            self._groups.clear()
        counted_at, publishes, subscribers = self._groups.get(group, _UNCOUNTED)
        return Reach(subscribers, age=now - counted_at) if publishes >= EXACT and counted_at else None

    def note(self, group: str, reach: Reach) -> None:
        """Note a publish with a count of its own, and keep the count if it is complete."""
        counted_at, publishes, subscribers = self._groups.get(group, _UNCOUNTED)
        if not reach.missing:
            counted_at, subscribers = time.monotonic(), reach.subscribers
        self._groups[group] = counted_at, publishes + 1, subscribers
