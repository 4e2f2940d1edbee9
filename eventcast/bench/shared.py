"""Memory that the command and its workers share: when each message was sent and by whom, and how far each worker is."""

from __future__ import annotations

import mmap
import os
from typing import Final

CONNECTED: Final = 0
FAILED: Final = 1
DELIVERED: Final = 2
COUNTERS: Final = 3

NUMBERS: Final = b"#"
"""What a packet with message numbers begins with; all others are JSON."""


class Shared:
    """A view of the memory behind ``descriptor``.

    :attr sent: by message number, when its publishing began, seconds of ``time.monotonic()``; 0.0 if it has not.
    :attr publisher: by message number, which publisher it went out on.
    """

    def __init__(self, descriptor: int, messages: int, workers: int) -> None:
        self.descriptor = descriptor
        view = memoryview(mmap.mmap(descriptor, self.size(messages, workers)))
        times = messages * 8
        self.sent = view[:times].cast("d")
        self._counters = view[times : times + workers * COUNTERS * 8].cast("q")
        self.publisher = view[times + workers * COUNTERS * 8 :].cast("H")

    @staticmethod
    def size(messages: int, workers: int) -> int:
        return messages * 8 + workers * COUNTERS * 8 + messages * 2

    @classmethod
    def create(cls, messages: int, workers: int) -> Shared:
        descriptor = os.memfd_create("eventcast-bench")
        os.truncate(descriptor, cls.size(messages, workers))
        return cls(descriptor, messages, workers)

    def counters(self, worker: int) -> memoryview:
        """How many subscribers of a worker are connected and have failed to, and what was delivered to them."""
        return self._counters[worker * COUNTERS : (worker + 1) * COUNTERS]

    def total(self, counter: int) -> int:
        """One of the counters, of all workers."""
        return sum(self._counters[counter::COUNTERS])
