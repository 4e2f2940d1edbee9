"""A stream as a plain client reads it."""

from __future__ import annotations

import asyncio

from tests.live.waiting import TIMEOUT


class Stream:
    """An HTTP response that goes on, unchunked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.head = ""
        self._rest = b""

    async def read_until(self, end: bytes) -> bytes:
        """What comes up to and including ``end``."""
        while end not in self._rest:
            size = int(await asyncio.wait_for(self.reader.readline(), TIMEOUT), 16)
            self._rest += await asyncio.wait_for(self.reader.readexactly(size + 2), TIMEOUT)
            self._rest = self._rest[:-2]
            assert size, "the stream has ended"
        found, _, self._rest = self._rest.partition(end)
        return found + end

    def cut(self) -> None:
        self.writer.transport.abort()
