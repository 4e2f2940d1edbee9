"""The client's end of a WebSocket whose handshake is over, on a socket pair and in the same event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from django.http import HttpRequest

from eventcast.authorization import Permit
from eventcast.engine.hub import current_hub
from eventcast.engine.keepalive import PingSchedule
from eventcast.websocket.connection import WebSocketConnection
from eventcast.websocket.frames import CLOSE
from eventcast.websocket.speaking import Speaker
from tests.fakes import TIMEOUT, frames_in

Frame = tuple[int, bytes]


def masked(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    """A frame of a client, with a mask of zeros."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + size.to_bytes(2, "big") if size < 0x10000 else b"\xff" + size.to_bytes(8, "big")
    return bytes([0x80 * final | opcode]) + length + b"\0\0\0\0" + payload


def closed(code: int, reason: str = "") -> Frame:
    """The close frame that a client gets."""
    return CLOSE, code.to_bytes(2, "big") + reason.encode()


class Peer:
    """A client of /a. Nothing is read from its socket before it is asked for.

    :param speaks: whether what it sends is published.
    :param kind: the class of its connection on the server's side.
    :param buffer: bytes of the socket's send buffer on the server's side, about; 0 for the system's default.
    """

    def __init__(
        self,
        *,
        kind: type[WebSocketConnection] = WebSocketConnection,
        speaks: bool = False,
        buffer: int = 0,
        pings: PingSchedule | None = None,
    ) -> None:
        here, self.socket = socket.socketpair()
        here.setblocking(False)
        self.socket.setblocking(False)
        if buffer:
            here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        speaker = Speaker(HttpRequest(), Permit(), "/a") if speaks else None
        self.connection = kind(here, pings or current_hub().keepalive.schedule(20, 30), speaker)

    async def connect(self, first: bytes = b"", received: bytes = b"") -> Peer:
        await current_hub().subscribe("/a", self.connection)
        self.connection.open(first, received)
        return self

    async def send(self, data: bytes, *, timeout: float = TIMEOUT) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(loop.sock_sendall(self.socket, data), timeout)

    async def read(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = b""
        while len(data) < size:
            piece = await asyncio.wait_for(loop.sock_recv(self.socket, size - len(data)), TIMEOUT)
            assert piece, f"the connection is closed after {data!r:.100}"
            data += piece
        return data

    async def frame(self) -> Frame:
        """The next frame."""
        head = await self.read(2)
        extra = {126: 2, 127: 8}.get(head[1], 0)
        head += await self.read(extra)
        size = int.from_bytes(head[2:], "big") if extra else head[1]
        ((opcode, payload),) = frames_in(head + await self.read(size))
        return opcode, payload

    async def rest(self) -> list[Frame]:
        """All frames until the server closes the connection."""
        loop = asyncio.get_running_loop()
        data = b""
        while piece := await asyncio.wait_for(loop.sock_recv(self.socket, 65536), TIMEOUT):
            data += piece
        return list(frames_in(data))

    def leave(self) -> None:
        """Close the socket without a word."""
        self.socket.close()


async def make_peers() -> AsyncIterator[list[Peer]]:
    """A fixture: peers that are put into the list leave after the test, and nothing is left of them."""
    peers: list[Peer] = []
    yield peers
    for peer in peers:
        peer.connection.connection_lost()
        peer.leave()
    assert not {peer.connection for peer in peers}.intersection(current_hub().subscribers())


Connect = Callable[..., Awaitable[Peer]]


def make_connect(peers: list[Peer]) -> Connect:
    """A fixture that connects a client."""

    async def connect(first: bytes = b"", received: bytes = b"", **options: Any) -> Peer:
        peers.append(Peer(**options))
        return await peers[-1].connect(first, received)

    return connect
