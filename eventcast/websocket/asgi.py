"""A WebSocket that is written to through the ASGI ``send``, as the ASGI specification has it, under any server.

``send`` may wait until the client has taken what went before (uvicorn, hypercorn and granian do), so messages are kept
in a queue that a task empties; the task lives only while there is something in it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from eventcast.engine.closing import Closing
from eventcast.engine.encoders import PAYLOADS, Batch, Piece
from eventcast.engine.send_buffer import BufferedSubscriber

Send = Callable[[dict[str, Any]], Awaitable[None]]
"""The ASGI ``send`` of a connection."""

logger = logging.getLogger("eventcast.subscribe")

OVERHEAD = 100
"""Bytes that a message in the queue takes beside its payload, so that empty ones count as well."""

CLOSE_TIMEOUT = 5.0
"""Seconds a client has to take the close frame before its connection is given up."""


class ASGIWebSocket(BufferedSubscriber):
    """A WebSocket served by any ASGI server.

    To be made in the task that serves the connection. To close, that task is cancelled and then sends the close frame
    itself (:meth:`finish`): granian sends none while the application waits in ``receive()``, and ASGI has no other way
    to give up on a client that does not even take that.

    :param send: the connection's ASGI ``send``.
    """

    __slots__ = ("_goodbye", "_opened", "_send", "_server_task", "_writer")

    def __init__(self, send: Send, **described: str) -> None:
        super().__init__(**described)
        self.encoder = PAYLOADS
        self._send = send
        self._opened = False
        self._server_task = asyncio.current_task()
        self._writer: asyncio.Task[None] | None = None
        self._goodbye: Closing | None = None

    def open(self) -> None:
        """The handshake is over: pass on what was written so far, and from now on pass on at once."""
        self._opened = True
        if self._goodbye is not None and self._server_task is not None:
            self._server_task.cancel()  # It was closed during the handshake.
        self._wake()

    def write(self, batch: Batch) -> int:
        for piece in batch.singles(self.encoder, OVERHEAD):
            self._append(piece)
        self._wake()
        return 0

    def tell(self, text: str) -> None:
        """Send a text to this client only, after the buffered messages."""
        self._append(Piece(text.encode(), overhead=OVERHEAD))
        self._wake()

    def last_events(self, closing: Closing) -> list[dict[str, Any]]:
        """The ASGI events with which the connection ends."""
        return [{"type": "websocket.close", "code": closing.code, "reason": closing.reason}]

    def end_with(self, closing: Closing) -> None:
        self._stop()
        self._goodbye = closing
        if self._opened and self._server_task is not None:
            self._server_task.cancel()

    async def finish(self) -> None:
        """Send the close frame, in the task that serves the connection, after :meth:`close` has cancelled it."""
        if self._goodbye is None:
            return
        goodbye, self._goodbye = self._goodbye, None
        if self._server_task is not None and sys.version_info >= (3, 11):
            self._server_task.uncancel()  # The cancellation was for this: the tasks around are not cancelled.
        try:
            for event in self.last_events(goodbye):
                await asyncio.wait_for(self._send(event), CLOSE_TIMEOUT)
        except Exception as error:
            logger.debug("A subscriber took no close frame: %r", error)

    def release(self) -> None:
        """The connection is over."""
        self._server_task = None  # Whatever it does from now on, such as middleware's last work, is not ours to end.
        self._stop()

    def _wake(self) -> None:
        if self._opened and self._writer is None and self._buffer:
            self._writer = asyncio.ensure_future(self._write())

    def _stop(self) -> None:
        self.closed = True
        self._clear_buffer()
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None

    async def _write(self) -> None:
        try:
            while self._buffer:
                binary = self._buffer[0].binary
                (data,) = self._next_data(0)
                await self._send({"type": "websocket.send", **({"bytes": data} if binary else {"text": data.decode()})})
                self._confirm_written()
        except Exception as error:
            # Servers raise what they like when the client has gone (ASGI says OSError); the disconnect event follows.
            logger.debug("A subscriber is gone: %r", error)
            self._clear_buffer()
            self.leave()
        finally:
            if self._writer is asyncio.current_task():
                self._writer = None
