"""A worker's side of ``eventcast serve --workers N``: its messages from and to the parent process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable
from typing import Any

from eventcast.layers import use_between_workers
from eventcast.layers.cluster import ClusterLayer
from eventcast.layers.mesh import MeshBus

ALIVE, RETIRE = b"alive", b"retire"
"""Messages of a worker and of its parent. The other messages of the parent are JSON, with sockets."""

BEAT = 0.5
"""Seconds between two signs of life."""

MOST_SOCKETS = 253
"""The kernel's limit for one message."""


class Worker:
    """This process as one of several workers, told by its number and the descriptor of the socket to its parent."""

    def __init__(self, description: str) -> None:
        number, _, descriptor = description.partition(":")
        self.number = int(number)
        self._control = socket.socket(fileno=int(descriptor))
        self._control.set_inheritable(False)
        message, sockets = self._receive()
        self.sockets = sockets[: message["listeners"]]
        """What it listens on."""
        self._bus = MeshBus(_peers(message, sockets))
        self.layer = ClusterLayer(self._bus)
        """The layer between the workers."""
        use_between_workers(self.layer)

    def _receive(self) -> tuple[Any, list[socket.socket]]:
        data, descriptors, *_ = socket.recv_fds(self._control, 65536, MOST_SOCKETS, socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise EOFError("The parent of this worker has ended.")
        return None if data == RETIRE else json.loads(data), [socket.socket(fileno=each) for each in descriptors]

    def join(self, stop: Callable[..., None]) -> None:
        """Listen to the parent, on the event loop that serves. ``stop`` is called once the parent has ended, or with
        ``retired=True`` when another worker takes over."""
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._control.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._hear)

    def serves(self) -> None:
        """Tell the parent that this process lives and accepts connections, now and every :data:`BEAT` seconds."""
        with contextlib.suppress(OSError):  # Reading finds a parent that has ended; a frozen parent is not an error.
            self._control.send(ALIVE)
        self._loop.call_later(BEAT, self.serves)

    def _hear(self) -> None:
        try:
            message, sockets = self._receive()
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._loop.remove_reader(self._control.fileno())
            self._stop()
            return
        if message is None:
            self._stop(retired=True)
        else:
            for number, _, sock in _peers(message, sockets):
                self._bus.link(number, sock)

    async def catch_up(self) -> None:
        """Receive all messages that other workers have published until now: their answers come after them."""
        await self._bus.subscribe(())


def _peers(message: dict[str, Any], sockets: list[socket.socket]) -> list[tuple[int, bool, socket.socket]]:
    links = sockets[message["listeners"] :]
    return [(number, serving, sock) for (number, serving), sock in zip(message["peers"], links, strict=True)]
