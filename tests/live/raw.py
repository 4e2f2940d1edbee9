"""A connection on which anything may be sent."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress

from tests.live.servers import Server
from tests.live.waiting import TIMEOUT

HANDSHAKE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)

MASK = b"\0\0\0\0"


class Raw:
    """A connection to a server; see :meth:`open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, server: Server, first: bytes = b"") -> Raw:
        """Connect, and send something."""
        found = cls(*await asyncio.open_connection("127.0.0.1", server.port))
        found._writer.write(first)
        return found

    @staticmethod
    def handshake(target: str, headers: bytes = b"") -> bytes:
        """A request for a WebSocket."""
        return b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b%b\r\n" % (target.encode(), HANDSHAKE, headers)

    async def upgrade(self, target: str, headers: bytes = b"") -> bytes:
        """Make it a WebSocket; returns the head of the answer."""
        await self.send(self.handshake(target, headers))
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), TIMEOUT)
        assert head.startswith(b"HTTP/1.1 101"), head
        return head

    async def send(self, data: bytes) -> bool:
        """Send as fast as it is taken; returns whether the server is still there."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            return False
        return not self._writer.is_closing()

    async def flood(self, data: bytes, seconds: float) -> None:
        """Send the same again and again, for so long or until the server has had enough."""

        async def go_on() -> None:
            while await self.send(data):
                pass

        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(go_on(), seconds)

    async def read(self) -> bytes:
        """What comes next; nothing if the server has closed."""
        with suppress(OSError):
            return await asyncio.wait_for(self._reader.read(65536), TIMEOUT)
        return b""

    async def close_code(self) -> int | None:
        """The code of a close frame that comes next; None if the server closes without one."""
        said = b""
        while len(said) < 4 and (more := await self.read()):
            said += more
        code: int | None = struct.unpack("!H", said[2:4])[0] if said[:1] == b"\x88" else None
        return code

    def cut(self) -> None:
        """Be gone."""
        self._writer.transport.abort()
