"""A worker's side of ``eventcast serve --workers N``: its messages from and to the parent process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import os
import socket
from collections.abc import Callable

from eventcast.layers import use_between_workers
from eventcast.layers.cluster import ClusterLayer
from eventcast.layers.links import CHANGES_SIZE, Peer
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
        if (received := self._receive()) is None:
            raise EOFError("This worker retires before it has begun.")
        peers, slot, (changes, *listeners) = received
        self.sockets = [socket.socket(fileno=each) for each in listeners]
        """What it listens on."""
        self._bus = MeshBus(peers, memoryview(mmap.mmap(changes, CHANGES_SIZE)).cast("Q"), slot)
        os.close(changes)
        os.register_at_fork(after_in_child=self._bus.disown)
        self.layer = ClusterLayer(self._bus)
        """The layer between the workers."""
        use_between_workers(self.layer)

    def _receive(self) -> tuple[list[Peer], int, list[int]] | None:
        """What the parent sends: other workers, the slot of this one, and descriptors; None if this worker retires."""
        data, descriptors, *_ = socket.recv_fds(self._control, 65536, MOST_SOCKETS, socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise EOFError("The parent of this worker has ended.")
        if data == RETIRE:
            return None
        message = json.loads(data)
        described, count = message["peers"], len(message["peers"])
        links = zip(described, descriptors[:count], strict=True)
        peers = [Peer(number, slot, socket.socket(fileno=each)) for (number, slot), each in links]
        return peers, message["slot"], descriptors[count:]

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
            received = self._receive()
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._loop.remove_reader(self._control.fileno())
            self._stop()
            return
        if received is None:
            self._stop(retired=True)
        else:
            for peer in received[0]:
                self._bus.link(peer)

    async def catch_up(self) -> None:
        """Receive all messages that other workers have published until now: their answers come after them."""
        await self._bus.subscribe(())
