"""Messages as the body of an HTTP response that never ends, for what has no WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from eventcast.engine.closing import TOO_SLOW
from eventcast.engine.messages import Batch, Message
from eventcast.engine.subscribers import Subscriber, Transport
from eventcast.server import daphne

HIGH_WATER = 64 * 1024
"""Bytes in the server's own buffers above which nothing more is handed to it, where it does not wait by itself."""

POLL_INTERVAL = 0.05
"""Seconds between two looks at those buffers."""


class StreamTransport(Transport):
    """A response's body: iterate over it to get what is to be sent, in pieces.

    :param name: ``sse`` or ``ndjson``.
    :param encode: the message as it stands in the stream.
    :param greeting: what the stream begins with.
    :param keep_alive: what is sent when nothing else has been for ``keep_alive_interval`` seconds.
    :param descriptor: Twisted's transport under Daphne, whose ``send`` never waits; None under other servers.
    """

    def __init__(
        self,
        name: str,
        encode: Callable[[Message], bytes],
        *,
        greeting: bytes = b"",
        keep_alive: bytes,
        keep_alive_interval: float,
        descriptor: Any = None,
    ) -> None:
        self.name = name
        self._encode = encode
        self._pieces: list[bytes] = [greeting] if greeting else []
        self._size = 0
        """Bytes that the server has not taken yet: those in pieces, and the piece it is about to take."""
        self._keep_alive = keep_alive
        self._interval = keep_alive_interval
        self._descriptor = descriptor
        self._news = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None

    @property
    def pending(self) -> int:  # type: ignore[override]
        return self._size + daphne.pending(self._descriptor)

    def open(self, subscriber: Subscriber) -> None:
        self._task = asyncio.current_task()

    def size_of(self, batch: Batch) -> int:
        return sum(len(self._encode(message)) for message in batch.messages)

    def write(self, batch: Batch) -> bool:
        if self.closed:
            return False
        pieces = [self._encode(message) for message in batch.messages]
        self._pieces += pieces
        self._size += sum(map(len, pieces))
        self._news.set()
        return True

    def close(self, code: int, reason: str) -> None:
        if not self.closed:
            if code != TOO_SLOW.code:
                self.closed = True  # What it is owed still leaves.
                self._news.set()
                return
            self.release()
            # It reads nothing, so the end of the response would never reach it either.
            if not daphne.abort(self._descriptor) and self._task is not None:
                self._task.cancel()

    def release(self) -> None:
        self.closed = True
        self._pieces = []
        self._size = 0
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._pieces or not self.closed:
            if not self._pieces:
                try:
                    await asyncio.wait_for(self._news.wait(), self._interval)
                except asyncio.TimeoutError:
                    self._pieces.append(self._keep_alive)
            self._news.clear()
            while not self.closed and daphne.pending(self._descriptor) > HIGH_WATER:  # noqa: ASYNC110 (no event for it)
                await asyncio.sleep(POLL_INTERVAL)
            pieces, self._pieces = self._pieces, []
            if pieces:
                piece = b"".join(pieces)
                yield piece
                self._size = max(0, self._size - len(piece))  # greetings and keep-alives never counted
