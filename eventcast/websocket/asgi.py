"""The safe transport: messages through the ASGI ``send``, as the ASGI specification has it, under any server.

``send`` may wait until the peer has taken what went before (uvicorn, hypercorn and granian do), so messages are kept
in a queue that a task empties; the task lives only while there is something in it. Daphne's does not wait: what it
keeps has to be asked for.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from eventcast.engine.messages import Batch, Message
from eventcast.engine.subscribers import Subscriber, Transport

logger = logging.getLogger("eventcast.subscribe")

CLOSE_TIMEOUT = 5.0
"""Seconds a peer has to take the close frame before its connection is given up."""


class ASGITransport(Transport):
    """A WebSocket served by any ASGI server.

    To be made in the task that serves the connection. To close, that task is cancelled and then sends the close frame
    itself (:meth:`finish`): granian sends none while the application waits in ``receive()``, and ASGI has no other way
    to give up on a peer that does not even take that.

    :param send: the connection's ASGI ``send``.
    :param kept: how many bytes the server keeps of what ``send`` has passed on, if it can be asked.
    """

    name = "asgi"

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]], kept: Callable[[], int] = lambda: 0) -> None:
        self._send = send
        self._kept = kept
        self._queue: deque[Message] = deque()
        self._subscriber: Subscriber | None = None
        self._server_task = asyncio.current_task()
        self._writer: asyncio.Task[None] | None = None
        self._goodbye: tuple[int, str] | None = None
        self._queued = 0

    @property
    def pending(self) -> int:  # type: ignore[override]
        return self._queued + self._kept()

    def open(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._wake()

    def write(self, batch: Batch) -> bool:
        if self.closed:
            return False
        self._queue.extend(batch.messages)
        self._queued += len(batch.frames)
        self._wake()
        return True

    def close(self, code: int, reason: str) -> None:
        if not self.closed:
            self.closed = True
            self._stop()
            self._goodbye = code, reason
            if self._server_task is not None:
                self._server_task.cancel()

    async def finish(self) -> None:
        if self._goodbye is None:
            return
        (code, reason), self._goodbye = self._goodbye, None
        if self._server_task is not None and sys.version_info >= (3, 11):
            self._server_task.uncancel()  # That was for us: whoever is around us is not cancelled.
        try:
            await asyncio.wait_for(
                self._send({"type": "websocket.close", "code": code, "reason": reason}), CLOSE_TIMEOUT
            )
        except Exception as error:
            logger.debug("A subscriber took no close frame: %r", error)

    def release(self) -> None:
        self._server_task = None  # Whatever it does from now on, such as middleware's last work, is not ours to end.
        if not self.closed:
            self.closed = True
            self._stop()

    def _wake(self) -> None:
        if self._subscriber is not None and self._writer is None and self._queue:
            self._writer = asyncio.ensure_future(self._write())

    def _stop(self) -> None:
        self._queue.clear()
        self._queued = 0
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None

    async def _write(self) -> None:
        try:
            while self._queue:
                message = self._queue.popleft()
                form = "bytes" if message.binary else "text"
                await self._send({"type": "websocket.send", form: message.data})
                self._queued -= len(message.frame)
        except Exception as error:
            # Servers raise what they like when the peer has gone (ASGI says OSError); the disconnect event follows.
            logger.debug("A subscriber is gone: %r", error)
            self._queue.clear()
            if self._subscriber is not None:
                self._subscriber.leave()
        finally:
            if self._writer is asyncio.current_task():
                self._writer = None
