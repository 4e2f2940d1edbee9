"""Helpers of the layers' tests. None of them waits for time to pass."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from eventcast.layers import InMemoryChannelLayer
from eventcast.layers.links import CHANGES_SIZE, Changes, Peer
from eventcast.layers.mesh import MeshBus


class Clock:
    """A clock that stands still until a test advances it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def layer_and_clock(**config: Any) -> tuple[InMemoryChannelLayer, Clock]:
    """A layer and the clock that gives it the time."""
    layer, clock = InMemoryChannelLayer(**config), Clock()
    layer._now = clock
    return layer, clock


async def waiting_reader(layer: InMemoryChannelLayer, channel: str) -> asyncio.Task[dict[str, Any]]:
    """A task that waits in receive()."""
    reader = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)
    assert not reader.done()
    return reader


async def is_silent(layer: InMemoryChannelLayer, channel: str) -> bool:
    """Whether there is nothing to receive now."""
    reader = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)
    silent = not reader.done()
    await stop(reader)
    return silent


async def stop(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def run_in_thread(function: Callable[..., object], *args: object) -> None:
    """Call a function in a thread of its own and wait for it, without letting the event loop run meanwhile."""
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


def remembered(layer: InMemoryChannelLayer) -> int:
    """How many objects a layer holds; 0 when it is not used."""
    return len(layer.channels) + len(layer.groups) + len(layer._receivers)


def shared_changes() -> Changes:
    """The memory of workers that are all in this process."""
    return memoryview(bytearray(CHANGES_SIZE)).cast("Q")


def link_with(workers: Sequence[MeshBus]) -> list[Peer]:
    """Link one more worker with those that there are, as the parent does; returns what it is told of them."""
    new, peers = len(workers), []
    for number, worker in enumerate(workers):
        ours, theirs = socket.socketpair()
        worker.link(Peer(new, new, theirs))
        peers.append(Peer(number, number, ours))
    return peers
