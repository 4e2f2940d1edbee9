"""Subscribers by any of six ways that note what they hear, all alike; for messages of letters only."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from urllib.parse import quote

import eventcast.client
from eventcast.exceptions import ServerUnreachable
from tests.live.clients import WebSocket
from tests.live.http_client import Headers
from tests.live.waiting import TIMEOUT

SMALL_BUFFER = 8192
"""Bytes of the kernel's receive buffer of a member that does not read."""


class Member:
    """One subscriber; see :func:`join`."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.over = False
        """Whether its connection has ended."""

    def stop_reading(self) -> None:
        """Leave what comes in the kernel's buffers from now on."""
        self.transport().pause_reading()

    def transport(self) -> asyncio.Transport:
        """That of its connection."""
        raise NotImplementedError

    def fin(self) -> None:
        """Close the sending side; the rest is closed by :meth:`abort`."""
        self.transport().write_eof()

    def reset(self) -> None:
        """Vanish with a TCP reset."""
        sock = self.transport().get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport().abort()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.transport().abort()


class WebSocketMember(Member):
    def __init__(self, websocket: WebSocket, unwrap: Callable[[str], str | None]) -> None:
        super().__init__()
        self._websocket = websocket
        self._unwrap = unwrap
        websocket.lost.add_done_callback(lambda _: setattr(self, "over", True))
        websocket.messages = self  # type: ignore[assignment]

    def append(self, message: str | bytes) -> None:
        assert isinstance(message, str)
        if (found := self._unwrap(message)) is not None:
            self.heard.append(found)

    def transport(self) -> asyncio.Transport:
        return self._websocket.transport


class StreamMember(Member, asyncio.Protocol):
    """A stream, of whose body in chunks the events or lines are taken."""

    def __init__(self, end: bytes, message_of: Callable[[bytes], str | None]) -> None:
        super().__init__()
        self._end, self._message_of = end, message_of
        self._received, self._body, self._searched = bytearray(), bytearray(), 0
        self._head_is_read = False
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def transport(self) -> asyncio.Transport:
        return self._transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._head_is_read:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 200 "), head
            self._head_is_read, self._received = True, rest
        while self._read_chunk():
            pass
        if self._body and not self.greeted.done():
            self.greeted.set_result(None)
        while (found := self._body.find(self._end, self._searched)) >= 0:
            message = self._message_of(bytes(self._body[:found]))
            del self._body[: found + len(self._end)]
            self._searched = 0
            if message is not None:
                self.heard.append(message)
        self._searched = max(0, len(self._body) - len(self._end))

    def _read_chunk(self) -> bool:
        line_end = self._received.find(b"\r\n", 0, 20)
        if line_end < 0:
            return False
        size = int(self._received[:line_end], 16)
        if len(self._received) < line_end + 4 + size:
            return False
        if not size:
            self.over = True  # The response has ended; some servers keep the connection for another.
        self._body += self._received[line_end + 2 : line_end + 2 + size]
        del self._received[: line_end + 4 + size]
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        if not self.greeted.done():
            self.greeted.set_exception(exc or ConnectionResetError("closed without a stream"))


class ClientMember(Member):
    """A listener by ``eventcast.client.subscribe``, which is cancelled when it leaves."""

    @classmethod
    async def start(cls, port: int, channel: str) -> ClientMember:
        member, there = cls(), asyncio.get_running_loop().create_future()

        async def listen() -> None:
            url = f"http://127.0.0.1:{port}{channel}"
            try:
                async with eventcast.client.subscribe(url, reconnect=False, queue=100_000) as messages:
                    there.set_result(None)
                    async for message in messages:
                        member.heard.append(str(message))
            except ServerUnreachable:
                pass  # It was disconnected.
            finally:
                member.over = True

        member._task = asyncio.create_task(listen())
        await asyncio.wait_for(there, TIMEOUT)
        return member

    _task: asyncio.Task[None]

    def stop_reading(self) -> None:
        raise AssertionError("This client always reads.")

    def fin(self) -> None:
        self._task.cancel()

    reset = abort = fin


def _event(event: bytes) -> str | None:
    # The first event begins with the greeting, and comments may stand before any.
    for line in event.split(b"\n"):
        if line.startswith(b"data: "):
            return line[6:].decode()
    return None


def _line(line: bytes) -> str | None:
    return str(json.loads(line)["data"]) if line else None


def _v1(frame: str) -> str | None:
    found = json.loads(frame)
    return None if "type" in found else str(found["data"])


async def _websocket(
    port: int, target: str, reads: bool, unwrap: Callable[[str], str | None], headers: Headers = ()
) -> Member:
    buffer = None if reads else SMALL_BUFFER
    return WebSocketMember(await WebSocket.connect(port, target, headers=headers, receive_buffer=buffer), unwrap)


async def _stream(port: int, target: str, reads: bool, accept: str) -> Member:
    sock = socket.socket()
    sock.setblocking(False)
    if not reads:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    end, message_of = (b"\n\n", _event) if accept == "text/event-stream" else (b"\n", _line)
    _, member = await loop.create_connection(lambda: StreamMember(end, message_of), sock=sock)
    member.transport().write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode())
    await asyncio.wait_for(member.greeted, TIMEOUT)
    return member


WAYS = ("websocket", "viewer", "sse", "ndjson", "pattern", "listener")


async def join(port: int, way: str, channel: str, pattern: str, *, reads: bool = True) -> Member:
    """Subscribe to a channel by one of six ways, or to a pattern if that is the way."""
    if way == "listener" and reads:
        return await ClientMember.start(port, channel)
    if way == "sse":
        member = await _stream(port, channel, reads, "text/event-stream")
    elif way == "ndjson":
        member = await _stream(port, channel, reads, "application/x-ndjson")
    elif way == "pattern":
        target = f"/-/subscribe?pattern={quote(pattern)}"
        member = await _websocket(port, target, reads, lambda envelope: str(json.loads(envelope)["data"]))
    elif way == "viewer":
        member = await _websocket(port, channel, reads, _v1, [("Sec-WebSocket-Protocol", "eventcast.v1")])
    else:
        member = await _websocket(port, channel, reads, str)
    if not reads:
        member.stop_reading()
    return member
