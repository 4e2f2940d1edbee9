"""How many subscribers of other processes a publish has reached."""

from __future__ import annotations

import time
from typing import NamedTuple

EXACT = 20
"""Publishes to a group, in a second, with a count of their own. Those after them get the last count."""


class Reach(NamedTuple):
    """What is known of a publish when it is over."""

    subscribers: int = 0
    """Subscribers that it went to, as far as they are counted."""
    missing: int = 0
    """Processes that it went to and that have not said in time how many subscribers they have."""
    age: float = 0.0
    """Seconds since the subscribers were counted; 0 if they were counted for this publish."""
    degraded: bool = False
    """Whether it went to this process only, because the bus does not work."""
    uncounted: bool = False
    """Whether it went to processes whose subscribers cannot be counted, by a channel layer of another project."""

    def with_more(self, subscribers: int) -> Reach:
        """The same with more subscribers."""
        return Reach(self.subscribers + subscribers, *self[1:])


NOWHERE = Reach()

_UNCOUNTED = (0.0, 0, 0)


class RecentCounts:
    """What was counted in this second. Groups that nothing is published to cost nothing."""

    def __init__(self) -> None:
        self._second = 0
        self._groups: dict[str, tuple[float, int, int]] = {}  # when counted, publishes with a count, subscribers

    def last(self, group: str) -> Reach | None:
        """The last count, if so many publishes went to the group in this second that it must do."""
        now = time.monotonic()
        if int(now) != self._second:
            self._second = int(now)
            self._groups.clear()
        counted_at, publishes, subscribers = self._groups.get(group, _UNCOUNTED)
        return Reach(subscribers, age=now - counted_at) if publishes >= EXACT and counted_at else None

    def note(self, group: str, reach: Reach) -> Reach:
        """Note a publish with a count of its own, and keep the count if it is complete."""
        counted_at, publishes, subscribers = self._groups.get(group, _UNCOUNTED)
        if not reach.missing:
            counted_at, subscribers = time.monotonic(), reach.subscribers
        self._groups[group] = counted_at, publishes + 1, subscribers
        return reach
