"""One channel of the in-memory layer: its unread messages, and the readers that wait for one.

Nothing here takes a lock, because the layer holds its own during each call.
"""

from __future__ import annotations

import asyncio
import math
import sys
import weakref
from collections import deque
from typing import Any


class Mailbox:
    """The unread messages of one channel, oldest first, and the receive() calls that wait for one.

    A message stays here until a running reader takes it. Readers are woken and are never handed a message: so no
    message is lost when a reader is cancelled, or its event loop is closed, before the reader runs.
    """

    __slots__ = ("_reader", "_waiting", "capacity", "dropped", "groups", "messages", "name", "read_at")

    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.capacity = capacity if capacity > 0 else sys.maxsize
        self.messages: deque[tuple[float, dict[str, Any]]] = deque()
        """Each message with its time of expiry."""
        self.groups: set[str] = set()
        self.dropped = 0
        """Messages dropped in the current burst; 0 when there is room."""
        self.read_at = -math.inf
        """The time of the last receive(), or of the last time that a reader was woken."""
        self._reader: weakref.ref[asyncio.Task[Any]] | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_crowded(self) -> bool:
        """Whether the mailbox is more than half full."""
        return len(self.messages) > self.capacity // 2

    @property
    def is_used(self) -> bool:
        """Whether there is a message, a waiting reader or a membership."""
        return bool(self.messages or self._waiting or self.groups)

    def empty(self) -> bool:
        """Whether there is no unread message; a method, because tests of Channels' layer call it."""
        return not self.messages

    def is_awaited(self) -> bool:
        """Whether a receive() waits for a message on an event loop that is not closed."""
        return any(not waiter.get_loop().is_closed() for waiter in self._waiting)

    def has_reader(self) -> bool:
        """Whether a receive() waits for a message, or the task of the last receive() still runs."""
        task = None if self._reader is None else self._reader()
        return (task is not None and not task.done() and not task.get_loop().is_closed()) or self.is_awaited()

    def note_reader(self, now: float) -> None:
        """Remember the current task as this channel's reader."""
        self.read_at = now
        task = asyncio.current_task()
        self._reader = None if task is None else weakref.ref(task)

    def put(self, message: dict[str, Any], now: float, expires: float) -> None:
        """Add a copy of a message and wake a reader."""
        self.messages.append((expires, dict(message)))
        self._wake(now)

    def remove_expired(self, now: float) -> int:
        """Remove the expired messages. Return their number."""
        removed = 0
        while self.messages and self.messages[0][0] < now:
            self.messages.popleft()
            removed += 1
        return removed

    def wait(self) -> asyncio.Future[None]:
        """A future on the running event loop that is done when there may be a message."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return waiter

    def stop_waiting(self, waiter: asyncio.Future[None], now: float) -> None:
        """Forget a future of :meth:`wait`. If a message is there, wake the next reader."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        if self.messages:
            self._wake(now)

    def _wake(self, now: float) -> None:
        """Wake one reader on its own event loop. Readers with a closed loop are skipped."""
        try:
            here = asyncio.get_running_loop() if self._waiting else None
        except RuntimeError:
            here = None
        while self._waiting:
            waiter = self._waiting.popleft()
            loop = waiter.get_loop()
            try:
                if loop is here:
                    _finish(waiter)
                else:
                    loop.call_soon_threadsafe(_finish, waiter)
            except RuntimeError:
                continue
            self.read_at = now
            return


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():  # Else its reader was cancelled; stop_waiting() wakes the next one.
        waiter.set_result(None)
