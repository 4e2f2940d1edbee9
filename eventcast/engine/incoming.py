"""What other threads publish to the subscribers of one event loop: handed to the loop in order, bounded, and waited
for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from eventcast.conf import conf

LIMIT = 64 * 1024 * 1024
"""Bytes that may wait for the loop; what is published beyond is lost, and counted."""

PATIENCE = 5.0
"""Seconds that a publisher in another thread waits for room at most."""

STALLED = 0.25
"""Seconds without a turn after which a loop counts as blocked: a publisher does not wait for it, for it may be waiting
for the publisher's own thread."""

INTERVAL = 0.005
"""Seconds between two looks of a publisher that waits."""


class Incoming:
    """The events that wait for one event loop.

    :param loop: a weak reference to it.
    :param accept: called on the loop with each event.
    :param lose: called on the loop with an event for which there was no room.
    """

    def __init__(
        self,
        loop: weakref.ref[asyncio.AbstractEventLoop],
        accept: Callable[[dict[str, Any]], None],
        lose: Callable[[dict[str, Any]], None],
    ) -> None:
        self._loop = loop
        self._accept = accept
        self._lose = lose
        self._events: deque[dict[str, Any]] = deque()
        self._size = 0
        # Reentrant: a finalizer may publish while its thread is in here.
        self._lock = threading.RLock()
        self.turns = 0
        """Counted up whenever the loop does something for its hub, so that other threads see whether it is blocked."""
        self._stalled_at = -1

    def __bool__(self) -> bool:
        return bool(self._events)

    @property
    def crowded(self) -> bool:
        """Whether a publisher should wait."""
        # More at once would take subscribers past their bound.
        return self._size > 0 and self._size > conf.SUBSCRIBER_BUFFER // 2

    def put(self, event: dict[str, Any]) -> None:
        """Hand an event to the loop, from another thread."""
        loop = self._loop()
        if loop is None or loop.is_closed():
            return
        size = sum(map(len, event["messages"]))
        with self._lock:
            fits = self._size + size <= LIMIT
            if fits:
                self._size += size
                self._events.append(event)
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            if fits:
                loop.call_soon_threadsafe(self.take)
            else:
                loop.call_soon_threadsafe(self._lose, event)

    def take(self) -> None:
        """Accept all that waits. On the loop."""
        self.turns += 1
        while self._events:
            event = self._events.popleft()
            with self._lock:
                self._size -= sum(map(len, event["messages"]))
            self._accept(event)

    def wait_while(self, is_crowded: Callable[[], bool]) -> None:
        """Wait in a thread without an event loop, for :data:`PATIENCE` seconds, and not while the loop is blocked."""
        loop = self._loop()
        now = began = turned = time.monotonic()
        turns = self.turns
        while is_crowded() and loop is not None and loop.is_running():
            if self.turns != turns:
                turns, turned = self.turns, now
            if self._stalled_at == turns or now - turned > STALLED:
                self._stalled_at = turns
                return
            if now - began > PATIENCE:
                return
            time.sleep(INTERVAL)
            now = time.monotonic()
