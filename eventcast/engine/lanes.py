"""The subscribers of one encoder to which nothing is owed, as the hot loop wants them: a bare list of what to call.

No index moves while a pass runs: a subscriber that leaves its lane leaves a gap, and gaps are closed when the pass is
over.
"""

from __future__ import annotations

from collections.abc import Callable

from eventcast.engine.subscribers import Subscriber


def gap(data: bytes) -> int:
    """Stands in a lane for a subscriber that left during a pass."""
    return len(data)


class Lane:
    """The subscribers of one encoder to whose clients nothing is owed."""

    __slots__ = ("cursor", "end", "gaps", "missed", "sends", "subscribers")

    def __init__(self) -> None:
        self.subscribers: list[Subscriber | None] = []
        self.sends: list[Callable[[bytes], int]] = []
        # Of the pass that is under way:
        self.cursor = self.end = 0
        self.gaps: list[int] = []
        self.missed: list[int] = []
        """The gaps of subscribers that left before the pass came to them."""

    def append(self, subscriber: Subscriber, send: Callable[[bytes], int]) -> None:
        subscriber.position = len(self.subscribers)
        self.subscribers.append(subscriber)
        self.sends.append(send)

    def fill(self, position: int) -> None:
        """Close a gap by moving the last subscriber into it."""
        last, send = self.subscribers.pop(), self.sends.pop()
        if position < len(self.subscribers):
            self.subscribers[position], self.sends[position] = last, send
            if last is not None:
                last.position = position

    def finish(self) -> None:
        """A pass is over. From the highest gap down, so that the subscriber that is moved is never a gap itself."""
        if self.gaps:
            for position in sorted(self.gaps, reverse=True):
                self.fill(position)
            self.gaps.clear()
            self.missed.clear()
        self.cursor = self.end = 0
