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
    """Messages times subscribers they were handed to. It is not taken back if a client then does not take them."""
    lost: int = 0
    """Messages times subscribers that did not get them: too slow, or too much at once."""

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
