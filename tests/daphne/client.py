"""A WebSocket client that hides nothing, for the tests beside it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from tests.fakes import frames_in

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Client:
    """A WebSocket client that hides nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send_handshake(self, target: str, *headers: str, then: bytes = b"") -> None:
        """Send a handshake, with further bytes in the same packet."""
        lines = [
            f"GET {target} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            *headers,
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + then)
        await self.writer.drain()

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload."""
        head = await self.reader.readexactly(2)
        size = head[1]
        if size == 126:
            head += await self.reader.readexactly(2)
            size = int.from_bytes(head[2:], "big")
        elif size == 127:
            head += await self.reader.readexactly(8)
            size = int.from_bytes(head[2:], "big")
        ((opcode, payload),) = frames_in(head + await self.reader.readexactly(size))
        return opcode, payload

    async def close_code(self) -> int:
        """The code of a close frame that comes next."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE
        (code,) = struct.unpack_from("!H", payload)
        return int(code)

    async def rest(self) -> bytes:
        """All that comes until the connection is over."""
        received = b""
        with contextlib.suppress(ConnectionResetError):  # autobahn ends a closing handshake with one
            while data := await self.reader.read(65536):
                received += data
        return received

    def send_frame(self, opcode: int, payload: bytes = b"") -> None:
        self.writer.write(bytes((0x80 | opcode, 0x80 | len(payload))) + b"\0\0\0\0" + payload)

    def reset(self) -> None:
        """Vanish without a word."""
        if self.writer.is_closing():
            return
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
