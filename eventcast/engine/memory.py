"""The bound on the send buffers of all subscribers of one event loop together (``MAX_PENDING_BYTES``).

A piece in many buffers counts once, because it is in memory once. Past the bound the subscribers with the most pending
bytes are closed first, until the rest fits.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from eventcast.conf import conf
from eventcast.engine.closing import TOO_MUCH
from eventcast.engine.encoders import Piece
from eventcast.engine.logs import SteadyLogger

if TYPE_CHECKING:
    from eventcast.engine.subscribers import Subscriber

logger = SteadyLogger("eventcast.subscribe")

CLOSING_BYTES = 4096
"""Bytes that may stay in the buffer of a closed subscriber: a close frame, but not the rest of a large message."""

LARGEST_DEFAULT = 512 * 1024 * 1024
"""The largest default of the bound, in bytes."""


class PendingMemory:
    """Counts the bytes of buffered pieces. Call it on one event loop only."""

    def __init__(self) -> None:
        self.total = 0
        """Bytes of all buffered pieces, each counted once."""
        self._burst_end = 0
        """Bytes below which the current burst of losses is over; 0 if there is none."""
        self._holders: set[Subscriber] = set()

    def add(self, piece: Piece, subscriber: Subscriber) -> None:
        """A subscriber has buffered a piece."""
        if not piece.holders:
            self.total += piece.size
        piece.holders += 1
        self._holders.add(subscriber)

    def release(self, piece: Piece) -> None:
        """A subscriber has written or dropped a piece."""
        piece.holders -= 1
        if not piece.holders:
            self.total -= piece.size
            if self.total < self._burst_end:
                self._burst_end = 0

    def forget(self, subscriber: Subscriber) -> None:
        """A subscriber's buffer is empty."""
        self._holders.discard(subscriber)

    def enforce(self) -> None:
        """Close subscribers until the total is within the bound."""
        limit = conf.MAX_PENDING_BYTES or default_limit()
        if self.total <= limit:
            return
        if not self._burst_end:
            text = "Subscribers have %d bytes pending of %d (EVENTCAST['MAX_PENDING_BYTES']): closing the slowest."
            logger.warning(text, self.total, limit)
            self._burst_end = limit // 2
        for subscriber in sorted(self._holders, key=lambda each: each.pending, reverse=True):
            if self.total <= limit:
                break
            if subscriber.viewer:
                subscriber.drop_to(0)
                if self.total <= limit or subscriber.pending <= CLOSING_BYTES:
                    continue
            subscriber.close(TOO_MUCH)
            if subscriber.pending > CLOSING_BYTES:
                subscriber.abort()


@functools.cache
def default_limit() -> int:
    """A quarter of the memory that this process may have, in bytes, and at most 512 MiB."""
    sizes = [4 * LARGEST_DEFAULT]
    try:
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))  # the limit of a container, or "max"
    except (AttributeError, OSError, ValueError):
        pass
    return min(sizes) // 4
