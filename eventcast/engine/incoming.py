"""What other threads publish to the subscribers of one event loop: handed to the loop in order, and bounded."""

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

MAX_WAIT = 5.0
"""Seconds that a publisher in another thread waits for room at most."""

STALLED = 0.25
"""Seconds without an answer after which a loop counts as blocked: a publisher does not wait for it, for it may be
waiting for the publisher's own thread."""

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
        self._answered = threading.Event()
        """Set by the loop in answer to the last question whether it runs."""
        self._answered.set()

    def __bool__(self) -> bool:
        return bool(self._events)

    @property
    def crowded(self) -> bool:
        """Whether a publisher should wait."""
        return self._size > conf.SUBSCRIBER_BUFFER // 2  # More at once would take subscribers past their bound.

    def put(self, event: dict[str, Any]) -> None:
        """Hand an event to the loop, from another thread."""
        size = sum(map(len, event["messages"]))
        with self._lock:
            fits = self._size + size <= LIMIT
            if fits:
                self._size += size
                self._events.append(event)
        if fits:
            self.call(self.take)
        else:
            self.call(self._lose, event)

    def take(self) -> None:
        """Accept all that waits. On the loop."""
        while self._events:
            event = self._events.popleft()
            with self._lock:
                self._size -= sum(map(len, event["messages"]))
            self._accept(event)

    def wait_while(self, is_crowded: Callable[[], bool]) -> None:
        """Wait in a thread without an event loop, for :data:`MAX_WAIT` seconds, and not while the loop is blocked."""
        deadline = time.monotonic() + MAX_WAIT
        while is_crowded() and time.monotonic() < deadline and self._loop_runs():
            time.sleep(INTERVAL)

    def _loop_runs(self) -> bool:
        loop = self._loop()
        # A loop that has not answered the question before is not asked again: many publishes would wait for it.
        if loop is None or not loop.is_running() or not self._answered.is_set():
            return False
        answered = self._answered = threading.Event()
        self.call(answered.set)
        return answered.wait(STALLED)

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function on the loop, a moment later."""
        loop = self._loop()
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # closed: it has no subscribers
                loop.call_soon_threadsafe(function, *arguments)
