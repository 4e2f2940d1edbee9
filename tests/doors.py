"""A door without a server around it: what its clients send comes through socket pairs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eventcast.engine.hub import current_hub
from eventcast.routing import EventcastRouter
from eventcast.server.door import Door
from eventcast.server.reception import DoorConnection

TIMEOUT = 20.0
"""Seconds for a connection, far above what one takes."""


class Daphne:
    """Stands in for the server behind the door: keeps what it is handed, and closes the connection."""

    def __init__(self) -> None:
        self.handed_over: list[bytes] = []

    def hand_over(self, sock: socket.socket, data: bytes, patience: float) -> None:
        self.handed_over.append(data)
        sock.close()


@contextmanager
def open_door(daphne: Daphne, **mount: Any) -> Iterator[Door]:
    """A door whose every path but those below ``/admin/`` is a channel.

    :param mount: options of the router, to have it otherwise.
    """

    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the door asks no application")

    router = EventcastRouter(application, **{"excluded": ("/admin/",), "publish_directly": True, **mount})
    door = Door(current_hub(), router, daphne.hand_over, current_hub().keepalive.schedule(20, 30))
    yield door
    door.stop_accepting(unlink=True)
    door._timer.cancel()


def enter(door: Door) -> socket.socket:
    """A client's end of a new connection."""
    client, server = socket.socketpair()
    client.setblocking(False)
    server.setblocking(False)
    door.connections.add(DoorConnection(door, server, ("127.0.0.1", 5), ("127.0.0.1", 8000)))
    return client


async def vanish(door: Door, *pieces: bytes) -> None:
    """Send pieces, each in a packet of its own, and be gone without reading anything."""
    client = enter(door)
    try:
        for piece in pieces:
            client.send(piece)
            await asyncio.sleep(0)
    except BrokenPipeError:
        pass  # The door has closed the connection.
    finally:
        client.close()


async def converse(door: Door, *pieces: bytes) -> bytes:
    """Send pieces, each in a packet of its own, and close this side; returns what the door says before it closes."""
    client = enter(door)
    said = b""
    deadline = asyncio.get_running_loop().time() + TIMEOUT
    try:
        for piece in pieces:
            try:
                client.send(piece)
            except BrokenPipeError:
                break  # The door has closed the connection.
            await asyncio.sleep(0)
        client.shutdown(socket.SHUT_WR)
        while True:
            try:
                more = client.recv(65536)
            except BlockingIOError:
                assert asyncio.get_running_loop().time() < deadline, f"neither answered nor closed: {pieces!r}"
                await asyncio.sleep(0)
                continue
            except ConnectionResetError:
                return said
            if not more:
                return said
            said += more
    finally:
        client.close()
