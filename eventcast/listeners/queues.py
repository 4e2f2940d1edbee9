"""The queue of one listener: bounded; an event loop fills it, threads or another event loop empty it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from eventcast.client.watching import Heartbeat
from eventcast.engine.figures import ThreadSafeCounter

SIZE = 64 * 1024 * 1024
"""Bytes of memory that the messages of one queue may take together. A single message may be larger."""

WAIT = 1.0
"""Seconds that a full queue holds back reading. After that, new messages are dropped."""

WAIT_PER_CALL = 0.001
"""Seconds that each call taken from the queue adds to the wait again, up to :data:`WAIT`.

So a listener that makes a thousand calls a second loses nothing. A slower one must not hold back reading for long:
pongs wait behind the messages, and the connection would be lost, with messages that are not counted.
"""

logger = logging.getLogger("eventcast.listen")


@dataclass(frozen=True)
class Call:
    """One call: a source puts it into the listener's queue, and a worker makes it."""

    channel: str
    data: str | bytes | Heartbeat
    """The message as it came, or the alarm. The worker makes arguments of it, because that may take its time."""
    size: int = 0
    """Bytes of memory that the call takes while it waits."""
    on_failure: Callable[[], object] | None = None
    """The worker calls it if the function raises. It must not wait."""


class CallQueue:
    """Calls in the order in which they came.

    When the queue is full, :meth:`put` waits, for :data:`WAIT` seconds at most. Then the newest calls are dropped until
    there is room. Each is counted. One line is logged when this begins, and one when the queue is half empty again.

    :param name: the listener's name, for the log.
    :param length: calls that the queue holds.
    """

    def __init__(self, name: str, length: int) -> None:
        self._name, self._length = name, length
        self.dropped = ThreadSafeCounter()
        """Calls that found the queue full."""
        self._calls: deque[Call] = deque()
        self._size = 0
        self._wait_left = WAIT
        self._dropped_before: int | None = None
        """The number of dropped calls when the queue became too full; None while there is room."""
        self._closed = False
        self._lock = threading.Lock()
        self._takers: deque[Future[None]] = deque()
        self._taken: Future[None] | None = None

    def __len__(self) -> int:
        return len(self._calls)

    async def put(self, call: Call) -> None:
        """Add a call, wait for room, or drop the call. Only one coroutine at a time may call this."""
        if (taken := self._add(call)) is None:
            return
        began = time.monotonic()
        try:
            while taken is not None:
                left = self._wait_left - (time.monotonic() - began)
                if left <= 0:
                    self._drop()
                    return
                await asyncio.wait([asyncio.wrap_future(taken)], timeout=left)
                taken = self._add(call)
        except asyncio.CancelledError:
            # Reading stops here, but this message was read: it is still handled.
            with self._lock:
                self._append(call)
            raise
        finally:
            with self._lock:
                self._wait_left = max(0.0, self._wait_left - (time.monotonic() - began))

    def offer(self, call: Call) -> None:
        """Add a call, or drop it if there is no room."""
        if self._add(call) is not None:
            self._drop()

    def take(self) -> Call | None:
        """The next call; waits for one. None if the queue is closed and empty."""
        while isinstance(found := self._next(), Future):
            found.result()
        return found

    async def atake(self) -> Call | None:
        """The same as :meth:`take`, for a coroutine."""
        while isinstance(found := self._next(), Future):
            await asyncio.wrap_future(found)
        return found

    def close(self) -> None:
        """Accept no more calls. The calls that wait can still be taken."""
        with self._lock:
            self._closed = True
            while self._takers:
                _finish(self._takers.popleft())

    def _add(self, call: Call) -> Future[None] | None:
        """Add a call. If there is no room, return a future that ends when a call is taken."""
        with self._lock:
            if self._calls and (len(self._calls) >= self._length or self._size + call.size > SIZE):
                self._taken = Future()
                return self._taken
            self._append(call)
            return None

    def _append(self, call: Call) -> None:
        self._calls.append(call)
        self._size += call.size
        if self._takers:
            _finish(self._takers.popleft())

    def _next(self) -> Call | Future[None] | None:
        """The next call, or a future that ends when there may be one; None if the queue is closed and empty."""
        with self._lock:
            if not self._calls:
                if self._closed:
                    return None
                self._takers.append(Future())
                return self._takers[-1]
            call = self._calls.popleft()
            self._size -= call.size
            self._wait_left = min(WAIT, self._wait_left + WAIT_PER_CALL)
            if self._taken is not None:
                _finish(self._taken)
                self._taken = None
            before = self._dropped_before
            if before is None or len(self._calls) > self._length // 2 or self._size > SIZE // 2:
                return call
            self._dropped_before = None
        dropped = self.dropped.value - before
        logger.warning("%s: the queue has room again. %d messages were dropped.", self._name, dropped)
        return call

    def _drop(self) -> None:
        with self._lock:
            begins = self._dropped_before is None
            if begins:
                self._dropped_before = self.dropped.value
        self.dropped.add(1)
        if begins:
            text = "%s is too slow: %d messages of %d bytes wait. New messages are dropped until there is room."
            logger.warning(text, self._name, len(self._calls), self._size)


def _finish(future: Future[None]) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(None)
