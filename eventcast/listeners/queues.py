"""The queue of one listener: bounded, filled by an event loop, emptied by threads or by another event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque

from eventcast.listeners.calls import Call
from eventcast.listeners.counting import Counters

SIZE = 64 * 1024 * 1024
"""Bytes of memory that the messages of one queue may take together. One alone may be larger."""

PATIENCE = 1.0
"""Seconds that reading is held back for a full queue before messages are dropped."""

PATIENCE_PER_CALL = 0.001
"""Seconds of patience that each call taken out brings back.

Who takes a thousand in a second is waited for without end, and loses nothing. Who is slower must not be: what is not
read are pongs, too, and the connection would be lost, with more messages and without a count of them.
"""

logger = logging.getLogger("eventcast.listen")


class CallQueue:
    """Calls in the order in which they came.

    When it is full, whoever puts waits for as long as its patience lasts; then the newest calls are dropped until
    there is room. Each is counted. One line is logged when that begins, and one when the queue is down to half.

    :param name: of the listener, for the log.
    :param length: calls that it holds.
    :param counters: where dropped calls are counted.
    """

    def __init__(self, name: str, length: int, counters: Counters) -> None:
        self._name, self._length, self._counters = name, length, counters
        self._calls: deque[Call] = deque()
        self._size = 0
        self._patience = PATIENCE
        self._dropped_since: int | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._takers: deque[asyncio.Future[None]] = deque()
        self._putter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._calls)

    async def put(self, call: Call) -> None:
        """Add a call, or drop it. By one coroutine at a time."""
        if self._offer(call):
            return
        began, patience = time.monotonic(), self._patience
        try:
            while (left := began + patience - time.monotonic()) > 0:
                await self._room(call, left)
                if self._offer(call):
                    return
        except asyncio.CancelledError:
            # Reading stops here. What was read already is still to be handled.
            with self._lock:
                self._append(call)
            raise
        finally:
            with self._lock:
                self._patience = max(0.0, self._patience - (time.monotonic() - began))
        self._drop()

    def take(self) -> Call | None:
        """The next call; waits for one. None if the queue is closed and empty."""
        while (call := self._pop()) is None:
            with self._lock:
                if self._calls:
                    continue
                if self._closed:
                    return None
                self._filled.wait()
        return call

    async def atake(self) -> Call | None:
        """The same, to be awaited."""
        while (call := self._pop()) is None:
            with self._lock:
                if self._calls:
                    continue
                if self._closed:
                    return None
                taker = asyncio.get_running_loop().create_future()
                self._takers.append(taker)
            await taker
        return call

    def close(self) -> None:
        """Nothing more comes; what is there can still be taken."""
        with self._lock:
            self._closed = True
            self._filled.notify_all()
            while self._takers:
                _wake(self._takers.popleft())

    def _offer(self, call: Call) -> bool:
        with self._lock:
            if not self._has_room(call):
                return False
            self._append(call)
            return True

    def _has_room(self, call: Call) -> bool:
        return not self._calls or (len(self._calls) < self._length and self._size + call.size <= SIZE)

    def _append(self, call: Call) -> None:
        self._calls.append(call)
        self._size += call.size
        self._filled.notify()
        if self._takers:
            _wake(self._takers.popleft())

    def _pop(self) -> Call | None:
        ended = None
        with self._lock:
            if not self._calls:
                return None
            call = self._calls.popleft()
            self._size -= call.size
            self._patience = min(PATIENCE, self._patience + PATIENCE_PER_CALL)
            if self._putter is not None:
                _wake(self._putter)
                self._putter = None
            if self._dropped_since is not None and len(self) <= self._length // 2 and self._size <= SIZE // 2:
                ended, self._dropped_since = self._dropped_since, None
        if ended is not None:
            dropped = self._counters.statistics.dropped - ended
            logger.warning("%s: there is room again, %d messages were dropped.", self._name, dropped)
        return call

    def _drop(self) -> None:
        begins = False
        with self._lock:
            if self._dropped_since is None:
                begins, self._dropped_since = True, self._counters.statistics.dropped
        self._counters.count("dropped")
        if begins:
            logger.warning(
                "%s is too slow: %d messages of %d bytes wait, and the newest are dropped until there is room.",
                self._name,
                len(self._calls),
                self._size,
            )

    async def _room(self, call: Call, seconds: float) -> None:
        """Wait until something is taken out, if there is no room."""
        with self._lock:
            if self._has_room(call):
                return
            taken = self._putter = asyncio.get_running_loop().create_future()
        await asyncio.wait([taken], timeout=seconds)


def _wake(waiting: asyncio.Future[None]) -> None:
    """End what waits in another thread's event loop."""
    with contextlib.suppress(RuntimeError):  # that loop has ended, and nobody waits any longer
        waiting.get_loop().call_soon_threadsafe(_finish, waiting)


def _finish(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
