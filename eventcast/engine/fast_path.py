"""The fast path of a fan-out: a list of the ``send`` functions that one loop calls. See ``eventcast.engine.fanout``."""

from __future__ import annotations

from collections.abc import Callable

from eventcast.engine.subscribers import Subscriber


def gap(data: bytes) -> int:
    """Replaces the ``send`` of a subscriber that left during a pass."""
    return len(data)


class FastPath:
    """The subscribers with one encoder and an empty send buffer."""

    __slots__ = ("cursor", "end", "gaps", "sends", "subscribers", "unserved")

    def __init__(self) -> None:
        self.subscribers: list[Subscriber | None] = []
        self.sends: list[Callable[[bytes], int]] = []
        # State of the current pass:
        self.cursor = self.end = 0
        self.gaps: list[int] = []
        self.unserved: list[int] = []
        """The gaps of subscribers that left before the pass reached them."""

    def append(self, subscriber: Subscriber, send: Callable[[bytes], int]) -> None:
        subscriber.position = len(self.subscribers)
        self.subscribers.append(subscriber)
        self.sends.append(send)

    def close_gap(self, position: int) -> None:
        """Close a gap by moving the last subscriber into it."""
        last, send = self.subscribers.pop(), self.sends.pop()
        if position < len(self.subscribers):
            self.subscribers[position], self.sends[position] = last, send
            if last is not None:
                last.position = position

    def finish(self) -> None:
        """End a pass. The highest gap is closed first, so that a gap is never moved into another."""
        if self.gaps:
            for position in sorted(self.gaps, reverse=True):
                self.close_gap(position)
            self.gaps.clear()
            self.unserved.clear()
        self.cursor = self.end = 0
