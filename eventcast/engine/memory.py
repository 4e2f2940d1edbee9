"""The bound on everything that the subscribers of one event loop owe to their clients (``MAX_PENDING_BYTES``).

Bytes that many subscribers owe are counted once, because they are kept once. Past the bound the subscribers that owe
the most are closed first, until the rest fits.
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

FAREWELL = 4096
"""Bytes that a subscriber may still owe when it is closed here: a close frame, but not the rest of a large message."""

LARGEST_DEFAULT = 512 * 1024 * 1024
"""Bytes."""


class PendingMemory:
    """The pieces that subscribers owe, and which subscribers owe any. Everything happens on one event loop."""

    def __init__(self) -> None:
        self.total = 0
        """Bytes of all pieces that are owed, each counted once."""
        self._calm = 0
        """Bytes below which a burst of losses is over; 0 if there is none."""
        self._holders: set[Subscriber] = set()

    def add(self, piece: Piece, subscriber: Subscriber) -> None:
        """A subscriber owes a piece."""
        if not piece.holders:
            self.total += piece.size
        piece.holders += 1
        self._holders.add(subscriber)

    def release(self, piece: Piece) -> None:
        """A subscriber has written a piece, or has dropped it."""
        piece.holders -= 1
        if not piece.holders:
            self.total -= piece.size
            if self.total < self._calm:
                self._calm = 0

    def forget(self, subscriber: Subscriber) -> None:
        """A subscriber owes nothing any more."""
        self._holders.discard(subscriber)

    def enforce(self) -> None:
        """Close subscribers until what is owed is within the bound."""
        limit = conf.MAX_PENDING_BYTES or default_limit()
        if self.total <= limit:
            return
        if not self._calm:
            text = "Subscribers have %d bytes pending of %d (EVENTCAST['MAX_PENDING_BYTES']): closing the slowest."
            logger.warning(text, self.total, limit)
            self._calm = limit // 2
        for subscriber in sorted(self._holders, key=lambda each: each.pending, reverse=True):
            if self.total <= limit:
                break
            if subscriber.viewer:
                subscriber.skip(0)
                if self.total <= limit or subscriber.pending <= FAREWELL:
                    continue
            subscriber.close(TOO_MUCH)
            if subscriber.pending > FAREWELL:
                subscriber.abort()


@functools.cache
def default_limit() -> int:
    """A quarter of the memory that this process may have, in bytes, and at most 512 MiB."""
    sizes = [4 * LARGEST_DEFAULT]
    try:
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))  # of a container; "max" without a limit
    except (AttributeError, OSError, ValueError):
        pass
    return min(sizes) // 4
