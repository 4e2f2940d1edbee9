"""What is counted of a broadcast."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figures:
    """What has come to pass on one channel, or on several together."""

    messages: int = 0
    """Messages broadcast."""
    delivered: int = 0
    """Messages times subscribers they were written to, to the last byte."""
    lost: int = 0
    """Messages times subscribers that did not get them: too slow, gone before they had taken them, or too much at
    once. What is neither delivered nor lost is still owed."""

    def __add__(self, other: Figures) -> Figures:
        return Figures(self.messages + other.messages, self.delivered + other.delivered, self.lost + other.lost)


class Tally:
    """A number, or :class:`Figures`, that is only ever counted up, by any thread."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value
        self.lock = threading.RLock()  # A finalizer may run while the lock is held, and publish.
        """Held by code that reads the value together with others, so that what moves between them is not missing."""

    def add(self, number: Any) -> None:
        with self.lock:
            self.value += number


past = Tally(Figures())
"""What has happened in this process on channels that have no subscribers any more, or an event loop that has ended."""


class Account:
    """The figures of one channel, since it has had subscribers without a break."""

    __slots__ = ("_retired", "delivered", "lost", "messages")

    def __init__(self) -> None:
        self.messages = self.delivered = self.lost = 0
        self._retired = False
        """Whether these are among those of the past."""

    @property
    def figures(self) -> Figures:
        """The figures as one record."""
        return Figures(self.messages, self.delivered, self.lost)

    def retire(self) -> None:
        """The last subscriber has left."""
        self._retired = True
        past.add(self.figures)

    def settle(self, *, delivered: int = 0, lost: int = 0) -> None:
        """Count what was owed to a client, which may have been the last subscriber."""
        if self._retired:
            past.add(Figures(0, delivered, lost))
        else:
            self.delivered += delivered
            self.lost += lost
