"""A WebSocket client of our own: byte-exact in what it sends, unforgiving in what it takes, fast enough to be many."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import struct
from collections import deque
from collections.abc import Callable

from tests.live.frames import CLOSE, PING, PONG, ProtocolError, encode_frame, read_frames
from tests.live.http_client import Headers, Response, parse_headers, target_bytes
from tests.live.waiting import TIMEOUT


class HandshakeRefused(Exception):
    """Raised when a handshake is answered with anything but 101."""

    def __init__(self, status: int, reason: str, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body

    @property
    def error(self) -> str:
        """The stable code of the refusal."""
        return Response(self.status, self.headers, self.body).error


class WebSocket(asyncio.Protocol):
    """A WebSocket client that checks every rule for what a server sends; see :meth:`connect`."""

    def __init__(self, *, answer_pings: bool = True) -> None:
        self.messages: deque[str | bytes] = deque()
        """What has come and was not taken yet."""
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.close_code: int | None = None
        """The code of the close frame that came, 1005 if it had none; None if no such frame came (1006 in browsers)."""
        self.close_reason = ""
        self.subprotocol = ""
        """The one that the server has chosen."""
        self._offered: set[str] = set()
        self.error: Exception | None = None
        """What broke the connection, if it was not closed in an orderly way."""
        self.handshake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport
        self._answer_pings = answer_pings
        self._key = base64.b64encode(os.urandom(16))
        self._buffer = bytearray()
        self._open = False
        self._news: asyncio.Future[None] | None = None
        self._close_sent = False

    @classmethod
    async def connect(
        cls,
        port: int,
        target: str | bytes,
        *,
        headers: Headers = (),
        receive_buffer: int | None = None,
        answer_pings: bool = True,
        timeout: float = TIMEOUT,
    ) -> WebSocket:
        """Open a WebSocket to ``target``, which is sent as it is, byte for byte.

        :param receive_buffer: bytes of the kernel's receive buffer, to fill it soon when nothing is read.
        :raises HandshakeRefused: the answer is not 101.
        """
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.sock_connect(sock, ("127.0.0.1", port)), timeout)
        except BaseException:
            sock.close()
            raise
        _, client = await loop.create_connection(lambda: cls(answer_pings=answer_pings), sock=sock)
        client._offered = {
            offer.strip() for name, value in headers if name == "Sec-WebSocket-Protocol" for offer in value.split(",")
        }
        lines = [b"GET " + target_bytes(target) + b" HTTP/1.1", b"Host: 127.0.0.1:%d" % port]
        lines += [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"]
        lines += [b"Sec-WebSocket-Key: " + client._key, *(f"{name}: {value}".encode() for name, value in headers)]
        client.transport.write(b"\r\n".join(lines) + b"\r\n\r\n")
        try:
            await asyncio.wait_for(client.handshake, timeout)
        except BaseException:
            client.transport.abort()
            await client.lost
            raise
        return client

    # --- what comes -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open and not self._read_handshake():
            return
        try:
            if self.close_code is not None and self._buffer:
                raise ProtocolError("bytes after the close frame")
            del self._buffer[: read_frames(bytes(self._buffer), self.messages, self._control)]
        except Exception as error:
            self.error = error
            self.transport.abort()
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = self.error or exc
        if not self.handshake.done():
            if self._buffer.startswith(b"HTTP/"):
                self._refused()
            else:
                self.handshake.set_exception(exc or ConnectionResetError("closed without an answer"))
        self.lost.set_result(None)
        self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _read_handshake(self) -> bool:
        head, end, _ = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        headers = parse_headers(bytes(head))
        if not head.startswith(b"HTTP/1.1 101"):
            # A refusal ends where its Content-Length says so, or else with the connection.
            if "content-length" in headers and len(self._buffer) >= len(head) + 4 + int(headers["content-length"]):
                self.transport.abort()
            return False
        accept = base64.b64encode(hashlib.sha1(self._key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        if headers.get("sec-websocket-accept") != accept.decode() or headers.get("upgrade", "").lower() != "websocket":
            raise ProtocolError(f"not a handshake: {headers}")
        self.subprotocol = headers.get("sec-websocket-protocol", "")
        if "sec-websocket-extensions" in headers or (self.subprotocol and self.subprotocol not in self._offered):
            raise ProtocolError("the server chose what was not offered")
        del self._buffer[: len(head) + 4]
        self._open = True
        if not self.handshake.done():
            self.handshake.set_result(None)
        return True

    def _refused(self) -> None:
        head, _, body = bytes(self._buffer).partition(b"\r\n\r\n")
        _, status, reason = head.partition(b"\r\n")[0].decode("latin-1").split(" ", 2)
        self.handshake.set_exception(HandshakeRefused(int(status), reason, parse_headers(head), body))

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.pings.append(payload)
            if self._answer_pings:
                self.send_frame(PONG, payload)
        elif opcode == PONG:
            self.pongs.append(payload)
        else:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            self.close_reason = payload[2:].decode()
            if not self._close_sent:
                self._close_sent = True
                self.send_frame(CLOSE, payload[:2])

    async def _wait(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not condition():
            self.check()
            self._news = loop.create_future()
            try:
                await asyncio.wait_for(self._news, max(0.0, deadline - loop.time()))
            except asyncio.TimeoutError:
                raise AssertionError(f"{what}: not within {timeout} s") from None

    def check(self) -> None:
        """Raise if the connection is over or was broken."""
        if isinstance(self.error, ProtocolError):
            raise self.error
        if self.lost.done():
            raise ConnectionResetError(f"closed with {self.close_code}, {self.close_reason!r}, {self.error!r}")

    async def receive(self, timeout: float = TIMEOUT) -> str | bytes:
        """The next message."""
        await self._wait(lambda: bool(self.messages), "a message", timeout)
        return self.messages.popleft()

    async def receive_many(self, count: int, timeout: float = TIMEOUT) -> list[str | bytes]:
        """The next ``count`` messages."""
        await self._wait(
            lambda: len(self.messages) >= count, f"{count} messages, of which {len(self.messages)} were there", timeout
        )
        return [self.messages.popleft() for _ in range(count)]

    async def wait_closed(self, timeout: float = TIMEOUT) -> int | None:
        """Wait for the end of the connection; returns the code of the server's close frame, or None without one."""
        await asyncio.wait_for(asyncio.shield(self.lost), timeout)
        if isinstance(self.error, ProtocolError):
            raise self.error
        return self.close_code

    # --- what goes --------------------------------------------------------------------------------------------------

    def send_frame(self, opcode: int, payload: bytes = b"") -> None:
        """Send one masked frame."""
        self.transport.write(encode_frame(opcode, payload))

    async def ping(self, payload: bytes = b"are you there") -> None:
        """Send a ping and wait for its pong: what the server sent before it has arrived then."""
        self.send_frame(PING, payload)
        await self._wait(lambda: payload in self.pongs, "a pong", TIMEOUT)
        self.pongs.remove(payload)

    def stop_reading(self) -> None:
        """Leave what comes in the kernel's buffers."""
        self.transport.pause_reading()

    def read_on(self) -> None:
        self.transport.resume_reading()

    async def leave(self) -> None:
        """Close in an orderly way, with the closing handshake; nothing happens if the connection is over."""
        if not self.lost.done():
            if not self._close_sent:
                self._close_sent = True
                self.send_frame(CLOSE, struct.pack("!H", 1000))
            self.transport.resume_reading()
            try:
                await asyncio.wait_for(asyncio.shield(self.lost), 2)
            except asyncio.TimeoutError:
                self.transport.abort()
                await self.lost

    async def reset(self) -> None:
        """Vanish with a TCP reset."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await self.lost
