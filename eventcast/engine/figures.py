"""Counters of messages: of each channel, and of the process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figures:
    """The counts of one channel, or the sums of several."""

    messages: int = 0
    """Messages that were broadcast."""
    delivered: int = 0
    """Deliveries: a message counts for a subscriber once its last byte was written to the socket."""
    lost: int = 0
    """Losses: a message counts once for each subscriber that was too slow for it, left before it, or had no space
    for it. Messages that are neither delivered nor lost are still buffered."""

    def __add__(self, other: Figures) -> Figures:
        return Figures(self.messages + other.messages, self.delivered + other.delivered, self.lost + other.lost)


class ThreadSafeCounter:
    """A number, or :class:`Figures`, that only grows. Safe in any thread."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value
        self.lock = threading.RLock()  # A finalizer may run while the lock is held, and publish.
        """Held by code that reads or moves counts between this counter and others, so that none is missing."""

    def add(self, number: Any) -> None:
        with self.lock:
            self.value += number


past_figures = ThreadSafeCounter(Figures())
"""The sums of this process for channels without subscribers any more, and for event loops that have ended."""


class ChannelFigures:
    """The counts of one channel, from its first subscriber until its last has left."""

    __slots__ = ("_retired", "delivered", "lost", "messages")

    def __init__(self) -> None:
        self.messages = self.delivered = self.lost = 0
        self._retired = False
        """Whether these counts are in :data:`past_figures`."""

    @property
    def figures(self) -> Figures:
        """The counts as one record."""
        return Figures(self.messages, self.delivered, self.lost)

    def retire(self) -> None:
        """Add the counts to :data:`past_figures`, when the last subscriber has left."""
        self._retired = True
        past_figures.add(self.figures)

    def count_messages(self, *, delivered: int = 0, lost: int = 0) -> None:
        """Count buffered messages. Also works after the last subscriber has left."""
        if self._retired:
            past_figures.add(Figures(0, delivered, lost))
        else:
            self.delivered += delivered
            self.lost += lost
