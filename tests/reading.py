"""WebSocket subscribers on real sockets, whose clients read in threads of their own, or not at all."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from eventcast.engine.hub import current_hub
from eventcast.websocket.connection import WebSocketConnection
from eventcast.websocket.frames import BINARY, TEXT
from tests.fakes import frames_in


class Client:
    """The client's end of a WebSocket whose handshake is over.

    :param pause: seconds between two reads, for a client that is slower than the publisher.
    """

    def __init__(self, sock: socket.socket, *, pause: float = 0.0) -> None:
        self.size = 0
        """Bytes read so far."""
        self._sock = sock
        self._pause = pause
        self._data = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        if not self._thread.ident:
            self._thread.start()

    def _read(self) -> None:
        while data := self._sock.recv(256 * 1024):
            self._data += data
            self.size += len(data)
            time.sleep(self._pause)

    def end(self) -> None:
        """Wait until the server has closed the connection, or cut it off."""
        self.start()
        self._thread.join()
        self._sock.close()

    def heard(self) -> list[bytes]:
        """The payloads of the messages it has got; fails if a frame is broken. After :meth:`end`."""
        return [payload for opcode, payload in frames_in(self._data) if opcode in (TEXT, BINARY)]  # no pings


class Connections:
    """Some subscribers and their clients; all connections are closed in the end."""

    def __init__(self) -> None:
        self.subscribers: list[WebSocketConnection] = []
        self.clients: list[Client] = []

    async def connect(
        self, channel: str, *, reads: bool = True, pause: float = 0.0
    ) -> tuple[WebSocketConnection, Client]:
        """Open a subscriber of a channel on this event loop, and its client, which begins to read."""
        here, there = socket.socketpair()
        here.setblocking(False)
        hub = current_hub()
        subscriber, client = WebSocketConnection(here, hub.keepalive.schedule(20, 30), None), Client(there, pause=pause)
        self.subscribers.append(subscriber)
        self.clients.append(client)
        await hub.subscribe(channel, subscriber)
        subscriber.open()
        if reads:
            client.start()
        return subscriber, client

    async def close(self) -> None:
        """Close all connections, and let the clients read what is left."""
        for subscriber, client in zip(self.subscribers, self.clients, strict=True):
            subscriber.connection_lost()
            await asyncio.to_thread(client.end)


async def make_connections() -> AsyncIterator[Connections]:
    """A fixture: connections that are closed after the test."""
    found = Connections()
    yield found
    await found.close()


def frames_size(*data: Any) -> int:
    """Bytes of the frames of these messages."""
    sizes = [len(each.encode() if isinstance(each, str) else each) for each in data]
    return sum(size + (2 if size < 126 else 4 if size < 65536 else 10) for size in sizes)
