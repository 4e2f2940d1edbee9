"""The queue of events that other threads publish to the subscribers of one event loop: in order, and bounded."""

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
"""Most bytes in the queue. Messages beyond are lost, and counted."""

MAX_WAIT = 5.0
"""Seconds that a publisher in another thread waits at most."""

STALLED = 0.25
"""Seconds without an answer after which a loop counts as blocked. A publisher does not wait for a blocked loop, because
the loop may be waiting for the publisher's thread."""

INTERVAL = 0.005
"""Seconds between two checks of a publisher that waits."""


class Incoming:
    """The queue of one event loop.

    :param loop: a weak reference to the loop.
    :param accept: called on the loop with each event.
    :param lose: called on the loop with each event that the full queue refused.
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
        # Reentrant: a finalizer may publish while its thread holds the lock.
        self._lock = threading.RLock()
        self._answered = threading.Event()
        """Set by the loop as its answer to the last :meth:`_loop_runs`."""
        self._answered.set()

    def __bool__(self) -> bool:
        return bool(self._events)

    @property
    def crowded(self) -> bool:
        """Whether publishers should wait."""
        return self._size > conf.SUBSCRIBER_BUFFER // 2  # More would take subscribers past their bound.

    def put(self, event: dict[str, Any]) -> None:
        """Add an event, from another thread."""
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
        """Accept all events of the queue. Called on the loop."""
        while self._events:
            event = self._events.popleft()
            with self._lock:
                self._size -= sum(map(len, event["messages"]))
            self._accept(event)

    def wait_while(self, is_crowded: Callable[[], bool]) -> None:
        """Wait in a thread without an event loop, for at most :data:`MAX_WAIT` seconds, and not for a blocked loop."""
        deadline = time.monotonic() + MAX_WAIT
        while is_crowded() and time.monotonic() < deadline and self._loop_runs():
            time.sleep(INTERVAL)

    def _loop_runs(self) -> bool:
        loop = self._loop()
        # A loop that has not answered yet is not asked again, because each publish would wait for the answer.
        if loop is None or not loop.is_running() or not self._answered.is_set():
            return False
        answered = self._answered = threading.Event()
        self.call(answered.set)
        return answered.wait(STALLED)

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Schedule a call of a function on the loop."""
        loop = self._loop()
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # a closed loop has no subscribers
                loop.call_soon_threadsafe(function, *arguments)
