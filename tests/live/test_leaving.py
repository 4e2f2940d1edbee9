"""The consumer itself, without a server: wherever it breaks off, nothing of its subscriber is left."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import eventcast
from eventcast.engine.hub import current_hub
from eventcast.layers import InMemoryChannelLayer, get_layer
from eventcast.websocket.consumer import EventcastConsumer
from tests.fakes import layer_in_use
from tests.live.waiting import until


class Peer:
    """The ASGI server's side of one WebSocket, which breaks where it is told to. Light: there are many of them."""

    __slots__ = ("__weakref__", "_connected", "_leaving", "_raises_at", "accepted", "sent")

    def __init__(self, *, raises_at: str = "") -> None:
        loop = asyncio.get_running_loop()
        self.sent: list[dict[str, Any]] = []
        self.accepted: asyncio.Future[None] = loop.create_future()
        self._connected = False
        self._leaving: asyncio.Future[None] = loop.create_future()
        self._raises_at = raises_at

    async def receive(self) -> dict[str, Any]:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self._raises_at == "receive":
            raise RuntimeError("the server cannot receive")
        await self._leaving
        return {"type": "websocket.disconnect", "code": 1005}

    async def send(self, event: dict[str, Any]) -> None:
        if self._raises_at == event["type"]:
            raise RuntimeError("the server cannot send")
        self.sent.append(event)
        if not self.accepted.done():
            self.accepted.set_result(None)

    def leave(self) -> None:
        self._leaving.set_result(None)


consumer = EventcastConsumer.as_asgi()


@pytest.fixture(autouse=True)
def own_layer() -> Iterator[None]:
    """A channel layer in which nothing is left of other tests."""
    with layer_in_use(InMemoryChannelLayer()):
        yield


def listen(channel: str, peer: Peer) -> asyncio.Task[None]:
    scope = {"type": "websocket", "path": channel, "headers": [], "client": None}
    return asyncio.ensure_future(consumer(scope, peer.receive, peer.send))


def layer() -> InMemoryChannelLayer:
    found = get_layer()
    assert isinstance(found, InMemoryChannelLayer)
    return found


async def check_nothing_is_left(channel: str) -> None:
    """No subscriber, no name, no membership, no task."""
    await until(lambda: len(asyncio.all_tasks()) == 1, f"no task is left of {asyncio.all_tasks()}")
    assert eventcast.subscriber_count(channel) == 0
    assert current_hub().channels == {}
    figures = layer().statistics()
    assert (figures.channels, figures.groups) == (0, 0)


@pytest.mark.parametrize("place", ["websocket.accept", "receive", "websocket.send"])
async def test_consumer_that_raises_leaves_nothing(place: str) -> None:
    peer = Peer(raises_at=place)
    task = listen("/a", peer)
    if place == "websocket.send":
        await peer.accepted
        await eventcast.apublish("/a", "hello")
        await until(lambda: eventcast.subscriber_count("/a") == 0)
        peer.leave()
        await task
    else:
        with pytest.raises(RuntimeError):
            await task
    await check_nothing_is_left("/a")


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("turns", range(12))
async def test_consumer_cancelled_anywhere_leaves_nothing(turns: int, others: int) -> None:
    # After each number of turns of the event loop it is somewhere else on its way in.
    there = [Peer() for _ in range(others)]
    tasks = [listen("/a", peer) for peer in there]
    for peer in there:
        await peer.accepted
    task = listen("/a", Peer())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert eventcast.subscriber_count("/a") == others
    for peer in there:
        peer.leave()
    await asyncio.gather(*tasks)
    await check_nothing_is_left("/a")


@pytest.mark.parametrize("turns", range(8))
async def test_consumer_cancelled_on_its_way_out_leaves_nothing(turns: int) -> None:
    peer = Peer()
    task = listen("/a", peer)
    await peer.accepted
    peer.leave()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await check_nothing_is_left("/a")


async def test_listener_can_come_back_while_it_leaves() -> None:
    for turns in range(8):
        first, second = Peer(), Peer()
        leaving = listen("/a", first)
        await first.accepted
        first.leave()
        for _ in range(turns):
            await asyncio.sleep(0)
        coming = listen("/a", second)
        await second.accepted
        await leaving
        assert await eventcast.apublish("/a", "hello") == 1
        await until(lambda peer=second: len(peer.sent) == 2)  # type: ignore[misc]
        assert second.sent[1] == {"type": "websocket.send", "text": "hello"}
        second.leave()
        await coming
        await check_nothing_is_left("/a")


async def come_and_go(first: int, count: int) -> None:
    """As many channels as ``count``, each with a listener who comes and leaves, every other by cancellation."""
    peers = [Peer() for _ in range(count)]
    tasks = [listen(f"/crowd/{first + number}", peer) for number, peer in enumerate(peers)]
    for peer in peers:
        await peer.accepted
    assert eventcast.subscriber_count(f"/crowd/{first}") == 1
    for peer, task in zip(peers[::2], tasks[1::2], strict=True):
        peer.leave()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def objects_now() -> int:
    await asyncio.sleep(0)  # Callbacks of what has just ended hold it until they have run.
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.parametrize("channels", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_crowd_of_channels_leaves_nothing(channels: int) -> None:
    await come_and_go(0, 1000)
    gc.freeze()  # What was there before is not looked at again and again.
    try:
        before = await objects_now()
        for first in range(0, channels, 1000):
            await come_and_go(first, 1000)
        await check_nothing_is_left("/crowd/0")

        async def nothing_is_left() -> bool:
            return await objects_now() - before < 100

        # What ends in a thread, as that of a test before may, takes a moment.
        await until(nothing_is_left, f"no objects are left: {Counter(map(type, gc.get_objects())).most_common(9)}")
    finally:
        gc.unfreeze()
